"""Calling people's code: whatever it raises is a value here, and no task or thread of ours ends by it.

Source: docs/decisions/0034-what-peoples-code-raises.md
"""

from __future__ import annotations

import asyncio
import contextvars
import functools
import inspect
import opcode
import signal
import threading
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from types import CodeType, TracebackType
from typing import Any, TypeAlias, TypeVar

import msgspec

from .. import background
from ..errors import RefoldError
from .error_words import words

T = TypeVar("T")
Factory: TypeAlias = Callable[..., asyncio.Future[Any]]
CLEAN_UP_S = 5.0
"""Seconds that cancelled code may take to clean up before it is left alone."""
_RAISE = opcode.opmap["RAISE_VARARGS"]


class CallResult(msgspec.Struct, frozen=True):
    """What came of a call: what it returned, or what it raised; `late`: it was given up before."""

    value: object = None
    error: BaseException | None = None
    late: bool = False


def attempt(call: Callable[[], object]) -> CallResult:
    """Call a function and give what it returned or raised, whatever that is.

    Raises: KeyboardInterrupt or SystemExit that a signal put there: they are the program's.
    """
    try:
        return CallResult(call())
    except BaseException as error:
        if by_signal(error):
            raise
        return CallResult(error=error)


async def attempt_async(call: Callable[[], object]) -> CallResult:
    """Do as `attempt` does, and await what is awaitable. A cancellation is a value too: use a task of its own."""
    enter()
    try:
        value = call()
        return CallResult(await value if inspect.isawaitable(value) else value)
    except BaseException as error:
        if by_signal(error):
            raise
        return CallResult(error=error)


class _ExitedError(RefoldError):
    """A task that people's code began asked the program to end; carries the words."""


_INSIDE: ContextVar[bool] = ContextVar("inside", default=False)
"""True in people's code that is called here, and in the tasks it begins."""


def enter() -> None:
    """Mark the task that runs now as people's code from here on, so that the tasks it begins are guarded."""
    _INSIDE.set(True)


@contextmanager
def guarded_tasks() -> Iterator[None]:
    """Let a task that people's code begins fail by SystemExit or KeyboardInterrupt as by any error.

    asyncio would raise them out of the event loop, past whoever awaits that task.
    """
    loop = asyncio.get_running_loop()
    before = loop.get_task_factory()
    if isinstance(before, _TaskFactory):
        before.users += 1
        factory = before
    else:
        factory = _TaskFactory(before)
        loop.set_task_factory(factory)  # type: ignore[arg-type]  # what tasks are made with differs between Pythons
    try:
        yield
    finally:
        factory.users -= 1
        now = loop.get_task_factory()
        if not factory.users and isinstance(now, _TaskFactory) and now is factory:
            loop.set_task_factory(factory.before)


class _TaskFactory:
    """Makes tasks as before, those of people's code with a guard."""

    def __init__(self, before: Factory | None) -> None:
        self.before, self.users = before, 1

    def __call__(
        self, loop: asyncio.AbstractEventLoop, coro: Coroutine[Any, Any, Any], **named: Any
    ) -> asyncio.Future[Any]:
        inside = _INSIDE.get()
        work = _guard(coro) if inside else coro
        task = self.before(loop, work, **named) if self.before is not None else asyncio.Task(work, loop=loop, **named)
        if inside:
            task.add_done_callback(lambda done: coro.close())  # one that was cancelled before it began
        return task


async def _guard(coro: Coroutine[Any, Any, T]) -> T:
    try:
        return await coro
    except (SystemExit, KeyboardInterrupt) as error:
        if by_signal(error):
            raise
        raise _ExitedError(words(error)) from error


