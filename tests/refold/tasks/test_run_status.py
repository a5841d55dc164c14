"""How a run of a task stands: only what somebody holds is running, and what nobody could go on with says why."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

import pytest

from eventsource.events import Erase, Resume, TaskStart
from eventsource.log.protocol import EventLog
from refold import Log
from refold.tasks import Task, TaskContext, runs, task
from refold.tasks.errors import PathError
from refold.tasks.ticker import WorkerReport
from refold.tasks.worker import Worker
from tests.refold.hands import events_of, verified


@pytest.fixture
def opened(log: EventLog) -> Log:
    return Log(log)


def desk(key: str, *, then: str = "") -> Task[None, object]:
    """Make a task that waits for a token of this name, and then for another."""

    @task(id="desk")
    async def work(ctx: TaskContext, payload: None) -> object:
        found = (await ctx.wait(await ctx.create_token(key=key))).value
        if then:
            await ctx.wait(await ctx.create_token(key=then))
        return found

    return work


async def drained(opened: Log, *tasks: Task[None, object]) -> Worker:
    worker = Worker(opened, tasks)
    async with asyncio.timeout(60):
        await worker.drain()
    return worker


async def test_a_run_is_due_until_somebody_holds_it_and_running_then(opened: Log) -> None:
    began, go_on = asyncio.Event(), asyncio.Event()

    async def work() -> None:
        began.set()
        await go_on.wait()

    @task(id="slow")
    async def slow(ctx: TaskContext, payload: None) -> None:
        await ctx.step("work", work)

    run = await slow.trigger(opened)
    assert (run.status, (await run.session.info()).status) == ("due", "due")
    working = asyncio.create_task(slow.resume(run.session))
    await began.wait()
    assert ((await run.refresh()).status, (await run.session.info()).status) == ("running", "running")
    go_on.set()
    assert (await working).status == "done"


async def test_code_of_another_path_is_stuck_on_record_once_until_code_that_fits_comes(opened: Log) -> None:
    run = await desk("colleague").run(opened)
    await run.session.decide("colleague", "yes")
    for _ in range(2):
        assert set((await drained(opened, desk("somebody"))).stuck) == {run.id}
    run = await run.refresh()
    assert (run.status, "the code took another path than recorded" in run.error) == ("stuck", True)
    assert (await run.session.info()).status == "stuck"
    assert [one.id for one in await runs(opened, status="stuck")] == [run.id]
    noted = [event for event in await events_of(run.session) if isinstance(event, Resume) and event.why == "stuck"]
    assert [event.problem for event in noted] == [run.error]
    assert (await drained(opened, desk("colleague"))).stuck == {}
    run = await run.refresh()
    assert (run.status, run.error, run.result) == ("done", "", "yes")
    await verified(run.session)


async def test_a_run_that_waits_as_before_is_stuck_no_more(opened: Log) -> None:
    run = await desk("colleague").run(opened)
    await run.session.append([Resume(why="wait")])
    with pytest.raises(PathError):
        await desk("somebody").resume(run.session)
    assert (await run.refresh()).status == "stuck"
    await drained(opened, desk("colleague"))
    assert ((await run.refresh()).status, (await run.session.info()).status) == ("waiting", "waiting")
    assert await opened.store.rebuild() == 0


async def test_another_reason_is_put_on_record_too(opened: Log) -> None:
    run = await desk("colleague").run(opened)
    await run.session.append([Resume(why="wait")])
    for key in ("one", "two"):
        with pytest.raises(PathError):
            await desk(key).resume(run.session)
        assert f"'{key}'" in (await run.refresh()).error


@dataclass
class Trip:
    city: str


@dataclass
class Journey:
    place: str


async def test_a_payload_that_the_code_does_not_take_any_more_is_stuck_and_not_an_error(opened: Log) -> None:
    @task(id="trip", payload=Trip, retries=3, backoff="0s")
    async def trip(ctx: TaskContext, payload: Trip) -> str:
        return payload.city

    @task(id="trip", payload=Journey)
    async def journey(ctx: TaskContext, payload: Journey) -> str:
        return payload.place

    run = await trip.trigger(opened, Trip("Oslo"))
    with pytest.raises(PathError, match="the payload on record does not fit this code: place"):
        await journey.resume(run.session)
    assert (await run.refresh()).status == "stuck"
    assert (await trip.resume(run.session)).result == "Oslo"


async def test_a_payload_that_was_erased_can_never_be_read_and_ends_the_run(opened: Log) -> None:
    @task(id="trip", payload=Trip)
    async def trip(ctx: TaskContext, payload: Trip) -> str:
        return payload.city

    run = await trip.trigger(opened, Trip("Oslo"))
    await opened.store.erase(run.id, 1, at_us=1)
    assert any(isinstance(event, Erase) for event in await events_of(run.session))
    assert (await trip.resume(run.session)).status == "error"


async def test_a_task_that_no_worker_here_knows_is_stuck_when_the_worker_has_nothing_else_to_do(opened: Log) -> None:
    run = await desk("colleague").trigger(opened)

    @task(id="other")
    async def other(ctx: TaskContext, payload: None) -> object:
        return None

    told: list[WorkerReport] = []
    worker = Worker(opened, [other], tell=told.append)
    await worker.drain()
    run = await run.refresh()
    assert (run.status, run.error) == ("stuck", "this worker does not know task 'desk'")
    assert (list(worker.stuck), [report.status for report in told]) == ([run.id], ["left"])
    await drained(opened, desk("colleague"))
    assert (await run.refresh()).status == "waiting"


async def test_a_run_that_is_cancelled_says_so_before_a_worker_comes(opened: Log) -> None:
    run = await desk("colleague").run(opened)
    await run.cancel("enough")
    run = await run.refresh()
    assert (run.status, run.error) == ("cancelled", "enough")
    assert (await run.session.info()).status == "cancelled"
    fork = await run.session.fork()
    assert (await fork.info()).status != "cancelled"
    await drained(opened, desk("colleague"))
    assert (await run.refresh()).status == "cancelled"
    assert not (await run.session.info()).open
    assert await opened.store.rebuild() == 0


async def test_a_fork_of_a_stuck_run_is_not_stuck_by_itself(opened: Log) -> None:
    run = await desk("colleague").run(opened)
    await run.session.append([Resume(why="wait")])
    with pytest.raises(PathError):
        await desk("somebody").resume(run.session)
    assert (await run.session.info()).status == "stuck"
    assert (await (await run.session.fork()).state()).stuck == ""


async def test_a_report_says_when_and_how_long_and_which_step_and_attempt(opened: Log) -> None:
    @task(id="again", retries=1, backoff="0s")
    async def again(ctx: TaskContext, payload: None) -> int:
        await ctx.step("look", lambda: None)
        if ctx.attempt == 1:
            raise ValueError("no")
        return ctx.attempt

    await again.trigger(opened)
    told: list[WorkerReport] = []
    worker = Worker(opened, [again], tell=told.append)
    async with asyncio.timeout(60):
        while len(told) < 2:
            await worker.drain()
    assert [(one.step, one.attempt, one.status) for one in told] == [("look", 1, "waiting"), ("look", 2, "done")]
    assert all(one.at_us and one.duration_us >= 0 for one in told)


def test_a_stuck_task_is_one_that_is_open() -> None:
    from eventsource.envelope import Recorded
    from eventsource.machine.evolve import fold

    noted = Resume(why="stuck", problem="no such code")
    assert fold([Recorded(1, 1, noted)]).stuck == ""
    assert fold([Recorded(1, 1, TaskStart(task="t")), Recorded(2, 2, noted)]).stuck == "no such code"
