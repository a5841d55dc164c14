"""A connection may be lost at any time: what was stored is known, or said to be unknown, and the log goes on."""

from __future__ import annotations

import asyncio
import random
import threading
from collections.abc import Iterator
from contextlib import suppress
from functools import partial
from urllib.parse import quote

import psycopg
import pytest
from psycopg import pq
from psycopg.conninfo import conninfo_to_dict

from eventsource.errors import ConflictError, FencedError, LeaseHeldError, OutcomeUnknownError, StoreError
from eventsource.events import Custom, Event, Label, TaskStart
from eventsource.log import open_store
from eventsource.log.contract.histories import exchange, read_all, timed
from eventsource.log.postgres.connection import LostError, PgConnection, WritingConnection
from eventsource.log.postgres.server import Server
from eventsource.log.protocol import EventLog
from tests.eventsource.log.postgres.cutting_proxy import Cut, CuttingProxy, cutting
from tests.postgres import empty_log

LABEL: list[tuple[int, Event]] = [(1, Label(text="x"))]


@pytest.fixture
def url(postgres: str) -> Iterator[str]:
    with empty_log(postgres) as place:
        schema = place.rpartition("%3D")[2]
        yield f"{place}&application_name={schema}"


@pytest.fixture
def proxy(postgres: str) -> Iterator[CuttingProxy]:
    with cutting(postgres) as one:
        yield one


def through(proxy: CuttingProxy, url: str) -> str:
    """Return the URL of the same log behind the proxy."""
    told = conninfo_to_dict(url) | {"host": "127.0.0.1", "port": proxy.port}
    return "postgresql:///?" + "&".join(f"{name}={quote(str(value))}" for name, value in told.items())


def end_connections(url: str) -> int:
    """Let the server end every connection of the log. Returns: how many there were."""
    name = str(conninfo_to_dict(url)["application_name"])
    other = url.replace("application_name=", "application_name=not_")
    with psycopg.connect(other, autocommit=True) as server:
        sql = "SELECT pg_terminate_backend(pid, 60000) FROM pg_stat_activity WHERE application_name = %s"
        return len(server.execute(sql, (name,)).fetchall())


async def test_whoever_reads_writes_and_claims_goes_on(url: str) -> None:
    async with open_store(url) as log:
        session = (await log.create()).id
        await log.append(session, LABEL)
        lease = await log.claim(session)
        assert end_connections(url) == 3
        assert len(await log.read(session)) == 1
        assert end_connections(url) >= 1
        assert await log.append(session, LABEL, expected=1, epoch=lease.epoch) == 2
        assert end_connections(url) >= 1
        assert await log.append(session, timed(exchange()), expected=2) > 2
        assert (await log.verify()).ok


async def test_an_owner_whose_connection_was_lost_is_somebody_else(url: str) -> None:
    """Its leases are free for others at once; until one has claimed, it may renew them, under its new name."""
    async with open_store(url) as log, open_store(url.replace("application_name=", "application_name=other_")) as other:
        kept, taken = [(await log.create()).id for _ in range(2)]
        leases = [await log.claim(session, ttl_us=600_000_000) for session in (kept, taken)]
        with pytest.raises(LeaseHeldError):
            await other.claim(taken)
        end_connections(url)
        claimed = await other.claim(taken)
        assert claimed.epoch == leases[1].epoch + 1
        renewed = await log.renew(leases[0], ttl_us=600_000_000)
        assert renewed.owner != leases[0].owner
        assert renewed.epoch == leases[0].epoch
        with pytest.raises(LeaseHeldError):
            await other.claim(kept)
        with pytest.raises(FencedError):
            await log.renew(leases[1])
        with pytest.raises(FencedError):
            await log.append(taken, LABEL, epoch=leases[1].epoch)


