"""The command `diff`: compare two sessions."""

from __future__ import annotations

import click

from ..log import Log
from ..session import diff as compare
from .command import command
from .exit_codes import NO, OK
from .terminal.screen import Screen

_STYLES = {"+": "green", "-": "red", "~": "bold yellow", "=": "dim", "…": "dim"}


@command(
    "diff",
    ("refold diff ID FORK", "branches, from the last event they share"),
    ("refold diff oslo bergen", "two runs, by what was said in them"),
    ("refold diff ID FORK --json", "as data, equal messages too"),
)
@click.argument("left")
@click.argument("right")
async def diff(screen: Screen, log: Log, left: str, right: str) -> int:
    """Compare two sessions: messages and calls side by side, configuration, tokens, cost and time.

    `-` is said on the left only, `+` on the right only, `~` is different, `=` is the same. Numbers are seqs. The exit
    code is 0 when nothing differs, 1 when something does, and 2 or more after an error.
    """
    found = await compare(await log.find(left), await log.find(right))
    if screen.as_json:
        screen.json(found)
        return NO if found else OK
    for line in found.pretty().splitlines():
        screen.folded_line(line, _STYLES.get(line.lstrip()[:1], ""))
    return NO if found else OK
