"""PostgreSQL is restarted without a word, under load: what was told as stored is there once, and everybody goes on."""

from __future__ import annotations

import asyncio
import json
import os
import random
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from statistics import median_low

import msgspec
import pytest

from eventsource.errors import OutcomeUnknownError, StoreError
from eventsource.events import Custom, Event, StreamUpdate
from eventsource.log import open_store
from eventsource.log.load import read_all
from refold import Log, open_log
from refold.tasks import TaskRun
from tests.faults import conversations
from tests.faults.test_worker_kill import everybody_ended, judge, people, workers
from tests.postgres import OwnServer, empty_log, own_server

SECONDS, PROCESSES = float(os.environ.get("REFOLD_RESTARTS_S", "12")), 3
"""How long each test of a server under load takes at least: 2 minutes in CI, an hour by `make faults`."""
CONVERSATIONS = 12
PAUSE_S, GOES_ON_S, LIMIT_S = 5.0, 60, 240
"""After how long everybody appends again behind a restart as a rule, at most; and when all conversations end."""
ROOT = Path(__file__).parents[2]
pytestmark = [pytest.mark.faults, pytest.mark.slow]


@pytest.fixture
def server() -> Iterator[OwnServer]:
    with own_server() as one:
        yield one


async def test_what_was_told_as_stored_is_there_once(server: OwnServer) -> None:
    with empty_log(server.url) as place:
        async with open_store(place) as log:
            await log.create("one")
        processes = [
            await asyncio.create_subprocess_exec(
                sys.executable, "-m", "tests.faults.patient_appender", place, "one", f"p{number}",
                cwd=ROOT, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE,
            )
            for number in range(PROCESSES)
        ]  # fmt: skip
        counts = [-1] * PROCESSES
        listening = [asyncio.create_task(listen(process, counts, n)) for n, process in enumerate(processes)]
        await go_on(counts)
        chance, until_s, restarts, pauses = random.Random(3), time.monotonic() + SECONDS, 0, list[float]()
        while restarts < 3 or time.monotonic() < until_s:
            await asyncio.sleep(chance.uniform(0.5, 4))
            await asyncio.to_thread(server.restart)
            restarts += 1
            if restarts % 2:  # the other ones may come while somebody has not gone on yet
                began_s = time.monotonic()
                await go_on(counts)
                pauses.append(time.monotonic() - began_s)
        for process in processes:
            assert process.stdin is not None
            process.stdin.write(b"stop\n")
            process.stdin.close()
        told = await asyncio.gather(*listening)
        async with open_store(place) as log:
            there = Counter([one.event.kind async for one in read_all(log, "one") if isinstance(one.event, Custom)])
            assert (await log.verify()).findings == ()
        assert sum(one["tries"] for one in told) > 0
        assert median_low(pauses) < PAUSE_S, pauses  # a machine that stands still for a while makes one of them longer
        assert there == Counter(f"p{number} {n}" for number, one in enumerate(told) for n in range(one["count"]))


async def listen(process: asyncio.subprocess.Process, counts: list[int], number: int) -> dict[str, int]:
    """Note how many appends a process was told of. Returns: what it says in the end."""
    assert process.stdout is not None
    async for line in process.stdout:
        said = json.loads(line)
        if isinstance(said, dict):
            await process.wait()
            return said
        counts[number] = said
    raise AssertionError("a process ended without a word")


async def go_on(counts: Sequence[int]) -> None:
    """Wait until everybody has begun an append, and was told that it is stored."""
    before = list(counts)
    async with asyncio.timeout(GOES_ON_S):
        while any(now < then + 2 for now, then in zip(counts, before, strict=True)):
            await asyncio.sleep(0.02)


async def test_workers_go_on_and_do_nothing_twice(server: OwnServer, tmp_path: Path) -> None:
    chance = random.Random(5)
    with empty_log(server.url) as place, workers(place, tmp_path) as crew:
        for number in range(1, PROCESSES + 1):
            crew.start()
            while b"Working on" not in crew.told(number):  # a server that was never there is not waited for
                await asyncio.sleep(0.02)
        async with open_log(place) as log:
            until_s, rounds = time.monotonic() + SECONDS, 0
            while time.monotonic() < until_s or rounds < 2:
                started = [await conversations.KINDS[n % 4].trigger(log, None) for n in range(CONVERSATIONS)]
                restarting = asyncio.ensure_future(restart_sometimes(server, chance))
                await accompany(log, started)
                await restarting
                rounds += 1
            ended = [n for n, process in enumerate(crew.running, 1) if process.poll() is not None]
            assert ended == [], b"".join(map(crew.told, ended)).decode()
            await judge(log, tmp_path)


async def restart_sometimes(server: OwnServer, chance: random.Random) -> None:
    for _ in range(3):
        await asyncio.sleep(chance.uniform(0.1, 1.5))
        await asyncio.to_thread(server.restart)


async def accompany(log: Log, started: list[TaskRun]) -> None:
    """Answer what is asked, whenever the server lets anybody, until everybody has ended."""
    sent = {run.id: 0 for run in started if run.task == "chat"}
    last = "nothing went wrong here"
    with suppress(TimeoutError):
        async with asyncio.timeout(LIMIT_S):
            while True:
                try:
                    if await everybody_ended(log):
                        return
                    await people(log, sent)
                except (StoreError, OutcomeUnknownError) as error:
                    last = str(error)
                await asyncio.sleep(0.1)
    left = [(info.id, info.task, info.status, info.owner) for info in await log.list(unfinished=True) if info.task]
    pytest.fail(f"not everybody ended within {LIMIT_S} s: {left}; {last}")


async def test_what_was_acknowledged_outlasts_a_crash_of_the_server(server: OwnServer) -> None:
    """Claims and deltas too: whoever was told goes on, and an epoch is never given twice."""
    with empty_log(server.url) as place:
        async with open_store(place) as log:
            names = [(await log.create()).id for _ in range(3)]
            for name in names:
                await log.append(name, [(1, Custom(kind="first"))])
            for epoch in range(1, 4):
                update: list[tuple[int, Event]] = [(epoch, StreamUpdate(name="log", item=msgspec.Raw(b"1")))]
                heads = [await log.append(name, update, durable=False) for name in names]
                leases = [await log.claim(name, ttl_us=0) for name in names]
                await asyncio.to_thread(server.restart)
                for name, lease, head in zip(names, leases, heads, strict=True):
                    info = await log.info(name)
                    assert (info.epoch, info.head) == (lease.epoch, head) == (epoch, 1 + epoch)
            assert (await log.verify()).ok
