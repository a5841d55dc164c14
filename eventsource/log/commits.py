"""Group commit: everything that waits to be written goes to disk in one transaction, in one call into the thread."""

from __future__ import annotations

import asyncio
import sqlite3
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Generic, TypeVar

import msgspec

from ..errors import CorruptLogError, OutcomeUnknownError, RefoldError, StoreError
from .database import connect_writer, sentence, translated
from .files import Turn
from .tails import Tails
from .thread import SqlThread

T = TypeVar("T")
_CHECKPOINT_PAGES = 1_000
_PAGES_PER_JOB = 2  # frames in the write-ahead file, as measured: events and updates, and the sessions' once for all
_PAGE_BYTES = 8_192


class Counts(msgspec.Struct):
    """What an opened log has done: transactions with a sync (`full`) and without (`normal`), and checkpoints."""

    full: int = 0
    normal: int = 0
    checkpoints: int = 0


class Job(Generic[T]):
    """A change that waits for its transaction. It must raise a RefoldError before it writes, or not at all."""

    __slots__ = ("after", "done", "durable", "error", "result", "session", "size_bytes", "waiter", "work")

    def __init__(
        self,
        work: Callable[[sqlite3.Connection], T],
        *,
        session: str,
        durable: bool,
        after: int = 0,
        size_bytes: int = 0,
    ) -> None:
        self.work, self.session, self.durable, self.after, self.size_bytes = work, session, durable, after, size_bytes
        self.done = False
        self.result: T | None = None
        self.error: BaseException | None = None
        self.waiter: asyncio.Future[None] | None = None


