from __future__ import annotations

import pytest
from hypothesis import given

from eventsource.envelope import Recorded
from eventsource.errors import IllegalEventError, LeaseHeldError, UnknownSeqError
from eventsource.events import Event, MessageAdopt, Origin, Place, ToolExecutionEnd, ToolExecutionStart
from eventsource.log import MemoryLog
from eventsource.log.protocol import EventLog
from eventsource.messages import AssistantMessage, Message, ToolCall, ToolResultMessage
from eventsource.models.scripted import ScriptedModel
from eventsource.models.scripted.script import call, stop
from eventsource.session import SessionHandle as Stored
from projections.context import CONTEXT, Entry, history as entries
from projections.projection import project
from projections.transcript import text_of
from refold import Agent, Session, tool
from refold.log import Log
from replay.adopt import adopt
from tests.strategies import histories


@tool(effect="pure")
def weather(city: str) -> str:
    """Say what the weather is."""
    return f"{city}: rain"


def agent(*answers: object) -> Agent[None]:
    return Agent(ScriptedModel(answers), tools=[weather])  # type: ignore[arg-type]  # answers of any form


ASKS = [call("weather", {"city": "Oslo"}), call("weather", {"city": "Rome"}), stop("tool_use")]


def opened(log: EventLog) -> Log:
    return Log(log, clock=lambda: 7)


async def two(log: EventLog) -> tuple[Session, Session]:
    """A session that asked about the weather, and another that said hello."""
    one, other = await opened(log).session("one"), await opened(log).session("other")
    await agent(ASKS, "Take a coat.").run("Do I need a coat?", session=one)
    await agent("Hello.").run("Hi", session=other)
    return one, other


async def texts(session: Session) -> list[str]:
    return [text_of(one.message) for one in await session.messages()]


async def test_adopted_messages_join_the_context_with_their_origin_on_record(log: EventLog) -> None:
    one, other = await two(log)
    said = await one.messages()
    names = await other.adopt(said, from_=one)
    assert await texts(other) == ["Hi", "Hello.", *[text_of(message.message) for message in said]]
    events = [recorded.event for recorded in await other.events(after=names[0] - 1)]
    adoptions = [event for event in events if isinstance(event, MessageAdopt)]
    assert [event.origin for event in adoptions] == [
        Origin(source="refold", session=one.id, entry=str(message.seq)) for message in said
    ]
    assert {event.sent_at_us for event in adoptions} == {7}
    assert (await other.verify()).ok
    assert (await other.replay()).difference is None


async def test_a_call_comes_with_its_results_and_a_result_with_its_call(log: EventLog) -> None:
    one, other = await two(log)
    _, asked, _, second, _ = await one.messages()
    third = await opened(log).session("third")
    for session, chosen in ((other, asked), (third, second)):
        names = await session.adopt(chosen, from_=one)
        taken = (await session.messages())[-3:]
        assert [message.seq for message in taken] == list(names)
        assert [message.call for message in taken] == [
            None,
            Place(message_seq=names[0], content_index=0),
            Place(message_seq=names[0], content_index=1),
        ]
        assert isinstance(taken[0].message, AssistantMessage)
        assert all(isinstance(message.message, ToolResultMessage) for message in taken[1:])


async def test_the_adopted_history_goes_on_and_replays(log: EventLog) -> None:
    one, other = await two(log)
    await other.adopt(await one.messages(), from_=one)
    run = await agent("As I said.").run("So?", session=other)
    assert run.text == "As I said."
    assert (await other.replay()).difference is None


async def test_what_both_branches_share_is_left_out(log: EventLog) -> None:
    one, _ = await two(log)
    fork = await one.fork(before=(await one.messages())[4])
    await agent("No coat.").resume(fork)
    assert await one.adopt(await fork.messages(), from_=fork) != ()
    assert (await texts(one))[4:] == ["Take a coat.", "No coat."]
    assert await fork.adopt((await fork.messages())[0], from_=one) == ()


async def test_a_range_takes_the_messages_in_it(log: EventLog) -> None:
    one, other = await two(log)
    said = await one.messages()
    await other.adopt(range(1, said[1].seq), from_=one)
    assert await texts(other) == ["Hi", "Hello.", "Do I need a coat?"]


async def test_a_name_that_is_no_messages_is_refused_and_nothing_is_stored(log: EventLog) -> None:
    one, other = await two(log)
    head = (await other.info()).head
    with pytest.raises(UnknownSeqError, match="no message of this name"):
        await other.adopt([(await one.messages())[0].seq, 1], from_=one)
    assert (await other.info()).head == head


