"""The command that says why a model was sent what it was sent."""

from __future__ import annotations

import click

from ..log import Log
from .command import command
from .screen import Screen


@command(
    "why",
    ("refold why ID 24", "24 is an answer, a call, any event: the request that led to it"),
    ("refold why ID 24 --json", "as data, with the request itself"),
)
@click.argument("session")
@click.argument("seq", type=click.IntRange(min=1))
async def why(screen: Screen, log: Log, session: str, seq: int) -> None:
    """Say where a run stood, which event put each part of its request there, and what changed since the one before.

    It is checked that the request built again is the one that was sent.
    """
    found = await (await log.find(session)).why(seq)
    if screen.as_json:
        screen.json(found)
        return
    for line in found.pretty().splitlines():
        screen.line((line, {"+": "green", "-": "red", "~": "yellow"}.get(line[:1], "")))
