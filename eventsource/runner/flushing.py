"""Appending what waits: one timer for all sessions of an event loop that have something, and none while none has."""

from __future__ import annotations

import asyncio
import contextvars
import weakref
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from typing import Generic, TypeVar

from ..background import outlast
from .writer import Writer

V = TypeVar("V")

FLUSH_S = 0.05
"""Seconds that an update waits for its append at the most."""


class _Timed(Generic[V]):
    """A writer whose events are flushed in time, in the context of its own run."""

    def __init__(self, writer: Writer[V], timer: _Timer) -> None:
        self._writer, self._timer = writer, timer
        self._context = contextvars.copy_context()
        self.task: asyncio.Task[bool] | None = None

    def begin(self) -> None:
        """Flush, unless that has failed before, which is raised in the end; behind a flush that is under way, later."""
        if self.task is not None and not self.task.done():
            self._timer.add(self)
        elif self.task is None or (not self.task.cancelled() and self.task.exception() is None):
            self.task = asyncio.get_running_loop().create_task(self._writer.flush(), context=self._context)


class _Timer:
    """Flushes together what has come within a while."""

    def __init__(self) -> None:
        self._due: dict[_Timed[object], None] = {}
        self._handle: asyncio.TimerHandle | None = None

    def add(self, one: _Timed[V]) -> None:
        """Flush a writer when it is time."""
        self._due[one] = None  # type: ignore[index]  # whatever it folds
        if self._handle is None:
            self._handle = asyncio.get_running_loop().call_later(FLUSH_S, self._flush)

    def leave(self, one: _Timed[V]) -> None:
        """Flush a writer no more."""
        self._due.pop(one, None)  # type: ignore[arg-type]  # as above
        if not self._due and self._handle is not None:
            self._handle.cancel()
            self._handle = None

    def _flush(self) -> None:
        self._handle = None
        due, self._due = self._due, {}
        for one in due:
            one.begin()


_TIMERS: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, _Timer] = weakref.WeakKeyDictionary()


@asynccontextmanager
async def flushing(writer: Writer[V]) -> AsyncIterator[None]:
    """Append what waits within 50 ms for as long as the block lasts, so that a stalled stream shows what it has.

    Raises: what kept a flush from its end, then.
    """
    timer = _TIMERS.setdefault(asyncio.get_running_loop(), _Timer())
    timed = _Timed(writer, timer)
    writer.on_pending = partial(timer.add, timed)
    if writer.has_pending:
        timer.add(timed)
    try:
        yield
    finally:
        writer.on_pending = None
        timer.leave(timed)
        if timed.task is not None:
            await outlast(timed.task)
            timed.task.result()
