"""The command `complete`: complete a token that a task waits for."""

from __future__ import annotations

import click

from ..log import Log
from .arguments.values import json_or_text
from .arguments.waits import decided_by, decided_by_option, parse_token
from .command import command
from .terminal.next_steps import print_next_steps
from .terminal.screen import Screen


@command(
    "complete",
    ("refold complete ID:KEY true", "any JSON, else a text; the session that waits for it goes on"),
    ("refold complete ID KEY true", "the same"),
)
@click.argument("token", metavar="SESSION:KEY|SESSION")
@click.argument("words", nargs=-1, required=True, metavar="[KEY] VALUE")
@decided_by_option
async def complete(screen: Screen, log: Log, token: str, words: tuple[str, ...], by: str | None) -> None:
    """Complete a token, by the name its task gave it, waited for or not yet; the first completion counts."""
    if len(words) > 2:
        raise click.UsageError(f"expected KEY VALUE or a VALUE, found {len(words)} words; quote a value with spaces")
    if len(words) == 2:
        found, key = await log.find(token), words[0]
    else:
        found, key = await parse_token(log, token)
    head = await found.decide(f"{found.id}:{key}", json_or_text(words[-1]), decided_by=decided_by(by))
    if screen.as_json:
        screen.json({"token": f"{found.id}:{key}", "head": head})
    else:
        await print_next_steps(screen, found)
