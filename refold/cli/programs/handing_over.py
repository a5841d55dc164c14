"""A session given to an agent, from the command line."""

from __future__ import annotations

import os
import time

from replay.formats import FORMATS
from replay.formats.to_agent import HandedOver, hand_over

from ...log import Log
from ..terminal.formatting import count
from ..terminal.screen import Screen

AGENTS = {one.name: one.to_agent for one in FORMATS if one.to_agent is not None}
"""How a session is given to an agent, by its name."""


async def give(log: Log, agent: str, session: str, folder: str | None = None) -> HandedOver:
    """Write a session where an agent looks for its own, to work in a folder, or else in the session's own."""
    found = await log.find(session)
    info = await found.info()
    where = folder or info.folder or os.getcwd()
    return await hand_over(
        log.store,
        found.id,
        agent,
        AGENTS[agent],
        folder=where,
        environment=os.environ,
        at_us=time.time_ns() // 1000,
    )


def tell(screen: Screen, given: HandedOver) -> None:
    """Say what was written, and what of the session is not there."""
    screen.note((f"{given.path}: {count(given.messages, 'message')}", "dim"))
    for what in given.lost:
        screen.note(("not there: ", "yellow"), what)
    if given.unanswered:
        screen.note(
            ("It ends with a prompt that nobody answered: the agent reads it when you say something.", "yellow")
        )
    if not os.path.isdir(given.folder):
        screen.note((f"{given.folder}, where the agent worked, is not here; --folder names another one", "yellow"))
