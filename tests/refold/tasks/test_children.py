"""Children: tasks and agents in sessions of their own, started once, cancelled and counted with their parents."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Sequence
from typing import Any, TypeVar

import pytest

from eventsource.envelope import Behind, Lease, SessionInfo
from eventsource.errors import OutcomeUnknownError, StoreError
from eventsource.events import AbortRequest, ChildEnd, ChildStart, Event, MetadataSet, StreamUpdate, TaskEnd, TaskStart
from eventsource.log import MemoryLog
from eventsource.log.protocol import EventLog
from eventsource.messages import ToolResultMessage, Usage
from eventsource.models.scripted import scripted
from eventsource.models.scripted.script import Answer, call, say, stop
from refold import Agent, Log, Policies, Session, tool
from refold.tasks import ChildError, TaskContext, TaskRun, Worker, task
from refold.tasks.ticker import WorkerReport
from tests.refold.hands import Clock, events_of, verified

T = TypeVar("T")


@pytest.fixture
def opened(log: EventLog) -> Log:
    return Log(log)


@task(id="double", payload=int)
async def double(ctx: TaskContext, number: int) -> int:
    if number < 0:
        raise ValueError("negative")
    return 2 * number


@task(id="asks", payload=str)
async def asks(ctx: TaskContext, question: str) -> object:
    return (await ctx.wait(await ctx.create_token(key=question))).value


async def child_of(log: Log, run: TaskRun, key: str) -> Session:
    return await log.find(run.children[key])


async def test_a_task_waits_for_the_result_of_another(opened: Log) -> None:
    @task(id="parent")
    async def parent(ctx: TaskContext, payload: None) -> object:
        one = await ctx.trigger_and_wait(double, 4, key="one")
        both = await ctx.batch_trigger_and_wait(double, [one, 5])
        try:
            await ctx.trigger_and_wait(double, -1, key="bad")
        except ChildError as error:
            return [one, both, str(error.problem)]
        return None

    run = await parent.run(opened)
    assert run.result == [8, [16, 10], "negative"]
    assert set(run.children) == {"one", "double[0]", "double[1]", "bad"}
    assert await parent.resume(run.session) == run
    for session in [run.session, *[await child_of(opened, run, key) for key in run.children]]:
        await verified(session)


async def test_a_task_is_started_and_left_to_itself(opened: Log) -> None:
    @task(id="parent")
    async def parent(ctx: TaskContext, payload: None) -> object:
        started = await ctx.batch_trigger(double, [1, 2], tags=["later"])
        await ctx.sleep("100ms")
        return started

    run = await parent.trigger_and_wait(opened)
    assert len(set(run.result)) == 2  # type: ignore[call-overload]  # a list of ids
    for session in run.result:  # type: ignore[attr-defined]  # as above
        started = await double.resume(await opened.find(session))
        assert (started.status, started.tags) == ("done", ("later",))


async def test_a_child_that_waits_suspends_its_parent_and_wakes_it(opened: Log) -> None:
    @task(id="parent")
    async def parent(ctx: TaskContext, payload: None) -> object:
        return await asyncio.gather(
            ctx.trigger_and_wait(asks, "who", key="a"), ctx.trigger_and_wait(asks, "why", key="b")
        )

    run = await parent.run(opened)
    assert run.status == "waiting"
    assert [(wait.session, wait.key) for wait in run.waits] == [(run.children["a"], "who"), (run.children["b"], "why")]
    head = (await run.session.info()).head
    assert (await parent.resume(run.session)).status == "waiting"
    assert (await run.session.info()).head - head <= 1
    await run.session.decide(run.waits[1], "because")
    run = await parent.resume(run.session)
    assert [wait.key for wait in run.waits] == ["who"]
    await run.session.decide(run.waits[0], "me")
    run = await parent.resume(run.session)
    assert run.result == ["me", "because"]
    starts = [event for event in await events_of(run.session) if isinstance(event, ChildStart)]
    assert len(starts) == 2


async def test_cancelling_reaches_children(opened: Log) -> None:
    @task(id="middle")
    async def middle(ctx: TaskContext, payload: None) -> object:
        return await ctx.trigger_and_wait(asks, "deep", key="child")

    @task(id="root")
    async def root(ctx: TaskContext, payload: None) -> object:
        return await ctx.trigger_and_wait(middle, None, key="child")

    run = await root.run(opened)
    await run.cancel("enough")
    run = await root.resume(run.session)
    assert run.status == "cancelled"
    below = await middle.resume(await child_of(opened, run, "child"))
    assert below.status == "cancelled"
    assert (await asks.resume(await child_of(opened, below, "child"))).status == "cancelled"


async def test_a_cancelled_task_records_how_its_children_ended_and_replays(opened: Log) -> None:
    @task(id="root")
    async def root(ctx: TaskContext, payload: None) -> object:
        return await ctx.trigger_and_wait(asks, "deep", key="child")

    run = await root.run(opened)
    await run.cancel("enough")
    run = await root.resume(run.session)
    events = await events_of(run.session)
    assert [(child.key, child.is_error) for child in events if isinstance(child, ChildEnd)] == [("child", True)]
    assert events[-1] == TaskEnd(cancelled=True, error="enough")
    await verified(run.session)


@pytest.mark.parametrize("what", ["step", "sleep", "child", "loop"])
async def test_nothing_begins_behind_a_cancellation_that_came_meanwhile(opened: Log, what: str) -> None:
    reached: list[str] = []

    async def cancel(session: str) -> None:
        await opened.store.append(session, [(1, AbortRequest(cause="cancel", error="enough"))])

    @task(id="root")
    async def root(ctx: TaskContext, payload: None) -> object:
        await ctx.step("cancels", cancel, ctx.session)
        ctx.now()
        match what:
            case "step":
                await ctx.step("later", reached.append, "later")
            case "sleep":
                await ctx.sleep("1ms")
            case "child":
                await ctx.trigger_and_wait(double, 1)
            case _:
                await ctx.loop({"n": 0}, lambda context, iteration: count(), lambda context, message: context)
        reached.append("end")
        return None

    async def count() -> dict[str, int]:
        return {"n": 1}

    run = await root.run(opened)
    assert (run.status, run.error, reached) == ("cancelled", "enough", [])
    events = await events_of(run.session)
    behind = events[[event.type for event in events].index("abort_request") + 1 :]
    assert {event.type for event in behind} <= {"step_end", "task_end"}
    await verified(run.session)


async def test_a_cancelled_child_is_an_error_of_its_parent(opened: Log) -> None:
    @task(id="parent")
    async def parent(ctx: TaskContext, payload: None) -> str:
        try:
            await ctx.trigger_and_wait(asks, "who", key="a")
        except ChildError as error:
            return error.problem
        return ""

    run = await parent.run(opened)
    await (await child_of(opened, run, "a")).cancel("wrong question")
    assert (await parent.resume(run.session)).result == "wrong question"


async def test_an_agent_works_in_a_session_of_its_own(opened: Log) -> None:
    helper = Agent[object](scripted("Blue."), name="helper")

    @task(id="parent")
    async def parent(ctx: TaskContext, payload: None) -> str:
        found = await ctx.spawn("colour", helper, "Which colour?")
        return f"It said {found}"

    run = await parent.run(opened)
    assert run.result == "It said Blue."
    child = await child_of(opened, run, "colour")
    assert [message.message.__class__.__name__ for message in await child.messages()] == [
        "UserMessage", "AssistantMessage",
    ]  # fmt: skip
    assert (await child.info()).task == "agent:helper"
    await verified(child)


async def test_a_child_is_started_once_though_its_parent_crashed(opened: Log) -> None:
    began: list[int] = []

    @task(id="slow", payload=int)
    async def slow(ctx: TaskContext, number: int) -> int:
        began.append(number)
        await ctx.step("work", lambda: asyncio.sleep(60 if len(began) == 1 else 0))
        return number

    @task(id="parent")
    async def parent(ctx: TaskContext, payload: None) -> int:
        return await ctx.trigger_and_wait(slow, 7, key="child")

    run = await parent.trigger(opened)
    working = asyncio.create_task(parent.resume(run.session))
    while not began:
        await asyncio.sleep(0.001)
    working.cancel()
    await asyncio.wait([working])
    run = await parent.resume(run.session)
    assert (run.result, began) == (7, [7, 7])
    assert len([event for event in await events_of(run.session) if isinstance(event, ChildStart)]) == 1


async def test_an_agent_is_a_tool_of_another(opened: Log) -> None:
    expert = Agent[object](scripted([say("12 C"), stop(usage=Usage(input_tokens=30))]), name="weather")
    boss = Agent[object](scripted([call("weather", {"prompt": "Oslo?"})], "Take a coat.", by="request"),
                         tools=[expert.as_tool(description="Knows the weather")])  # fmt: skip
    session = await opened.session()
    run = await boss.run("A coat?", session=session)
    assert (run.status, run.text) == ("done", "Take a coat.")
    events = await events_of(session)
    start = next(event for event in events if isinstance(event, ChildStart))
    end = next(event for event in events if isinstance(event, ChildEnd))
    assert start.call is not None
    assert end.tokens == 30
    assert await results(session) == ["12 C"]
    await verified(session)
    await verified(await opened.find(start.child))


async def results(session: Session) -> list[str]:
    found = [one.message for one in await session.messages() if isinstance(one.message, ToolResultMessage)]
    return [message.content[0].text for message in found]  # type: ignore[union-attr]  # these tools answer in text


def paying(paid: list[int]) -> Agent[object]:
    @tool(approval="always")
    def pay(amount: int) -> str:
        """Pay."""
        paid.append(amount)
        return "paid"

    model = scripted([call("pay", {"amount": 3})], "Paid.", by="request")
    return Agent[object](model, tools=[pay], name="payer")


async def test_an_approval_deep_in_the_tree_is_decided_at_the_root(opened: Log) -> None:
    paid: list[int] = []
    model = scripted([call("payer", {"prompt": "Pay 3."})], "Done.", by="request")
    boss = Agent[object](model, tools=[paying(paid).as_tool()])
    session = await opened.session()
    run = await boss.run("Pay.", session=session)
    assert run.status == "waiting"
    assert [(wait.reason, wait.tool) for wait in run.waits] == [("approval", "pay")]
    assert run.waits[0].session != session.id
    assert (await boss.resume(session)).status == "waiting"
    await session.decide(run.waits[0], approve=True)
    run = await boss.resume(session)
    assert (run.status, run.text, paid) == ("done", "Done.", [3])
    assert await results(session) == ["Paid."]
    await verified(session)


async def test_an_abort_reaches_an_agent_that_waits_as_a_tool(opened: Log) -> None:
    paid: list[int] = []
    model = scripted([call("payer", {"prompt": "Pay 3."})], "Done.", by="request")
    boss = Agent[object](model, tools=[paying(paid).as_tool()])
    session = await opened.session()
    run = await boss.run("Pay.", session=session)
    await session.abort()
    assert (await boss.resume(session)).status == "aborted"
    child = await opened.find(run.waits[0].session)
    assert (await child.state()).task == ""
    assert not (await child.info()).open
    assert paid == []
    await verified(session)


async def test_what_children_use_counts_against_their_parents(opened: Log) -> None:
    dear: Answer = [say("x"), stop(usage=Usage(input_tokens=60))]
    expert = Agent[object](scripted(dear, dear, dear), name="expert")
    asking: Answer = [call("expert", {"prompt": "?"})]
    boss = Agent[object](
        scripted(asking, asking, asking, "never"), tools=[expert.as_tool()], policies=Policies(token_limit=100)
    )
    run = await boss.run("Go.", session=await opened.session())
    assert run.status == "limit"
    assert len(run.answers) == 2

    @task(id="tree", token_limit=100)
    async def tree(ctx: TaskContext, payload: None) -> int:
        for number in range(9):
            await ctx.spawn(f"n{number}", Agent[object](scripted(dear), name="expert"), "?")
        return 9

    ended = await tree.run(opened)
    assert (ended.status, ended.tokens) == ("error", 120)
    assert "the token budget of task tree is used up: 120 of 100 tokens" in ended.error


async def test_a_childs_stream_and_metadata_are_seen_from_the_root(opened: Log) -> None:
    async def words() -> Any:
        for word in ("a", "b"):
            yield word

    @task(id="child")
    async def child(ctx: TaskContext, payload: None) -> None:
        ctx.metadata.set("progress", 0.5, root=True)
        await ctx.stream("words", words)

    @task(id="root")
    async def root(ctx: TaskContext, payload: None) -> None:
        await ctx.trigger_and_wait(child, None, key="child")

    run = await root.run(opened)
    assert run.metadata == {"progress": 0.5}
    seen: list[tuple[str, str]] = []
    async with asyncio.timeout(60):
        async for session, recorded in run.session.follow_tree():
            if isinstance(recorded.event, StreamUpdate | MetadataSet):
                seen.append((session, recorded.event.name))
            if len(seen) == 4:
                break
    assert seen.count((run.children["child"], "words")) == 2
    assert (run.id, "progress") in seen


async def test_a_fork_tells_that_a_running_child_belongs_to_its_parent() -> None:
    clock = Clock()
    opened = Log(MemoryLog(clock=clock, new_id=iter("abc").__next__), clock=clock)

    @task(id="parent")
    async def parent(ctx: TaskContext, payload: None) -> object:
        try:
            return await ctx.trigger_and_wait(asks, "who", key="a")
        except ChildError as error:
            return error.problem

    run = await parent.run(opened)
    fork = await parent.resume(await run.session.fork())
    assert fork.result == "it runs on in the session this one was forked from"
    await run.session.decide(run.waits[0], "me")
    assert (await parent.resume(run.session)).result == "me"


async def test_nothing_is_recorded_behind_the_end_of_a_task(opened: Log) -> None:
    """Its code ended beside a child that had just come to wait: that is no wait of anybody."""

    @task(id="hasty")
    async def hasty(ctx: TaskContext, payload: None) -> object:
        return await asyncio.gather(
            ctx.trigger_and_wait(asks, "why", key="asks"), ctx.trigger_and_wait(double, -1, key="bad")
        )

    run = await hasty.run(opened)
    assert (run.status, run.waits) == ("error", ())
    assert isinstance((await events_of(run.session))[-1], TaskEnd)
    info = await run.session.info()
    assert (info.status, info.open) == ("failed", False)
    await verified(run.session)


class Unsure(MemoryLog):
    """A log that loses the answer to each change of a child's that it is asked for, the first time: made, or not."""

    def __init__(self, *, is_made: bool) -> None:
        super().__init__(clock=Clock(), new_id=lambda: "parent")
        self._is_made, self.lost = is_made, set[str]()

    async def _answer(self, what: str, session: str, change: Awaitable[T]) -> T:
        if session == "parent" or what in self.lost:
            return await change
        self.lost.add(what)
        if self._is_made:
            await change
        else:
            asyncio.ensure_future(change).cancel()
        raise OutcomeUnknownError(session, 0, "the connection was lost")

    async def create(
        self,
        session: str | None = None,
        *,
        title: str = "",
        created_at_us: int | None = None,
        started_by: str = "",
        source: str = "",
    ) -> SessionInfo:
        made = super().create(session, title=title, created_at_us=created_at_us, started_by=started_by, source=source)
        return await self._answer("create", session or "parent", made)

    async def append(
        self,
        session: str,
        events: Sequence[tuple[int, Event]],
        *,
        expected: int | None = None,
        epoch: int | None = None,
        key: str | None = None,
        durable: bool = True,
        behind: Behind | None = None,
    ) -> int:
        made = super().append(session, events, expected=expected, epoch=epoch, key=key, durable=durable, behind=behind)
        return await self._answer(f"append {key}", session if key else "parent", made)

    async def release(self, lease: Lease, *, head: int | None = None) -> None:
        return await self._answer("release", lease.session, super().release(lease, head=head))


