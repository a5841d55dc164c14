"""The log in an SQLite database, which several processes may use at the same time."""

from __future__ import annotations

import asyncio
import os
import sqlite3
import warnings
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import TypeVar

from ...envelope import FoundCount, FoundText
from ...user_code.argument_checks import checked
from ..encode import LIMIT_BYTES
from ..sql import leases
from ..sql.closing import stop_reading, take_steps
from ..sql.connection import Sql
from ..sql.jobs import Job
from ..sql.log import SqlLog
from ..sql.reading import heads_of
from ..sql.rebuild import all_numbers, refold
from ..sql.searching import TextSearch
from ..sql.thread import SqlThread
from . import search_index
from .connect import connect_reader, is_read_only
from .connection import ArchivedError, SqliteConnection
from .database_files import DatabaseFiles
from .group_commit import Counts, GroupCommit, data_version
from .indexing import Indexing
from .locks import Owner
from .sqlite_errors import store_error, translated
from .watch import ChangeWatcher

T = TypeVar("T")


class SqliteLog(SqlLog):
    """A database file; see `EventLog` for what each method promises."""

    _closed = True

    def __init__(
        self,
        path: Path,
        *,
        clock: Callable[[], int],
        new_id: Callable[[], str],
        limit_bytes: int = LIMIT_BYTES,
        timeout_s: float = 5.0,
    ) -> None:
        """Prepare; `start` opens.

        Args:
            timeout_s: how long to wait for another process that is writing.
        """
        super().__init__(new_id=new_id, limit_bytes=limit_bytes)
        self.clock = self._clock = clock
        self._files = DatabaseFiles(path)
        self._path = self._files.path
        self._commits = GroupCommit(self._files, self._tails, self._notifier.notify, clock=clock, timeout_s=timeout_s)
        self._owner = Owner(self._path)
        self._reader: SqlThread[SqliteConnection] | None = None
        self._archive_reader: SqlThread[SqliteConnection] | None = None
        self._beside_now = 0
        self._starting = asyncio.Lock()
        self._indexing = Indexing(self._commits)
        self._watcher = ChangeWatcher(self._files, self._notifier, self._commits, ask=self._ask)
        self._read_only = False
        self._closed = False

    @property
    def path(self) -> Path:
        """Where the file is, as its path led there when the log was opened."""
        return self._path

    @property
    def counts(self) -> Counts:
        """What this opened log has committed so far."""
        return self._commits.counts

    async def start(self) -> None:
        """Open the database, or make it. Raises: StoreError."""
        try:
            with translated(self._path):
                self._read_only = is_read_only(self._path)
                if self._read_only:
                    await self._read_with(all_numbers)
                else:
                    await self._commits.start()
        except BaseException:
            await self.close()
            raise

    @checked()
    async def search(
        self, text: str, *, session: str | None = None, after: FoundText | None = None, limit: int = 100
    ) -> tuple[FoundText, ...]:
        """Find a text in what was said; first the index takes in what it lacks."""
        return await self._search(text, lambda wanted: wanted.find(session, after, limit))

    @checked()
    async def count_found(
        self,
        text: str,
        *,
        sessions: Sequence[str] | None = None,
        inherited: bool = False,
        most: int = 1,
        limit: int = 1000,
    ) -> tuple[FoundCount, ...]:
        """Count what the search finds in each session; first the index takes in what it lacks."""
        return await self._search(text, lambda wanted: wanted.count(sessions, limit, most, inherited=inherited))

    async def _search(self, text: str, look: Callable[[TextSearch], tuple[T, ...]]) -> tuple[T, ...]:
        def work(connection: SqliteConnection, *, must_read: bool) -> tuple[T, ...] | None:
            wanted = search_index.text_search(connection, text, must_read=must_read)
            return None if wanted is None else look(wanted)

        found = await self._read_with(partial(work, must_read=self._read_only))
        if found is None:
            await self._catch_up()
            found = await self._read_with(partial(work, must_read=True))
        return found or ()

    async def _catch_up(self) -> None:
        """Take into the index what it lacks of all sessions."""
        number: int | None = 0
        while number is not None:
            work = partial(search_index.catch_up, number=number)
            number = await self._write(Job(work, session="", durable=False))

    async def vacuum(self) -> None:
        """Give back the room of what is there no more, from the index of the search and from the file."""
        await self._write(Job(search_index.put_together, session="", durable=True))
        await self._commits.vacuum()

    async def rebuild(self) -> int:
        """Compute the folds, and the index that the search uses, again."""

        def work(connection: Sql) -> int:
            self._tails.forget()
            search_index.drop_index(connection)
            return refold(connection, all_numbers(connection))

        wrong = await self._write(Job(work, session="", durable=True))
        await self._catch_up()
        return wrong

    @checked()
    async def backup(self, path: str) -> None:
        """Write a consistent copy to a new file, beside whatever else goes on."""
        target = Path(path)

        def work(connection: SqliteConnection) -> None:
            connection.execute("VACUUM INTO ?", (str(target),))
            copied = os.open(target, os.O_RDONLY)
            try:
                os.fsync(copied)
            finally:
                os.close(copied)

        with translated(target):
            os.close(os.open(target, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
        try:
            await self._beside(work, transaction=False)
        except BaseException:
            with suppress(FileNotFoundError):
                os.unlink(target)
            raise

    async def close(self) -> None:
        """Release every lease and close the database, however often the waiting is cancelled."""
        if self._closed:
            return
        self._closed = True
        if self._files.is_forked:
            return
        self._notifier.notify_all()
        steps = (self._indexing.stop, self._watcher.stop, self._stop_reading, self._release_all, self._commits.close)
        try:
            await take_steps(steps, partial(translated, self._path))
        finally:
            self._owner.close()

    async def _stop_reading(self) -> None:
        await stop_reading(
            lambda: self._beside_now > 0 or self._starting.locked(), lambda: (self._reader, self._archive_reader)
        )

    async def _release_all(self) -> None:
        if self._owner.is_held:
            work = partial(leases.release_all, owner=self._owner.name)
            await self._commits.run(Job(work, session="", durable=False))

    def __del__(self) -> None:
        """Warn that a log was never closed; its connections are closed by their threads."""
        if not self._closed and self._files.is_settled and not self._files.is_forked:
            self._owner.close()
            problem = f"a log was not closed: {self._path}; use `await log.close()` or `async with`"
            warnings.warn(problem, ResourceWarning, stacklevel=2)

    def _check_usable(self) -> None:
        if self._files.is_forked:
            problem = "this process was forked from the one that opened the log"
            raise self._files.error(problem, "open logs after the fork, or start processes with `spawn`")
        if self._closed:
            raise self._files.error("this log was closed", "open it again")

    async def _write(self, job: Job[T]) -> T:
        self._check_usable()
        if self._read_only:
            raise self._files.error("it lies where nothing can be written", "copy it, or change the modes")
        return await self._commits.run(job)

    async def _read_with(self, work: Callable[[SqliteConnection], T]) -> T:
        """Read within one transaction that has ended when the answer is given."""
        self._check_usable()
        reader = self._reader
        if reader is None:
            async with self._starting:
                if self._reader is None:
                    self._check_usable()
                    self._reader = await self._connect()
                reader = self._reader
        try:
            return await reader.call(partial(self._within, work))
        except sqlite3.Error as error:
            raise store_error(self._path, error) from error
        except ArchivedError:
            return await self._read_archived(work)

    async def _read_archived(self, work: Callable[[SqliteConnection], T]) -> T:
        """Read with the connection that keeps what it has unpacked."""
        while True:
            async with self._starting:
                if self._archive_reader is None:
                    self._check_usable()
                    self._archive_reader = await self._connect(archive=True)
                reader = self._archive_reader
            try:
                return await reader.call(partial(self._within, work))
            except sqlite3.Error as error:
                if self._closed or self._archive_reader is reader:
                    raise store_error(self._path, error) from error
                # it was given up meanwhile, since something was erased

    async def _owner_name(self) -> str:
        if not self._read_only:
            with translated(self._path):
                self._owner.hold()
        return self._owner.name

    def _appended(self, session: str) -> None:
        self._indexing.soon(session)

    def _removing(self) -> None:
        self._commits.truncate_soon()  # it would stay in the write-ahead file

    async def _removed(self) -> None:
        """Forget what was unpacked of the archive."""
        async with self._starting:
            reader, self._archive_reader = self._archive_reader, None
            if reader is not None:
                await reader.close()

    def _within(self, work: Callable[[SqliteConnection], T], connection: SqliteConnection) -> T:
        """Read in one transaction, and only what whoever opens the log now would find. Runs in the thread."""
        if self._files.is_settled:
            self._check_files()
        connection.begin_reading()
        try:
            return work(connection)
        finally:
            connection.end_reading()

    def _check_files(self) -> None:
        """Check that what others write would be seen. Raises: StoreError."""
        if self._read_only:  # then they may make a write-ahead file, and remove it
            self._files.check_database()
        else:
            self._files.check()

    async def _connect(self, *, archive: bool = False) -> SqlThread[SqliteConnection]:
        connect = partial(connect_reader, self._files, self._clock, immutable=self._read_only, archive=archive)
        reader = SqlThread(connect, end=SqliteConnection.close, closed=sqlite3.ProgrammingError)
        with translated(self._path):
            await reader.start()
        return reader

    async def _beside(self, work: Callable[[SqliteConnection], T], *, transaction: bool = True) -> T:
        """Do long reading with a connection of its own."""
        self._check_usable()
        self._beside_now += 1
        try:
            reader = await self._connect(archive=transaction)  # a copy is of the tables alone
            try:
                return await reader.call(partial(self._within, work) if transaction else work)
            except sqlite3.Error as error:
                raise store_error(self._path, error) from error
            finally:
                await reader.close()
        finally:
            self._beside_now -= 1

    def _begin_watching(self) -> None:
        self._watcher.begin()

    async def _ask(self, known: object, sessions: Sequence[str]) -> tuple[object, dict[str, int]]:
        """Return what differs when others have committed, and then, where sessions end. Raises: StoreError."""

        def work(connection: SqliteConnection, sign: int = 1) -> tuple[object, dict[str, int]]:
            version = sign * data_version(connection)
            return version, heads_of(connection, sessions) if version != known else {}

        with translated(self._path):
            self._check_files()
        found = None if self._read_only else await self._commits.read(work)
        return await self._read_with(partial(work, sign=-1)) if found is None else found
