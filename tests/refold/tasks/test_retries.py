"""The backoff of a step, and of a task, is a wait on record: nothing runs meanwhile, and later processes keep it."""

from __future__ import annotations

import asyncio
from itertools import count

import pytest

from eventsource.errors import ArgumentError
from eventsource.events import Resume, StepEnd, StepStart, WaitEnd, WaitStart
from eventsource.log.memory import MemoryLog
from eventsource.log.protocol import EventLog
from refold import Log
from refold.tasks import StepError, TaskContext, TaskRun, task
from refold.tasks.steps import digest
from refold.tasks.worker import Worker
from tests.refold.hands import Clock, events_of, verified

HOUR_US = 3_600_000_000
tries: list[str] = []


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def opened(clock: Clock) -> Log:
    tries.clear()
    ids = (f"run{n}" for n in count())
    return Log(MemoryLog(clock=clock, new_id=ids.__next__), clock=clock)


def fail(name: str = "s", *, until: int = 99) -> str:
    tries.append(name)
    if tries.count(name) < until:
        raise ValueError(f"no {name}")
    return name


@task(id="patient")
async def patient(ctx: TaskContext, until: int) -> str:
    return await ctx.step("s", fail, until=until, retries=2, backoff="1h")


def due_us(run: TaskRun) -> int:
    """Give when the one wait of a run ends."""
    (wait,) = run.waits
    assert (wait.reason, wait.step) == ("retry", "s")
    assert wait.deadline_us is not None
    return wait.deadline_us


async def test_a_step_that_failed_waits_on_record_and_later_processes_keep_its_time(opened: Log, clock: Clock) -> None:
    began_us = clock.now_us
    run = await patient.run(opened, 2)
    assert run.status == "waiting"
    assert began_us + HOUR_US <= due_us(run) <= began_us + HOUR_US * 1.1
    info = await run.session.info()
    assert (info.status, info.owner, info.due_at_us) == ("waiting", "", due_us(run))
    clock.now_us = due_us(run) - 1
    assert due_us(await patient.resume(run.session)) == due_us(run)
    assert await opened.store.due() == ()
    assert tries == ["s"]
    clock.now_us += 1
    assert await opened.store.due() == (run.id,)
    run = await patient.resume(run.session)
    assert (run.status, run.result, tries) == ("done", "s", ["s", "s"])
    await verified(run.session)


async def test_each_further_wait_is_twice_as_long_and_then_the_step_has_failed(opened: Log, clock: Clock) -> None:
    run = await patient.run(opened, 99)
    clock.now_us = due_us(run)
    run = await patient.resume(run.session)
    assert clock.now_us + 2 * HOUR_US <= due_us(run) <= clock.now_us + 2.2 * HOUR_US
    clock.now_us = due_us(run)
    run = await patient.resume(run.session)
    assert (run.status, run.error, len(tries)) == ("error", "step s failed: no s", 3)
    await verified(run.session)


async def test_a_clock_that_goes_back_delays_the_attempt_and_one_that_jumps_ahead_makes_it_once(
    opened: Log, clock: Clock
) -> None:
    run = await patient.run(opened, 2)
    clock.now_us = 5
    assert (await patient.resume(run.session)).status == "waiting"
    clock.now_us = 10**15
    run = await patient.resume(run.session)
    assert (run.status, len(tries)) == ("done", 2)


async def test_what_is_given_up_by_a_person_fails_and_what_is_hurried_is_tried_at_once(opened: Log) -> None:
    first, second = await patient.run(opened, 2), await patient.run(opened, 99)
    await first.session.decide(first.waits[0], None)
    assert (await patient.resume(first.session)).result == "s"
    await second.session.decide(second.waits[0], outcome="cancelled")
    run = await patient.resume(second.session)
    assert (run.status, run.error) == ("error", "step s failed: no s")
    for one in (first, second):
        await verified(one.session)


async def test_a_run_that_is_cancelled_in_a_backoff_ends_without_another_attempt(opened: Log, clock: Clock) -> None:
    run = await patient.run(opened, 2)
    await run.cancel("enough")
    run = await patient.resume(run.session)
    assert (run.status, run.error, tries) == ("cancelled", "enough", ["s"])
    ends = [event for event in await events_of(run.session) if isinstance(event, WaitEnd)]
    assert [(end.outcome, end.decided_by) for end in ends] == [("cancelled", "machine")]
    await verified(run.session)


async def test_a_fork_in_a_backoff_tries_at_the_same_time_by_itself(opened: Log, clock: Clock) -> None:
    run = await patient.run(opened, 3)
    fork = await run.session.fork()
    assert due_us(await patient.resume(fork)) == due_us(run)
    before = next(
        one.seq for one in await run.session.events() if isinstance(one.event, WaitStart)
    )  # the fork decides what its parent decided
    undecided = await run.session.fork(at=before - 1)
    assert due_us(await patient.resume(undecided)) == due_us(run)
    clock.now_us = due_us(run)
    assert set(await opened.store.due()) == {run.id, fork.id, undecided.id}
    assert (await patient.resume(fork)).status == "waiting"
    assert (await patient.resume(run.session)).status == "done"
    await verified(fork)


