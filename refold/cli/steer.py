"""The command `steer`: say something to a run under way, from another terminal."""

from __future__ import annotations

import click

from ..log import Log
from .arguments.sessions import is_running
from .command import command
from .terminal.next_steps import continue_command, print_next
from .terminal.screen import Screen


@command(
    "steer",
    ('refold steer ID "In Celsius, please."', "heard before the next model call"),
    ('refold steer ID "And tomorrow?" --later', "heard when the run would otherwise end"),
)
@click.argument("session")
@click.argument("text")
@click.option("--later", is_flag=True, help="Only when the run would otherwise end.")
async def steer(screen: Screen, log: Log, session: str, text: str, later: bool) -> None:
    """Say something to a run under way. A session that does not run hears it when it runs next."""
    if not text.strip():
        raise click.UsageError("say something")
    found = await log.find(session)
    head = await (found.follow_up(text) if later else found.steer(text))
    info = await found.info()
    if screen.as_json:
        screen.json({"id": found.id, "seq": head, "status": info.status})
    elif not is_running(log, info):
        screen.note(f"Session {found.id} does not run now; this is queued for its next run.")
        print_next(screen, await continue_command(screen, found))
