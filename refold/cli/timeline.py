"""The command `timeline`: list when runs, model calls and tools began, and how long they took."""

from __future__ import annotations

import click

from eventsource.log.load import read_all
from projections import TIMELINE, project, spans

from ..log import Log
from .command import command
from .terminal.formatting import duration, time_of_day
from .terminal.screen import Screen


@command("timeline", ("refold timeline ID", "runs, turns, model calls with the time to their first token, tools"))
@click.argument("session")
async def timeline(screen: Screen, log: Log, session: str) -> None:
    """Say when runs, turns, model calls, tool calls and waits began, and how long they took."""
    found = await log.find(session)
    history = [recorded async for recorded in read_all(log.store, found.id)]
    listed = spans(project(TIMELINE, history))
    if screen.as_json:
        screen.json(listed)
    elif not listed:
        screen.note("Nothing ran here: what it holds came from elsewhere.")
    else:
        indent = {"run": "", "turn": "  "}
        rows = [
            (
                str(span.start_seq),
                time_of_day(span.started_at_us),
                duration(span.duration_us) or "(open)",
                duration(span.first_token_us),
                f"{indent.get(span.kind, '    ')}{span.kind} {span.name}{f'  {span.note}' if span.note else ''}",
            )
            for span in listed
        ]
        screen.table(("seq", "began", "took", "first token", "what"), rows, right=("seq", "took", "first token"))
