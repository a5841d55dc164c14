"""A task that ends, or is tried again, while a run in its session is open brings that run to its end first."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable

import pytest

from eventsource.events import (
    AbortRequest,
    AgentEnd,
    AgentStart,
    Event,
    Label,
    MessageEnd,
    MessageStart,
    ModelRequest,
    Place,
    QueuePush,
    Resume,
    StepEnd,
    StepStart,
    TaskEnd,
    TaskStart,
    ToolExecutionStart,
    TurnStart,
    WaitEnd,
    WaitStart,
)
from eventsource.log.protocol import EventLog
from eventsource.machine.state import Phase
from eventsource.messages import AssistantMessage, ToolCall, UserMessage
from eventsource.models.scripted import scripted
from eventsource.models.scripted.script import Answer, call, stall
from refold import Agent, Log, Session, tool
from refold.child_sessions import tree_is_due
from refold.tasks import TaskContext, task
from refold.tasks.runner import AnyTask
from refold.tasks.ticker import WorkerReport
from refold.tasks.worker import Worker
from tests.refold.hands import Clock, events_of, verified

HAND: tuple[Event, ...] = (
    QueuePush(queue="prompt", message=UserMessage(content="What happened?")),
    Resume(why="continue"),
)
BEGUN: tuple[Event, ...] = (AgentStart(reason="prompt"), TurnStart())
ASKED = ModelRequest(attempt=1, request_sha256="")
ANSWERING = MessageStart(role="assistant", streamed=True)
CALLS = AssistantMessage(content=(ToolCall(id="c", name="dig"),), stop_reason="tool_use")
CALLING: tuple[Event, ...] = (
    *HAND,
    *BEGUN,
    MessageStart(role="input", push_seq=4),
    MessageEnd(),
    ASKED,
    MessageStart(role="assistant", streamed=False),
    MessageEnd(message=CALLS),
)


@pytest.fixture
def opened(log: EventLog) -> Log:
    return Log(log)


async def reached(session: Session, phase: Phase) -> None:
    """Wait until a session is in a phase."""
    while (await session.state()).phase is not phase:
        await asyncio.sleep(0.001)


async def drained(log: Log, *tasks: AnyTask) -> list[WorkerReport]:
    """Work until nothing is due, in time."""
    told: list[WorkerReport] = []
    async with asyncio.timeout(60):
        await Worker(log, tasks, tell=told.append).drain()
    return told


class Wrong(BaseException):
    """No exception anybody expects."""


def raise_value_error() -> None:
    raise ValueError("no such place")


def raise_wrong() -> None:
    raise Wrong("no such place")


def exit_program() -> None:
    sys.exit("no such place")


def nested() -> None:
    raise BaseExceptionGroup("several", [Wrong("no such place")])


@tool
async def dig() -> str:
    """Dig for a long time."""
    await asyncio.sleep(60)
    return "nothing"


PLACES: dict[Phase, tuple[Answer, ...]] = {
    Phase.STREAMING: (["Let me ", stall()],),
    Phase.TOOLS: ([call("dig"), call("dig")],),
}


@pytest.mark.parametrize("phase", PLACES)
@pytest.mark.parametrize("fail", [raise_value_error, raise_wrong, exit_program, nested])
async def test_code_that_fails_beside_a_turn_ends_the_turns_run_and_then_the_task(
    opened: Log, phase: Phase, fail: Callable[[], None]
) -> None:
    agent = Agent[object](scripted(*PLACES[phase]), tools=[dig])

    @task(id="beside")
    async def beside(ctx: TaskContext, payload: None) -> None:
        async def trip() -> None:
            await reached(run.session, phase)
            fail()

        await asyncio.gather(ctx.turn(agent, "Where?"), trip())

    run = await beside.trigger(opened)
    assert [report.status for report in await drained(opened, beside)] == ["error"]
    run = await run.refresh()
    assert (run.status, "no such place" in run.error) == ("error", True)
    events = await events_of(run.session)
    assert isinstance(events[-1], TaskEnd)
    (ended,) = (event for event in events if isinstance(event, AgentEnd))
    assert ended.reason == "error"
    assert "no such place" in ended.error
    assert (await run.session.info()).open is False
    await verified(run.session)


async def test_an_attempt_that_works_too_long_ends_its_turn_too(opened: Log) -> None:
    agent = Agent[object](scripted(["Let me ", stall()]))

    @task(id="slow", max_duration="50ms")
    async def slow(ctx: TaskContext, payload: None) -> None:
        await ctx.turn(agent, "Where?")

    run = await slow.run(opened)
    assert (run.status, "worked longer" in run.error) == ("error", True)
    assert (await run.session.state()).run is None
    await verified(run.session)


async def test_a_payload_that_cannot_be_read_any_more_ends_the_run_that_was_open(opened: Log) -> None:
    agent = Agent[object](scripted(["Let me ", stall()]))

    @task(id="told", payload=int)
    async def told(ctx: TaskContext, number: int) -> None:
        await ctx.turn(agent, "Where?")

    run = await told.trigger(opened, 7)
    working = Worker(opened, [told], grace="0s")
    looking = asyncio.create_task(working.run())
    await reached(run.session, Phase.STREAMING)
    working.stop()
    await looking
    assert (await run.session.state()).run is not None
    await opened.store.erase(run.id, 1, at_us=opened.clock())
    assert [report.status for report in await drained(opened, told)] == ["error"]
    run = await run.refresh()
    assert (run.status, (await run.session.state()).run) == ("error", None)
    await verified(run.session)


async def test_a_turn_that_failed_with_its_attempt_is_done_again_in_the_next(opened: Log) -> None:
    agent = Agent[object](scripted(["Let me ", stall()], "There."))

    @task(id="again", retries=1, backoff="1ms")
    async def again(ctx: TaskContext, payload: None) -> str:
        async def trip() -> None:
            if ctx.attempt == 1:
                await reached(run.session, Phase.STREAMING)
                raise ValueError("not yet")

        turn, _ = await asyncio.gather(ctx.turn(agent, "Where?"), trip())
        return turn.text

    run = await again.trigger(opened)
    while (run := await run.refresh()).status not in ("done", "error", "cancelled"):
        await drained(opened, again)
    assert (run.status, run.result, run.attempt) == ("done", "There.", 2)
    ends = [event for event in await events_of(run.session) if isinstance(event, StepEnd)]
    assert [bool(end.error) for end in ends] == [True, False]
    await verified(run.session)


async def test_a_turn_about_a_message_of_the_inbox_is_done_again_too(opened: Log) -> None:
    agent = Agent[object](scripted(["Let me ", stall()], "There."))

    @task(id="inbox", retries=1, backoff="1ms")
    async def listen(ctx: TaskContext, payload: None) -> str:
        async def trip() -> None:
            if ctx.attempt == 1:
                await reached(run.session, Phase.STREAMING)
                raise ValueError("not yet")

        async for message in ctx.inbox():
            turn, _ = await asyncio.gather(ctx.turn(agent, message), trip())
            return turn.text
        return ""

    run = await listen.trigger(opened)
    await run.session.send("Where?")
    while (run := await run.refresh()).status not in ("done", "error", "cancelled"):
        await drained(opened, listen)
    assert (run.status, run.result) == ("done", "There.")
    await verified(run.session)


async def test_a_cancelled_task_ends_the_run_that_was_only_asked_for(opened: Log) -> None:
    @task(id="asked")
    async def asked(ctx: TaskContext, payload: None) -> None:
        return None

    run = await asked.trigger(opened)
    opening = (StepStart(key="turn#1"), *HAND, AbortRequest(cause="cancel", error="enough"))
    await opened.store.append(run.id, [(opened.clock(), event) for event in opening])
    await drained(opened, asked)
    assert (await run.refresh()).status == "cancelled"
    assert (await run.session.info()).open is False
    await verified(run.session)


@pytest.mark.parametrize("phase", PLACES)
async def test_code_that_returns_while_its_turn_is_under_way_ends_the_run_and_has_its_result(
    opened: Log, phase: Phase
) -> None:
    agent = Agent[object](scripted(*PLACES[phase]), tools=[dig])

    @task(id="early")
    async def early(ctx: TaskContext, payload: None) -> str:
        turn = asyncio.create_task(ctx.turn(agent, "Where?"))
        await reached(run.session, phase)
        return f"not waited for: {not turn.done()}"

    run = await early.trigger(opened)
    assert [report.status for report in await drained(opened, early)] == ["done"]
    run = await run.refresh()
    assert (run.status, run.result) == ("done", "not waited for: True")
    assert (await run.session.state()).run is None
    await verified(run.session)


@task(id="twice", retries=1, backoff="1s")
async def twice(ctx: TaskContext, payload: None) -> int:
    if ctx.attempt == 1:
        raise ValueError("not yet")
    return ctx.attempt


LEFT: dict[str, tuple[Event, ...]] = {
    "asked for": HAND,
    "begun": (*HAND, *BEGUN),
    "delivering": (*HAND, *BEGUN, MessageStart(role="input", push_seq=4)),
    "delivered": (*HAND, *BEGUN, MessageStart(role="input", push_seq=4), MessageEnd()),
    "asking": (*HAND, *BEGUN, MessageStart(role="input", push_seq=4), MessageEnd(), ASKED),
    "answering": (*HAND, *BEGUN, MessageStart(role="input", push_seq=4), MessageEnd(), ASKED, ANSWERING),
    "calling": CALLING,
    "in doubt": (*CALLING, ToolExecutionStart(message_seq=12, content_index=0, name="dig")),
}


@pytest.mark.parametrize("left", LEFT.values(), ids=LEFT.keys())
async def test_a_run_left_open_by_hand_is_ended_with_words_before_the_next_attempt(
    log: EventLog, left: tuple[Event, ...]
) -> None:
    clock = Clock()
    opened = Log(log, clock=clock)
    session = (await twice.run(opened)).session
    await session.append(left)
    clock.now_us += 1_100_000  # chance adds a tenth at most
    assert [report.status for report in await drained(opened, twice)] == ["done"]
    run = await twice.resume(session)
    assert (run.status, run.result) == ("done", 2)
    events = await events_of(session)
    (ended,) = (event for event in events if isinstance(event, AgentEnd))
    assert (ended.reason, "twice" in ended.error) == ("error", True)
    assert events.index(ended) < max(n for n, e in enumerate(events) if isinstance(e, TaskStart))
    assert (await session.verify()).ok


@pytest.mark.parametrize("left", LEFT.values(), ids=LEFT.keys())
async def test_a_run_left_open_by_hand_during_an_attempt_is_ended_too(opened: Log, left: tuple[Event, ...]) -> None:
    @task(id="plain")
    async def plain(ctx: TaskContext, payload: None) -> str:
        return str(await ctx.step("s", lambda: "done"))

    session = (await plain.trigger(opened)).session
    await session.append((Label(text="so that seqs are"), Label(text="the same"), *left))
    assert [report.status for report in await drained(opened, plain)] == ["done"]
    assert (await session.state()).run is None
    assert (await session.verify()).ok


async def test_the_next_attempt_waits_for_a_run_that_waits_for_a_person_and_says_so(log: EventLog) -> None:
    clock = Clock()
    opened = Log(log, clock=clock)
    session = (await twice.run(opened)).session
    call_ = Place(message_seq=12, content_index=0)
    await session.append((*CALLING, WaitStart(key="may I", call=call_, reason="approval")))
    clock.now_us += 1_100_000
    (told,) = await drained(opened, twice)
    assert (told.status, "may I" in told.error) == ("waiting", True)
    assert (await session.state()).run is not None
    assert not await tree_is_due(log, session.id, clock())
    await session.append([WaitEnd(key="may I", outcome="cancelled")])
    assert [report.status for report in await drained(opened, twice)] == ["done"]
    assert (await session.verify()).ok
