"""The command `adopt`: take messages of one session into another."""

from __future__ import annotations

import re
from collections.abc import Sequence

import click

from ..log import Log
from .command import command
from .terminal.formatting import count
from .terminal.next_steps import continue_command, print_next
from .terminal.screen import Screen


@command(
    "adopt",
    ("refold adopt ID --from FORK 16", "the message 16 of the fork; a call comes with its results"),
    ("refold adopt ID --from FORK 16 22..30", "and all messages from 22 to 30"),
    local=True,
)
@click.argument("session")
@click.argument("messages", nargs=-1, required=True, metavar="SEQ|SEQ..SEQ...")
@click.option("--from", "source", required=True, metavar="ID", help="The session that has the messages.")
async def adopt(screen: Screen, log: Log, session: str, messages: Sequence[str], source: str) -> None:
    """Take messages of another session into this one, with their origin on record; nothing runs.

    The session must be idle, or in a batch of tool calls that nobody runs: then it takes results of the same calls.
    What both sessions share is left out.
    """
    target, other = await log.find(session), await log.find(source)
    chosen: set[int] = set()
    for word in messages:
        between = re.fullmatch(r"(\d+)\.\.(\d+)", word)
        if between is not None:
            first, last = int(between[1]), int(between[2])
            chosen |= {entry.seq for entry in await other.history() if first <= entry.seq <= last}
        elif word.isdecimal():
            chosen.add(int(word))
        else:
            raise click.UsageError(f"{word}: expected a seq, or a range such as 16..30")
    names = await target.adopt(sorted(chosen), from_=other)
    if screen.as_json:
        screen.json({"id": target.id, "from": other.id, "seqs": names})
        return
    where = f" at {names[0]}" + (f"..{names[-1]}" if len(names) > 1 else "") if names else ""
    screen.line(f"{target.id}: {count(len(names), 'event')} adopted{where}")
    print_next(screen, await continue_command(screen, target, "--prompt", "TEXT"))
