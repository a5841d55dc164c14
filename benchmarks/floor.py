"""The floor: what a program does that stores the same facts with `sqlite3` and nothing else.

The same file format, page size, journal and synchronous level, the same JSON for each fact, one row each. The deltas of
a message are coalesced into one row (of each flush into one): their text joined, lengths and times, as msgpack. No
digests, no checks, no sessions, no sealing, no locks between processes.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from functools import partial
from itertools import accumulate, groupby, pairwise
from pathlib import Path

import msgspec

from eventsource.codec import decode, encode
from eventsource.envelope import Recorded
from eventsource.events import UPDATE_TYPES, MessageUpdate, UpdateKind
from eventsource.log.sql.thread import SqlThread

from .exchange import Append, Timed

_SCHEMA = """
CREATE TABLE events (id INTEGER PRIMARY KEY, at_us INTEGER NOT NULL, body TEXT NOT NULL) STRICT;
CREATE TABLE updates (id INTEGER PRIMARY KEY, body BLOB NOT NULL) STRICT;
"""
_FACT = "INSERT INTO events (id, at_us, body) VALUES (?, ?, ?)"
_UPDATES = "INSERT INTO updates (id, body) VALUES (?, ?)"
_PACK = msgspec.msgpack.Encoder()
_UNPACK = msgspec.msgpack.Decoder(tuple[int, int, list[tuple[UpdateKind, int, str, list[int], list[int]] | str]])

FactRow = tuple[int, int, str]
UpdatesRow = tuple[int, bytes]


def connect(path: Path) -> sqlite3.Connection:
    """Open, or make, a file of the floor."""
    connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    new = not connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]
    if new:
        connection.execute("PRAGMA page_size=8192")
        connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("PRAGMA synchronous=FULL")
    if new:
        connection.executescript(_SCHEMA)
    return connection


@asynccontextmanager
async def open_floor(path: Path, *, updates: bool = True) -> AsyncIterator[Floor]:
    """Open a file of the floor to append to it; `updates=False` stores no delta at all."""
    thread = SqlThread(lambda: connect(path), end=sqlite3.Connection.close, closed=sqlite3.ProgrammingError)
    await thread.start()
    try:
        yield Floor(thread, updates=updates)
        await thread.call(lambda connection: connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone())
    finally:
        await thread.close()


class Floor:
    """Appends with one call into the connection's thread for each; or, shared, for all that came meanwhile."""

    def __init__(self, thread: SqlThread[sqlite3.Connection], *, updates: bool) -> None:
        self._thread, self._updates = thread, updates
        self._seq = 0
        self._full = True
        self._waiting: list[tuple[Append, asyncio.Future[None]]] = []
        self._writing: asyncio.Task[None] | None = None
        self.commits = 0

    async def append(self, events: Append, *, durable: bool = True) -> None:
        """Encode and store events in one transaction."""
        facts, rows = self._encoded(events)
        await self._thread.call(lambda connection: self._commit(connection, facts, rows, durable))

    async def append_shared(self, events: Append) -> None:
        """Store events in a transaction with all others that wait at the same time."""
        stored = asyncio.get_running_loop().create_future()
        self._waiting.append((events, stored))
        if self._writing is None:
            self._writing = asyncio.create_task(self._write())
        await stored

    async def _write(self) -> None:
        while self._waiting:
            taken, self._waiting = self._waiting, []
            encoded = [self._encoded(events) for events, _ in taken]
            facts, rows = [one for some, _ in encoded for one in some], [one for _, some in encoded for one in some]
            await self._thread.call(partial(self._commit, facts=facts, rows=rows, full=True))
            for _, stored in taken:
                stored.set_result(None)
            await asyncio.sleep(0)  # those who were waiting come with their next
        self._writing = None

    def _encoded(self, events: Append) -> tuple[list[FactRow], list[UpdatesRow]]:
        facts: list[FactRow] = []
        rows: list[UpdatesRow] = []
        for streamed, group in groupby(events, is_update):
            part = list(group)
            if not streamed:
                facts += [(self._seq + n, at, encode(event).decode()) for n, (at, event) in enumerate(part, start=1)]
            elif self._updates:
                rows.append((self._seq + len(part), coalesce(part)))
            self._seq += len(part)
        return facts, rows

    def _commit(
        self, connection: sqlite3.Connection, facts: Sequence[FactRow], rows: Sequence[UpdatesRow], full: bool
    ) -> None:
        if full != self._full:
            connection.execute(f"PRAGMA synchronous={'FULL' if full else 'NORMAL'}")
            self._full = full
        connection.execute("BEGIN IMMEDIATE")
        if rows:
            connection.executemany(_UPDATES, rows)
        if facts:
            connection.executemany(_FACT, facts)
        connection.execute("COMMIT")
        self.commits += full


def is_update(timed: Timed) -> bool:
    return type(timed[1]) in UPDATE_TYPES


def coalesce(updates: Sequence[Timed]) -> bytes:
    """Join the deltas of each block; the few updates that are no deltas stand as JSON."""
    runs: list[tuple[UpdateKind, int, str, list[int], list[int]] | str] = []
    times = [at for at, _ in updates]
    offsets = [0, *(after - before for before, after in pairwise(times))]
    n = 0
    for (kind, index), group in groupby((e for _, e in updates if isinstance(e, MessageUpdate)), _block):
        part = list(group)
        if kind.endswith("_delta"):
            deltas = [event.delta for event in part]
            runs.append((kind, index, "".join(deltas), list(map(len, deltas)), offsets[n : n + len(part)]))
        else:
            runs += [f"{offset} {encode(event).decode()}" for offset, event in zip(offsets[n:], part, strict=False)]
        n += len(part)
    return _PACK.encode((len(updates), times[0], runs))


def _block(event: MessageUpdate) -> tuple[UpdateKind, int]:
    return event.kind, event.content_index


def read_facts(connection: sqlite3.Connection, *, upto: int = 2**62) -> Iterator[Recorded]:
    """Read and decode facts."""
    for seq, at_us, body in connection.execute("SELECT id, at_us, body FROM events WHERE id <= ? ORDER BY id", (upto,)):
        yield Recorded(seq, at_us, decode(body, seq=seq))


def read_all(connection: sqlite3.Connection) -> Iterator[Recorded]:
    """Read and decode facts and deltas, in order."""
    rows = connection.execute("SELECT id, body FROM updates ORDER BY id")
    waiting = rows.fetchone()
    for recorded in read_facts(connection):
        while waiting is not None and waiting[0] < recorded.seq:
            yield from _rebuild(*waiting)
            waiting = rows.fetchone()
        yield recorded


def _rebuild(last: int, body: bytes) -> Iterator[Recorded]:
    count, at_us, runs = _UNPACK.decode(body)
    seq = last - count
    for run in runs:
        if isinstance(run, str):
            after, told = run.split(" ", 1)
            seq, at_us = seq + 1, at_us + int(after)
            yield Recorded(seq, at_us, decode(told))
            continue
        kind, index, text, lengths, offsets = run
        for end, length, offset in zip(accumulate(lengths), lengths, offsets, strict=True):
            seq, at_us = seq + 1, at_us + offset
            update = MessageUpdate(kind=kind, content_index=index, delta=text[end - length : end])
            yield Recorded(seq, at_us, update)