class Commits:
    """The writer's connection, its queue of changes, and the checkpoints."""

    def __init__(self, path: Path, tails: Tails, changed: Callable[[str], None], *, timeout_s: float) -> None:
        """Prepare; nothing is opened before `start`.

        Args:
            tails: what is known of the sessions' ends; belongs to the thread.
            changed: called (in the loop) with each session that has something new.
        """
        self._path, self._tails, self._changed = path, tails, changed
        self._turn = Turn(path, timeout_s)
        self._thread: SqlThread | None = None
        self._waiting: deque[Job[object]] = deque()
        self._leading = False
        self._broken = False
        self._version = -1
        self._level = "FULL"
        self._pages = 0
        self._truncate = False
        self._tasks: set[asyncio.Task[None]] = set()
        self.counts = Counts()

    async def start(self) -> None:
        """Open the connection."""
        thread = SqlThread(lambda: connect_writer(self._path, self._turn))
        await thread.start()
        self._thread, self._broken, self._version, self._level = thread, False, -1, "FULL"

    async def run(self, job: Job[T]) -> T:
        """Make a change. Cancelled, it was made or not when the cancellation is raised, and nothing goes on behind it.

        Raises: what the change raises; OutcomeUnknownError when the commit failed; StoreError.
        """
        self._waiting.append(job)  # type: ignore[arg-type]  # a queue of jobs whatever they give
        if self._leading:
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
        """Commit everything that waits, and hand over to a task when more has come meanwhile."""
        self._leading = True
        taken: list[Job[object]] = []
        try:
            if self._broken or self._thread is None:
                await self._reopen()
            if self._thread is not None:
                await self._thread.call(lambda connection: self._batch(connection, taken))
            if self._broken:  # so that whoever is told "unknown" and reads the head reads what will stay
                with suppress(StoreError):
                    await self._reopen()
        except RefoldError as error:
            self._refuse(taken, error)
        finally:
            self._leading = False
            self._tell(taken)
            if self._waiting:
                task = asyncio.get_running_loop().create_task(self._lead())
                self._leading = True
                self._tasks.add(task)
                task.add_done_callback(self._tasks.discard)

    def _refuse(self, taken: list[Job[object]], error: RefoldError) -> None:
        while self._waiting:
            taken.append(self._waiting.popleft())
        for job in taken:
            if not job.done:
                job.error, job.done = error, True

    def _tell(self, taken: list[Job[object]]) -> None:
        for job in taken:
            if job.waiter is not None and not job.waiter.done():
                job.waiter.set_result(None)
            if job.error is None:
                self._changed(job.session)

    async def _reopen(self) -> None:
        """Throw the connection away after an error and read the file again."""
        if self._thread is not None:
            thread, self._thread = self._thread, None
            with suppress(sqlite3.Error):
                await thread.close()
        with translated(self._path):
            await self.start()
            if self._thread is not None:
                await self._thread.call(self._empty)

    def _batch(self, connection: sqlite3.Connection, taken: list[Job[object]]) -> None:
        """Commit what waits; runs in the thread, and tells each job what came of it."""
        while self._waiting:
            try:
                taken.append(self._waiting.popleft())
            except IndexError:  # the last one was cancelled just now
                break
        try:
            with self._turn:
                jobs = taken
                while jobs := [job for job in jobs if not job.done]:
                    self._transaction(connection, jobs)
                if self._pages >= _CHECKPOINT_PAGES or self._truncate:
                    self._checkpoint(connection)
        except (StoreError, OSError) as error:
            for job in taken:
                if not job.done:
                    job.error, job.done = error, True

    def _transaction(self, connection: sqlite3.Connection, jobs: list[Job[object]]) -> None:
        """Make all changes, or those before one that broke: then nothing is stored and the others are tried again."""
        try:
            self._begin(connection, full=any(job.durable for job in jobs))
            for job in jobs:
                try:
                    job.result = job.work(connection)
                except sqlite3.Error:
                    raise
                except Exception as error:  # whatever it is belongs to the one who asked
                    job.error, job.done = error, True
                    if not isinstance(error, RefoldError) or isinstance(error, CorruptLogError):
                        self._roll_back(connection)
                        return
        except sqlite3.Error as error:
            self._broken = True
            self._roll_back(connection)
            for job in jobs:
                if not job.done:
                    job.error, job.done = sentence(self._path, error), True
            return
        self._commit(connection, [job for job in jobs if not job.done])

    def _begin(self, connection: sqlite3.Connection, *, full: bool) -> None:
        level = "FULL" if full else "NORMAL"
        if level != self._level:
            connection.execute(f"PRAGMA synchronous={level}")
            self._level = level
        connection.execute("BEGIN IMMEDIATE")
        version = connection.execute("PRAGMA data_version").fetchone()[0]
        if version != self._version:
            self._version = version
            self._tails.doubt()

    def _commit(self, connection: sqlite3.Connection, jobs: list[Job[object]]) -> None:
        try:
            connection.execute("COMMIT")
        except sqlite3.Error as error:
            self._broken = True
            self._roll_back(connection)
            for job in jobs:
                job.error, job.done = OutcomeUnknownError(job.session, job.after, str(error)), True
            return
        if self._level == "FULL":
            self.counts.full += 1
        else:
            self.counts.normal += 1
        for job in jobs:
            job.done = True
            self._pages += _PAGES_PER_JOB + job.size_bytes // _PAGE_BYTES
        self._pages += 1

    def _roll_back(self, connection: sqlite3.Connection) -> None:
        self._tails.forget()
        with suppress(sqlite3.Error):
            if connection.in_transaction:
                connection.execute("ROLLBACK")

    def _checkpoint(self, connection: sqlite3.Connection) -> None:
        """Copy the write-ahead file into the database; a reader in the way puts off the rest, an error is not final."""
        mode = "TRUNCATE" if self._truncate else "PASSIVE"
        with suppress(sqlite3.Error):
            connection.execute("PRAGMA busy_timeout=100")
            busy = connection.execute(f"PRAGMA wal_checkpoint({mode})").fetchone()[0]
            self._truncate = self._truncate and bool(busy)
            connection.execute("PRAGMA busy_timeout=5000")
            self.counts.checkpoints += 1
        self._pages = 0

    def truncate_soon(self) -> None:
        """Empty the write-ahead file with the next transaction: what was erased must not stay in it."""
        self._truncate = True

    async def close(self) -> None:
        """Let what waits end, checkpoint, and close the connection."""
        while self._leading or self._tasks:
            await asyncio.sleep(0.001)
        thread, self._thread = self._thread, None
        if thread is None:
            return
        try:
            await thread.call(self._empty)
        finally:
            await thread.close()

    def _empty(self, connection: sqlite3.Connection) -> None:
        """Empty the write-ahead file: at the end, and after a failed sync, which may have lost what it held before."""
        self._truncate = True
        with suppress(StoreError), self._turn:
            self._checkpoint(connection)
