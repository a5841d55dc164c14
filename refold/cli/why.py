"""The command `why`: where each part of a request to a model came from."""

from __future__ import annotations

import click

from eventsource.events import MessageAdopt, MessageEnd
from eventsource.messages import AssistantMessage

from ..log import Log
from ..session import Session
from .command import command
from .terminal.paging import PAGE
from .terminal.screen import Screen

_SAID = (MessageEnd, MessageAdopt)
_LOOK = 64  # facts at the end of a session that are looked at first


@command(
    "why",
    ("refold why ID", "the last answer"),
    ("refold why ID 24", "24 is an answer, a call, any event: the request that led to it"),
    ("refold why ID 24 --json", "as data, with the request itself"),
)
@click.argument("session")
@click.argument("seq", type=click.IntRange(min=1), required=False)
@click.option(
    "-n",
    "--limit",
    type=click.IntRange(min=0),
    metavar="N",
    help="Only the last N messages, and N changes; 0: all. [default: 50 on a terminal]",
)
async def why(screen: Screen, log: Log, session: str, seq: int | None, limit: int | None) -> None:
    """Say where a run stood, which event put each part of its request there, and what changed since the one before.

    It is checked that the request built again is the one that was sent.
    """
    asked = await log.find(session)
    most = limit if limit is not None else PAGE if screen.out.is_terminal and not screen.as_json else 0
    found = await asked.why(seq if seq is not None else await _last_answer(log, asked), limit=most or None)
    if screen.as_json:
        screen.json(found)
        return
    for line in found.pretty().splitlines():
        screen.cut_line((line, {"+": "green", "-": "red", "~": "yellow"}.get(line[:1], "")))


async def _last_answer(log: Log, session: Session) -> int:
    """Find the last answer of a model; where there is none, the head, and what would be asked there."""
    head, look = (await session.info()).head, _LOOK
    while True:
        (facts,) = await log.store.last_facts([session.id], _SAID, limit=look)
        answers = [one.seq for one in facts if isinstance(getattr(one.event, "message", None), AssistantMessage)]
        if answers or look >= head:
            return answers[-1] if answers else head
        look *= 8
