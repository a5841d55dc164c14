"""The log in a PostgreSQL database, which processes on many machines may use at the same time."""

from __future__ import annotations

import asyncio
import os
import warnings
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TypeVar

import psycopg

from ...envelope import FoundCount, FoundText
from ...user_code.argument_checks import checked
from ..defaults import utc_now_us
from ..encode import LIMIT_BYTES
from ..lineage import MAX_SEQ
from ..sql import leases
from ..sql.closing import stop_reading, take_steps
from ..sql.connection import Sql
from ..sql.jobs import Job
from ..sql.log import SqlLog
from ..sql.rebuild import all_numbers, refold
from ..sql.thread import SqlThread
from . import claims, search_texts
from .connection import ArchiveConnection, ArchivedError, PgConnection
from .group_commit import Counts, GroupCommit, HotTails
from .presence import Presence
from .schema import FORMAT, stored_format
from .server import Server

T = TypeVar("T")
C = TypeVar("C", bound=PgConnection)
_HEADS = 1_000
_TRIES = 4
_ENDS = f"""
SELECT s.id, s.head, (
    SELECT u.id FROM updates u WHERE u.id > (s.number << 32 | s.head) AND u.id <= (s.number << 32 | {MAX_SEQ})
    ORDER BY u.id DESC LIMIT 1
) FROM sessions s WHERE s.id IN ({{}})"""


