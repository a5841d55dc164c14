"""The command `erase`: remove what one event says."""

from __future__ import annotations

import click

from ..log import Log
from .command import command
from .terminal.confirmation import confirm_removal
from .terminal.next_steps import print_next
from .terminal.screen import Screen


@command(
    "erase",
    ("refold erase ID 42", "asks first"),
    ("refold erase ID 42 --reason 'a password' --yes", "does not"),
    local=True,
)
@click.argument("session")
@click.argument("seq", type=click.IntRange(min=1), metavar="N")
@click.option("--reason", default="", metavar="TEXT", help="Why; this is kept.")
@click.option("--yes", is_flag=True, help="Do not ask.")
async def erase(screen: Screen, log: Log, session: str, seq: int, reason: str, yes: bool) -> None:
    """Remove what the event at a seq says, for ever, with its streamed pieces, here and in every fork that shares it.

    That it happened stays: its time, kind, place and token counts, and a digest so that the rest can be verified.
    """
    found = await log.find(session)
    confirm_removal(f"Erase what event {seq} of session {found.id} says, for ever?", yes=yes)
    head = await log.store.erase(found.id, seq, at_us=log.clock(), reason=reason)
    if screen.as_json:
        screen.json({"id": found.id, "seq": seq, "head": head})
    else:
        screen.note(("Erased. Copies still hold it (backups, exports), and other messages may.", "dim"))
        print_next(screen, screen.command("search", "TEXT"))
