"""Following a session and its children as one stream."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

from eventsource.background import stop
from eventsource.envelope import Recorded
from eventsource.errors import UnknownSessionError
from eventsource.events import ChildStart
from eventsource.log.protocol import EventLog

_LOOK_S = 0.05


async def follow_tree(log: EventLog, session: str, after: int = 0) -> AsyncIterator[tuple[str, Recorded]]:
    """Yield each event of a session and of its children, theirs included, with the session it belongs to; never ends.

    The events of one session come in their order, a child's after its `child_start`.
    """
    queue: asyncio.Queue[tuple[str, Recorded] | Exception] = asyncio.Queue()
    following: dict[str, asyncio.Task[None]] = {}

    async def follow(name: str, after: int) -> None:
        try:
            await _exists(log, name)
            async for recorded in log.follow(name, after):
                queue.put_nowait((name, recorded))
        except Exception as error:  # whoever reads is told
            queue.put_nowait(error)

    following[session] = asyncio.create_task(follow(session, after))
    try:
        while True:
            found = await queue.get()
            if isinstance(found, Exception):
                raise found
            yield found
            event = found[1].event
            if isinstance(event, ChildStart) and event.child not in following:
                following[event.child] = asyncio.create_task(follow(event.child, 0))
    finally:
        await stop(*following.values())


async def _exists(log: EventLog, session: str) -> None:
    """Wait until a child's session is made: its parent says so first."""
    while True:
        try:
            await log.info(session)
        except UnknownSessionError:
            await asyncio.sleep(_LOOK_S)
        else:
            return
