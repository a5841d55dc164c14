"""The log in an SQLite database, which several processes may use at the same time."""

from __future__ import annotations

import asyncio
import os
import sqlite3
import warnings
from collections.abc import AsyncIterator, Callable, Collection, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import TypeVar

from ...envelope import Behind, Cursor, FoundText, Lease, Recorded, Removed, Restored, SessionInfo, VerifyReport
from ...errors import StoreError, UnknownSessionError
from ...events import Event, EventBase
from ...user_code.argument_checks import checked
from ..digest import read_base
from ..encode import LIMIT_BYTES, Updates, encode_append, encode_restored
from ..follow import Notifier, follow, wait_for_events
from ..lineage import MAX_SEQ
from ..load import kept_by_fork
from ..names import check_id, check_title
from ..sql import archive, leases, removal, sessions as rows
from ..sql.append import append
from ..sql.last_facts import last_facts
from ..sql.reading import Page, check_seq, digest_at, heads_of
from ..sql.rebuild import all_numbers, refold
from ..sql.tails import Tails
from ..sql.verify import verify
from ..warm import WarmFolds
from . import search_index
from .connect import connect_reader, is_read_only
from .connection import ArchivedError, SqliteConnection
from .database_files import DatabaseFiles
from .group_commit import Counts, GroupCommit, Job, data_version
from .indexing import Indexing
from .locks import Owner
from .sqlite_errors import store_error, translated
from .thread import SqlThread
from .watch import ChangeWatcher

T = TypeVar("T")


