"""A worker: how fast it wakes what is due, and what it costs while nothing is."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

from msgspec import Raw

from eventsource.events import Event, TaskStart, TokenCreate, WaitStart
from eventsource.log import open_store, utc_now_us
from eventsource.log.protocol import EventLog
from refold.log import Log
from refold.tasks import TaskContext, task
from refold.tasks.worker import Worker

from .rows import Row
from .stores import folder

_HOUR_US = 3_600_000_000


@task(id="ask")
async def ask(ctx: TaskContext, payload: object) -> object:
    """Wait for one token."""
    return (await ctx.wait(await ctx.create_token(key="answer", timeout="1h"))).value


@task(id="steps", payload=int)
async def steps(ctx: TaskContext, count: int) -> int:
    """Do steps that take no time."""
    return sum([await ctx.step(f"step {n}", int, n) for n in range(count)])


def run(quick: bool) -> list[Row]:
    """Wake sessions as fast as possible, then watch a worker that has nothing to do."""
    waiting, woken = (1_000, 100) if quick else (10_000, 1_000)
    place = folder() / f"worker-{waiting}"
    place.mkdir()
    return asyncio.run(_measure(place / "refold.db", waiting, woken, idle_s=0.5 if quick else 4.0))


async def _measure(path: Path, waiting: int, woken: int, *, idle_s: float) -> list[Row]:
    async with open_store(path) as store:
        log = Log(store)
        sessions = await _suspend(store, waiting)
        idle, looks = await _idle(log, idle_s)
        for session in sessions[:woken]:
            await (await log.find(session)).decide("answer", True)
        began = time.perf_counter()
        await Worker(log, [ask], concurrency=20).drain()
        wake_s = (time.perf_counter() - began) / woken
        began = time.perf_counter()
        await steps.run(log, 200)
        step_ms = (time.perf_counter() - began) * 1000 / 200
    return [
        Row(f"wake-ups, {waiting:,} sessions waiting", 1 / wake_s, "per second", goal=">= 50"),
        Row("a recorded step", step_ms, "ms"),
        Row(f"idle over {waiting:,} waiting sessions: CPU", idle * 100, "% of a core", goal="<= 2"),
        Row("idle: looks at the log, two queries each", looks, "per second", goal="<= 5"),
    ]


async def _suspend(store: EventLog, count: int) -> list[str]:
    """Make sessions that wait, as a worker leaves them."""
    events: list[Event] = [
        TaskStart(task="ask", payload=Raw(b"null")),
        TokenCreate(key="answer", deadline_us=utc_now_us() + _HOUR_US),
        WaitStart(key="answer"),
    ]

    async def one() -> str:
        session = (await store.create()).id
        lease = await store.claim(session)
        head = await store.append(session, [(utc_now_us(), event) for event in events], epoch=lease.epoch)
        await store.release(lease, head=head)
        return session

    return [name for _ in range(0, count, 500) for name in await asyncio.gather(*(one() for _ in range(500)))][:count]


class _Counting(Worker):
    """A worker that counts how often it looks."""

    looks = 0

    async def look(self) -> int:
        self.looks += 1
        return await super().look()


async def _idle(log: Log, seconds: float) -> tuple[float, float]:
    """Let a worker find nothing. Returns: the share of a core it takes, and how often it looks in a second."""
    worker = _Counting(log, [ask])
    working = asyncio.create_task(worker.run())
    await asyncio.sleep(0.1)
    before, looks = time.process_time(), worker.looks
    await asyncio.sleep(seconds)
    used, looked = time.process_time() - before, worker.looks - looks
    worker.stop()
    await working
    return used / seconds, looked / seconds
