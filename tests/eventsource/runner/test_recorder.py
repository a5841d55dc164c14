"""A foreign loop's record stays whole, also when somebody else appends while it is made."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from eventsource.errors import ArgumentError, RecorderError
from eventsource.events import AgentEnd, MessageEnd, ModelRequest, ToolExecutionEnd, ToolExecutionStart
from eventsource.messages import AssistantMessage, TextContent, ToolCall
from refold import Log, Session, open_log

CALLING = AssistantMessage(content=(ToolCall(id="1", name="weather", arguments="{}"),), stop_reason="tool_use")


@pytest.fixture
async def log(tmp_path: Path) -> AsyncIterator[Log]:
    async with open_log(tmp_path / "runs.db") as opened:
        yield opened


async def types_of(session: Session) -> list[type]:
    return [type(recorded.event) for recorded in await session.events()]


async def test_an_intent_is_on_record_before_its_effect_though_others_append(log: Log) -> None:
    other = await log.session("oslo")
    async with log.record("oslo", model="gpt-5") as rec:
        await rec.user("A coat?")
        await other.label("one", 1)
        async with rec.model() as reply:
            assert ModelRequest in await types_of(other)
            await other.label("two", 1)
            reply.message(CALLING)
        await other.label("three", 1)
        async with rec.tool(reply.calls[0]) as execution:
            assert ToolExecutionStart in await types_of(other)
            await other.label("four", 1)
            execution.result("12 C")
        await other.label("five", 1)
        async with rec.model() as reply:
            reply.message("Yes.")
        await other.label("six", 1)
    types = await types_of(other)
    assert [types.count(kind) for kind in (ModelRequest, ToolExecutionStart, ToolExecutionEnd)] == [2, 1, 1]
    assert types[-1] is AgentEnd
    assert (await other.replay()).difference is None


async def test_an_answer_that_is_no_message_is_refused_by_name(log: Log) -> None:
    async with log.record("oslo", model="gpt-5") as rec:
        await rec.user("A coat?")
        with pytest.raises(
            ArgumentError, match=r"reply\.message: .*expected an AssistantMessage or a text, found a dict"
        ):
            async with rec.model() as reply:
                reply.message({"role": "assistant", "content": "Yes."})  # type: ignore[arg-type]


async def test_a_message_that_comes_before_a_call_is_delivered_with_it(log: Log) -> None:
    other = await log.session("oslo")
    async with log.record("oslo", model="gpt-5") as rec:
        await rec.user("A coat?")
        async with rec.model() as reply:
            reply.message(CALLING)
        async with rec.tool(reply.calls[0]) as execution:
            execution.result("12 C")
        await other.steer("and shoes?")
        async with rec.model() as reply:
            assert [type(m).__name__ for m in (await other.request()).messages][-1] == "UserMessage"
            reply.message("Boots.")
    assert (await other.replay()).difference is None


async def test_a_record_that_broke_off_in_an_answer_is_closed_by_the_next(log: Log) -> None:
    async def broken() -> None:
        async with log.record("oslo", model="gpt-5") as rec:
            await rec.user("A coat?")
            async with rec.model():
                raise ConnectionError("reset")

    with pytest.raises(ConnectionError):
        await broken()
    session = await log.find("oslo")
    ends = [r.event for r in await session.events() if isinstance(r.event, MessageEnd) and r.event.message]
    assert [end.message.error for end in ends if end.message] == ["reset"]
    async with log.record("oslo", model="gpt-5") as rec:
        await rec.user("Again.")
        async with rec.model() as reply:
            reply.message(AssistantMessage(content=(TextContent(text="Yes."),)))
    assert (await session.info()).status == "idle"
    assert (await session.replay()).difference is None


async def test_a_cancelled_recording_is_aborted_and_not_an_error(log: Log) -> None:
    asking = asyncio.Event()

    async def record() -> None:
        async with log.record("oslo", model="gpt-5") as rec:
            await rec.user("A coat?")
            async with rec.model():
                asking.set()
                await asyncio.Event().wait()

    recording = asyncio.create_task(record())
    await asking.wait()
    recording.cancel()
    with pytest.raises(asyncio.CancelledError):
        await recording
    session = await log.find("oslo")
    end = (await session.events())[-1].event
    assert isinstance(end, AgentEnd)
    assert end.reason == "aborted"
    assert (await session.info()).status == "idle"


async def test_a_recording_whose_code_raised_is_an_error_in_its_words(log: Log) -> None:
    async def record() -> None:
        async with log.record("oslo", model="gpt-5") as rec:
            await rec.user("A coat?")
            async with rec.model() as reply:
                reply.message(CALLING)
            raise ValueError("no such city")

    with pytest.raises(ValueError, match="no such city"):
        await record()
    session = await log.find("oslo")
    end = (await session.events())[-1].event
    assert isinstance(end, AgentEnd)
    assert end.reason == "error"
    assert "no such city" in end.error
    assert (await session.info()).status == "failed"


async def test_a_model_is_not_called_while_a_call_lacks_its_result(log: Log) -> None:
    async with log.record("oslo", model="gpt-5") as rec:
        await rec.user("A coat?")
        async with rec.model() as reply:
            reply.message(CALLING)
        with pytest.raises(RecorderError, match="weather"):
            async with rec.model():
                pass
    assert (await (await log.find("oslo")).replay()).difference is None
