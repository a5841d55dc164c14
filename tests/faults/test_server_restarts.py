"""PostgreSQL is restarted without a word, under load: what was told as stored is there once, and everybody goes on."""

from __future__ import annotations

import asyncio
import json
import os
import random
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

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
"""How long each test of a server under load takes: 2 minutes in CI, an hour by `make faults`."""
CONVERSATIONS = 12
PAUSE_S, LIMIT_S = 5.0, 60
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
                sys.executable, "-m", "tests.faults.patient_appender", place, "one", f"p{number}", str(SECONDS),
                cwd=ROOT, stdout=asyncio.subprocess.PIPE,
            )
            for number in range(PROCESSES)
        ]  # fmt: skip
        for process in processes:
            assert process.stdout is not None
            assert await process.stdout.readline() == b"ready\n"
        chance, until_s, restarts, down_s = random.Random(3), time.monotonic() + SECONDS, 0, 0.0
        while time.monotonic() < until_s:
            await asyncio.sleep(chance.uniform(0.5, 4))
            began = time.monotonic()
            await asyncio.to_thread(server.restart)
            restarts, down_s = restarts + 1, max(down_s, time.monotonic() - began)
        told = [json.loads((await process.communicate())[0]) for process in processes]
        async with open_store(place) as log:
            there = Counter([one.event.kind async for one in read_all(log, "one") if isinstance(one.event, Custom)])
            assert (await log.verify()).findings == ()
        assert restarts > 2
        assert sum(one["tries"] for one in told) > 0
        assert there == Counter(f"p{number} {n}" for number, one in enumerate(told) for n in range(one["count"]))
        assert max(one["longest_s"] for one in told) < down_s + PAUSE_S


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
