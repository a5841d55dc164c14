"""A session that is driven by hand goes on by what the machine decides, up to what it needs from outside."""

from __future__ import annotations

from eventsource.events import (
    AbortRequest,
    AgentEnd,
    Event,
    MessageEnd,
    MessageStart,
    MessageUpdate,
    ModelRequest,
    QueuePush,
    TaskStart,
    WaitEnd,
    WaitStart,
)
from eventsource.log.load import read_all
from eventsource.log.memory import MemoryLog
from eventsource.machine.state import Phase
from eventsource.machine.steps import CallModel, Stop
from eventsource.messages import UserMessage
from eventsource.runner.advance import advance, expire
from eventsource.runner.writer import Writer
from projections.context import ContextView
from refold.context_fold import CONTEXT

PROMPT = QueuePush(queue="prompt", message=UserMessage(content="A coat?"))


async def opened(*events: Event) -> Writer[ContextView]:
    log = MemoryLog(clock=lambda: 7, new_id=lambda: "oslo")
    await log.create("oslo")
    await log.append("oslo", [(0, event) for event in events])
    writer = Writer(log, "oslo", context=CONTEXT, clock=lambda: 7, on_commit=lambda recorded: None)
    await writer.load()
    return writer


async def events(writer: Writer[ContextView]) -> list[Event]:
    await writer.flush()
    return [recorded.event async for recorded in read_all(writer.log, "oslo")]


async def test_advancing_goes_up_to_the_model_and_asks_none() -> None:
    writer = await opened(PROMPT)
    assert isinstance(await advance(writer), CallModel)
    assert writer.state.phase is Phase.OPEN
    assert not [event for event in await events(writer) if isinstance(event, ModelRequest)]


async def test_advancing_closes_an_answer_that_broke_off_with_what_was_streamed_of_it() -> None:
    writer = await opened(PROMPT)
    await advance(writer)
    writer.decide(ModelRequest(attempt=1, request_sha256=""))
    writer.outcome(
        MessageStart(role="assistant"),
        MessageUpdate(kind="text_start", content_index=0),
        MessageUpdate(kind="text_delta", content_index=0, delta="Yes, a wa"),
        AbortRequest(),
    )
    assert isinstance(await advance(writer), Stop)
    recorded = await events(writer)
    answers = [event.message for event in recorded if isinstance(event, MessageEnd) and event.message is not None]
    assert [(answer.text, answer.stop_reason) for answer in answers] == [("Yes, a wa", "aborted")]
    assert isinstance(recorded[-1], AgentEnd)


async def test_only_waits_whose_time_is_over_expire() -> None:
    waits = [WaitStart(key=key, reason="sleep", deadline_us=at_us) for key, at_us in (("short", 5), ("long", 9))]
    writer = await opened(TaskStart(task="t"), *waits)
    assert expire(writer, 4) == ()
    assert [end.key for end in expire(writer, 5) if isinstance(end, WaitEnd)] == ["short"]
    assert [wait.key for wait in writer.state.waits] == ["long"]