class PostgresLog(SqlLog):
    """A log on a server; see `EventLog` for what each method promises."""

    _closed = True
    _take_due = staticmethod(claims.take_due)

    def __init__(
        self,
        url: str,
        *,
        clock: Callable[[], int] = utc_now_us,
        new_id: Callable[[], str],
        limit_bytes: int = LIMIT_BYTES,
    ) -> None:
        """Prepare; `start` opens.

        Args:
            clock: instead of the server's, by which all who use the log go; for tests.
        """
        tails = HotTails()
        super().__init__(new_id=new_id, limit_bytes=limit_bytes, tails=tails)
        self._server = Server(url)
        self._clock = None if clock is utc_now_us else clock
        self.clock = self._server.clock.now_us if self._clock is None else clock
        self._presence = Presence(self._server, self._notifier)
        self._commits = GroupCommit(self._server, tails, self._changed, clock=self._clock)
        self._reader: SqlThread[PgConnection] | None = None
        self._archive_reader: SqlThread[ArchiveConnection] | None = None
        self._beside_now = 0
        self._starting = asyncio.Lock()
        self._process = os.getpid()
        self._closed = False

    @property
    def counts(self) -> Counts:
        """What this opened log has written so far."""
        return self._commits.counts

    async def start(self) -> None:
        """Connect. Raises: StoreError when there is no log, or one of another format."""
        try:
            found = await self._read_with(stored_format)
            if found == 0:
                raise self._server.no_log()
            if found != FORMAT:
                newer = "use a newer release of refold" if found > FORMAT else "bring it up to date: refold db upgrade"
                raise self._server.error(f"it is a log of format {found}, this program reads format {FORMAT}", newer)
        except BaseException:
            await self.close()
            raise

    def _changed(self, session: str, head: int | None) -> None:
        self._notifier.notify(session, head)
        self._presence.tell(session)

    @checked()
    async def search(
        self, text: str, *, session: str | None = None, after: FoundText | None = None, limit: int = 100
    ) -> tuple[FoundText, ...]:
        """Find a text in what was said; first the search takes in what it lacks."""
        if not self._read_only:
            await self._catch_up()
        return await self._read_with(
            lambda connection: search_texts.text_search(connection, text).find(session, after, limit)
        )

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
        """Count what the search finds in each session; first the search takes in what it lacks."""
        if not self._read_only:
            await self._catch_up()
        return await self._read_with(
            lambda connection: search_texts.text_search(connection, text).count(
                sessions, limit, most, inherited=inherited
            )
        )

    async def _catch_up(self) -> None:
        """Take into what the search looks through whatever it lacks of all sessions."""
        number: int | None = 0
        while number is not None and await self._read_with(search_texts.is_behind):
            work = partial(search_texts.catch_up, number=number)
            number = await self._write(Job(work, session="", durable=False, appends=False))

    async def vacuum(self) -> None:
        """Nothing: the server gives back by itself what is there no more."""

    async def rebuild(self) -> int:
        """Compute the folds, and what the search looks through, again; of each session in a transaction of its own."""
        wrong = 0
        for number in await self._read_with(all_numbers):
            work = partial(self._rebuild_one, number=number)
            wrong += await self._write(Job(work, session="", durable=True, appends=False))
        return wrong

    def _rebuild_one(self, connection: Sql, number: int) -> int:
        row = connection.execute("SELECT id FROM sessions WHERE number = ?", (number,)).fetchone()
        if row is None:
            return 0
        session = row[0].decode("utf-8", "replace")
        connection.hold_line(session)
        if connection.execute("SELECT 1 FROM sessions WHERE number = ?", (number,)).fetchone() is None:
            return 0
        self._tails.forget_one(session)
        search_texts.forget(connection, number)
        return refold(connection, [number])

    async def backup(self, path: str) -> None:
        """Write a consistent copy of the whole log to a new file, as a log in SQLite."""
        from ..sqlite.receive import receive  # of which reading and appending need nothing

        await self._beside(partial(receive, path=Path(path)))

    async def close(self) -> None:
        """Release every lease and close the connections, however often the waiting is cancelled."""
        if self._closed:
            return
        self._closed = True
        if os.getpid() != self._process:
            return
        self._notifier.notify_all()
        presence, commits = self._presence, self._commits
        steps = (presence.stop, self._stop_reading, self._release_all, commits.close, presence.close)
        await take_steps(steps, self._server.translated)

    async def _stop_reading(self) -> None:
        await stop_reading(
            lambda: self._beside_now > 0 or self._starting.locked(), lambda: (self._reader, self._archive_reader)
        )

    async def _release_all(self) -> None:
        for name in self._presence.names:
            work = partial(leases.release_all, owner=name)
            await self._commits.run(Job(work, session="", durable=False, appends=False))

    def __del__(self) -> None:
        """Warn that a log was never closed; its connections are closed by their threads."""
        if not self._closed and self._reader is not None and os.getpid() == self._process:
            problem = f"a log was not closed: {self._server.shown}; use `await log.close()` or `async with`"
            warnings.warn(problem, ResourceWarning, stacklevel=2)

    def _check_usable(self) -> None:
        if os.getpid() != self._process:
            problem = "this process was forked from the one that opened the log"
            raise self._server.error(problem, "open logs after the fork, or start processes with `spawn`")
        if self._closed:
            raise self._server.error("this log was closed", "open it again")

    async def _write(self, job: Job[T]) -> T:
        self._check_usable()
        return await self._commits.run(job)

    async def _read_with(self, work: Callable[[Sql], T]) -> T:
        """Read within one transaction that has ended when the answer is given."""
        self._check_usable()
        if self._reader is None:
            async with self._starting:
                if self._reader is None:
                    self._check_usable()
                    self._reader = await self._connect(PgConnection)
        reader = self._reader
        try:
            with self._server.translated():
                return await reader.call(partial(_within, work))
        except ArchivedError:
            async with self._starting:
                if self._archive_reader is None:
                    self._check_usable()
                    self._archive_reader = await self._connect(ArchiveConnection)
        with self._server.translated():
            return await self._archive_reader.call(partial(_within, work))

    async def _connect(self, kind: type[C]) -> SqlThread[C]:
        reader = SqlThread(partial(kind, self._server, self._clock), end=kind.close, closed=psycopg.InterfaceError)
        with self._server.translated():
            await reader.start()
        return reader

    async def _beside(self, work: Callable[[Sql], T]) -> T:
        """Do long reading with a connection of its own."""
        self._check_usable()
        self._beside_now += 1
        try:
            reader = await self._connect(ArchiveConnection)
            try:
                with self._server.translated():
                    return await reader.call(partial(_within, work))
            finally:
                await reader.close()
        finally:
            self._beside_now -= 1

    async def _owner_name(self) -> str:
        return await self._presence.hold()

    async def _heads(self, sessions: Sequence[str]) -> dict[str, int]:
        return await self._read_with(partial(_heads_at_once, sessions=sessions))

    def _begin_watching(self) -> None:
        self._presence.begin(self._heads)

    def _appended(self, session: str) -> None:
        """Nothing: whoever searches takes in what was appended."""

    def _removing(self) -> None:
        """Nothing: the server keeps no file from which it must go at once."""

    async def _removed(self) -> None:
        """Nothing: what reads the archive keeps nothing of it."""


def _heads_at_once(connection: Sql, sessions: Sequence[str]) -> dict[str, int]:
    """Return where many sessions end, by one statement for all of them."""
    heads = {}
    for start in range(0, len(sessions), _HEADS):
        names = sessions[start : start + _HEADS]
        for name, head, last in connection.execute(_ENDS.format(", ".join("?" * len(names))), names):
            heads[name.decode("utf-8", "replace")] = max(head, (last or 0) & MAX_SEQ)
    return heads


def _within(work: Callable[[Sql], T], connection: PgConnection) -> T:
    """Read in one transaction, again where the connection is lost. Runs in the thread. Raises: psycopg.Error."""
    for tries_left in reversed(range(_TRIES)):
        try:
            connection.be_ready()
            connection.begin_reading()
            try:
                return work(connection)
            finally:
                connection.end_reading()
        except psycopg.OperationalError:
            if not (tries_left and connection.is_lost):
                raise
    raise psycopg.InterfaceError("unreachable")
