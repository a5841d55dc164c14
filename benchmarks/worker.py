"""A worker: how fast it wakes what is due, and what it costs while nothing is."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from pathlib import Path

from msgspec import Raw

from eventsource.events import Event, TaskStart, TokenCreate, WaitStart
from eventsource.log import open_store, utc_now_us
from eventsource.log.protocol import EventLog
from refold.log import Log
from refold.tasks import TaskContext, task
from refold.tasks.worker import Worker

from .measure import turns
from .rows import Row, row
from .stores import new_folder

_HOUR_US = 3_600_000_000
_STEPS = 100
_SETTLED_S = 2.0  # by then the index of the search has taken in what was appended before


@task(id="ask")
async def ask(ctx: TaskContext, payload: object) -> object:
    """Wait for one token."""
    return (await ctx.wait(await ctx.create_token(key="answer", timeout="1h"))).value


@task(id="steps", payload=int)
async def steps(ctx: TaskContext, count: int) -> int:
    """Do steps that take no time."""
    return sum([await ctx.step(f"step {n}", int, n) for n in range(count)])


def run(quick: bool) -> list[Row]:
    """Wake sessions as fast as possible, do steps, and watch a worker that has nothing to do; in turns."""
    waiting, woken, times = (1_000, 50, 2) if quick else (10_000, 500, 5)
    place = new_folder()
    return asyncio.run(_measure(place / "refold.db", waiting, woken, times, idle_s=1.0 if quick else 3.0))


async def _measure(path: Path, waiting: int, woken: int, times: int, *, idle_s: float) -> list[Row]:
    wakes: list[float] = []
    done: list[float] = []
    idle: list[float] = []
    looks: list[float] = []
    async with open_store(path) as store:
        log = Log(store)
        sessions = await _suspend(store, waiting)
        for figures in turns(times, idle, wakes, done):
            if figures is idle:
                used, looked = await _idle(log, idle_s)
                idle.append(used * 100)
                looks.append(looked)
            elif figures is wakes:
                wakes.append(await _wakes_per_s(log, [sessions.pop() for _ in range(woken)]))
            else:
                done.append(await _step_ms(log))
    return [
        row(f"wake-ups, {waiting:,} sessions waiting", wakes, "per second", goal=">= 50"),
        row("a recorded step", done, "ms"),
        row(f"idle over {waiting:,} waiting sessions: CPU", idle, "% of a core", goal="<= 2"),
        row("idle: looks at the log, two queries each", looks, "per second", goal="<= 5"),
    ]


async def _wakes_per_s(log: Log, sessions: Sequence[str]) -> float:
    for session in sessions:
        await (await log.find(session)).decide("answer", True)
    began = time.perf_counter()
    await Worker(log, [ask], concurrency=20).drain()
    return len(sessions) / (time.perf_counter() - began)


async def _step_ms(log: Log) -> float:
    began = time.perf_counter()
    await steps.run(log, _STEPS)
    return (time.perf_counter() - began) * 1000 / _STEPS


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
    await asyncio.sleep(_SETTLED_S)
    before, looks = time.process_time(), worker.looks
    await asyncio.sleep(seconds)
    used, looked = time.process_time() - before, worker.looks - looks
    worker.stop()
    await working
    return used / seconds, looked / seconds
