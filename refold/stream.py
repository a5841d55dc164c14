"""A run shown while it goes on."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Generic, TypeVar

from eventsource.loading import read_all
from eventsource.ports import Recorded
from projections.lifecycle import Lifecycle, LifecycleEvent

from .log import open_log
from .run import Run
from .session import Session

T = TypeVar("T")


class AgentStream(Generic[T]):
    """The events of a run in the founding form, as they are recorded; a reader that stops does not stop the run."""

    def __init__(
        self,
        session: Session | None,
        start: Callable[[Session, Callable[[Recorded], None]], Awaitable[Run[T]]],
    ) -> None:
        self._start = start
        self._queue: asyncio.Queue[LifecycleEvent | None] = asyncio.Queue()
        self._task = asyncio.ensure_future(self._go(session))
        self._task.add_done_callback(lambda ended: self._queue.put_nowait(None))  # also if it never began

    def __aiter__(self) -> AsyncIterator[LifecycleEvent]:
        """Yield each event once."""
        return self._events()

    async def run(self) -> Run[T]:
        """Wait for the end. Raises: what kept the run from ending, if anything did."""
        return await asyncio.shield(self._task)

    async def _go(self, session: Session | None) -> Run[T]:
        if session is not None:
            return await self._drive(session)
        async with open_log() as log:
            return await self._drive(await log.session())

    async def _drive(self, session: Session) -> Run[T]:
        view = Lifecycle()
        async for recorded in read_all(session.core.log, session.id, updates=False):
            view.feed(recorded)

        def listen(recorded: Recorded) -> None:
            for shown in view.feed(recorded):
                self._queue.put_nowait(shown)

        return await self._start(session, listen)

    async def _events(self) -> AsyncIterator[LifecycleEvent]:
        while (shown := await self._queue.get()) is not None:
            yield shown
        await self._task
