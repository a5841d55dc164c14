"""The command `waits`: list what sessions wait for, and how each wait is answered."""

from __future__ import annotations

from collections.abc import AsyncIterator

import click
import msgspec

from eventsource.machine.state import CHILD

from ..log import Log
from ..waits import Waiting
from .command import command
from .exit_codes import NO
from .terminal.formatting import date_time, shorten
from .terminal.next_steps import answer_command, continue_command, print_next
from .terminal.screen import Screen

_PAGE = 500


@command(
    "waits",
    ("refold waits ID", "what it waits for, and the agents and tasks it waits for"),
    ("refold waits", "of every session that waits"),
)
@click.argument("session", required=False)
@click.option("--tag", metavar="TAG", help="Tokens with this tag only.")
async def waits(screen: Screen, log: Log, session: str | None, tag: str | None) -> int | None:
    """List what sessions wait for, and how each is answered. The exit code is 1 when they wait for nothing."""
    if session is not None:
        found = [await log.find(session)]
    else:
        found = [await log.find(one) async for one in _all_that_wait(log)]
    everything = {(one.session, one.key): one for held in found for one in await held.waits()}
    listed = [one for one in everything.values() if tag is None or tag in one.tags]
    if screen.as_json:
        screen.json([{**msgspec.to_builtins(one), "token": one.token} for one in listed])
    elif listed:
        screen.table(("token", "until", "what"), [(one.token, _until(one), _what(one)) for one in listed])
        for one in listed:
            print_next(screen, answer_command(screen, one, await continue_command(screen, await log.find(one.session))))
    else:
        screen.note("Nothing waits.")
    return None if listed else NO


async def _all_that_wait(log: Log) -> AsyncIterator[str]:
    after: str | None = None
    while page := await log.list(status="waiting", after=after, limit=_PAGE):
        for info in page:
            yield info.id
        if len(page) < _PAGE:
            return
        after = page[-1].id


def _until(wait: Waiting) -> str:
    return date_time(wait.deadline_us) if wait.deadline_us is not None and wait.reason != CHILD else ""


def _what(wait: Waiting) -> str:
    if wait.reason == CHILD:
        return wait.words.removeprefix("waits for its ")
    if not wait.tool:
        return wait.reason or "token"
    return shorten(f"{wait.reason}: {wait.tool} {msgspec.json.encode(wait.arguments).decode()}", 200)
