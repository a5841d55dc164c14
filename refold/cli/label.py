"""The command `label`: name a session, or set a bookmark in it."""

from __future__ import annotations

import click

from ..log import Log
from .command import command
from .terminal.next_steps import print_next
from .terminal.screen import Screen


@command(
    "label",
    ('refold label ID "Oslo, with rain"', "the session's title"),
    ("refold label ID good --at 42", "a bookmark at a seq, shown by `refold tree ID`"),
    ('refold label ID "" --at 42', "no bookmark any more"),
)
@click.argument("session")
@click.argument("text")
@click.option("--at", "at", type=click.IntRange(min=1), metavar="N", help="Set a bookmark at this seq.")
async def label(screen: Screen, log: Log, session: str, text: str, at: int | None) -> None:
    """Name a session, or set a bookmark at a seq of it."""
    found = await log.find(session)
    head = await found.label(text, at)
    if screen.as_json:
        screen.json({"id": found.id, "text": text, "at": at, "head": head})
    elif at is not None and text:
        print_next(screen, screen.command("fork", found.id, "--at", text))
    else:
        print_next(screen, screen.command("tree" if at is not None else "show", found.id))
