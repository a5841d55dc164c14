"""Changes that wait for a transaction: whoever comes while one is committed shares the next one with all who wait."""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable
from typing import Generic, TypeVar

from .connection import Sql

T = TypeVar("T")


class Job(Generic[T]):
    """A change that waits for its transaction. It must raise a RefoldError before it writes, or not at all."""

    __slots__ = (
        "after",
        "appends",
        "done",
        "durable",
        "error",
        "gives_head",
        "result",
        "session",
        "size_bytes",
        "waiter",
        "work",
    )

    def __init__(
        self,
        work: Callable[[Sql], T],
        *,
        session: str,
        durable: bool,
        after: int = 0,
        size_bytes: int = 0,
        gives_head: bool = False,
        appends: bool = True,
    ) -> None:
        """Prepare.

        Args:
            gives_head: what it gives is where its session ends from then on.
            appends: false: it leaves the events as they are, and nobody who waits for some is woken.
        """
        self.gives_head, self.appends = gives_head, appends
        self.work, self.session, self.durable, self.after = work, session, durable, after
        self.size_bytes = size_bytes
        self.done = False
        self.result: T | None = None
        self.error: BaseException | None = None
        self.waiter: asyncio.Future[None] | None = None


class JobQueue(ABC):
    """The changes that wait, and who commits them: one of those who wait, for all."""

    def __init__(self, changed: Callable[[str, int | None], None]) -> None:
        """Prepare.

        Args:
            changed: called (in the loop) with each session that has something new, and its head, if that is known.
        """
        self._changed = changed
        self._waiting: deque[Job[object]] = deque()
        self._leading = False
        self._loop: asyncio.AbstractEventLoop | None = None
        self._handed: asyncio.Task[None] | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    @abstractmethod
    async def _work_off(self, taken: list[Job[object]]) -> None:
        """Take some or all of what waits, commit it, and say of each job what came of it."""

    async def run(self, job: Job[T]) -> T:
        """Make a change. Cancelled, it was made or not when the cancellation is raised, and nothing goes on behind it.

        Raises: what the change raises; OutcomeUnknownError when the commit failed; StoreError.
        """
        self._waiting.append(job)  # type: ignore[arg-type]  # a queue of jobs whatever they give
        if self._is_led():
            await self._wait(job)
        else:
            try:
                await self._lead()
            except asyncio.CancelledError:
                if job in self._waiting:
                    self._waiting.remove(job)  # type: ignore[arg-type]  # as above
                raise
        if job.error is not None:
            raise job.error
        return job.result  # type: ignore[return-value]  # done without an error

    @property
    def is_writing(self) -> bool:
        """True while changes are committed."""
        return self._leading

    def _is_led(self) -> bool:
        """Return whether somebody commits; whoever did in a loop that has ended does so no more."""
        if self._leading and self._loop is not None and self._loop.is_closed():
            self._leading = False
            self._tasks.clear()
        return self._leading

    async def _wait(self, job: Job[T]) -> None:
        job.waiter = asyncio.get_running_loop().create_future()
        cancelled: asyncio.CancelledError | None = None
        while not job.done:
            try:
                await asyncio.shield(job.waiter)
            except asyncio.CancelledError as error:
                cancelled = error
                if job in self._waiting:
                    self._waiting.remove(job)  # type: ignore[arg-type]  # as above
                    break
        if cancelled is not None:
            raise cancelled

    async def _lead(self) -> None:
        """Commit what waits, and hand over to a task when more has come meanwhile."""
        loop = asyncio.get_running_loop()
        self._leading, self._loop, self._handed = True, loop, None
        taken: list[Job[object]] = []
        try:
            await self._work_off(taken)
        except Exception as error:  # nobody who waits may be left without an answer
            while self._waiting:
                taken.append(self._waiting.popleft())
            for job in taken:
                if not job.done:
                    job.error, job.done = error, True
        finally:
            self._leading = False
            if not loop.is_closed():
                for job in taken:
                    if job.waiter is not None and not job.waiter.done():
                        job.waiter.set_result(None)
                    if job.error is None and job.appends:
                        head = job.result if job.gives_head else None
                        self._changed(job.session, head if isinstance(head, int) else None)
                self._hand_over()

    def _hand_over(self) -> None:
        if self._waiting:
            try:
                loop = asyncio.get_running_loop()
            except RuntimeError:  # the loop has ended in the middle of a commit; those who waited have ended with it
                return
            self._leading = True
            task = loop.create_task(self._lead())
            self._handed = task
            self._tasks.add(task)
            task.add_done_callback(self._handed_over)

    def _handed_over(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if self._handed is task:  # cancelled before it began, as when a loop ends and cancels all there is
            self._handed, self._leading = None, False
            self._hand_over()
