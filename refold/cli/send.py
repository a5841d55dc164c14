"""The command `send`: send a message to a task."""

from __future__ import annotations

import click

from ..log import Log
from .arguments.values import json_or_text
from .command import command
from .terminal.next_steps import continue_command, print_next
from .terminal.screen import Screen


@command(
    "send",
    ('refold send ID "Anything else?"', "into the inbox of its task"),
    ("refold send ID '{\"vote\": 3}' --key v3", "any JSON; with a key it arrives once, however often it is sent"),
)
@click.argument("session")
@click.argument("message")
@click.option("--key", metavar="KEY", help="Send it once.")
async def send(screen: Screen, log: Log, session: str, message: str, key: str | None) -> None:
    """Send a message to a task: it gets it when it waits for the next one."""
    found = await log.find(session)
    head = await found.send(json_or_text(message), key=key)
    if screen.as_json:
        screen.json({"id": found.id, "head": head})
    else:
        print_next(screen, await continue_command(screen, found))
