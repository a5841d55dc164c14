"""One connection in its own thread, used by whole functions: one call into the thread for each."""

from __future__ import annotations

import asyncio
import atexit
import ctypes
import os
import threading
import time
import weakref
from collections.abc import Callable
from queue import SimpleQueue
from typing import Any, Generic, TypeAlias, TypeVar

import aiosqlite

from ...background import settled
from ...errors import StoreError

T = TypeVar("T")
C = TypeVar("C")
_EXIT_S = 5.0
_Work: TypeAlias = tuple["asyncio.Future[Any] | None", Callable[[], object]]
_Queue: TypeAlias = "SimpleQueue[_Work | None]"


class _ThreadConnection(aiosqlite.Connection):
    """aiosqlite's connection in a daemon thread of ours; `SqlThread` opens and closes it, so it warns of nothing."""

    def __init__(self) -> None:
        super().__init__(_nothing, 64)  # type: ignore[arg-type]  # `SqlThread` connects
        self.queue: _Queue = self._tx  # type: ignore[assignment]  # ours also takes None: the thread's end
        self._thread = threading.Thread(target=_serve, args=(self.queue,), name="refold-log", daemon=True)

    def begin(self) -> threading.Thread:
        """Start the thread. Raises: RuntimeError when the system gives none."""
        self._thread.start()
        return self._thread

    def use(self, raw: Any) -> None:  # noqa: ANN401 - whatever kind of connection it is
        """Take the connection that was made in the thread, or give it up."""
        self._connection = raw

    async def run(self, work: Callable[[C], T], raw: C) -> T:
        """Run a function in the thread."""
        result: T = await self._execute(work, raw)  # type: ignore[no-untyped-call]  # a private method
        return result

    def __del__(self) -> None:
        """Leave it to `SqlThread`."""


class SqlThread(Generic[C]):
    """A connection and the one thread that uses it.

    The thread is a daemon: a program that never closes its log ends all the same, after what is being written. A
    process forked from this one must not touch the connection, not even to close it, so there it is kept for ever.
    """

    def __init__(
        self,
        connect: Callable[[], C],
        *,
        end: Callable[[C], None],
        closed: type[Exception],
    ) -> None:
        """Prepare; `connect` and `end` are called in the thread.

        Args:
            closed: what a call raises once the connection is closed.
        """
        self._connect, self._end, self._closed = connect, end, closed
        self._connection = _ThreadConnection()
        self._thread: threading.Thread | None = None
        self._raw: C | None = None
        self._is_forked = False

    async def start(self) -> None:
        """Start the thread and connect in it."""
        try:
            thread = self._connection.begin()
        except RuntimeError as error:
            raise StoreError("log", f"no thread can be started ({error})", "end some threads and try again") from error
        self._thread = thread
        _watch()
        _LIVE.add(self)
        try:
            await self._do(self._make)
        except BaseException:
            await self.close()
            raise

    def _make(self) -> None:
        self._raw = self._connect()
        self._connection.use(self._raw)

    async def call(self, work: Callable[[C], T]) -> T:
        """Run a function with the connection in the thread.

        A cancelled call still runs; the cancellation is raised when it has ended, so nothing goes on behind the caller.
        """
        raw = self._raw
        if raw is None or self._is_forked:
            raise self._closed("the connection is closed")
        try:
            return await self._connection.run(work, raw)
        except asyncio.CancelledError:
            await self._idle()
            raise

    async def _do(self, function: Callable[[], T]) -> T:
        future: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        self._connection.queue.put((future, function))
        try:
            return await future
        except asyncio.CancelledError:
            await self._idle()
            raise

    async def _idle(self) -> None:
        """Wait until everything given to the thread so far has ended."""
        ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._connection.queue.put((ended, _nothing))
        await settled(ended)

    async def close(self) -> None:
        """Close the connection and end the thread, however often the waiting is cancelled."""
        thread, self._thread = self._thread, None
        if thread is None or self._is_forked:
            return
        _LIVE.discard(self)
        ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._stop(ended)
        cancelled = await settled(ended)
        thread.join()
        if cancelled is not None:
            ended.exception()
            raise cancelled
        ended.result()

    def _stop(self, ended: asyncio.Future[None] | None) -> None:
        raw, self._raw = self._raw, None
        end = self._end
        self._connection.use(None)
        self._connection.queue.put((ended, _nothing if raw is None else lambda: end(raw)))
        self._connection.queue.put(None)

    def stop_at_exit(self, deadline: float) -> None:
        """End when the program ends: what is being written is finished first."""
        thread, self._thread = self._thread, None
        if thread is not None and not self._is_forked:
            self._stop(None)
            thread.join(max(0.0, deadline - time.monotonic()))

    def leave(self) -> None:
        """Note that this process was forked from the one that owns the connection."""
        self._is_forked = True
        if self._raw is not None:
            leak(self._raw)

    def __del__(self) -> None:
        """End the thread of a connection that nobody has any more."""
        if self._thread is not None and not self._is_forked:
            self._stop(None)


def leak(connection: object) -> None:
    """Never close a connection in this process: closing would remove files that are another's, or end its session."""
    ctypes.pythonapi.Py_IncRef(ctypes.py_object(connection))


def _nothing() -> None:
    return None


def _serve(queue: _Queue) -> None:
    """Do one thing after another, until told to end; holds nothing of what it has done."""
    while (work := queue.get()) is not None:
        future, function = work
        result: object = None
        error: BaseException | None = None
        try:
            result = function()
        except BaseException as caught:
            error = caught
        if future is not None:
            try:
                future.get_loop().call_soon_threadsafe(_tell, future, result, error)
            except RuntimeError:  # the loop has ended, nobody waits
                pass
        del work, future, function, result, error


def _tell(future: asyncio.Future[object], result: object, error: BaseException | None) -> None:
    if future.done():
        return
    if error is None:
        future.set_result(result)
    else:
        future.set_exception(error)


_LIVE: weakref.WeakSet[SqlThread[Any]] = weakref.WeakSet()
_watching = False


def _watch() -> None:
    global _watching  # noqa: PLW0603 - hooks are registered once, with the first thread
    if not _watching:
        _watching = True
        atexit.register(_end)
        os.register_at_fork(after_in_child=_leave)


def _end() -> None:
    deadline = time.monotonic() + _EXIT_S
    for thread in list(_LIVE):
        thread.stop_at_exit(deadline)


def _leave() -> None:
    for thread in list(_LIVE):
        thread.leave()
    _LIVE.clear()