@pytest.mark.parametrize("is_made", [True, False])
async def test_a_child_whose_store_lost_an_answer_is_made_once_and_is_no_failure(is_made: bool) -> None:
    store = Unsure(is_made=is_made)

    @task(id="parent")
    async def parent(ctx: TaskContext, payload: None) -> object:
        return await ctx.trigger_and_wait(double, 4, key="one")

    run = await parent.run(Log(store))
    assert (run.status, run.result) == ("done", 8)
    assert store.lost == {"create", "append task", "release"}
    starts = [
        event for event in await events_of(await Log(store).find(run.children["one"])) if isinstance(event, TaskStart)
    ]
    assert len(starts) == 1


class Late(MemoryLog):
    """A log in which a child is claimed late, the first time."""

    def __init__(self, clock: Clock) -> None:
        super().__init__(clock=clock, new_id=lambda: "parent")
        self.asked, self.go_on = asyncio.Event(), asyncio.Event()

    async def claim(self, session: str, *, ttl_us: int = 30_000_000) -> Lease:
        if not self.asked.is_set():
            self.asked.set()
            await self.go_on.wait()
        return await super().claim(session, ttl_us=ttl_us)


@pytest.mark.parametrize("how", ["task", "tool"])
async def test_who_has_lost_a_parent_does_not_run_its_child_to_an_end_that_nobody_hears_of(how: str) -> None:
    """It was about to, while another worker took the parent over and left it waiting for what the child waits for."""
    clock, told, paid = Clock(), list[WorkerReport](), list[int]()
    model = scripted([call("payer", {"prompt": "Pay 3."})], "Done.", by="request")
    lead = Agent[object](model, tools=[paying(paid).as_tool()], name="lead")

    @task(id="parent")
    async def parent(ctx: TaskContext, payload: None) -> object:
        if how == "task":
            return await ctx.trigger_and_wait(asks, "who", key="one")
        return (await ctx.turn(lead, "Pay.")).text

    store = Late(clock)
    opened = Log(store, clock=clock)
    run = await parent.trigger(opened)
    one, other = Worker(opened, [parent], tell=told.append), Worker(opened, [parent])
    assert await one.look() == 1
    await store.asked.wait()
    clock.now_us += 60_000_000
    await other.drain()
    (wait,) = (await run.refresh()).waits
    await run.session.decide(wait, approve=True)
    store.go_on.set()
    await one.drain()
    await other.drain()
    run = await run.refresh()
    expected = {"approve": True} if how == "task" else "Done."
    assert (run.status, run.result) == ("done", expected)
    assert told[0].status == "lost"
    assert paid == ([] if how == "task" else [3])
    await verified(run.session)


async def test_a_store_that_fails_is_no_failure_of_the_tasks_code() -> None:
    """What code cannot catch, it cannot take for its child's failure: it runs again when the store is well."""

    class Failing(MemoryLog):
        is_well = False

        async def create(self, *given: Any, **named: Any) -> SessionInfo:
            if named.get("started_by") and not self.is_well:
                raise StoreError("log", "the disk is full", "make room")
            return await super().create(*given, **named)

    store = Failing(clock=Clock(), new_id=lambda: "parent")
    caught: list[str] = []

    @task(id="parent")
    async def parent(ctx: TaskContext, payload: None) -> object:
        try:
            return await ctx.trigger_and_wait(double, 4, key="one")
        except Exception as error:
            caught.append(str(error))
            raise

    run = await parent.trigger(Log(store))
    with pytest.raises(StoreError, match="the disk is full"):
        await parent.resume(run.session)
    assert caught == []
    store.is_well = True
    assert (await parent.resume(run.session)).result == 8
