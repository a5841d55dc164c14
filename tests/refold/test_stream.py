"""A run shown while it goes on: its events narrow, and whoever reads it wrongly is told how it is read."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Callable

import pytest

from eventsource import session as core
from eventsource.envelope import Lease
from eventsource.errors import NoEventLoopError
from eventsource.events import AgentEnd, MessageUpdate, QueuePush
from eventsource.log import MemoryLog
from eventsource.messages import UserMessage
from eventsource.models.scripted import scripted
from eventsource.models.scripted.script import call, stall
from refold import Agent, AgentContext, AgentLoopConfig, Session, agent_loop, open_log, tool


@tool(effect="pure")
def weather(city: str) -> str:
    """Weather in a city."""
    return f"rain in {city}"


async def test_a_stream_yields_the_events_of_its_run_as_the_log_has_them() -> None:
    async with open_log() as log:
        session = await log.session()
        agent = Agent(scripted([call("weather", {"city": "Oslo"})], ["A ", "coat."]), tools=[weather])
        stream = agent.stream("Coat?", session=session)
        events = [event async for event in stream]
        recorded = [one.event for one in await session.events()]
        assert [event for event in events if event not in recorded] == []
        text = "".join(event.delta for event in events if event.type == "message_update" and event.kind == "text_delta")
        assert text == "A coat." == (await stream.run()).text
        assert isinstance(events[-1], AgentEnd)


async def test_the_same_run_is_shown_with_what_its_events_refer_to() -> None:
    agent = Agent(scripted([call("weather", {"city": "Oslo"})], ["A ", "coat."]), tools=[weather])
    stream = agent.stream("Coat?")
    shown = [one async for one in stream.lifecycle()]
    assert [one.seq for one in shown] == sorted(one.seq for one in shown)
    results = [one.result.content for one in shown if one.type == "tool_execution_end" and one.result is not None]
    assert [part.text for content in results for part in content if part.type == "text"] == ["rain in Oslo"]
    partial = [one.message for one in shown if isinstance(one.event, MessageUpdate)]
    assert all(message is not None for message in partial)
    assert shown[-1].outcome is not None


class _LateLog(MemoryLog):
    """A prompt of somebody else comes just before a session is claimed."""

    async def claim(self, session: str, *, ttl_us: int = 30_000_000) -> Lease:
        await self.append(session, [(1, QueuePush(queue="prompt", message=UserMessage(content="And boots?")))])
        return await super().claim(session, ttl_us=ttl_us)


async def test_a_prompt_that_comes_as_a_stream_begins_is_shown_with_its_text() -> None:
    log = _LateLog(clock=lambda: 1, new_id=lambda: "late")
    session = Session(core.SessionHandle(log, (await log.create()).id, clock=lambda: 1))
    shown = [one async for one in Agent(scripted("yes")).stream("Coat?", session=session).lifecycle()]
    ends = [one.message for one in shown if one.type == "message_end"][:2]
    assert [said.content for said in ends if isinstance(said, UserMessage)] == ["And boots?", "Coat?"]


async def test_whoever_reads_a_stream_that_was_read_comes_to_its_end() -> None:
    stream = Agent(scripted("hello")).stream("hi")
    assert [event.type async for event in stream][-1] == "agent_end"
    assert [event async for event in stream] == []
    assert [one async for one in stream.lifecycle()] == []


def test_a_stream_outside_of_an_event_loop_is_told_and_nothing_begins() -> None:
    with pytest.raises(NoEventLoopError, match=r"Agent\.stream needs a running event loop: .*run_sync"):
        Agent(scripted("hello")).stream("hi")
    with pytest.raises(NoEventLoopError, match=r"agent_loop needs a running event loop: .*asyncio\.run"):
        agent_loop("hi", AgentContext(), AgentLoopConfig(model=scripted("hello")))
    gc.collect()  # a coroutine that nobody awaited would warn now


async def test_a_stream_that_is_read_as_something_else_says_how_it_is_read() -> None:
    stream = Agent(scripted("hello")).stream("hi")
    founding = agent_loop("hi", AgentContext(), AgentLoopConfig(model=scripted("hello")))
    how = r"`async for event in stream`.*`run = await stream\.run\(\)`"
    with pytest.raises(TypeError, match=how):
        for _ in stream:
            pass
    with pytest.raises(TypeError, match=how):
        await stream
    with pytest.raises(TypeError, match=how):
        async with stream:
            pass
    with pytest.raises(TypeError, match=how), stream:
        pass
    wrongly: tuple[Callable[[], object], ...] = (lambda: list(founding), founding.__await__)
    for wrong in wrongly:
        with pytest.raises(TypeError, match=r"agent_loop gives a stream.*await stream\.result\(\)"):
            wrong()
    assert (await stream.run()).text == "hello"
    assert len(await founding.result()) == 2


def test_a_stream_that_nobody_read_before_its_loop_ended_is_warned_of() -> None:
    async def main() -> None:
        Agent(scripted([stall()])).stream("hi")
        await asyncio.sleep(0)

    with pytest.warns(RuntimeWarning, match=r"nobody read what Agent\.stream gave.*async for event in stream"):
        asyncio.run(main())
