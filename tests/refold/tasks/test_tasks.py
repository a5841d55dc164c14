"""Tasks: steps are done once, code runs again with recorded answers, failures are retried, runs can be looked at."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass

import msgspec
import pytest
from pydantic import BaseModel

from eventsource.events import MetadataSet, Resume, StepEnd, StepStart, StreamUpdate, TaskEnd, TaskStart
from eventsource.log import MemoryLog
from eventsource.log.protocol import EventLog
from eventsource.models.scripted import scripted
from refold import Log
from refold.tasks import NoTaskError, PathError, StepError, TaskContext, TaskPayloadError, TaskRun, runs, task
from tests.loop_clock import put_forward
from tests.refold.hands import Clock, events_of, verified


class Order(BaseModel):
    city: str
    nights: int = 1


@dataclass
class Quote:
    price: int


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def opened(log: EventLog) -> Log:
    return Log(log)


async def test_a_task_runs_to_its_result(opened: Log) -> None:
    @task(id="greet", payload=Order)
    async def greet(ctx: TaskContext, order: Order) -> str:
        return f"{order.city} for {order.nights}"

    run = await greet.run(opened, Order(city="Oslo"), tags=("vip",))
    assert (run.status, run.result, run.attempt, run.tags) == ("done", "Oslo for 1", 1, ("vip",))
    assert run.payload == {"city": "Oslo", "nights": 1}
    assert [type(event) for event in await events_of(run.session)] == [TaskStart, TaskEnd]
    assert await greet.resume(run.session) == run
    await verified(run.session)


async def test_an_invalid_payload_is_refused_before_a_session_exists(opened: Log) -> None:
    @task(id="greet", payload=Order)
    async def greet(ctx: TaskContext, order: Order) -> str:
        return order.city

    with pytest.raises(TaskPayloadError, match=r"greet.*nights"):
        await greet.trigger(opened, {"city": "Oslo", "nights": "many"})  # type: ignore[arg-type]  # that is the point
    with pytest.raises(TaskPayloadError):
        await greet.batch_trigger(opened, [Order(city="Oslo"), {}])  # type: ignore[list-item]  # as above
    assert await opened.list() == ()


async def test_the_same_key_starts_the_same_run(opened: Log) -> None:
    @task(id="count")
    async def count(ctx: TaskContext, payload: object) -> object:
        return payload

    first = await count.run(opened, 1, key="order-17")
    again = await count.run(opened, 2, key="order-17")
    assert again.id == first.id
    assert again.result == 1
    assert (await count.run(opened, 2)).id != first.id


async def test_a_step_is_done_once_however_often_the_code_runs(opened: Log) -> None:
    done: list[str] = []

    async def fetch(city: str, *, days: int) -> dict[str, object]:
        done.append(city)
        return {"city": city, "days": (days,)}

    @task(id="trip")
    async def trip(ctx: TaskContext, payload: None) -> object:
        oslo = await ctx.step("oslo", fetch, "Oslo", days=2)
        rome = await ctx.step("rome", lambda: "Rome")
        token = await ctx.create_token(key="go")
        await ctx.wait(token)
        return [oslo, rome]

    run = await trip.run(opened)
    assert run.status == "waiting"
    assert run.steps == {"oslo": 1, "rome": 1}
    await run.session.decide(run.waits[0], True)
    run = await trip.resume(run.session)
    assert run.result == [{"city": "Oslo", "days": [2]}, "Rome"]
    assert done == ["Oslo"]
    await verified(run.session)


async def test_a_typed_result_is_the_same_in_every_process(opened: Log) -> None:
    seen: list[Quote] = []

    @task(id="quote", result=Quote)
    async def quote(ctx: TaskContext, payload: None) -> Quote:
        found = await ctx.step("ask", lambda: Quote(7), returns=Quote)
        seen.append(found)
        await ctx.sleep("100ms")
        return found

    run = await quote.trigger_and_wait(opened)
    assert seen == [Quote(7), Quote(7)]
    assert quote.read(msgspec.json.encode(run.result)) == Quote(7)  # type: ignore[arg-type]  # bytes do


async def test_a_key_with_another_input_is_another_path(opened: Log) -> None:
    @task(id="twice")
    async def twice(ctx: TaskContext, payload: None) -> None:
        for city in ("Oslo", "Rome"):
            await ctx.step("fetch", lambda city: city, city)

    run = await twice.trigger(opened)
    with pytest.raises(PathError, match=r"'fetch'.*other input"):
        await twice.resume(run.session)
    assert (await run.refresh()).status == "stuck"


@pytest.mark.parametrize(
    ("taken", "key"), [(["a", "x"], "b"), (["x"], "a"), (["a"], "b"), ([], "a")], ids=["swapped", "new", "end", "none"]
)
async def test_code_that_takes_another_path_is_stopped_and_told_the_key(
    opened: Log, taken: list[str], key: str
) -> None:
    path = ["a", "b"]

    @task(id="walk")
    async def walk(ctx: TaskContext, payload: None) -> None:
        for name in path:
            await ctx.step(name, lambda: None)
        if path == ["a", "b"]:
            await ctx.wait(await ctx.create_token())

    run = await walk.run(opened)
    before = (await run.session.info()).head
    path[:] = taken
    with pytest.raises(PathError, match=f"'{key}'"):
        await walk.resume(run.session)
    grown = await run.session.events(after=before)
    assert all(isinstance(one.event, Resume) for one in grown)
    path[:] = ["a", "b"]
    assert (await walk.resume(run.session)).status == "waiting"


async def test_branches_that_run_side_by_side_may_be_recorded_in_any_order(opened: Log) -> None:
    @task(id="fan")
    async def fan(ctx: TaskContext, payload: None) -> object:
        async def later(number: int) -> int:
            await asyncio.sleep(0)
            return number

        async def branch(name: str) -> int:
            total = 0
            for n in range(5):
                total += await ctx.step(f"{name}{n}", later, n)
                if n == 2:
                    await ctx.sleep("1ms")
            return total

        return await asyncio.gather(*(branch(name) for name in "abc"))

    run = await fan.trigger_and_wait(opened)
    assert run.result == [10, 10, 10]
    assert set(run.steps.values()) == {1}


async def test_a_failing_step_is_tried_again_and_then_fails(opened: Log) -> None:
    tries: list[int] = []

    def flaky(good: int) -> str:
        tries.append(good)
        if len(tries) < good:
            raise ValueError(f"try {len(tries)}")
        return "fine"

    @task(id="flaky")
    async def work(ctx: TaskContext, good: int) -> str:
        try:
            return await ctx.step("call", flaky, good, retries=2, backoff="0s")
        except StepError as error:
            return str(error)

    run = await work.run(opened, 3)
    assert (run.result, run.steps) == ("fine", {"call": 3})
    tries.clear()
    run = await work.run(opened, 9)
    assert (run.result, len(tries)) == ("step call failed: try 3", 3)
    assert (await work.resume(run.session)).result == run.result


async def test_a_failed_task_is_tried_again_later_and_keeps_what_is_done() -> None:
    clock = Clock()
    opened = Log(MemoryLog(clock=clock, new_id=iter("abc").__next__), clock=clock)
    done: list[str] = []

    @task(id="moody", retries=2, backoff="10s")
    async def moody(ctx: TaskContext, payload: None) -> int:
        await ctx.step("once", lambda: done.append("once"))
        if ctx.attempt < 3:
            await ctx.step(f"fails {ctx.attempt}", lambda: 1 / 0)
        return ctx.attempt

    run = await moody.run(opened)
    assert (run.status, run.attempt, run.waits[0].reason) == ("waiting", 1, "retry")
    (wait,) = run.waits
    assert wait.deadline_us is not None
    assert clock.now_us + 10_000_000 <= wait.deadline_us <= clock.now_us + 11_000_000
    clock.now_us = wait.deadline_us - 1
    assert (await moody.resume(run.session)).attempt == 1
    clock.now_us += 1
    run = await moody.resume(run.session)
    assert run.attempt == 2
    (wait,) = run.waits
    assert wait.deadline_us is not None
    assert clock.now_us + 20_000_000 <= wait.deadline_us <= clock.now_us + 22_000_000
    clock.now_us = wait.deadline_us
    run = await moody.resume(run.session)
    assert (run.status, run.result, done) == ("done", 3, ["once"])
    await verified(run.session)


async def test_a_task_that_keeps_failing_ends_with_its_error(opened: Log) -> None:
    @task(id="broken", retries=1, backoff="0s")
    async def broken(ctx: TaskContext, payload: None) -> None:
        raise RuntimeError("no luck")

    run = await broken.trigger_and_wait(opened)
    assert (run.status, run.error, run.attempt) == ("error", "no luck", 2)
    assert (await run.session.info()).status == "failed"


async def test_an_attempt_that_works_too_long_is_ended_and_what_it_waits_does_not_count(
    log: EventLog, clock: Clock
) -> None:
    begun = asyncio.Event()

    async def work() -> None:
        begun.set()
        await asyncio.Event().wait()

    @task(id="slow", max_duration="1h", retries=3)
    async def slow(ctx: TaskContext, payload: None) -> None:
        await ctx.sleep("2h")
        await ctx.step("work", work)

    run = await slow.run(Log(log, clock=clock))
    clock.now_us += 7_200_000_000
    working = asyncio.create_task(slow.resume(run.session))
    await begun.wait()
    put_forward(3_600)
    run = await working
    assert run.status == "error"
    assert "longer" in run.error
    assert (run.steps, run.attempt) == ({"work": 1}, 1)


async def test_the_clock_and_chance_say_the_same_again(opened: Log) -> None:
    seen: list[tuple[object, ...]] = []

    @task(id="dice")
    async def dice(ctx: TaskContext, payload: None) -> None:
        seen.append((ctx.now(), ctx.now(), ctx.random.random(), ctx.random.randint(1, 6)))
        await ctx.sleep("100ms")

    await dice.trigger_and_wait(opened)
    assert len(seen) == 2
    assert seen[0] == seen[1]


async def test_metadata_and_streams_are_events_and_come_once(opened: Log) -> None:
    async def words() -> AsyncIterator[str]:
        for word in ("one", "two"):
            yield word

    read: list[list[str]] = []

    @task(id="show")
    async def show(ctx: TaskContext, payload: None) -> None:
        ctx.metadata.set("progress", 1)
        read.append(await ctx.stream("words", words))
        ctx.metadata.set("progress", 2)
        await ctx.sleep("100ms")
        ctx.metadata.set("progress", {"done": True})

    run = await show.trigger_and_wait(opened)
    assert run.metadata == {"progress": {"done": True}}
    events = await events_of(run.session)
    assert [bytes(event.item) for event in events if isinstance(event, StreamUpdate)] == [b'"one"', b'"two"']
    assert len([event for event in events if isinstance(event, MetadataSet)]) == 3
    assert read == [["one", "two"]] * 2


async def test_whoever_follows_sees_metadata_while_the_task_works(opened: Log) -> None:
    seen = asyncio.Event()

    @task(id="show")
    async def show(ctx: TaskContext, payload: None) -> None:
        ctx.metadata.set("resume", "token")
        await ctx.step("work", seen.wait)

    run = await show.trigger(opened)
    working = asyncio.create_task(show.resume(run.session))
    async with asyncio.timeout(60):
        async for recorded in run.session.follow():
            if isinstance(recorded.event, MetadataSet):
                break
        assert (await run.refresh()).metadata == {"resume": "token"}
        seen.set()
        assert (await working).status == "done"


async def test_a_model_is_asked_once_outside_of_a_turn(opened: Log) -> None:
    model = scripted(["Bl", "ue"], "Red")

    @task(id="ask")
    async def ask(ctx: TaskContext, payload: None) -> str:
        said = await ctx.model(model, "Which colour?", stream="answer")
        await ctx.sleep("100ms")
        return said.text

    run = await ask.trigger_and_wait(opened)
    assert run.result == "Blue"
    assert len(model.asked) == 1
    deltas = [event.item for event in await events_of(run.session) if isinstance(event, StreamUpdate)]
    assert b"".join(map(bytes, deltas)) == b'"Bl""ue"'


async def test_a_step_in_doubt_is_done_again_by_the_next_process(opened: Log) -> None:
    tries: list[str] = []

    @task(id="crash")
    async def crash(ctx: TaskContext, payload: None) -> str:
        return await ctx.step("work", work, ctx.idempotency_key("work"))

    async def work(key: str) -> str:
        tries.append(key)
        if len(tries) == 1:
            await asyncio.sleep(60)
        return key

    run = await crash.trigger(opened)
    working = asyncio.create_task(crash.resume(run.session))
    while not tries:
        await asyncio.sleep(0.001)
    working.cancel()
    await asyncio.wait([working])
    run = await crash.resume(run.session)
    assert run.result == f"{run.id}:work"
    assert tries == [f"{run.id}:work"] * 2
    starts = [event for event in await events_of(run.session) if isinstance(event, StepStart)]
    assert [start.attempt for start in starts] == [1, 2]
    assert len([event for event in await events_of(run.session) if isinstance(event, StepEnd)]) == 1


async def test_a_fork_keeps_what_is_done_and_waits_for_itself(opened: Log) -> None:
    @task(id="branch")
    async def branch(ctx: TaskContext, payload: None) -> object:
        made = await ctx.step("make", lambda: 1)
        return [made, (await ctx.wait(await ctx.create_token(key="go"))).value]

    run = await branch.run(opened)
    fork = await run.session.fork()
    there = await branch.resume(fork)
    assert (there.status, there.steps) == ("waiting", {"make": 1})
    await fork.decide("go", "fork")
    await run.session.decide("go", "parent")
    assert (await branch.resume(fork)).result == [1, "fork"]
    assert (await branch.resume(run.session)).result == [1, "parent"]


async def test_runs_are_listed_by_task(opened: Log) -> None:
    @task(id="one")
    async def one(ctx: TaskContext, payload: object) -> object:
        return payload

    @task(id="other")
    async def other(ctx: TaskContext, payload: None) -> None:
        await ctx.wait(await ctx.create_token())

    await one.batch_trigger(opened, [1, 2])
    await other.run(opened)
    await opened.session("no task")

    def told(found: tuple[TaskRun, ...]) -> list[tuple[str, str]]:
        return sorted((run.task, run.status) for run in found)

    assert told(await runs(opened)) == [("one", "due"), ("one", "due"), ("other", "waiting")]
    assert told(await runs(opened, task="other")) == [("other", "waiting")]


async def test_a_cancelled_task_ends_and_its_waits_with_it(opened: Log) -> None:
    @task(id="long")
    async def long(ctx: TaskContext, payload: None) -> None:
        await ctx.wait(await ctx.create_token())

    run = await long.run(opened)
    await run.cancel("not needed")
    run = await long.resume(run.session)
    assert (run.status, run.error, run.waits) == ("cancelled", "not needed", ())
    await verified(run.session)


async def test_a_task_under_way_is_cancelled_from_outside(opened: Log) -> None:
    began = asyncio.Event()

    @task(id="long")
    async def long(ctx: TaskContext, payload: None) -> None:
        began.set()
        await ctx.step("work", asyncio.sleep, 60)

    run = await long.trigger(opened)
    working = asyncio.create_task(long.resume(run.session))
    await began.wait()
    await run.cancel()
    async with asyncio.timeout(60):
        assert (await working).status == "cancelled"


async def test_a_steps_function_must_not_record_itself(opened: Log) -> None:
    @task(id="nested")
    async def nested(ctx: TaskContext, payload: None) -> str:
        try:
            await ctx.step("outer", ctx.now)
        except StepError as error:
            return str(error)
        return ""

    assert "'outer'" in str((await nested.run(opened)).result)


async def test_a_session_without_a_task_is_no_run(opened: Log) -> None:
    @task(id="one")
    async def one(ctx: TaskContext, payload: None) -> None: ...

    with pytest.raises(NoTaskError, match="no task"):
        await one.resume(await opened.session("empty"))