class SqliteLog:
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
        self._clock, self._new_id, self._limit_bytes = clock, new_id, limit_bytes
        self._files = DatabaseFiles(path)
        self._path = self._files.path
        self._notifier = Notifier(self._begin_watching)
        self.folds = WarmFolds()
        self._tails = Tails()
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
    async def create(
        self,
        session: str | None = None,
        *,
        title: str = "",
        created_at_us: int | None = None,
        started_by: str = "",
        source: str = "",
    ) -> SessionInfo:
        """Create an empty session."""
        name = check_id(self._new_id() if session is None else session)
        row = rows.NewRow(name, check_title(title), created_at_us, started_by, check_title(source))
        made = partial(rows.create, tails=self._tails, row=row)
        await self._write(Job(made, session=name, durable=True))
        return await self.info(name)

    @checked("events")
    async def append(
        self,
        session: str,
        events: Sequence[tuple[int, Event]],
        *,
        expected: int | None = None,
        epoch: int | None = None,
        key: str | None = None,
        durable: bool = True,
        behind: Behind | None = None,
    ) -> int:
        """Append all or none."""
        parts = encode_append(session, events, durable=durable, limit_bytes=self._limit_bytes)
        size = sum(len(part.lines) if isinstance(part, Updates) else len(part.body) for part in parts)

        def work(connection: SqliteConnection) -> int:
            return append(
                connection, self._tails, session, parts, expected=expected, epoch=epoch, key=key, behind=behind
            )

        job = Job(
            work, session=session, durable=durable, after=expected or 0, size_bytes=size, gives_head=key is None
        )  # a repeated key gives the first answer
        head = await self._write(job)
        if durable:
            self._indexing.soon(session)
        return head

    @checked()
    async def restore(self, session: str, events: Sequence[Restored]) -> int:
        """Append what another log held."""
        parts = encode_restored(session, events, limit_bytes=self._limit_bytes)

        def work(connection: SqliteConnection) -> int:
            return append(connection, self._tails, session, parts, expected=None, epoch=None, key=None)

        head = await self._write(Job(work, session=session, durable=True))
        self._indexing.soon(session)
        return head

    @checked()
    async def read(
        self, session: str, *, after: int = 0, upto: int | None = None, limit: int = 1000, updates: bool = True
    ) -> tuple[Recorded, ...]:
        """Read a page."""
        last = MAX_SEQ if upto is None else upto
        return await self._read_with(
            lambda connection: tuple(Page(connection, session).read(after, last, limit, updates=updates))
        )

    @checked()
    async def last_facts(
        self, sessions: Sequence[str], types: Collection[type[EventBase]], *, limit: int = 64
    ) -> tuple[tuple[Recorded, ...], ...]:
        """Read the ends of many sessions in one transaction."""
        return await self._read_with(lambda connection: last_facts(connection, sessions, types, limit=limit))

    @checked()
    async def dropped(self, session: str) -> tuple[tuple[int, int], ...]:
        """Name the ranges without content."""
        return await self._read_with(lambda connection: rows.dropped(connection, session))

    @checked()
    async def removed(self, session: str) -> Removed:
        """List what was dropped or erased of the session's own events."""
        return await self._read_with(lambda connection: rows.removed(connection, session))

    @checked()
    async def info(self, session: str) -> SessionInfo:
        """Read a session's row."""
        return await self._read_with(lambda connection: rows.info(connection, session))

    @checked()
    async def sessions(
        self,
        *,
        open: bool | None = None,  # noqa: A002 - the protocol's word
        status: str | None = None,
        parent: str | None = None,
        tree: str | None = None,
        source: str | None = None,
        title: str | None = None,
        task: str | None = None,
        after: str | None = None,
        limit: int = 100,
    ) -> tuple[SessionInfo, ...]:
        """List sessions, latest updated first."""
        listed = partial(
            rows.sessions,
            is_open=open,
            status=status,
            parent=parent,
            tree=tree,
            source=source,
            title=title,
            task=task,
            after=after,
            limit=limit,
        )
        return await self._read_with(listed)

    @checked()
    async def search(
        self, text: str, *, session: str | None = None, after: FoundText | None = None, limit: int = 100
    ) -> tuple[FoundText, ...]:
        """Find a text in what was said; first the index takes in what it lacks."""
        find = partial(search_index.find, text=text, session=session, after=after, limit=limit)
        found = await self._read_with(partial(find, must_read=self._read_only))
        if found is None:
            await self._catch_up()
            found = await self._read_with(partial(find, must_read=True))
        return found or ()

    async def _catch_up(self) -> None:
        """Take into the index what it lacks of all sessions."""
        number: int | None = 0
        while number is not None:
            work = partial(search_index.catch_up, number=number)
            number = await self._write(Job(work, session="", durable=False))

    @checked()
    async def due(self, *, limit: int = 100) -> tuple[str, ...]:
        """Name sessions that a worker should look at."""
        return await self._read_with(lambda connection: rows.due(connection, limit))

    @checked()
    async def take_due(
        self,
        *,
        limit: int = 1,
        ttl_us: int = 30_000_000,
        tasks: Collection[str] | None = None,
        queues: Collection[str] | None = None,
        but: Collection[str] = (),
    ) -> tuple[Lease, ...]:
        """Claim sessions that are due."""
        if self._read_only or not await self._read_with(lambda connection: rows.due(connection, 1, queues)):
            return ()
        with translated(self._path):
            self._owner.hold()
        taken = partial(leases.take_due, tails=self._tails, owner=self._owner.name)
        work = partial(taken, limit=limit, ttl_us=ttl_us, tasks=tasks, queues=queues, but=but)
        return await self._write(Job(work, session="", durable=False))

    @checked()
    async def resolve(self, name: str, *, prefix: bool = True) -> str:
        """Find a session by id, title or unique prefix."""
        return await self._read_with(lambda connection: rows.resolve(connection, name, prefix=prefix))

    @checked()
    async def named(self, name: str) -> str:
        """Find a session by its whole name, or create it."""
        try:
            return await self.resolve(name, prefix=False)
        except UnknownSessionError as error:
            if error.candidates:
                raise
        session, title = check_id(self._new_id()), check_title(name)
        made = partial(rows.named, tails=self._tails, name=title, session=session)
        return await self._write(Job(made, session=session, durable=True))

    @checked()
    async def fork(
        self,
        parent: str,
        at: int,
        *,
        at_us: int,
        session: str | None = None,
        title: str = "",
        keeps: Sequence[int] | None = None,
        created_at_us: int | None = None,
        base: str = "",
    ) -> SessionInfo:
        """Begin a session at a seq of another."""
        name = check_id(self._new_id() if session is None else session)
        row = rows.NewRow(name, check_title(title), created_at_us, base=read_base(base))

        def work(connection: SqliteConnection) -> SessionInfo | None:
            begun = rows.fork(connection, self._tails, parent, at, at_us=at_us, row=row, keeps=keeps)
            return rows.info(connection, name) if begun else None

        while (info := await self._write(Job(work, session=name, durable=True))) is None:
            keeps = await kept_by_fork(self, parent, at)  # outside the transaction, since it may read the whole session
        return info

    @checked()
    async def cursor(self, session: str, seq: int | None = None) -> Cursor:
        """Return a place with its digest."""

        def work(connection: SqliteConnection) -> Cursor:
            head = check_seq(connection, session, seq or 0)
            at = head if seq is None else seq
            return Cursor(at, digest_at(connection, session, at).hex())

        return await self._read_with(work)

    @checked()
    def follow(self, session: str, after: Cursor | int = 0) -> AsyncIterator[Recorded]:
        """Yield every event after a place, for ever."""
        return follow(self, self._notifier, session, after)

    @checked()
    async def wait(self, session: str, after: int, timeout_s: float | None = None) -> bool:
        """Wait until a session goes on after a seq."""
        self._check_usable()
        return await wait_for_events(self._head, self._notifier, session, after, timeout_s)

    @checked()
    async def claim(self, session: str, *, ttl_us: int = 30_000_000) -> Lease:
        """Take the right to run a session."""
        self._check_usable()
        if not self._read_only:
            with translated(self._path):
                self._owner.hold()
        claimed = partial(leases.claim, tails=self._tails, session=session, owner=self._owner.name, ttl_us=ttl_us)
        return await self._write(Job(claimed, session=session, durable=False))

    @checked()
    async def renew(self, lease: Lease, *, ttl_us: int = 30_000_000) -> Lease:
        """Prolong a lease; an owner's file that somebody has removed is made again."""
        self._check_usable()
        with translated(self._path):
            self._owner.hold()
        renewed = partial(leases.renew, tails=self._tails, lease=lease, ttl_us=ttl_us)
        return await self._write(Job(renewed, session=lease.session, durable=False))

    @checked()
    async def release(self, lease: Lease, *, head: int | None = None) -> None:
        """Release a lease."""
        work = partial(leases.release, tails=self._tails, lease=lease, head=head)
        await self._write(Job(work, session=lease.session, durable=False))

    @checked()
    async def verify(self, session: str | None = None) -> VerifyReport:
        """Read everything again, beside whatever else goes on."""
        return await self._beside(lambda connection: verify(connection, session))

    @checked()
    async def drop_updates(self, session: str) -> int:
        """Drop the updates of closed messages that no fork begins in."""

        def work(connection: SqliteConnection) -> int:
            return removal.drop_updates(connection, self._tails, session)

        return await self._write(Job(work, session=session, durable=True))

    @checked()
    async def erase(self, session: str, seq: int, *, at_us: int, reason: str = "") -> int:
        """Remove the content of an event for ever, from the write-ahead file too."""
        self._commits.truncate_soon()

        def work(connection: SqliteConnection) -> int:
            return removal.erase(connection, self._tails, session, seq, at_us=at_us, reason=reason)

        head = await self._write(Job(work, session=session, durable=True))
        await self._forget_archive()
        self._notifier.notify_all()
        return head

    @checked()
    async def delete(self, session: str) -> None:
        """Delete a session for ever, from the write-ahead file too."""
        self._commits.truncate_soon()

        def work(connection: SqliteConnection) -> None:
            removal.delete(connection, self._tails, session)

        await self._write(Job(work, session=session, durable=True))
        await self._forget_archive()

    @checked()
    async def archive(self, session: str, *, at_us: int) -> int:
        """Compress a closed session; what is packed is read beside whatever else goes on."""
        size_bytes: int | None = None
        while size_bytes is None:  # again, when the session has changed meanwhile
            packed = await self._beside(partial(archive.pack_session, session=session))
            put = partial(archive.put_away, tails=self._tails, session=session, packed=packed, at_us=at_us)
            size_bytes = await self._write(Job(put, session=session, durable=True, size_bytes=packed.size))
        return size_bytes

    async def vacuum(self) -> None:
        """Give back the room of what is there no more, from the index of the search and from the file."""
        await self._write(Job(search_index.put_together, session="", durable=True))
        await self._commits.vacuum()

    async def rebuild(self) -> int:
        """Compute the folds, and the index that the search uses, again."""

        def work(connection: SqliteConnection) -> int:
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
        problem: BaseException | None = None
        for step in steps:
            try:
                with translated(self._path):
                    await step()
            except (StoreError, asyncio.CancelledError) as error:
                problem = error if problem is None or isinstance(error, asyncio.CancelledError) else problem
        self._owner.close()
        if problem is not None:
            raise problem

    async def _stop_reading(self) -> None:
        cancelled: asyncio.CancelledError | None = None
        while self._beside_now or self._starting.locked():
            try:
                await asyncio.sleep(0.001)
            except asyncio.CancelledError as error:
                cancelled = error
        for reader in (self._reader, self._archive_reader):
            if reader is not None:
                await reader.close()
        if cancelled is not None:
            raise cancelled

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
        async with self._starting:
            if self._archive_reader is None:
                self._check_usable()
                self._archive_reader = await self._connect(archive=True)
            try:
                return await self._archive_reader.call(partial(self._within, work))
            except sqlite3.Error as error:
                raise store_error(self._path, error) from error

    async def _forget_archive(self) -> None:
        """Forget what was unpacked: nothing of what was erased may be left there."""
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
        reader = SqlThread(connect)
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

    async def _heads(self, sessions: Sequence[str]) -> dict[str, int]:
        return await self._read_with(lambda connection: heads_of(connection, sessions))

    async def _head(self, session: str) -> int:
        heads = await self._heads([session])
        if session not in heads:
            raise UnknownSessionError(session)
        return heads[session]