async def test_whoever_waits_is_woken_after_the_connection_came_back(url: str) -> None:
    async with open_store(url) as log, open_store(url.replace("application_name=", "application_name=other_")) as other:
        session = (await log.create()).id
        waiting = asyncio.ensure_future(log.wait(session, 0, 60))
        await asyncio.sleep(0.1)
        end_connections(url)
        await other.append(session, LABEL)
        assert await waiting
        following = log.follow(session)
        assert (await anext(following)).seq == 1
        end_connections(url)
        await other.append(session, LABEL)
        assert (await anext(following)).seq == 2
        await following.aclose()  # type: ignore[attr-defined]  # a generator


@pytest.mark.parametrize("cut", ["question", "answer"])
@pytest.mark.parametrize("hot", [True, False])
async def test_an_append_whose_answer_is_lost_is_told_as_unknown(
    url: str, proxy: CuttingProxy, *, cut: Cut, hot: bool
) -> None:
    """It is there or not, whole; the next one goes on behind what is there."""
    async with open_store(through(proxy, url)) as log:
        session = (await log.create()).id
        await log.append(session, LABEL)
        await log.append(session, LABEL)
        lost: list[tuple[int, Event]] = [*timed(exchange()), (9, Custom(kind="lost-one"))]
        proxy.arm(b"lost-one" if hot else b"COMMIT\0", cut)
        with pytest.raises(OutcomeUnknownError) as told:
            await log.append(session, lost, expected=2, key=None if hot else "k")
        assert told.value.expected == 2
        assert proxy.cuts == 1
        head = (await log.info(session)).head
        assert head == (2 if cut == "question" else 2 + len(lost))
        if not hot:
            assert await log.append(session, lost, key="k") == 2 + len(lost)
        assert await log.append(session, LABEL) == (await log.info(session)).head
        assert (await log.verify()).ok


async def test_what_was_lost_before_the_commit_is_done_again(url: str, proxy: CuttingProxy) -> None:
    async with open_store(through(proxy, url)) as log:
        session = (await log.create()).id
        for needle in (b"BEGIN ISOLATION LEVEL READ COMMITTED", b"FOR NO KEY UPDATE", b"FROM keys"):
            proxy.arm(needle, "question")
            head = await log.append(session, LABEL, key=needle.decode())
            assert head == (await log.info(session)).head
        assert proxy.cuts == 3
        assert len(await read_all(log, session)) == 3
        assert (await log.verify()).ok


async def test_of_writers_in_two_places_each_append_is_stored_once_whatever_is_cut(
    url: str, proxy: CuttingProxy
) -> None:
    """Whoever is told that it is stored finds it; whoever is told that nobody knows finds it once at the most."""
    stored, unknown = list[str](), list[str]()

    async def write(place: str, name: str) -> None:
        async with open_store(place) as log:
            for n in range(60):
                kind = f"{name} {n}"
                try:
                    await log.append("one", [(1, Custom(kind=kind))])
                    stored.append(kind)
                except OutcomeUnknownError:
                    unknown.append(kind)
                except (ConflictError, StoreError):
                    continue

    async def disturb() -> None:
        while True:
            proxy.arm(b"", "question")
            await asyncio.sleep(0.02)
            proxy.arm(b"refold_write", "answer")
            await asyncio.sleep(0.02)
            proxy.arm(b"COMMIT\0", "answer")
            await asyncio.sleep(0.02)
            end_connections(url)

    async with open_store(url) as log:
        await log.create("one")
        disturbing = asyncio.ensure_future(disturb())
        await asyncio.gather(write(through(proxy, url), "a"), write(url, "b"))
        disturbing.cancel()
        with suppress(asyncio.CancelledError):
            await disturbing
        there = [one.event.kind for one in await read_all(log, "one") if isinstance(one.event, Custom)]
        assert len(there) == len(set(there))
        assert set(stored) <= set(there) <= {*stored, *unknown}
        assert (await log.verify()).ok


