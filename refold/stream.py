"""A run as a stream of its events, while it goes on."""

from __future__ import annotations

import asyncio
import warnings
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from typing import Generic, NoReturn, TypeVar

from eventsource.errors import NoEventLoopError
from eventsource.events import Event
from projections.lifecycle import LifecycleEvent

from .log import open_log
from .run import Run
from .session import Session

T = TypeVar("T")
READ = "read it with `async for event in stream`, in an async function"


class AgentStream(Generic[T]):
    """The events of a run, as they are recorded: `async for event in stream`.

    They are those of the founding form: `agent_start`, `agent_end`, `turn_*`, `message_*` and `tool_execution_*`, and
    `retry` where a model call is made again. A reader that stops does not stop the run; `run` waits for its end and
    gives what `Agent.run` would have given.
    """

    def __init__(
        self,
        session: Session | None,
        start: Callable[[Session, Callable[[LifecycleEvent], None]], Awaitable[Run[T]]],
    ) -> None:
        """Begin at once. `start`: the run, given what takes the events to show."""
        self._start = start
        self._shown = BackgroundRun("Agent.stream", lambda: self._go(session), advice="`run_sync` runs without one")

    async def __aiter__(self) -> AsyncIterator[Event]:
        """Yield each event once."""
        async for shown in self._shown.read():
            yield shown.event

    def __iter__(self) -> NoReturn:
        misused("Agent.stream", "run = await stream.run()")

    def __await__(self) -> NoReturn:
        misused("Agent.stream", "run = await stream.run()")

    def __enter__(self) -> NoReturn:
        misused("Agent.stream", "run = await stream.run()")

    def __exit__(self, *_: object) -> None: ...

    async def __aenter__(self) -> NoReturn:
        misused("Agent.stream", "run = await stream.run()")

    async def __aexit__(self, *_: object) -> None: ...

    async def lifecycle(self) -> AsyncIterator[LifecycleEvent]:
        """Yield each event once, with its seq and time, and beside it what it refers to.

        That is the whole message (or as much of it as there is), the call, its result, how the run ended. What is taken
        here is not yielded by the stream itself again.
        """
        async for shown in self._shown.read():
            yield shown

    async def run(self) -> Run[T]:
        """Wait for the end. Raises: what kept the run from ending, if anything did."""
        return await self._shown.wait()

    async def _go(self, session: Session | None) -> Run[T]:
        if session is not None:
            return await self._start(session, self._shown.put)
        async with open_log() as log:
            return await self._start(await log.session(), self._shown.put)


class BackgroundRun(Generic[T]):
    """A run in a task of its own, and what it has to show until somebody reads it."""

    def __init__(self, where: str, work: Callable[[], Coroutine[object, object, T]], *, advice: str = "") -> None:
        """Start the task at once. Raises: NoEventLoopError."""
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            raise NoEventLoopError(where, advice) from None
        self._queue: asyncio.Queue[LifecycleEvent | None] = asyncio.Queue()
        self._where, self._read = where, False
        self.task = loop.create_task(work())
        self.task.add_done_callback(self._ended)  # also if it never began

    def put(self, shown: LifecycleEvent) -> None:
        """Queue an event for the reader."""
        self._queue.put_nowait(shown)

    async def wait(self) -> T:
        """Wait for the end. Raises: what kept the run from ending."""
        self._read = True
        return await asyncio.shield(self.task)

    async def read(self) -> AsyncIterator[LifecycleEvent]:
        """Yield what nobody has read yet, until the end. Raises: what kept the run from ending."""
        self._read = True
        while (shown := await self._queue.get()) is not None:
            yield shown
        self._queue.put_nowait(None)  # whoever reads after this comes to the end too
        await self.task

    def _ended(self, task: asyncio.Task[T]) -> None:
        self._queue.put_nowait(None)
        if task.cancelled() and not self._read:
            said = f"nobody read what {self._where} gave, and its run was given up with the event loop: " + READ
            warnings.warn(said, RuntimeWarning, stacklevel=2)


def misused(where: str, end: str) -> NoReturn:
    """Raise TypeError with how a stream is read."""
    raise TypeError(f"{where} gives a stream: {READ}; `{end}` waits for its end")
