"""Group commit: what waits to be appended is written by one call, and anything else in transactions of its own.

Each waits for the disk, also what `durable=False` would let vanish: a server that crashes is not the end of those who
append to it. One that had a claim acknowledged which the server then lost would run under an epoch that is given again.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from functools import partial

import msgspec
import psycopg

from ...errors import CorruptLogError, OutcomeUnknownError, RefoldError
from ..sql.connection import Sql
from ..sql.jobs import Job, JobQueue
from ..sql.tails import Tail, Tails
from ..sql.thread import SqlThread
from .batch import Believed
from .connection import LostError, NotHeldBackError, WritingConnection
from .server import Server

_MOST_BYTES = 8 * 2**20  # in one batch
_TRIES, _PAUSE_S = 8, 0.005
_AGAIN = {"40001", "40P01", "23505", "55P03", "0A000", "26000", "42P05"}
"""SQLSTATEs of what may go well another time: somebody else was in the way, or what was prepared is no more."""
_OTHERS = "RF001"


class Counts(msgspec.Struct):
    """What an opened log has done: calls that wrote a batch, batches that others were in the way of, transactions."""

    calls: int = 0
    refused: int = 0
    transactions: int = 0


class HotTails(Tails):
    """Known tails that a batch goes on with unread, noting what it believes of them; the server compares that."""

    def __init__(self) -> None:
        super().__init__()
        self.believed: dict[str, Believed] = {}
        self.is_hot = False

    def get(self, connection: Sql, session: str) -> Tail:
        """Return a session's tail."""
        if not self.is_hot:
            return super().get(connection, session)
        tail = self.known(session)
        if tail is None:
            raise NotHeldBackError
        if session not in self.believed:
            self.believed[session] = Believed(
                tail.number, tail.row_head, tail.link, tail.epoch, tail.removals, tail.head
            )
        return tail


class GroupCommit(JobQueue):
    """The writer's connection and its queue of changes."""

    def __init__(
        self,
        server: Server,
        tails: HotTails,
        changed: Callable[[str, int | None], None],
        *,
        clock: Callable[[], int] | None,
    ) -> None:
        """Prepare; nothing is opened before it is needed."""
        super().__init__(changed)
        self._server, self._tails = server, tails
        self._connect = partial(WritingConnection, server, clock)
        self._thread: SqlThread[WritingConnection] | None = None
        self.counts = Counts()

    async def _work_off(self, taken: list[Job[object]]) -> None:
        if self._thread is None:
            with self._server.translated():
                self._thread = SqlThread(self._connect, end=WritingConnection.close, closed=psycopg.InterfaceError)
                try:
                    await self._thread.start()
                except BaseException:
                    self._thread = None
                    raise
        await self._thread.call(lambda connection: self._batch(connection, taken))

    def _batch(self, connection: WritingConnection, taken: list[Job[object]]) -> None:
        """Write what waits; runs in the thread, and tells each job what came of it."""
        size = 0
        while self._waiting and size < _MOST_BYTES:
            try:
                job = self._waiting.popleft()
            except IndexError:  # the last one was cancelled just now
                break
            taken.append(job)
            size += job.size_bytes
        try:
            with self._server.translated():
                connection.be_ready()
            self._at_once(connection, taken)
            self._one_by_one(connection, taken)
        except Exception as error:  # nobody who waits may be left without an answer
            self._tails.forget()
            for job in taken:
                if not job.done:
                    job.error, job.done = error, True

    def _at_once(self, connection: WritingConnection, jobs: Sequence[Job[object]]) -> None:
        """Write in one call what is only appended where this log appended last; what is not so, stays to be done."""
        held = list[Job[object]]()
        connection.is_hot = self._tails.is_hot = True
        try:
            for job in jobs:
                mark = connection.batch.mark()
                try:
                    job.result = job.work(connection)
                    held.append(job)
                except Exception:  # what was refused, by what is known here, is looked at anew
                    connection.batch.go_back(mark)
                    self._tails.forget_one(job.session)
                    if all(job.session != one.session for one in held):
                        self._tails.believed.pop(job.session, None)
        finally:
            connection.is_hot = self._tails.is_hot = False
            believed, self._tails.believed = self._tails.believed, {}
        if not held:
            connection.batch.go_back()
            return
        try:
            self.counts.calls += 1
            connection.write(tuple(believed.values()))
        except psycopg.Error as error:
            self._forget(connection, believed)
            if isinstance(error, LostError):
                self._unknown(held, error)
            else:
                self.counts.refused += 1
            return
        for job in held:
            job.done = True

    def _forget(self, connection: WritingConnection, sessions: Sequence[str] | dict[str, Believed]) -> None:
        connection.roll_back()
        for session in sessions:
            self._tails.forget_one(session)

    def _unknown(self, jobs: Sequence[Job[object]], error: BaseException) -> None:
        """Tell that nobody knows whether it was stored: the connection was lost after it was sent."""
        for job in jobs:
            problem = OutcomeUnknownError(job.session, job.after, self._server.words(error))
            job.error, job.done = problem, True

    def _one_by_one(self, connection: WritingConnection, jobs: Sequence[Job[object]]) -> None:
        """Do what is left, in one transaction if it goes well, else each in its own."""
        tries = 0
        while left := [job for job in jobs if not job.done]:
            try:
                self._transaction(connection, left)
            except psycopg.Error as error:
                connection.roll_back()
                self._tails.forget()
                tries += 1
                is_over = not isinstance(error, LostError) and error.sqlstate not in _AGAIN
                if len(left) > 1 and (is_over or tries > 1):
                    for job in left:
                        self._one_by_one(connection, [job])
                elif is_over or tries >= _TRIES:
                    left[0].error, left[0].done = self._server.store_error(error), True
                else:
                    time.sleep(_PAUSE_S * tries)
                    with self._server.translated():
                        connection.be_ready()

    def _transaction(self, connection: WritingConnection, jobs: Sequence[Job[object]]) -> None:
        """Make all changes, or those before one that broke: then nothing is stored and the others are tried again."""
        self.counts.transactions += 1
        self._tails.invalidate()
        connection.begin()
        if len(jobs) > 1:
            connection.hold_all(job.session for job in jobs if job.session)
        for job in jobs:
            try:
                job.result = job.work(connection)
            except psycopg.Error:
                raise
            except Exception as error:  # whatever it is belongs to the one who asked
                job.error, job.done = error, True
                if not isinstance(error, RefoldError) or isinstance(error, CorruptLogError):
                    connection.roll_back()
                    self._tails.forget()
                    return
        connection.put_back()
        self._commit(connection, [job for job in jobs if not job.done])

    def _commit(self, connection: WritingConnection, jobs: Sequence[Job[object]]) -> None:
        connection.write_held()
        try:
            connection.commit()
        except LostError as error:
            self._tails.forget()
            self._unknown(jobs, error)
            return
        for job in jobs:
            job.done = True

    async def close(self) -> None:
        """Let what waits end and close the connection, however often the waiting is cancelled."""
        cancelled: asyncio.CancelledError | None = None
        while self._is_led() or self._tasks:
            try:
                await asyncio.sleep(0.001)
            except asyncio.CancelledError as error:
                cancelled = error
        thread, self._thread = self._thread, None
        if thread is not None:
            await thread.close()
        if cancelled is not None:
            raise cancelled
