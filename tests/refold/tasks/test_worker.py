"""The worker runs whatever is due, and hands back what it cannot finish."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path
from typing import Any

import pytest
from msgspec import Raw

from eventsource.envelope import Lease
from eventsource.errors import CorruptLogError, OutcomeUnknownError
from eventsource.events import Event, Resume, StepEnd, TaskStart, TokenCreate, WaitStart
from eventsource.log import MemoryLog, open_store
from eventsource.log.protocol import EventLog
from refold import Log
from refold.tasks import Task, TaskContext, task
from refold.tasks.runner import AnyTask
from refold.tasks.runs import load_run
from refold.tasks.ticker import WorkerReport
from refold.tasks.worker import Worker
from tests.refold.hands import Clock, events_of, verified


@pytest.fixture
def opened(log: EventLog) -> Log:
    return Log(log)


@task(id="double", payload=int, retries=1, backoff="1ms")
async def double(ctx: TaskContext, number: int) -> int:
    if number < 0 and ctx.attempt == 1:
        raise ValueError("negative")
    return 2 * number


@task(id="ask", payload=str)
async def ask(ctx: TaskContext, question: str) -> object:
    return (await ctx.wait(await ctx.create_token(key=question, timeout="1h"))).value


@task(id="tree")
async def tree(ctx: TaskContext, payload: None) -> object:
    return await asyncio.gather(*(ctx.trigger_and_wait(ask, name, key=name) for name in ("a", "b")))


TASKS: list[Task[object, object]] = [double, ask, tree]  # type: ignore[list-item]  # whatever they take


async def test_what_is_due_is_run(opened: Log) -> None:
    told: list[WorkerReport] = []
    runs = [await double.trigger(opened, number) for number in (1, -2, 3)]
    worker = Worker(opened, TASKS, concurrency=2, tell=told.append)
    while [run.status for run in runs] != ["done"] * 3:
        await worker.drain()
        runs = [await run.refresh() for run in runs]
    assert [run.result for run in runs] == [2, -4, 6]
    assert sorted(report.status for report in told) == ["done", "done", "done", "waiting"]
    assert await opened.store.due() == ()


async def test_a_waiting_session_is_left_alone_until_it_is_woken(opened: Log) -> None:
    worker = Worker(opened, TASKS)
    run = await ask.trigger(opened, "who")
    await worker.drain()
    head = (await run.session.info()).head
    await worker.drain()
    assert (await run.session.info()).head == head
    await run.session.decide("who", "me")
    await worker.drain()
    assert (await run.refresh()).result == "me"
    why = [event.why for event in await events_of(run.session) if isinstance(event, Resume)]
    assert why == ["wait"]
    await verified(run.session)


async def test_a_session_that_a_worker_still_runs_is_not_taken_by_it_again() -> None:
    """Its lease is over, as after a pause of its store: another worker may take it, this one notices that first."""
    clock, begun, go = Clock(), asyncio.Event(), asyncio.Event()
    opened = Log(MemoryLog(clock=clock, new_id=lambda: "held"), clock=clock)
    told: list[WorkerReport] = []

    @task(id="held")
    async def held(ctx: TaskContext, payload: None) -> None:
        begun.set()
        await go.wait()

    run = await held.trigger(opened)
    worker, other = Worker(opened, [held], tell=told.append), Worker(opened, [held])
    assert await worker.look() == 1
    await begun.wait()
    clock.now_us += 60_000_000
    assert await worker.look() == 0
    assert await other.look() == 1
    go.set()
    await worker.drain()
    await other.drain()
    assert ([report.status for report in told], (await run.refresh()).status) == (["lost"], "done")


async def test_what_wakes_a_child_wakes_the_tree(opened: Log) -> None:
    worker = Worker(opened, TASKS)
    run = await tree.trigger(opened)
    await worker.drain()
    run = await run.refresh()
    assert len(run.waits) == 2
    for wait in run.waits:
        await run.session.decide(wait, wait.key.upper())
        await worker.drain()
    assert (await run.refresh()).result == ["A", "B"]
    assert await opened.store.due() == ()


async def test_a_fork_of_a_child_is_run_like_any_other_and_tells_no_parent(opened: Log) -> None:
    worker = Worker(opened, TASKS)
    run = await tree.trigger(opened)
    await worker.drain()
    run = await run.refresh()
    child = await opened.session(run.waits[0].session)
    head = (await run.session.info()).head
    fork = await child.fork()
    await fork.append([Resume(why="wait")])
    async with asyncio.timeout(60):
        await worker.drain()
        (wait,) = (await load_run(fork)).waits
        await fork.decide(wait, "other")
        await worker.drain()
    assert (await load_run(fork)).result == "other"
    assert (await run.session.info()).head == head
    assert {wait.session for wait in (await run.refresh()).waits} == {wait.session for wait in run.waits}
    assert await opened.store.due() == ()
    await verified(fork)


async def test_a_fork_of_a_child_at_any_seq_is_run_to_its_end(opened: Log) -> None:
    @task(id="pair")
    async def pair(ctx: TaskContext, payload: None) -> object:
        return await ctx.trigger_and_wait(inner, None, key="inner")

    @task(id="inner")
    async def inner(ctx: TaskContext, payload: None) -> object:
        return await ctx.trigger_and_wait(double, 4, key="double")

    tasks: list[AnyTask] = [double, pair, inner]
    run = await pair.trigger(opened)
    await Worker(opened, tasks).drain()
    child = await opened.session((await run.refresh()).children["inner"])
    for seq in range(1, (await child.info()).head):
        fork = await child.fork(at=seq)
        await fork.append([Resume(why="wait")])
        async with asyncio.timeout(60):
            await Worker(opened, tasks).drain()
        made = await load_run(fork)
        assert made.status in ("done", "error"), seq
        assert made.result == 8 or "runs on in the session" in made.error
    assert await opened.store.due() == ()


async def test_a_child_whose_parent_has_failed_is_run_to_its_end_and_no_worker_turns_in_circles(opened: Log) -> None:
    @task(id="hasty")
    async def hasty(ctx: TaskContext, payload: None) -> None:
        async def seen() -> None:
            while not await opened.store.sessions(status="waiting"):
                await asyncio.sleep(0)

        async def trip() -> None:
            await ctx.step("seen", seen)  # while a step is at work, the run is not left
            raise ValueError("too late")

        await asyncio.gather(ctx.trigger_and_wait(ask, "who", key="child"), trip())

    run = await hasty.trigger(opened)
    told: list[WorkerReport] = []
    worker = Worker(opened, [ask, hasty], tell=told.append)
    async with asyncio.timeout(60):
        await worker.drain()
        assert (await run.refresh()).status == "error"
        child = await opened.session((await run.refresh()).children["child"])
        (wait,) = (await load_run(child)).waits
        await child.decide(wait, "me")
        while (await load_run(child)).result is None:  # a drain ends when nothing is due at this moment
            await worker.drain()
            await asyncio.sleep(0.001)
    assert (await load_run(child)).result == "me"
    assert len(told) <= 3


async def test_a_session_of_another_workers_task_is_left_to_it(opened: Log) -> None:
    run = await ask.trigger(opened, "who")
    await Worker(opened, [double]).drain()
    assert isinstance((await events_of(run.session))[-1], TaskStart | Resume)
    await Worker(opened, [ask]).drain()
    assert (await run.refresh()).status == "waiting"


async def test_no_more_sessions_run_at_once_than_allowed(opened: Log) -> None:
    now, most, go_on = 0, 0, asyncio.Event()

    @task(id="count")
    async def count(ctx: TaskContext, payload: None) -> None:
        nonlocal now, most
        now += 1
        most = max(most, now)
        await ctx.step("work", go_on.wait, returns=bool)
        now -= 1

    for _ in range(6):
        await count.trigger(opened)
    worker = Worker(opened, [count], concurrency=2)
    assert await worker.look() == 2
    while now < 2:
        await asyncio.sleep(0.001)
    assert await worker.look() == 0
    go_on.set()
    await worker.drain()
    assert most == 2


async def test_a_worker_that_stops_finishes_the_step_and_hands_the_session_back(opened: Log) -> None:
    began, finish = asyncio.Event(), asyncio.Event()
    steps: list[str] = []

    async def first() -> None:
        began.set()
        await finish.wait()

    @task(id="two")
    async def two(ctx: TaskContext, payload: None) -> str:
        await ctx.step("first", first)
        await ctx.step("second", lambda: steps.append("second"))
        return "done"

    run = await two.trigger(opened)
    worker = Worker(opened, [two], look="1ms")
    working = asyncio.create_task(worker.run())
    await began.wait()
    worker.stop()
    await asyncio.sleep(0.01)
    finish.set()
    await working
    assert steps == []
    info = await run.session.info()
    assert info.owner == ""
    assert await opened.store.due() == (run.id,)
    assert any(isinstance(event, StepEnd) for event in await events_of(run.session))
    await Worker(opened, [two]).drain()
    assert (await run.refresh()).result == "done"
    assert steps == ["second"]


async def test_what_takes_longer_than_the_grace_is_handed_back_as_it_is(opened: Log) -> None:
    began = asyncio.Event()

    async def forever() -> None:
        began.set()
        await asyncio.sleep(60)

    @task(id="long")
    async def long(ctx: TaskContext, payload: None) -> None:
        await ctx.step("work", forever)

    run = await long.trigger(opened)
    worker = Worker(opened, [long], look="1ms", grace="20ms")
    working = asyncio.create_task(worker.run())
    await began.wait()
    worker.stop()
    async with asyncio.timeout(60):
        await working
    assert (await run.session.info()).owner == ""
    assert await opened.store.due() == (run.id,)


async def test_code_that_does_not_fit_the_log_is_reported_and_the_session_stays(opened: Log) -> None:
    told: list[WorkerReport] = []
    run = await ask.run(opened, "who")

    @task(id="ask", payload=str)
    async def other(ctx: TaskContext, question: str) -> str:
        return question

    await run.session.decide("who", 1)
    await Worker(opened, [other], tell=told.append).drain()
    assert [report.status for report in told] == ["stuck"]
    assert "another path" in told[0].error
    assert (await run.refresh()).status == "stuck"
    await Worker(opened, [ask]).drain()
    assert (await run.refresh()).result == 1


async def test_a_worker_beyond_its_lease_is_fenced(tmp_path: Path) -> None:
    clock, told = Clock(), list[WorkerReport]()
    async with (
        open_store(tmp_path / "log.db", clock=clock) as one,
        open_store(tmp_path / "log.db", clock=clock) as two,
    ):
        began, finish = asyncio.Event(), asyncio.Event()

        async def work() -> str:
            began.set()
            await finish.wait()
            return "done"

        @task(id="slow")
        async def slow(ctx: TaskContext, payload: None) -> str:
            return await ctx.step("work", work)

        run = await slow.trigger(Log(one, clock=clock))
        worker = Worker(Log(one, clock=clock), [slow], tell=told.append)
        await worker.look()
        await began.wait()
        clock.now_us += 31_000_000
        other = Worker(Log(two, clock=clock), [slow])
        assert await other.look() == 1
        while (await two.info(run.id)).epoch < 2:
            await asyncio.sleep(0.001)
        finish.set()
        await other.drain()
        await worker.drain()
        assert [report.status for report in told] == ["lost"]
        ends = [event for event in await events_of(run.session) if isinstance(event, StepEnd)]
        assert len(ends) == 1
        assert (await run.refresh()).status == "done"


@pytest.mark.slow
async def test_ten_thousand_waiting_sessions_cost_no_memory_and_only_the_due_ones_wake(tmp_path: Path) -> None:
    """They are rows in a file: an idle worker looks at none of them until one is due."""
    import tracemalloc

    clock, count = Clock(), 10_000
    async with open_store(tmp_path / "log.db", clock=clock) as store:
        log = Log(store, clock=clock)
        deadline_us = clock.now_us + 3_600_000_000

        async def suspended(number: int) -> str:
            session = (await store.create()).id
            events: list[Event] = [
                TaskStart(task="ask", payload=Raw(b'"who"')),
                TokenCreate(key="who", deadline_us=deadline_us + number),
                WaitStart(key="who"),
            ]
            lease = await store.claim(session)
            head = await store.append(session, [(1, event) for event in events], epoch=lease.epoch)
            await store.release(lease, head=head)
            return session

        sessions = [
            one for n in range(0, count, 500) for one in await asyncio.gather(*map(suspended, range(n, n + 500)))
        ]
        worker = Worker(log, [ask])
        assert await worker.look() == 0
        tracemalloc.start()
        assert [await worker.look() for _ in range(20)] == [0] * 20
        assert tracemalloc.get_traced_memory()[1] < 200_000
        tracemalloc.stop()
        clock.now_us = deadline_us + 4
        await worker.drain()
        woken = [await log.find(session) for session in sessions[:6]]
        assert [(await session.info()).status for session in woken] == ["idle"] * 5 + ["waiting"]


class Panic(BaseException):
    """As an extension raises it."""


@task(id="raises", payload=str)
async def raises(ctx: TaskContext, how: str) -> str:
    def fails() -> None:
        raise {"exit": SystemExit(2), "panic": Panic("lost"), "stop": StopIteration("x"), "key": KeyError("k")}[how]

    await ctx.step("fails", fails)
    return "never"


@task(id="itself", payload=str)
async def itself(ctx: TaskContext, how: str) -> str:
    raise {"exit": SystemExit(2), "cancelled": asyncio.CancelledError(), "panic": Panic("lost")}[how]


async def test_whatever_a_step_or_a_task_raises_is_that_runs_error(opened: Log) -> None:
    steps = [await raises.trigger(opened, how) for how in ("exit", "panic", "stop", "key")]
    tasks = [await itself.trigger(opened, how) for how in ("exit", "cancelled", "panic")]
    good = await double.trigger(opened, 4)
    await Worker(opened, [raises, itself, double]).drain()
    errors = [(await run.refresh()).error for run in (*steps, *tasks)]
    assert errors == [
        "step fails failed: SystemExit: 2",
        "step fails failed: Panic: lost",
        "step fails failed: StopIteration: x",
        "step fails failed: KeyError: 'k'",
        "SystemExit: 2",
        "CancelledError",
        "Panic: lost",
    ]
    assert (await good.refresh()).result == 8


async def test_a_step_that_never_returns_ends_with_its_tasks_time(opened: Log) -> None:
    ended = threading.Event()

    @task(id="hangs", max_duration="50ms")
    async def hangs(ctx: TaskContext, payload: None) -> None:
        await ctx.step("hangs", ended.wait)

    run = await hangs.run(opened)
    ended.set()
    assert (run.status, run.error) == ("error", "it worked longer than 50 ms")


async def test_a_result_that_is_too_large_is_the_steps_error(opened: Log) -> None:
    @task(id="large")
    async def large(ctx: TaskContext, payload: None) -> str:
        return await ctx.step("large", lambda: "x" * 65_000_000)

    run = await large.run(opened)
    assert run.status == "error"
    assert "at most 64,000,000 are kept" in run.error


async def test_a_session_that_cannot_be_read_is_set_aside_and_the_others_are_run(
    opened: Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[WorkerReport] = []
    bad = await double.trigger(opened, 1)
    unknown = await ask.trigger(opened, "who")
    good = await double.trigger(opened, 2)
    read = opened.store.read

    async def reading(session: str, **how: Any) -> Any:
        if session == bad.id:
            raise CorruptLogError(session, 1, "an event", "something else")
        return await read(session, **how)

    monkeypatch.setattr(opened.store, "read", reading)
    await Worker(opened, [double], tell=told.append).drain()
    monkeypatch.undo()
    assert (await good.refresh()).result == 4
    said = {report.session: report for report in told}
    assert said[bad.id].status == "stuck"
    assert "something else" in said[bad.id].error
    assert (said[unknown.id].status, said[unknown.id].error) == ("left", "this worker does not know task 'ask'")


class Restarted(MemoryLog):
    """A log whose answers to claims are lost, some times."""

    def __init__(self, times: int) -> None:
        super().__init__(clock=Clock(), new_id=lambda: "tree")
        self.left = times

    async def claim(self, session: str, *, ttl_us: int = 30_000_000) -> Lease:
        self.left -= 1
        if self.left >= 0:
            raise OutcomeUnknownError(session, 0, "the server was restarted")
        return await super().claim(session, ttl_us=ttl_us)


async def test_a_log_that_fails_for_a_moment_makes_no_session_stuck() -> None:
    told = list[WorkerReport]()
    opened = Log(Restarted(1))
    run = await tree.trigger(opened)
    await Worker(opened, TASKS, tell=told.append).drain()
    assert [report.status for report in told] == ["again", "waiting"]
    assert "a change failed at commit (the server was restarted); it may be stored or not" in told[0].error
    assert [event for event in await events_of(run.session) if isinstance(event, Resume) and event.problem] == []
    for wait in (await run.refresh()).waits:
        await run.session.decide(wait, wait.key)
    await Worker(opened, TASKS).drain()
    assert (await run.refresh()).result == ["a", "b"]


@pytest.mark.slow
async def test_a_log_that_goes_on_failing_does() -> None:
    told = list[WorkerReport]()
    opened = Log(Restarted(1_000))
    run = await tree.trigger(opened)
    worker = Worker(opened, TASKS, tell=told.append)
    await worker.drain()
    assert [report.status for report in told] == ["again", "again", "again", "stuck"]
    assert ([*worker.stuck], (await run.refresh()).status) == ([run.id], "stuck")


async def test_a_callback_of_a_worker_that_raises_stops_nothing(opened: Log) -> None:
    def tell(report: WorkerReport) -> None:
        raise SystemExit(3)

    run = await double.trigger(opened, 2)
    await Worker(opened, [double], tell=tell).drain()
    assert (await run.refresh()).result == 4
