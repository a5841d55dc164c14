"""Agents: each verb once, on sessions that any process may share."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from pydantic import BaseModel

from eventsource.errors import ContinueRefusedError, LeaseHeldError, MissingToolError, OutputError
from eventsource.events import AbortRequest, AgentEnd, MessageEnd, Resume, ToolExecutionEnd
from eventsource.log.sqlite.store import SqliteLog
from eventsource.machine.state import Phase
from eventsource.messages import AssistantMessage, TextContent, ToolResultMessage, UserMessage
from eventsource.models.scripted import ScriptedModel, scripted
from eventsource.models.scripted.script import call, fail, stall
from refold import (
    Agent,
    AgentContext,
    AgentLoopConfig,
    Hooks,
    Log,
    Policies,
    Session,
    ToolContext,
    agent_loop,
    open_log,
    tool,
)


@tool(effect="pure")
def weather(city: str) -> str:
    """Current weather in a city."""
    return f"12 C in {city}"


@pytest.fixture
async def log(tmp_path: Path) -> AsyncIterator[Log]:
    async with open_log(tmp_path / "runs.db") as opened:
        yield opened


async def events_of(session: Session) -> list[object]:
    return [recorded.event for recorded in await session.events()]


async def test_a_run_answers_and_leaves_a_log_that_replays(log: Log) -> None:
    session = await log.session("oslo")
    agent = Agent(scripted([call("weather", {"city": "Oslo"})], "A coat."), tools=[weather], system="Be brief.")
    run = await agent.run("Coat?", session=session)
    assert (run.text, run.status, run.error) == ("A coat.", "done", "")
    assert run.head == (await session.info()).head
    assert [type(m).__name__ for m in run.messages] == [
        "UserMessage", "AssistantMessage", "ToolResultMessage", "AssistantMessage",
    ]  # fmt: skip
    assert (await session.replay()).difference is None
    assert (await session.verify()).ok


async def test_an_exchange_with_a_tool_takes_four_durable_commits(tmp_path: Path) -> None:
    agent = Agent(scripted([call("weather", {"city": "Oslo"})], "Rain."), tools=[weather])
    async with open_log(tmp_path / "log.db") as log:
        session, store = await log.session("oslo"), log.store
        assert isinstance(store, SqliteLog)
        before = store.counts.full
        run = await agent.run("Do I need a coat?", session=session)
        assert store.counts.full - before == 4
        assert run.status == "done"


async def test_without_a_session_a_run_lives_in_memory() -> None:
    assert (await Agent(scripted("hi")).run("hello")).text == "hi"


def test_a_run_can_be_made_from_code_that_is_not_async(tmp_path: Path) -> None:
    run = Agent(scripted("hi")).run_sync("hello", session="s", log=tmp_path / "runs.db")
    assert run.text == "hi"
    again = Agent(scripted("again")).run_sync("more", session="s", log=tmp_path / "runs.db")
    assert len(again.messages) == 4


async def test_the_stream_shows_each_event_and_gives_the_run(log: Log) -> None:
    stream = Agent(scripted(["a", "b"])).stream("go", session=await log.session())
    kinds = [event.type async for event in stream]
    assert kinds[0] == "agent_start"
    assert kinds[-1] == "agent_end"
    assert kinds.count("message_update") == 4
    assert (await stream.run()).text == "ab"


async def test_leaving_the_stream_does_not_stop_the_run(log: Log) -> None:
    stream = Agent(scripted(["a", "b"])).stream("go", session=await log.session())
    async for _ in stream:
        break
    assert (await stream.run()).status == "done"


async def test_only_what_differs_of_the_configuration_is_written(log: Log) -> None:
    session = await log.session()
    agent = Agent(scripted("one", "two", "three"), system="a")
    await agent.run("1", session=session)
    await agent.run("2", session=session)
    await agent.replace(system="b").run("3", session=session)
    changes = [event for event in await events_of(session) if type(event).__name__ == "ConfigChange"]
    assert len(changes) == 2
    assert (changes[1].model, changes[1].system_prompt) == (None, "b")  # type: ignore[attr-defined]  # a ConfigChange


async def test_a_repeated_key_says_nothing_new(log: Log) -> None:
    session, agent = await log.session(), Agent(scripted("one", "two"))
    await agent.run("hello", session=session, key="k1")
    again = await agent.run("hello", session=session, key="k1")
    assert again.text == "one"
    assert len(await session.messages()) == 2


async def test_a_failed_answer_is_tried_again_by_resume_and_stays_out_of_the_context(log: Log) -> None:
    session = await log.session()
    agent = Agent(scripted(["half", fail("overloaded")], "whole"))
    failed = await agent.run("go", session=session)
    assert (failed.status, failed.error) == ("error", "overloaded")
    assert (await agent.resume(session)).text == "whole"
    request = await session.request()
    assert [message.content[0].text for message in request.messages[1:]] == ["whole"]  # type: ignore[union-attr]  # texts
    assert (await session.replay()).difference is None


async def test_resume_of_a_finished_session_writes_nothing(log: Log) -> None:
    session, agent = await log.session(), Agent(scripted("one"))
    run = await agent.run("go", session=session)
    again = await agent.resume(session)
    assert (again.head, again.text, again.status) == (run.head, "one", "done")


async def test_a_second_runner_is_told_who_holds_the_session(log: Log) -> None:
    session = await log.session()
    first = asyncio.create_task(Agent(scripted([stall()])).run("go", session=session))
    while (await session.state()).phase is not Phase.REQUESTED:
        await asyncio.sleep(0.01)
    with pytest.raises(LeaseHeldError, match=session.id):
        await Agent(scripted("x")).run("me too", session=session)
    await session.abort()
    assert (await first).status == "aborted"


async def test_an_abort_from_elsewhere_ends_a_stalled_answer(log: Log) -> None:
    session = await log.session("s")
    running = asyncio.create_task(Agent(scripted(["so far ", stall()])).run("go", session=session))
    while (await session.info()).head < 10:
        await asyncio.sleep(0.01)
    await (await log.session("s")).abort()
    run = await running
    assert (run.status, run.text) == ("aborted", "so far ")
    assert (await session.replay()).difference is None


async def test_cancelling_whoever_awaits_a_run_aborts_it_and_gives_every_call_its_result(log: Log) -> None:
    session, started = await log.session(), asyncio.Event()

    @tool
    async def slow() -> str:
        """Take for ever."""
        started.set()
        await asyncio.Event().wait()
        return "never"

    running = asyncio.create_task(Agent(scripted([call("slow")]), tools=[slow]).run("go", session=session))
    await started.wait()
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    events = await events_of(session)
    assert any(isinstance(event, ToolExecutionEnd) and event.is_error for event in events)
    assert isinstance(events[-1], AgentEnd)
    assert events[-1].reason == "aborted"
    assert (await session.replay()).difference is None
    assert (await session.info()).owner == ""


async def test_a_run_whose_time_is_over_ends_with_status_limit(log: Log) -> None:
    run = await Agent(scripted([stall()])).run("go", session=await log.session(), timeout_ms=1)
    assert run.status == "limit"


async def test_a_turn_limit_ends_the_run(log: Log) -> None:
    model = ScriptedModel(lambda request: [call("weather", {"city": "Oslo"})])
    agent = Agent(model, tools=[weather], policies=Policies(turn_limit=3))
    run = await agent.run("loop", session=await log.session())
    assert (run.status, len(run.answers)) == ("limit", 3)


async def test_a_run_ends_after_fifty_turns_and_says_so_unless_there_is_to_be_no_limit(log: Log) -> None:
    model = ScriptedModel(
        lambda request: [call("weather", {"city": "Oslo"})] if len(request.messages) < 121 else "Enough."
    )
    session = await log.session()
    run = await Agent(model, tools=[weather]).run("loop", session=session)
    assert (run.status, len(run.answers), run.error) == ("limit", 50, "the turn limit of 50 was reached")
    assert (await session.replay()).difference is None
    endless = Agent(model, tools=[weather], policies=Policies(turn_limit=0))
    assert (await endless.run("loop", session=await log.session())).status == "done"


async def test_steering_reaches_a_run_before_its_next_model_call(log: Log) -> None:
    session = await log.session()

    @tool(effect="pure")
    async def say() -> str:
        """Steer the run that called."""
        await session.steer("and be quick")
        return "ok"

    run = await Agent(scripted([call("say")], "quick"), tools=[say]).run("go", session=session)
    texts = [m.content for m in run.messages if isinstance(m, UserMessage)]
    assert texts == ["go", "and be quick"]
    assert (await session.replay()).difference is None


async def test_follow_ups_are_delivered_when_the_run_would_end(log: Log) -> None:
    session = await log.session()
    await session.follow_up("more")
    run = await Agent(scripted("one", "two")).run("go", session=session)
    assert [m.content for m in run.messages if isinstance(m, UserMessage)] == ["go", "more"]
    assert run.text == "two"


@dataclass
class Home:
    city: str


async def test_tools_get_their_dependencies_and_an_idempotency_key(log: Log) -> None:
    seen: list[str] = []

    @tool(effect="idempotent")
    def where(context: ToolContext[Home]) -> str:
        """Say where we are."""
        seen.append(context.call.idempotency_key)
        return context.deps.city

    session = await log.session()
    agent = Agent(scripted([call("where")], "there"), tools=[where], deps_type=Home)
    run = await agent.run("go", session=session, deps=Home("Oslo"))
    results = [m for m in run.messages if isinstance(m, ToolResultMessage)]
    assert results[0].content == (TextContent(text="Oslo"),)
    assert seen[0].startswith(session.id)
    with pytest.raises(TypeError, match="Home"):
        await agent.run("go", session=session, deps="Oslo")


class Answer(BaseModel):
    city: str
    coat: bool


async def test_a_typed_answer_is_read_and_a_wrong_one_named(log: Log) -> None:
    good = await Agent(scripted('```json\n{"city": "Oslo", "coat": true}\n```'), output=Answer).run("go")
    assert good.output == Answer(city="Oslo", coat=True)
    bad = await Agent(scripted(*3 * ['{"city": "Oslo"}']), output=Answer).run("go")
    with pytest.raises(OutputError, match="coat"):
        _ = bad.output
    with pytest.raises(OutputError, match="no output type"):
        _ = (await Agent(scripted("x")).run("go")).output


async def test_a_call_that_must_run_and_has_no_tool_here_is_an_error_that_appends_nothing(log: Log) -> None:
    session = await log.session()
    agent = Agent(scripted([call("weather", {"city": "Oslo"})], "A coat.", by="request"), tools=[weather])
    await agent.run("Coat?", session=session)
    ends = [r.seq for r in await session.events() if isinstance(r.event, MessageEnd) and r.event.message]
    fork = await session.fork(at=ends[0])
    head = (await fork.info()).head
    with pytest.raises(MissingToolError, match=r"--agent module:name.*--mcp"):
        await Agent(scripted("x")).resume(fork)
    written = [r.event for r in await fork.events(after=head)]
    assert all(type(event).__name__ in ("Resume", "ConfigChange") for event in written)
    assert (await agent.resume(fork)).text == "A coat."


async def test_a_crashed_run_is_listed_and_goes_on(log: Log) -> None:
    session = await log.session("crashed")
    agent = Agent(scripted([call("weather", {"city": "Oslo"})], "A coat.", by="request"), tools=[weather])
    await agent.run("Coat?", session=session)
    for recorded in await session.events():
        fork = await session.fork(at=recorded.seq)
        if not (await fork.info()).open:
            continue
        assert fork.id in {s.id for s in await log.sessions(open=True)}
        assert (await agent.resume(fork)).status == "done"
        assert (await fork.replay()).difference is None
        assert any(isinstance(event, Resume) for event in await events_of(fork))
    assert await log.sessions(open=True) == ()


async def test_known_secrets_stay_out_of_results_and_errors(log: Log) -> None:
    session = await log.session()

    @tool
    def leak() -> str:
        """Say too much."""
        return "the key is sk-very-secret-1234"

    @tool
    def burst() -> str:
        """Fail with too much."""
        raise RuntimeError("denied for sk-very-secret-1234")

    model = scripted([call("leak"), call("burst")], [fail("no access with sk-very-secret-1234")])
    await Agent(model, tools=[leak, burst], api_key="sk-very-secret-1234").run("go", session=session)
    assert "sk-very-secret" not in "".join(map(repr, await events_of(session)))


async def test_a_hook_that_raises_ends_the_run_with_its_words(log: Log) -> None:
    def broken(messages: list[object]) -> list[object]:
        raise RuntimeError("hook broke")

    session = await log.session()
    run = await Agent(scripted("x"), hooks=Hooks(transform_context=broken)).run("go", session=session)  # type: ignore[arg-type]  # of any messages
    assert (run.status, run.error) == ("error", "hook broke")
    assert any(isinstance(event, AbortRequest) for event in await events_of(session))
    assert (await session.replay()).difference is None


async def test_a_loop_goes_on_with_a_session_that_is_there_and_adds_only_what_it_does_not_have(log: Log) -> None:
    model = scripted("one", "two", "three", "four")
    config = AgentLoopConfig(model=model, log=log, session="s")
    said = await agent_loop("a", AgentContext(), config).result()
    await agent_loop("b", AgentContext(messages=said), config).result()  # the caller keeps the history
    await agent_loop("c", AgentContext(), config).result()  # or lets the log do it
    session = await log.session("s")
    assert [one.message.text for one in await session.messages() if isinstance(one.message, AssistantMessage)] == [
        "one", "two", "three",
    ]  # fmt: skip
    assert len(model.asked[2].request.messages) == 5
    assert (await session.replay()).difference is None
    with pytest.raises(ContinueRefusedError, match="other messages than its session has"):
        await agent_loop("d", AgentContext(messages=[UserMessage(content="x")]), config).result()
    by_store = AgentLoopConfig(model=scripted("1", "2"), log=log.store, session="exact")
    await agent_loop("a", AgentContext(), by_store).result()
    await agent_loop("b", AgentContext(), by_store).result()
    assert len(await (await log.find("exact")).messages()) == 4


async def test_two_loops_of_one_session_exclude_each_other(log: Log) -> None:
    config = AgentLoopConfig(model=scripted([stall()]), log=log, session="s")
    stop = asyncio.Event()
    first = agent_loop("a", AgentContext(), config, stop)
    async for shown in first:
        if shown.type == "turn_start":
            with pytest.raises(LeaseHeldError):
                await agent_loop("b", AgentContext(), config).result()
            stop.set()
    assert (await (await log.session("s")).info()).status == "idle"
