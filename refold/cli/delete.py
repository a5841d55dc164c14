"""The command `delete`: delete a session."""

from __future__ import annotations

import click

from ..log import Log
from .command import command
from .terminal.confirmation import confirm_removal
from .terminal.formatting import count
from .terminal.screen import Screen


@command(
    "delete",
    ("refold delete ID", "asks first"),
    ("refold delete ID --yes", "does not"),
    local=True,
)
@click.argument("session")
@click.option("--yes", is_flag=True, help="Do not ask.")
async def delete(screen: Screen, log: Log, session: str, yes: bool) -> None:
    """Delete a session and its events, for ever. One with forks is not deleted: they begin in it."""
    found = await log.find(session)
    info = await found.info()
    named = f" ({info.title})" if info.title else ""
    confirm_removal(
        f"Delete session {found.id}{named} and its {count(info.head - info.fork_seq, 'event')}, for ever?", yes=yes
    )
    await log.delete(found.id)
    if screen.as_json:
        screen.json({"id": found.id, "deleted": True})
    else:
        screen.note((f"Deleted {found.id}.", "dim"))
