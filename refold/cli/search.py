"""The command `search`: find a text in what was said."""

from __future__ import annotations

from collections.abc import AsyncIterator

import click

from eventsource.control_characters import plain
from eventsource.envelope import SessionInfo
from eventsource.log.load import load
from projections import CONTEXT, find_text

from ..log import Log
from ..session_tree import session_rows
from .command import command
from .exit_codes import NO
from .terminal.screen import Screen


@command(
    "search",
    ("refold search coat", "in every session"),
    ("refold search 'rain, rain' --session oslo", "in one"),
)
@click.argument("text")
@click.option("--session", metavar="ID", help="Only in this session.")
async def search(screen: Screen, log: Log, text: str, session: str | None) -> int | None:
    """Find a text, in any case, in messages, thinking, calls and results. The exit code is 1 when it is nowhere.

    What a fork shares with its parent is found in the parent only.
    """
    if not text:
        raise click.UsageError("say what to look for")
    named = None if session is None else await (await log.find(session)).info()
    hits: list[dict[str, object]] = []
    with screen.busy("searching"):
        async for info in _only(named) if named is not None else session_rows(log.store):
            _, _, view = await load(log.store, info.id, context=CONTEXT)
            shared = 0 if named is not None else info.fork_seq
            for found in find_text(view, text):
                if found.seq > shared:
                    hits.append({"id": info.id, "seq": found.seq, "role": found.role, "excerpt": found.excerpt})
                    if not screen.as_json:
                        screen.cut_line(
                            (f"{info.id:<15}", "dim"), f"  {found.seq:>6}  {found.role:<11}  ", found.excerpt
                        )
    if screen.as_json:
        screen.json(hits)
    elif not hits:
        screen.note(f"{plain(text)!r} is nowhere in {info_name(named)}")
    return None if hits else NO


def info_name(info: SessionInfo | None) -> str:
    """Name what was looked at."""
    return f"session {info.id}" if info is not None else "the log"


async def _only(info: SessionInfo) -> AsyncIterator[SessionInfo]:
    yield info
