"""The command `fork`: begin a session that shares another's events up to a seq."""

from __future__ import annotations

import click

from ..log import Log
from .command import command
from .terminal.next_steps import continue_command, print_next
from .terminal.screen import Screen


@command(
    "fork",
    ("refold fork ID --at 42", "share events 1 to 42: any seq, also inside an answer"),
    ("refold fork ID --at good", "up to the bookmark `good`, see `refold label`"),
    ("refold fork ID --before 57", "share all before the message 57"),
    ("refold continue $(refold fork ID --at 42) -m scripted", "stdout has the new id, and nothing else"),
)
@click.argument("session")
@click.option("--at", "at", metavar="N|LABEL", help="The last seq that is shared, or a bookmark.")
@click.option("--before", type=click.IntRange(min=1), metavar="N", help="A message, by the seq `show` gives it.")
@click.option("--title", default="", metavar="TEXT", help="What the fork is called.")
async def fork(screen: Screen, log: Log, session: str, at: str | None, before: int | None, title: str) -> None:
    """Begin a session that shares another's events up to a seq, the head if none is given. Nothing is copied."""
    if at is not None and before is not None:
        raise click.UsageError("--at and --before exclude each other")
    found = await log.find(session)
    place = int(at) if at is not None and at.isdecimal() else at
    new = await found.fork(at=place, before=before, title=title)
    info = await new.info()
    if screen.as_json:
        screen.json(info)
        return
    screen.line(new.id)
    screen.note((f"It shares events 1 to {info.fork_seq} of {found.id}.", "dim"))
    print_next(screen, await continue_command(screen, new))