async def test_the_model_of_an_answer_is_written_down_where_another_one_is_in_force(log: EventLog) -> None:
    one, _ = await two(log)
    third = await opened(log).session("third")
    await third.adopt((await one.messages())[-1], from_=one)
    [message] = await third.messages()
    assert isinstance(message.message, AssistantMessage)
    assert message.message.model == "scripted"


async def test_a_run_under_way_adopts_nothing(log: EventLog) -> None:
    one, other = await two(log)
    asking = next(r.seq for r in await one.events() if r.event.__struct_config__.tag == "model_request")
    open_fork = await one.fork(at=asking)
    with pytest.raises(IllegalEventError, match="message_adopt"):
        await open_fork.adopt(await other.messages(), from_=other)


async def in_batch(log: EventLog) -> tuple[Session, Session]:
    """A session with two finished calls, and a fork in which neither has begun."""
    one, _ = await two(log)
    began = next(r.seq for r in await one.events() if isinstance(r.event, ToolExecutionStart))
    return one, await one.fork(at=began - 1)


async def test_an_open_batch_takes_the_results_of_the_same_calls(log: EventLog) -> None:
    one, fork = await in_batch(log)
    second = (await one.messages())[3]
    assert len(await fork.adopt(second, from_=one)) == 2
    start, end = [recorded.event for recorded in (await fork.events())[-2:]]
    assert isinstance(start, ToolExecutionStart)
    assert isinstance(end, ToolExecutionEnd)
    assert (start.refused, start.content_index) == ("adopted", 1)
    assert (end.decided, end.origin) == ("adopted", Origin(source="refold", session=one.id, entry=str(second.seq)))
    await agent("Fine.").resume(fork)
    assert (await texts(fork))[1:] == ["", "Oslo: rain", "Rome: rain", "Fine."]
    assert (await fork.replay()).difference is None


async def test_an_open_batch_takes_no_result_of_another_call(log: EventLog) -> None:
    _, fork = await in_batch(log)
    other = await opened(log).session("else")
    await agent([call("weather", {"city": "Bonn"}), stop("tool_use")], "Rain.").run("Bonn?", session=other)
    with pytest.raises(IllegalEventError):
        await fork.adopt((await other.messages())[2], from_=other)


async def test_a_batch_that_somebody_runs_takes_nothing(log: EventLog) -> None:
    one, fork = await in_batch(log)
    lease = await log.claim(fork.id)
    with pytest.raises(LeaseHeldError):
        await fork.adopt((await one.messages())[3], from_=one)
    await log.release(lease)


@pytest.mark.slow
@given(histories())
async def test_whatever_is_adopted_makes_a_legal_history_with_every_result_at_its_call(
    history: tuple[Recorded, ...],
) -> None:
    numbers = iter(range(9))
    log = MemoryLog(clock=lambda: 0, new_id=lambda: f"s{next(numbers)}")
    source, target = [Stored(log, (await log.create()).id, clock=lambda: 0) for _ in range(2)]
    events: list[tuple[int, Event]] = [(recorded.at_us, recorded.event) for recorded in history]
    if events:
        await log.append(source.id, events)
    names = await adopt(target, source, range(10**6))
    before, after = said(history), said(await target.events())
    assert [entry.seq for entry in after] == list(names)
    assert [text_of(entry.message) for entry in after if entry.message] == [
        text_of(entry.standing if entry.interrupted and entry.standing else entry.message)
        for entry in before
        if entry.message
    ]
    assert answered(before) <= answered(after)


def said(history: tuple[Recorded, ...]) -> list[Entry]:
    return [entry for entry in entries(project(CONTEXT, history)) if entry.message is not None]


def answered(messages: list[Entry]) -> set[tuple[int, int]]:
    """Say which calls have a result that names them: by the number of their message, and their block."""
    places = {entry.seq: number for number, entry in enumerate(messages)}
    calls = [entry.call for entry in messages if entry.call is not None and entry.call.message_seq in places]
    found = {(places[call.message_seq], call.content_index) for call in calls}
    return {(number, index) for number, index in found if is_call(messages[number].message, index)}


def is_call(message: Message | None, index: int) -> bool:
    content = message.content if isinstance(message, AssistantMessage) else ()
    return 0 <= index < len(content) and isinstance(content[index], ToolCall)