class UserCall:
    """A call of people's code in a task of its own, so that it can neither cancel nor hold up whoever waits for it."""

    def __init__(self, call: Callable[[], object], *, thread: str = "") -> None:
        """Prepare; with the name of a `thread`, the call is made in a new one, what it returns awaited here."""
        self._call, self._name = call, thread
        self._task: asyncio.Task[CallResult] | None = None
        self._in_thread = False

    @property
    def running(self) -> bool:
        """True while the code runs: it cannot be stopped in a thread, and may ignore that it was cancelled."""
        return self._in_thread or (self._task is not None and not self._task.done())

    async def run(
        self,
        *,
        limit_s: float | None = None,
        stop: asyncio.Event | None = None,
        grace_s: float = 1.0,
        clean_up_s: float = CLEAN_UP_S,
    ) -> CallResult:
        """Wait for the call's end; it is given up (`late`) after `limit_s`, and `grace_s` after `stop` was set.

        Who is given up, or whose caller is cancelled, is cancelled and has `clean_up_s` to end; then it is left alone.
        """
        with guarded_tasks():
            self._task = asyncio.create_task(self._begun())
            try:
                in_time = await self._waited(limit_s, stop, grace_s)
            except asyncio.CancelledError:
                await self._give_up(clean_up_s)
                raise
            if not in_time:
                await self._give_up(clean_up_s)
                return CallResult(late=True)
        return CallResult(error=asyncio.CancelledError()) if self._task.cancelled() else self._task.result()

    async def _waited(self, limit_s: float | None, stop: asyncio.Event | None, grace_s: float) -> bool:
        """Wait for the end. Returns: whether it came in time."""
        task = self._task
        if task is None:
            return False
        if stop is None:
            return bool((await asyncio.wait([task], timeout=limit_s))[0])
        stopped = asyncio.create_task(stop.wait())
        try:
            await asyncio.wait([task, stopped], timeout=limit_s, return_when=asyncio.FIRST_COMPLETED)
        finally:
            stopped.cancel()
        if not task.done() and stop.is_set():
            await asyncio.wait([task], timeout=grace_s)
        return task.done()

    async def _give_up(self, clean_up_s: float) -> None:
        if self._task is not None and not self._task.done():
            await background.stop(self._task, timeout_s=clean_up_s)

    async def _begun(self) -> CallResult:
        enter()
        return await (self._in_a_thread() if self._name else attempt_async(self._call))

    async def _in_a_thread(self) -> CallResult:
        """Call in a new daemon thread, with the caller's context variables.

        Source: docs/decisions/0031-plain-tools-in-threads.md
        """
        loop = asyncio.get_running_loop()
        ended: asyncio.Future[CallResult] = loop.create_future()

        def settle(found: CallResult) -> None:
            if ended.done():
                _drop(found)
            else:
                ended.set_result(found)

        def run() -> None:
            found = attempt(self._call)
            self._in_thread = False
            with suppress(RuntimeError):  # the loop is closed: the run gave this call up
                loop.call_soon_threadsafe(settle, found)

        self._in_thread = True
        threading.Thread(target=contextvars.copy_context().run, args=(run,), name=self._name, daemon=True).start()
        try:
            found = await ended
        except asyncio.CancelledError:
            if not ended.cancelled():
                _drop(ended.result())
            raise
        return found if found.error is not None else await attempt_async(lambda: found.value)


def _drop(ended: CallResult) -> None:
    """Close what a function returned to be awaited, when nobody awaits it any more."""
    if inspect.iscoroutine(ended.value):
        ended.value.close()


def by_signal(error: BaseException) -> bool:
    """Return whether a signal (Ctrl-C, a handler that exits) put this exception where it was caught, no statement.

    Signals reach only the main thread: their handler is among the frames, but for Python's own, which is not written in
    Python; then the last frame was at something else than a `raise`.
    """
    if not isinstance(error, KeyboardInterrupt | SystemExit):
        return False
    if threading.current_thread() is not threading.main_thread():
        return False
    frames = list(_frames(error.__traceback__))
    handlers = {code for code in map(_code, _handlers()) if code is not None}
    if any(frame.tb_frame.f_code in handlers for frame in frames):
        return True
    if isinstance(error, SystemExit) or not frames:
        return False
    last = frames[-1]
    return last.tb_frame.f_code.co_code[last.tb_lasti] != _RAISE


def _frames(trace: TracebackType | None) -> Iterator[TracebackType]:
    while trace is not None:
        yield trace
        trace = trace.tb_next


def _handlers() -> Iterator[object]:
    for number in signal.valid_signals():
        with suppress(ValueError, OSError):
            yield signal.getsignal(number)


def _code(handler: object) -> CodeType | None:
    """Find the code of a signal's handler: behind partials, methods and callable objects."""
    while isinstance(handler, functools.partial):
        handler = handler.func
    if not inspect.isroutine(handler):
        handler = vars(type(handler)).get("__call__")
    handler = getattr(handler, "__func__", handler)
    code = getattr(handler, "__code__", None)
    return code if isinstance(code, CodeType) else None
