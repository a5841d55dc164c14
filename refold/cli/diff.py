"""The command `diff`: compare two sessions."""

from __future__ import annotations

import click

from ..log import Log
from ..session import diff as compare
from .command import command
from .exit_codes import NO, OK
from .terminal.paging import PAGE
from .terminal.screen import Screen

_STYLES = {"+": "green", "-": "red", "~": "bold yellow", "=": "dim", "…": "dim"}


@command(
    "diff",
    ("refold diff ID FORK", "branches, from the last event they share"),
    ("refold diff oslo bergen", "two runs, by what was said in them"),
    ("refold diff ID FORK -n 0", "all of it; a terminal gets 50 messages at a time"),
    ("refold diff ID FORK --json", "as data, equal messages too"),
)
@click.argument("left")
@click.argument("right")
@click.option(
    "-n",
    "--limit",
    type=click.IntRange(min=0),
    metavar="N",
    help="Only N messages; 0: all, and sums. [default: 50 on a terminal]",
)
@click.option(
    "--after", type=(int, int), default=(0, 0), metavar="L R", help="Go on behind these seqs of the left and the right."
)
async def diff(screen: Screen, log: Log, left: str, right: str, limit: int | None, after: tuple[int, int]) -> int:
    """Compare two sessions: messages and calls side by side, configuration, tokens, cost and time.

    `-` is said on the left only, `+` on the right only, `~` is different, `=` is the same. Numbers are seqs. The exit
    code is 0 when nothing differs, 1 when something does, and 2 or more after an error.
    """
    most = limit if limit is not None else PAGE if screen.out.is_terminal and not screen.as_json else 0
    ours, theirs = await log.find(left), await log.find(right)
    found = await compare(ours, theirs, limit=most or None, after=after)
    if screen.as_json:
        screen.json(found)
        return NO if found else OK
    for line in found.pretty().splitlines():
        screen.folded_line(line, _STYLES.get(line.lstrip()[:1], ""))
    if found.next is not None:
        places = map(str, found.next)
        behind = screen.command("diff", ours.id, theirs.id, "--after", *places)
        screen.note((f"(go on: {behind}; all: {screen.command('diff', ours.id, theirs.id, '-n', '0')})", "dim"))
    return NO if found else OK