class Ender:
    """Ends one of a log's connections at a time, whichever chance takes, until it is told to stop."""

    def __init__(self, url: str) -> None:
        self._name = str(conninfo_to_dict(url)["application_name"])
        self._url = url.replace("application_name=", "application_name=not_")
        self._chance, self._stopping, self.ended = random.Random(11), threading.Event(), 0

    def work(self) -> None:
        """End connections."""
        sql = "SELECT pid FROM pg_stat_activity WHERE application_name = %s ORDER BY backend_start"
        with psycopg.connect(self._url, autocommit=True) as server:
            while not self._stopping.wait(self._chance.uniform(0.02, 0.1)):
                if found := [pid for (pid,) in server.execute(sql, (self._name,))]:
                    server.execute("SELECT pg_terminate_backend(%s)", (self._chance.choice(found),))
                    self.ended += 1

    def stop(self) -> None:
        """End no more."""
        self._stopping.set()


async def append_once(log: EventLog, session: str, number: int) -> None:
    """Append under a key, and read it; again while nobody knows, or while the connection is lost anew each time."""
    while True:
        with suppress(OutcomeUnknownError, StoreError):
            assert await log.append(session, LABEL, key=f"{number}") == number + 1
            assert [one.seq for one in await log.read(session, after=number)] == [number + 1]
            return


async def test_each_connection_may_end_at_any_moment_alone(url: str) -> None:
    count, ender, seen = 0, Ender(url), list[int]()
    async with open_store(url) as log:
        session = (await log.create()).id

        async def follow() -> None:
            while True:
                with suppress(StoreError):
                    async for recorded in log.follow(session, after=len(seen)):
                        seen.append(recorded.seq)

        async with asyncio.timeout(240), asyncio.TaskGroup() as group:  # twenty connections end, one after the other
            following = group.create_task(follow())
            ending = group.create_task(asyncio.to_thread(ender.work))
            try:
                while ender.ended < 20:
                    await append_once(log, session, count)
                    count += 1
            finally:
                ender.stop()
            await ending
            while len(seen) < count:
                await asyncio.sleep(0.01)
            following.cancel()
        assert seen == list(range(1, count + 1))
        assert (await log.verify()).ok


async def test_a_session_that_is_due_is_taken_from_an_owner_that_is_gone(url: str) -> None:
    """At once, though its lease goes on."""
    async with open_store(url) as log, open_store(url.replace("application_name=", "application_name=other_")) as other:
        session = (await log.create()).id
        await log.append(session, [(1, TaskStart(task="t"))])
        (lease,) = await log.take_due(ttl_us=600_000_000)
        assert await other.take_due() == ()
        end_connections(url)
        (taken,) = await other.take_due()
        assert (taken.session, taken.epoch) == (session, lease.epoch + 1)


async def test_a_server_that_is_not_there_is_named(url: str) -> None:
    with pytest.raises(StoreError, match=r"postgresql://127.0.0.1:1/db: it cannot be reached"):
        async with open_store("postgresql://127.0.0.1:1/db"):
            pass


@pytest.mark.parametrize("statement", ["SELECT 1", "SELECT ?"])
def test_a_statement_that_cannot_even_be_sent_was_lost(url: str, proxy: CuttingProxy, statement: str) -> None:
    """So it is told apart from what the server refused: nothing was stored, and it is done again."""
    connection = WritingConnection(Server(through(proxy, url)), None)
    connection.begin()
    proxy.close()
    for _ in range(3):
        with pytest.raises(LostError):
            connection.execute(statement, (1,) * statement.count("?"))
    for lost in (connection.commit, partial(connection.write, ()), connection.begin_reading):
        with pytest.raises(LostError):
            lost()
    assert connection.is_lost
    connection.close()


def test_what_the_library_says_without_a_state_is_a_lost_connection(postgres: str) -> None:
    """No server said it: whether what was sent was done is not known, so it is not done again."""
    with empty_log(postgres) as place:
        connection = PgConnection(Server(place), None)
        with pytest.raises(LostError):
            connection._answer(connection._pg.make_empty_result(pq.ExecStatus.FATAL_ERROR))
        assert connection.is_lost
