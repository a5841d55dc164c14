"""The command `timeline`: list when runs, model calls and tools began, and how long they took."""

from __future__ import annotations

from collections.abc import Iterator

import click

from eventsource.log.load import read_all
from projections import SpanReader

from ..log import Log
from .command import command
from .terminal.formatting import duration, time_of_day
from .terminal.screen import Screen


@command("timeline", ("refold timeline ID", "runs, turns, model calls with the time to their first token, tools"))
@click.argument("session")
async def timeline(screen: Screen, log: Log, session: str) -> None:
    """Say when runs, turns, model calls, tool calls and waits began, and how long they took."""
    found = await log.find(session)
    listed = SpanReader()
    async for recorded in read_all(log.store, found.id):
        listed.feed(recorded)
    if screen.as_json:
        screen.json_list(listed)
    elif not listed:
        screen.note("Nothing happened here yet.")
    else:
        columns = ("seq", "began", "ended", "took", "first token", "what")
        screen.table(columns, _Rows(listed), right=("seq", "took", "first token"))
        if any(not span.measured for span in listed):
            screen.note(("~: by the times that the messages came with; nobody measured it here", "dim"))


class _Rows:
    """The rows of a table, made whenever they are gone through: there may be many."""

    def __init__(self, listed: SpanReader) -> None:
        self._listed = listed

    def __iter__(self) -> Iterator[tuple[str, ...]]:
        indent = {"run": "", "turn": "  "}
        for span in self._listed:
            took = duration(span.duration_us) or "(open)"
            yield (
                str(span.start_seq),
                time_of_day(span.started_at_us),
                time_of_day(span.ended_at_us) if span.ended_at_us is not None else "",
                took if span.measured else f"~{took}",
                duration(span.first_token_us),
                f"{indent.get(span.kind, '    ')}{span.kind} {span.name}{f'  {span.note}' if span.note else ''}",
            )
