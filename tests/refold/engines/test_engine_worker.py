"""A worker and an engine that loses pokes, doubles them and is late: everything is run to its end, nothing twice."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Sequence
from operator import sub

import pytest

from eventsource.background import stop
from eventsource.errors import StoreError
from eventsource.events import StepEnd
from eventsource.log.protocol import EventLog
from refold import Log
from refold.engines.protocol import EngineError, RunTick
from refold.engines.worker import EngineWorker
from refold.tasks import TaskContext, TaskRun, task
from refold.tasks.ticker import Tick, WorkerReport
from tests.refold.hands import events_of, verified


@pytest.fixture
def opened(log: EventLog) -> Log:
    return Log(log)


class Memory:
    """An engine in memory. `chance`: with it pokes get lost, come twice and late, and times are forgotten."""

    def __init__(self, chance: random.Random | None = None) -> None:
        self._chance, self._queue = chance, asyncio.Queue[str]()
        self.poked: list[tuple[str, str]] = []
        self.cut = 0

    def _is(self, likely: float) -> bool:
        return self._chance is not None and self._chance.random() < likely

    async def poke(self, session: str, queue: str) -> None:
        self.poked.append((session, queue))
        if self._is(0.1):
            raise EngineError("memory", "it is away", "try again")
        for _ in range(0 if self._is(0.3) else 2 if self._is(0.3) else 1):
            asyncio.get_running_loop().call_later(0.01 * self._is(0.5), self._queue.put_nowait, session)

    async def serve(
        self, tick: RunTick, *, queues: Sequence[str], concurrency: int, grace_s: float, stopping: asyncio.Event
    ) -> None:
        workers = [asyncio.create_task(self._work(tick)) for _ in range(concurrency)]
        await stopping.wait()
        await stop(*workers, timeout_s=grace_s)

    async def _work(self, tick: RunTick) -> None:
        while True:
            session = await self._queue.get()
            working = asyncio.ensure_future(tick(session))
            if self._is(0.1):  # a worker that is given up, while it works
                self.cut += 1
                await asyncio.sleep(0.002)
                await stop(working)
                self._queue.put_nowait(session)
                continue
            ticked = await working
            if ticked.wait_us is not None and not ticked.ended and not self._is(0.3):
                asyncio.get_running_loop().call_later(ticked.wait_us / 1e6, self._queue.put_nowait, session)


@task(id="piece", payload=int, queue="gpu", retries=1, backoff="1ms")
async def piece(ctx: TaskContext, number: int) -> int:
    if ctx.attempt == 1 and number % 2:
        raise ValueError("odd")
    return await ctx.step("square", lambda: number * number)


@task(id="whole", payload=int)
async def whole(ctx: TaskContext, number: int) -> list[object]:
    token = await ctx.create_token(key="answer", timeout="1h", type=str)
    await ctx.sleep("1ms")
    squares = await ctx.batch_trigger_and_wait(piece, [number, number + 1])
    return [*squares, (await ctx.wait(token)).value]


async def test_an_engine_that_loses_doubles_and_is_late_runs_everything_once(opened: Log) -> None:
    engine = Memory(random.Random(3))
    runs = [await whole.trigger(opened, number) for number in range(12)]
    worker = EngineWorker(
        opened, [whole, piece], engine, queues=["default", "gpu"], look="5ms", again="20ms", concurrency=4
    )
    async with asyncio.timeout(60):
        working = asyncio.create_task(worker.run())
        for run in runs:
            while not (run := await run.refresh()).waits:
                await asyncio.sleep(0.005)
            await run.session.decide("answer", "yes")
        while {(await run.refresh()).status for run in runs} != {"done"}:
            await asyncio.sleep(0.01)
        worker.stop()
        await working
    for number, run in enumerate(runs):
        assert (await run.refresh()).result == [number**2, (number + 1) ** 2, "yes"]
        await verified(run.session)
        for child in (await run.refresh()).children.values():
            session = await opened.find(child)
            ends = Counter(event.key for event in await events_of(session) if isinstance(event, StepEnd))
            assert ends == {"square": 1}
            await verified(session)
    assert engine.cut > 0
    assert await opened.store.queues() == ()


async def test_what_stays_due_is_poked_again_and_later_each_time(opened: Log) -> None:
    engine = Memory()
    run = await piece.trigger(opened, 2)
    other = await whole.trigger(opened, 2)
    worker = EngineWorker(opened, [piece], engine, queues=["gpu"], again="30ms")
    clock, times_s = asyncio.get_running_loop().time, list[float]()
    async with asyncio.timeout(60):
        while len(times_s) < 4:
            now_s = clock()
            times_s += [now_s] * await worker.look()
            await asyncio.sleep(0.002)
    assert engine.poked == [(run.id, "gpu")] * 4
    assert all(gap > least for gap, least in zip(map(sub, times_s[1:], times_s), (0.029, 0.059, 0.119), strict=False))
    assert other.id not in dict(engine.poked)


async def ticked(opened: Log, run: TaskRun, told: list[WorkerReport] | None = None) -> Tick:
    """Tick a run once, in a worker of its own."""
    found = list[Tick]()

    class Once(Memory):
        async def serve(
            self, tick: RunTick, *, queues: Sequence[str], concurrency: int, grace_s: float, stopping: asyncio.Event
        ) -> None:
            found.append(await tick(run.id))

    tell = [].append if told is None else told.append
    await EngineWorker(opened, [whole, piece], Once(), tell=tell).run()  # type: ignore[arg-type]  # a list takes any
    return found[0]


async def test_a_tick_says_when_the_next_one_is_due(opened: Log) -> None:
    @task(id="whole", payload=int)
    async def sleeps(ctx: TaskContext, number: int) -> None:
        await ctx.sleep("1h")

    first = await ticked(opened, await sleeps.run(opened, 2))
    assert not first.ended
    assert first.wait_us is not None
    assert 3_500_000_000 < first.wait_us <= 3_600_000_000
    ended = await piece.run(opened, 2)
    assert await ticked(opened, ended) == Tick(None, ended=True)
    await opened.store.delete(ended.id)
    assert await ticked(opened, ended) == Tick(ended=True)


async def test_a_tick_in_vain_changes_nothing(opened: Log) -> None:
    @task(id="whole", payload=int)
    async def waits(ctx: TaskContext, number: int) -> object:
        return (await ctx.wait(await ctx.create_token(key="go"))).value

    run = await waits.run(opened, 1)
    head = (await run.session.info()).head
    assert await ticked(opened, run) == Tick(None)
    assert (await run.session.info()).head == head


async def test_a_session_that_somebody_holds_is_left_to_him_for_a_while(opened: Log) -> None:
    run = await piece.trigger(opened, 2)
    lease = await opened.store.claim(run.id)
    held = await ticked(opened, run)
    assert held.wait_us is not None
    assert 0 < held.wait_us <= 5_000_000
    await opened.store.release(lease)
    assert (await ticked(opened, run)).ended


async def test_what_cannot_be_run_is_told_and_tried_later(opened: Log) -> None:
    @task(id="strange")
    async def strange(ctx: TaskContext, payload: None) -> None:
        pass

    told = list[WorkerReport]()
    unknown = await strange.trigger(opened)
    assert await ticked(opened, unknown, told) == Tick(5_000_000)

    @task(id="whole", payload=int)
    async def fails(ctx: TaskContext, number: int) -> None:
        await ctx.step("before", lambda: 1)
        await ctx.sleep("1h")

    path = await fails.run(opened, 1)
    await path.session.decide("sleep#1", None)
    assert await ticked(opened, path, told) == Tick(5_000_000)
    assert [report.status for report in told] == ["left", "stuck"]


async def test_a_log_that_cannot_be_read_just_now_is_looked_at_again(
    opened: Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine, told, due = Memory(), list[WorkerReport](), opened.store.due_since
    run = await piece.trigger(opened, 2)

    async def fails(**how: object) -> tuple[str, ...]:
        monkeypatch.setattr(opened.store, "due_since", due)
        raise StoreError("log.db", "the disk is away", "put it back")

    monkeypatch.setattr(opened.store, "due_since", fails)
    worker = EngineWorker(opened, [piece], engine, queues=["gpu"], look="1ms", tell=told.append)
    async with asyncio.timeout(60):
        working = asyncio.create_task(worker.run())
        while (await run.refresh()).status != "done":
            await asyncio.sleep(0.005)
        worker.stop()
        await working
    assert "the disk is away" in told[0].error
