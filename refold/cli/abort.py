"""The command `abort`: end a run under way, from another terminal."""

from __future__ import annotations

import click

from ..log import Log
from .arguments.sessions import is_running
from .command import command
from .exit_codes import NO
from .terminal.next_steps import continue_command, print_next
from .terminal.screen import Screen


@command("abort", ("refold abort ID", "the run ends within a quarter of a second; the session is kept"))
@click.argument("session")
async def abort(screen: Screen, log: Log, session: str) -> int | None:
    """End a run under way, in whatever terminal it runs. The exit code is 1 when no run is unfinished."""
    found = await log.find(session)
    info = await found.info()
    if not info.open:
        screen.note(f"Session {found.id} has no unfinished run.")
    elif await found.abort(by="`refold abort`") and is_running(log, info):
        screen.note(f"Asked the run of session {found.id} to end.")
        print_next(screen, await continue_command(screen, found))
    else:
        screen.note(f"Nobody runs session {found.id} now; its run ends as aborted when it goes on.")
        print_next(screen, await continue_command(screen, found))
    if screen.as_json:
        screen.json({"id": found.id, "aborted": info.open})
    return None if info.open else NO
