"""Group commit: everything that waits to be written goes to disk in one transaction, in one call into the thread."""

from __future__ import annotations

import asyncio
import logging
import sqlite3
import time
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import NamedTuple, TypeVar

import msgspec

from ...errors import CorruptLogError, OutcomeUnknownError, RefoldError, StoreError
from ..sql.jobs import Job, JobQueue
from ..sql.tails import Tails
from ..sql.thread import SqlThread
from .connect import connect_writer
from .connection import SqliteConnection, WritingConnection
from .database_files import DatabaseFiles
from .locks import WriterLock
from .sqlite_errors import store_error, translated

T = TypeVar("T")
_CHECKPOINT_PAGES = 1_000
_AGAIN_S = 1.0  # after a reader stood in the way of emptying the write-ahead file, it is tried again so much later
_CHECKPOINT_MS = 100  # how long a checkpoint waits for readers
_PATIENT_MS, _PATIENT_EVERY_S = 1_500, 10.0
_PAGE_BYTES = 8_192
_WAL_BYTES = 4 * _CHECKPOINT_PAGES * _PAGE_BYTES  # a write-ahead file of this size has not begun anew in time
_WAL_WARNED_BYTES = 2 * _WAL_BYTES
_LOG = logging.getLogger(__name__)


class Counts(msgspec.Struct):
    """What an opened log has done: transactions with a sync (`full`) and without (`normal`), and checkpoints.

    For those who wait for what others append: `looks` at the write-ahead file, and how often the database was `asked`.
    """

    full: int = 0
    normal: int = 0
    checkpoints: int = 0
    looks: int = 0
    asked: int = 0


class OwnCommit(NamedTuple):
    """What the last commit of this log has left: the write-ahead file's looks, and the database's `data_version`."""

    touched: tuple[int, int] | None = None
    version: int | None = None


