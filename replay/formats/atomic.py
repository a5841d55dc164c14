"""An import is there as a whole or not at all, however it ends and however often it is cancelled."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Sequence

from eventsource.background import settled
from eventsource.envelope import SessionInfo
from eventsource.errors import UnknownSessionError
from eventsource.log.protocol import EventLog


async def create_session(creating: Coroutine[object, object, SessionInfo], written: list[str]) -> str:
    """Create a session and keep its id, also when this is cancelled meanwhile."""
    task = asyncio.ensure_future(creating)
    cancelled = await settled(task)
    made = task.result().id
    written.append(made)
    if cancelled is not None:
        raise cancelled
    return made


async def roll_back(log: EventLog, written: Sequence[str]) -> None:
    """Delete what a broken import has written, the last first."""
    await settled(asyncio.ensure_future(_delete(log, written)))


async def _delete(log: EventLog, written: Sequence[str]) -> None:
    for one in reversed(written):
        try:
            await log.delete(one)
        except UnknownSessionError:  # somebody else has deleted it meanwhile
            continue