async def test_other_steps_go_on_while_one_waits_and_its_time_counts_while_they_work(opened: Log, clock: Clock) -> None:
    @task(id="side")
    async def side(ctx: TaskContext, payload: None) -> object:
        async def slow() -> str:
            while tries.count("s") < 2:  # its backoff is over while this works
                clock.now_us += HOUR_US
                await asyncio.sleep(0.001)
            return "slow"

        waits = ctx.step("s", fail, until=2, retries=1, backoff="1h")
        return await asyncio.gather(waits, ctx.step("other", lambda: "other"), ctx.step("slow", slow))

    async with asyncio.timeout(60):
        run = await side.run(opened)
    assert run.result == ["s", "other", "slow"]
    await verified(run.session)


@pytest.mark.slow
async def test_two_hundred_steps_wait_without_a_turn_of_the_loop_and_are_all_tried_again(
    opened: Log, clock: Clock
) -> None:
    @task(id="many")
    async def many(ctx: TaskContext, payload: None) -> int:
        names = [f"s{n}" for n in range(200)]
        steps = (ctx.step(name, fail, name, until=2, retries=1, backoff="1h") for name in names)
        return len(await asyncio.gather(*steps))

    run = await many.run(opened)
    assert (run.status, len(run.waits), len(tries)) == ("waiting", 200, 200)
    head = (await run.session.info()).head
    await Worker(opened, [many]).drain()
    assert (await run.session.info()).head == head
    clock.now_us += 2 * HOUR_US
    run = await many.resume(run.session)
    assert (run.status, run.result, len(tries)) == ("done", 200, 400)
    await verified(run.session)


async def test_a_step_that_waits_deep_in_the_tree_suspends_the_root_and_wakes_it(opened: Log, clock: Clock) -> None:
    @task(id="inner")
    async def inner(ctx: TaskContext, until: int) -> str:
        return await ctx.trigger_and_wait(patient, until, key="leaf")

    @task(id="outer")
    async def outer(ctx: TaskContext, payload: None) -> list[str]:
        return await ctx.batch_trigger_and_wait(inner, [3, 3])

    run = await outer.run(opened)
    assert (run.status, [wait.reason for wait in run.waits], len(tries)) == ("waiting", ["retry", "retry"], 2)
    clock.now_us += 2 * HOUR_US
    worker = Worker(opened, [outer])
    await worker.drain()
    assert (await run.refresh()).result == ["s", "s"]


async def test_a_task_that_is_tried_again_forgets_the_step_that_waited_and_is_not_due_before(
    opened: Log, clock: Clock
) -> None:
    @task(id="pair", retries=1, backoff="10h")
    async def pair(ctx: TaskContext, payload: None) -> object:
        def late() -> str:
            return fail("late", until=2)

        nap = ctx.sleep("1s", key="nap")
        step = ctx.step("s", fail, until=3, retries=1, backoff="1h")
        return await asyncio.gather(step, ctx.step("late", late), nap)

    run = await pair.run(opened)
    assert (run.status, run.attempt) == ("waiting", 1)
    clock.now_us += 2_000_000
    told: list[str] = []
    async with asyncio.timeout(60):
        await Worker(opened, [pair], tell=lambda report: told.append(report.status)).drain()
    assert len(told) <= 1
    assert await opened.store.due() == ()
    assert (await run.session.info()).due_at_us is not None
    clock.now_us += 11 * HOUR_US
    run = await pair.resume(run.session)
    assert (run.attempt, [wait.reason for wait in run.waits]) == (2, ["retry"])
    await verified(run.session)


async def test_a_step_is_tried_as_its_last_start_says_and_the_code_that_catches_its_error_sees_it_again(
    opened: Log,
) -> None:
    @task(id="kind")
    async def kind(ctx: TaskContext, payload: None) -> str:
        try:
            return await ctx.step("s", fail, retries=0)
        except StepError as error:
            await ctx.wait(await ctx.create_token(key="t"))
            return str(error)

    run = await kind.run(opened)
    await run.session.decide("t", 1)
    run = await kind.resume(run.session)
    assert (run.result, tries) == ("step s failed: no s", ["s"])


async def test_a_worker_that_stops_in_a_backoff_hands_the_session_back_and_makes_no_attempt(opened: Log) -> None:
    run = await patient.trigger(opened, 2)
    worker = Worker(opened, [patient], look="1ms")
    working = asyncio.create_task(worker.run())
    while (await run.refresh()).status != "waiting":
        await asyncio.sleep(0.001)
    worker.stop()
    await working
    assert ((await run.session.info()).owner, tries) == ("", ["s"])


@pytest.mark.parametrize("retries", [-1, True, 1.5])
async def test_a_number_of_retries_that_is_none_is_refused_in_words(opened: Log, retries: int) -> None:
    @task(id="odd")
    async def odd(ctx: TaskContext, payload: None) -> str:
        return await ctx.step("s", fail, retries=retries)

    assert "a whole number" in (await odd.run(opened)).error
    with pytest.raises((ValueError, ArgumentError), match=r"retries.* a whole number"):
        task(id="odd", retries=retries)


async def test_a_step_of_an_earlier_release_is_tried_as_often_as_the_code_says(log: EventLog) -> None:
    opened = Log(log)
    tries.clear()

    @task(id="old")
    async def old(ctx: TaskContext, payload: None) -> str:
        return await ctx.step("s", fail, until=1, retries=1, backoff="0s")

    run = await old.trigger(opened)
    given = digest([(), {"until": 1}], "s").before
    await run.session.append(
        [StepStart(key="s", input_sha256=given), StepEnd(key="s", error="broken"), Resume(why="crash")]
    )
    run = await old.resume(run.session)
    assert (run.result, tries) == ("s", ["s"])
