"""The command `cancel`: cancel a task and its children."""

from __future__ import annotations

import click

from ..log import Log
from .command import command
from .exit_codes import NO
from .terminal.next_steps import continue_command, print_next
from .terminal.screen import Screen


@command("cancel", ("refold cancel ID", "the task ends, and its children with it; the session is kept"))
@click.argument("session")
@click.option("--reason", default="", metavar="TEXT", help="Why.")
async def cancel(screen: Screen, log: Log, session: str, reason: str) -> int | None:
    """Cancel a session's task; whoever runs it sees to that. The exit code is 1 when none is open."""
    found = await log.find(session)
    is_open = bool((await found.state()).task)
    if is_open:
        await found.cancel(reason)
        screen.note(f"Session {found.id} is cancelled; whoever runs it, or the next worker, ends it and its children.")
        print_next(screen, await continue_command(screen, found))
    else:
        screen.note(f"Session {found.id} has no open task.")
    if screen.as_json:
        screen.json({"id": found.id, "cancelled": is_open})
    return None if is_open else NO
