"""Queues: which worker takes what, how much runs at once, and children that other workers run."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from msgspec import Raw

from eventsource.errors import TokenValueError
from eventsource.events import ChildEnd, TaskEnd, TaskStart, WaitEnd
from eventsource.log import open_store
from eventsource.log.protocol import EventLog
from eventsource.messages import Usage
from eventsource.models.scripted.script import say, stop
from refold import Agent, Log
from refold.status import find_status
from refold.tasks import TaskContext, TaskRun, Worker, task
from refold.tasks.runs import load_run
from refold.testing import scripted
from tests.postgres import empty_log
from tests.refold.hands import Clock, events_of, verified


@pytest.fixture
def opened(log: EventLog) -> Log:
    return Log(log)


@pytest.fixture(params=["sqlite", "postgres"])
async def two(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[tuple[Log, Log]]:
    """Open one log twice, as two processes do."""
    if request.param == "postgres":
        with empty_log(request.getfixturevalue("postgres")) as url:
            async with open_store(url) as one, open_store(url) as other:
                yield Log(one), Log(other)
        return
    async with open_store(tmp_path / "log.db") as one, open_store(tmp_path / "log.db") as other:
        yield Log(one), Log(other)


@task(id="draw", payload=str, queue="gpu")
async def draw(ctx: TaskContext, what: str) -> str:
    ctx.metadata.set("drawn", what, root=True)
    return f"a picture of {what}"


@task(id="plain", payload=str)
async def plain(ctx: TaskContext, what: str) -> str:
    return what


@task(id="book", payload=str)
async def book(ctx: TaskContext, what: str) -> str:
    text = await ctx.trigger_and_wait(plain, what)
    picture = await ctx.trigger_and_wait(draw, what)
    return f"{text}: {picture}"


async def starts(run: TaskRun) -> list[TaskStart]:
    return [event for event in await events_of(run.session) if isinstance(event, TaskStart)]


async def test_a_worker_takes_what_is_for_its_queues(opened: Log) -> None:
    picture, text = await draw.trigger(opened, "Oslo"), await plain.trigger(opened, "Oslo")
    await Worker(opened, [draw, plain], queues=["default"]).drain()
    assert [(await run.refresh()).status for run in (picture, text)] == ["due", "done"]
    await Worker(opened, [draw, plain], queues=["gpu"]).drain()
    assert (await picture.refresh()).result == "a picture of Oslo"
    assert (await picture.session.info()).queue == "gpu"


async def test_a_worker_without_queues_takes_from_all(opened: Log) -> None:
    runs = [await draw.trigger(opened, "Oslo"), await plain.trigger(opened, "Oslo")]
    await Worker(opened, [draw, plain]).drain()
    assert [(await run.refresh()).status for run in runs] == ["done", "done"]


async def test_what_is_in_another_queue_is_no_concern_of_a_worker(opened: Log) -> None:
    """It neither says that it leaves it, nor puts it on record as stuck."""
    run, told = await draw.trigger(opened, "Oslo"), list[object]()
    await Worker(opened, [plain], queues=["default"], tell=told.append).drain()
    assert told == []
    assert (await run.refresh()).status == "due"


async def test_a_further_attempt_stays_in_the_queue_of_the_first(opened: Log) -> None:
    """Also when the code names another by then, since whoever waits for the run goes by the first."""

    @task(id="fails", retries=1, backoff="0s", queue="gpu")
    async def fails(ctx: TaskContext, payload: None) -> None:
        raise ValueError("no")

    @task(id="fails", retries=1, backoff="0s")
    async def moved(ctx: TaskContext, payload: None) -> int:
        return 1

    run = await fails.run(opened)
    while run.status != "done":
        run = await moved.resume(run.session)
    assert [one.queue for one in await starts(run)] == ["gpu", "gpu"]


@pytest.mark.parametrize("name", ["", "two words", "a\nline", "x" * 201])
def test_a_queue_has_a_name_that_can_be_typed(name: str) -> None:
    with pytest.raises(ValueError, match="printable characters without spaces"):
        task(id="t", queue=name)


async def test_a_limit_of_what_is_not_taken_is_refused(opened: Log) -> None:
    with pytest.raises(ValueError, match="it takes nothing from queue default"):
        Worker(opened, [plain], queues=["gpu"], limits={"default": 2})
    with pytest.raises(ValueError, match="gpu: expected a whole number"):
        Worker(opened, [plain], limits={"gpu": -1})


async def test_no_more_run_at_once_than_the_limit_in_all_workers_together(two: tuple[Log, Log]) -> None:
    now, most, go = 0, 0, asyncio.Event()

    @task(id="slow", queue="gpu")
    async def slow(ctx: TaskContext, payload: None) -> None:
        nonlocal now, most
        now, most = now + 1, max(most, now + 1)
        await ctx.step("work", go.wait, returns=bool)
        now -= 1

    runs = [await slow.trigger(two[0]) for _ in range(7)]
    workers = [Worker(log, [slow], limits={"gpu": 3}, look="5ms") for log in two]
    async with asyncio.timeout(60):
        working = [asyncio.create_task(worker.run()) for worker in workers]
        while now < 3:
            await asyncio.sleep(0.001)
        assert [one.running for one in await two[0].store.queues()] == [3]
        go.set()
        while {(await run.refresh()).status for run in runs} != {"done"}:
            await asyncio.sleep(0.005)
        for worker in workers:
            worker.stop()
        await asyncio.gather(*working)
    assert most == 3


async def test_a_child_in_another_queue_is_run_by_a_worker_of_that(two: tuple[Log, Log]) -> None:
    run = await book.trigger(two[0], "Oslo")
    at_home, elsewhere = Worker(two[0], [book], queues=["default"]), Worker(two[1], [draw], queues=["gpu"])
    await at_home.drain()
    assert (await run.refresh()).status == "waiting"
    assert (await run.session.info()).owner == ""  # nobody's memory is used meanwhile
    await elsewhere.drain()
    await at_home.drain()
    run = await run.refresh()
    assert run.result == "Oslo: a picture of Oslo"
    assert run.metadata == {"drawn": "Oslo"}  # the root of the tree is told, wherever the child runs
    for child in run.children.values():
        await verified(await two[0].find(child))
    await verified(run.session)
    assert (await run.session.replay()).difference is None
    assert await two[0].store.queues() == ()


async def test_a_run_that_waits_for_a_child_elsewhere_says_for_which(two: tuple[Log, Log]) -> None:
    """A child that waits itself is named by what it waits for; what the child is to end with nobody else can say."""

    @task(id="asks", queue="gpu")
    async def asks(ctx: TaskContext, payload: None) -> None:
        await ctx.wait(await ctx.create_token(key="go"))

    @task(id="whole")
    async def whole(ctx: TaskContext, payload: None) -> None:
        await ctx.trigger_and_wait(asks, None, key="part")

    @task(id="above")
    async def above(ctx: TaskContext, payload: None) -> None:
        await ctx.trigger_and_wait(whole, None, key="whole")

    run = await above.trigger(two[0])
    at_home, elsewhere = Worker(two[0], [above, whole], queues=["default"]), Worker(two[1], [asks], queues=["gpu"])
    await at_home.drain()
    (wait,) = await run.session.waits()
    middle = await two[0].find((await run.refresh()).children["whole"])
    assert (wait.reason, wait.session, wait.child_status, wait.queue) == ("child", middle.id, "due", "gpu")
    assert wait.child == (await load_run(middle)).children["part"]
    assert wait.words == f"waits for its child part ({wait.child}, due in queue gpu)"
    assert (await find_status(two[0].store, await run.session.info())).reason == wait.words
    assert [(one.status, one.waits) for one in (await run.refresh(), await load_run(middle))] == 2 * [
        ("waiting", (wait,))
    ]
    with pytest.raises(TokenValueError, match="ends with it"):
        await run.session.decide(wait, None)
    await elsewhere.drain()
    (wait,) = await run.session.waits()
    assert wait.token == f"{(await load_run(middle)).children['part']}:go"
    await two[0].complete(wait.token, None)
    for worker in (elsewhere, at_home):
        await worker.drain()
    assert await run.session.waits() == ()
    assert (await run.refresh()).status == "done"


async def test_a_worker_of_both_queues_needs_one_place_only(opened: Log) -> None:
    """The parent gives its own up while its child is run."""
    run = await book.trigger(opened, "Oslo")
    worker = Worker(opened, [book, draw], concurrency=1)
    async with asyncio.timeout(60):
        while (run := await run.refresh()).status != "done":
            await worker.drain()
    assert run.result == "Oslo: a picture of Oslo"


async def test_a_child_that_names_no_queue_is_in_its_parents(opened: Log) -> None:
    @task(id="studio", queue="gpu")
    async def studio(ctx: TaskContext, payload: None) -> str:
        said = await ctx.spawn("ask", Agent(scripted("Blue."), name="helper"), "Which colour?")
        seen = await ctx.trigger_and_wait(plain, "sky")
        return f"{said} {seen}"

    run = await studio.trigger(opened)
    await Worker(opened, [studio], queues=["gpu"]).drain()
    run = await run.refresh()
    assert run.result == "Blue. sky"
    assert {(await opened.store.info(child)).queue for child in run.children.values()} == {"gpu"}


async def test_a_parent_nobody_woke_looks_at_its_child_itself(tmp_path: Path) -> None:
    """The process that ended the child was killed before it told the parent; that takes twice as long at most."""
    clock = Clock()
    async with open_store(tmp_path / "log.db", clock=clock) as store:
        log = Log(store, clock=clock)
        run = await book.trigger(log, "Oslo")
        worker = Worker(log, [book], queues=["default"])
        await worker.drain()
        child = (await run.refresh()).children["draw#1"]
        clock.now_us += 30_000_000
        await worker.drain()  # it looks, and it is too early
        lease = await store.claim(child)
        await store.append(child, [(clock.now_us, TaskEnd(result=Raw(b'"a picture"')))], epoch=lease.epoch)
        await store.release(lease)
        await worker.drain()
        assert (await run.refresh()).status == "waiting"
        clock.now_us += 30_000_000
        await worker.drain()
        assert (await run.refresh()).result == "Oslo: a picture"
        ends = [event for event in await events_of(run.session) if isinstance(event, WaitEnd)]
        assert [(end.key, end.outcome) for end in ends] == [("child:draw#1", "timed_out")] * 2
        await verified(run.session)


async def test_a_child_elsewhere_fails_and_is_cancelled_as_any_other(two: tuple[Log, Log]) -> None:
    @task(id="broken", queue="gpu")
    async def broken(ctx: TaskContext, payload: None) -> None:
        await ctx.wait(await ctx.create_token(key="go"))
        raise ValueError("out of memory")

    @task(id="whole")
    async def whole(ctx: TaskContext, payload: None) -> None:
        await ctx.trigger_and_wait(broken, None, key="part")

    first, second = await whole.trigger(two[0]), await whole.trigger(two[0])
    at_home, elsewhere = Worker(two[0], [whole], queues=["default"]), Worker(two[1], [broken], queues=["gpu"])
    for worker in (at_home, elsewhere):
        await worker.drain()
    (wait,) = await first.session.waits()
    await two[0].complete(wait.token, None)
    await second.cancel("enough")
    for worker in (elsewhere, at_home):
        await worker.drain()
    assert "out of memory" in (await first.refresh()).error
    second = await second.refresh()
    assert second.status == "cancelled"
    assert (await load_run(await two[0].find(second.children["part"]))).status == "cancelled"


async def test_a_child_elsewhere_counts_what_the_tree_has_used(two: tuple[Log, Log]) -> None:
    """It asks no model when nothing is left of its parent's tokens; what it used is in its parent's account."""
    agent = Agent(scripted([say("One."), stop(usage=Usage(input_tokens=5))], "Two.", by="request"), name="helper")

    @task(id="asks", queue="gpu")
    async def asks(ctx: TaskContext, payload: None) -> str:
        return (await ctx.turn(agent, "More?")).text

    @task(id="limited", token_limit=1)
    async def limited(ctx: TaskContext, payload: None) -> list[str]:
        return [await ctx.trigger_and_wait(asks, None, key=key) for key in ("first", "second")]

    run = await limited.trigger(two[0])
    at_home, elsewhere = Worker(two[0], [limited], queues=["default"]), Worker(two[1], [asks], queues=["gpu"])
    async with asyncio.timeout(60):
        while (run := await run.refresh()).status not in ("done", "error"):
            await at_home.drain()
            await elsewhere.drain()
    ends = [event for event in await events_of(run.session) if isinstance(event, ChildEnd)]
    assert [(end.tokens, end.is_error) for end in ends] == [(5, False), (0, True)]
    second = await two[0].find(run.children["second"])
    assert "the token budget of task limited is used up" in (await load_run(second)).error


async def test_by_hand_a_parent_waits_for_a_worker_of_its_child(two: tuple[Log, Log]) -> None:
    worker = Worker(two[1], [draw], queues=["gpu"], look="5ms")
    async with asyncio.timeout(60):
        working = asyncio.create_task(worker.run())
        run = await book.trigger_and_wait(two[0], "Oslo")
        worker.stop()
        await working
    assert run.result == "Oslo: a picture of Oslo"