class GroupCommit(JobQueue):
    """The writer's connection, its queue of changes, and the checkpoints."""

    def __init__(
        self,
        files: DatabaseFiles,
        tails: Tails,
        changed: Callable[[str, int | None], None],
        *,
        clock: Callable[[], int],
        timeout_s: float,
    ) -> None:
        """Prepare; nothing is opened before `start`.

        Args:
            tails: what is known of the sessions' ends; belongs to the thread.
            changed: called (in the loop) with each session that has something new, and its head, if that is known.
        """
        super().__init__(changed)
        self._files, self._tails = files, tails
        self._clock = clock
        self._writer_lock = WriterLock(files, timeout_s)
        self._thread: SqlThread[WritingConnection] | None = None
        self._broken = False
        self._version = -1
        self._level = "FULL"
        self._pages = 0
        self._truncate, self._truncate_at = False, 0.0
        self._wal_told = 0
        self._patient_at, self._patient_size = 0.0, 0
        self.counts = Counts()
        self.own = OwnCommit()

    async def start(self) -> None:
        """Open the connection."""
        connect = partial(connect_writer, self._files, self._writer_lock, self._clock)
        thread = SqlThread(connect, end=self._files.end, closed=sqlite3.ProgrammingError)
        await thread.start()
        self._thread, self._broken, self._version, self._level = thread, False, -1, "FULL"
        self.own = OwnCommit()

    async def read(self, work: Callable[[WritingConnection], T]) -> T | None:
        """Read with the writer's connection; None: there is none just now. Raises: StoreError."""
        if self._thread is None or self._broken:
            return None
        try:
            return await self._thread.call(work)
        except sqlite3.Error as error:
            raise store_error(self._files.path, error) from error

    async def _work_off(self, taken: list[Job[object]]) -> None:
        if self._broken or self._thread is None:
            await self._reopen()
        if self._thread is not None:
            await self._thread.call(lambda connection: self._batch(connection, taken))
        if self._broken:  # so that whoever is told "unknown" and reads the head reads what will stay
            with suppress(StoreError):
                await self._reopen()

    async def _reopen(self) -> None:
        """Throw the connection away after an error and read the file again."""
        if self._thread is not None:
            thread, self._thread = self._thread, None
            with suppress(sqlite3.Error):
                await thread.close()
        with translated(self._files.path):
            await self.start()
            if self._thread is not None:
                await self._thread.call(self._empty)

    def _batch(self, connection: WritingConnection, taken: list[Job[object]]) -> None:
        """Commit what waits; runs in the thread, and tells each job what came of it."""
        pages = 0
        while self._waiting and pages < _CHECKPOINT_PAGES:  # a checkpoint may come between two batches, never within
            try:
                job = self._waiting.popleft()
            except IndexError:  # the last one was cancelled just now
                break
            taken.append(job)
            pages += _pages_of(job)
        try:
            with self._writer_lock:
                self._check(connection)
                jobs = taken
                while jobs := [job for job in jobs if not job.done]:
                    self._transaction(connection, jobs)
                if self._pages >= _CHECKPOINT_PAGES or (self._truncate and time.monotonic() >= self._truncate_at):
                    self._checkpoint(connection)
        except Exception as error:  # nobody who waits may be left without an answer
            for job in taken:
                if not job.done:
                    job.error, job.done = error, True

    def _check(self, connection: WritingConnection) -> None:
        """Check that what is written will be found. Raises: StoreError, once all that was acknowledged is safe."""
        try:
            self._files.check()
        except StoreError:
            self._is_rescued(connection)
            raise

    def _is_rescued(self, connection: WritingConnection) -> bool:
        """Return whether all that was committed is in the database itself, though its write-ahead file was removed."""
        with suppress(sqlite3.Error, StoreError):
            self._files.check_database()
            if self._files.has_lost_wal():
                busy, pages, copied = connection.execute("PRAGMA wal_checkpoint(FULL)").fetchone()
                return not busy and pages == copied
        return False

    def _transaction(self, connection: WritingConnection, jobs: list[Job[object]]) -> None:
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
            connection.put_back()
        except sqlite3.Error as error:
            self._broken = True
            self._roll_back(connection)
            for job in jobs:
                if not job.done:
                    job.error, job.done = store_error(self._files.path, error), True
            return
        self._commit(connection, [job for job in jobs if not job.done])

    def _begin(self, connection: WritingConnection, *, full: bool) -> None:
        level = "FULL" if full else "NORMAL"
        if level != self._level:
            connection.execute(f"PRAGMA synchronous={level}")
            self._level = level
        connection.execute("BEGIN IMMEDIATE")
        version = data_version(connection)
        if version != self._version:
            self._version = version
            self._tails.invalidate()

    def _commit(self, connection: WritingConnection, jobs: list[Job[object]]) -> None:
        try:
            connection.execute("COMMIT")
        except sqlite3.Error as error:
            self._broken = True
            self._roll_back(connection)
            for job in jobs:
                job.error, job.done = OutcomeUnknownError(job.session, job.after, str(error)), True
            return
        self.own = OwnCommit(self._files.wal_touched(), self._version)
        try:
            self._files.check_database()
            problem = "" if self._files.is_wal_here() or self._is_rescued(connection) else "its files were exchanged"
        except StoreError as error:
            problem = str(error)
        if problem:
            self._tails.forget()
        elif self._level == "FULL":
            self.counts.full += 1
        else:
            self.counts.normal += 1
        for job in jobs:
            job.done = True
            if problem:
                job.error = OutcomeUnknownError(job.session, job.after, problem)
            self._pages += _pages_of(job)
        self._pages += 1

    def _roll_back(self, connection: WritingConnection) -> None:
        self._tails.forget()
        connection.forget_lent()
        with suppress(sqlite3.Error):
            if connection.in_transaction:
                connection.execute("ROLLBACK")

    def _checkpoint(self, connection: WritingConnection) -> None:
        """Copy the write-ahead file into the database; a reader in the way puts off the rest, an error is not final.

        SQLite begins the file anew when everything is copied and nobody reads from it any more. Where readers overlap
        that moment never comes by itself, so a file that has grown waits for them, with the writers held back: at most
        `_PATIENT_MS` in `_PATIENT_EVERY_S` and for each `_WAL_BYTES`. It waits several times, since one wait may go
        on for ever: it looks once where a reader stands, and readers that begin meanwhile share that one's place.
        """
        now, size = time.monotonic(), self._files.wal_bytes()
        grown = size > _WAL_BYTES
        patient = grown and (now >= self._patient_at or size >= self._patient_size)
        mode = "TRUNCATE" if self._truncate else "RESTART" if grown else "PASSIVE"
        with suppress(sqlite3.Error):
            busy, wait_ms, left_ms = 1, _CHECKPOINT_MS, _PATIENT_MS if patient else _CHECKPOINT_MS
            while busy and left_ms > 0:
                connection.execute(f"PRAGMA busy_timeout={min(wait_ms, left_ms)}")
                busy = connection.execute(f"PRAGMA wal_checkpoint({mode})").fetchone()[0]
                left_ms, wait_ms = left_ms - wait_ms, 2 * wait_ms
            self._truncate, self._truncate_at = self._truncate and bool(busy), now + _AGAIN_S
            connection.execute("PRAGMA busy_timeout=5000")
            self.counts.checkpoints += 1
            if patient and busy:
                self._patient_at, self._patient_size = time.monotonic() + _PATIENT_EVERY_S, size + _WAL_BYTES
                self._warn()
        self._pages = 0

    def _warn(self) -> None:
        """Warn that a reader keeps the write-ahead file from being emptied, once for each time it has doubled."""
        size = self._files.wal_bytes()
        if size >= max(_WAL_WARNED_BYTES, 2 * self._wal_told):
            self._wal_told = size
            _LOG.warning(
                "%s: the write-ahead file has %d MB and grows, because a reader keeps a transaction open;"
                " it is emptied when that one ends",
                self._files.path,
                size // 2**20,
            )

    async def vacuum(self) -> None:
        """Write the database anew without the room that nothing uses, while nobody else writes. Raises: StoreError."""
        if self._thread is not None:
            await self._thread.call(self._vacuum)

    def _vacuum(self, connection: WritingConnection) -> None:
        with translated(self._files.path), self._writer_lock:
            self._check(connection)
            connection.execute("VACUUM")
            self._truncate = True
            self._checkpoint(connection)

    def truncate_soon(self) -> None:
        """Empty the write-ahead file with the next transaction: what was erased must not stay in it."""
        self._truncate, self._truncate_at = True, 0.0

    async def close(self) -> None:
        """Let what waits end, checkpoint, and close the connection, however often the waiting is cancelled."""
        cancelled: asyncio.CancelledError | None = None
        while self._is_led() or self._tasks:
            try:
                await asyncio.sleep(0.001)
            except asyncio.CancelledError as error:
                cancelled = error
        thread, self._thread = self._thread, None
        try:
            for step in () if thread is None else (partial(thread.call, self._empty), thread.close):
                try:
                    await step()
                except asyncio.CancelledError as error:
                    cancelled = error
        finally:
            self._writer_lock.close()
            self._files.close()
        if cancelled is not None:
            raise cancelled

    def _empty(self, connection: WritingConnection) -> None:
        """Empty the write-ahead file: at the end, and after a failed sync, which may have lost what it held before."""
        self._truncate = True
        with suppress(StoreError), self._writer_lock:
            self._check(connection)
            self._checkpoint(connection)


def _pages_of(job: Job[object]) -> int:
    """Estimate what a change adds to the write-ahead file, in frames, as measured: events, updates, and its bytes."""
    return 2 + job.size_bytes // _PAGE_BYTES


def data_version(connection: SqliteConnection) -> int:
    """Return a number that differs when another connection than this one has committed."""
    return int(connection.execute("PRAGMA data_version").fetchone()[0])
