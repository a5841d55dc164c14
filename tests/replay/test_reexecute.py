"""Today's agent against a recording: what matches is answered from it, the first thing that does not is named."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

import pytest

from eventsource.envelope import Recorded
from eventsource.errors import TranscriptError
from eventsource.events import AbortRequest, MessageEnd, ToolExecutionEnd
from eventsource.messages import Message, UserMessage
from eventsource.models.scripted import scripted
from eventsource.models.scripted.script import Answer, call, fail, retry, stall
from eventsource.runner.hooks import Hooks, ToolOutcomeShown, ToolRequest, ToolRevision, ToolVerdict, TurnEnded
from refold import Agent, CompactionPolicy, Policies, Summary, ToolContext, open_log, tool, tool_result
from refold.log import Log
from refold.reexecution import Reexecution
from refold.session import Session
from replay.replay import replay

RAN: list[str] = []


@pytest.fixture(autouse=True)
def _nothing_ran() -> None:
    RAN.clear()


@tool(effect="pure")
def weather(city: str) -> str:
    """Current weather in a city."""
    RAN.append(f"weather {city}")
    return f"{city}: rain"


@tool
def send(text: str) -> str:
    """Send a message."""
    RAN.append(f"send {text}")
    return "sent"


OSLO = call("weather", {"city": "Oslo"})
SENT = call("send", {"text": "Take a coat"})
ANSWERS: tuple[Answer, ...] = (["Let me look. ", OSLO], [SENT], ["It rains. ", "Take a coat."])


def agent(*answers: Answer, hooks: Hooks | None = None, policies: Policies | None = None) -> Agent[None]:
    return Agent(
        scripted(*(answers or ANSWERS)),
        system="Be brief.",
        tools=[weather, send],
        hooks=hooks or Hooks(),
        policies=policies or Policies(),
    )


async def record(made: Agent[None], *prompts: str, log: Log) -> Session:
    session = await log.session()
    for prompt in prompts or ("Do I need a coat?",):
        await made.run(prompt, session=session)
    RAN.clear()
    return session


def facts(history: Sequence[Recorded]) -> list[object]:
    return [recorded.event for recorded in history]


async def events(session: Session) -> tuple[Recorded, ...]:
    return await session.events()


silent: Answer = [fail("a live call was made")]


async def test_an_unchanged_agent_does_the_same_without_model_and_tools() -> None:
    async with open_log() as log:
        session = await record(agent(), log=log)
        again = await agent(silent).reexecute(session)
        assert again.ok
        assert (again.requests, again.calls, again.run.text) == (3, 2, "It rains. Take a coat.")
        assert facts(again.history) == facts(await events(session))
        assert RAN == []
        assert str(again) == "3 model calls and 2 tool calls are as recorded"


async def test_a_recording_of_several_runs_is_run_to_its_end() -> None:
    async with open_log() as log:
        made = agent("One.", "Two.", "Three.")
        session = await record(made, "1?", "2?", "3?", log=log)
        again = await agent(silent).reexecute(session)
        assert again.ok
        assert (again.requests, again.run.text) == (3, "Three.")
        assert facts(again.history) == facts(await events(session))


async def test_another_system_prompt_is_named_line_by_line() -> None:
    async with open_log() as log:
        session = await record(agent(), log=log)
        again = await agent(silent).replace(system="Be brief.\nNo advice.").reexecute(session)
        mismatch = again.mismatch
        assert mismatch is not None
        asked = next(r.seq for r in await events(session) if r.event.__struct_config__.tag == "model_request")
        assert (mismatch.kind, mismatch.seq) == ("request", asked)
        assert mismatch.problem == f"model call 1 asks something else than the recording at seq {asked}"
        assert mismatch.lines == ("system prompt:", " Be brief.", "+No advice.")
        assert (again.requests, again.run.status, RAN) == (0, "error", [])


@tool(name="weather", effect="pure")
def other_weather(city: str, day: str = "today") -> str:
    """Weather in a city on a day."""
    return f"{city}, {day}: rain"


@pytest.mark.parametrize(
    ("changed", "shown"),
    [
        (lambda a: a.replace(tools=[other_weather, send]), "+Weather in a city on a day."),
        (lambda a: a.replace(tools=[weather]), "tool send is gone:"),
        (lambda a: a.replace(tools=[send, weather]), "order of the tools:"),
        (lambda a: a.replace(options={"temperature": 0}), '+ "temperature": 0'),
        (lambda a: a.replace(hooks=Hooks(transform_context=lambda ms: [*ms, UserMessage(content="Hurry")])), "Hurry"),
    ],
)
async def test_each_part_of_a_request_that_changed_is_named(
    changed: Callable[[Agent[None]], Agent[None]], shown: str
) -> None:
    async with open_log() as log:
        session = await record(agent(), log=log)
        again = await changed(agent(silent)).reexecute(session)
        assert shown in str(again.mismatch)


async def test_after_a_mismatch_live_goes_on_with_model_and_tools_of_today() -> None:
    async with open_log() as log:
        session = await record(agent(), "Do I need a coat?", log=log)
        live = agent([call("weather", {"city": "Bergen"})], "No rain.").replace(system="Facts only.")
        again = await live.reexecute(session, mode="live")
        assert again.mismatch is not None
        assert again.run.text == "No rain."
        assert RAN == ["weather Bergen"]


async def test_live_goes_on_with_the_prompts_that_are_left() -> None:
    async with open_log() as log:
        session = await record(agent("One.", "Two."), "1?", "2?", log=log)
        again = await agent("Uno.", "Due.").replace(system="Italian.").reexecute(session, mode="live", log=log)
        said = [part.message for part in await again.run.session.messages()]
        assert [m.content for m in said if isinstance(m, UserMessage)] == ["1?", "2?"]
        assert again.run.text == "Due."
        assert replay(again.history).difference is None


async def test_tools_live_runs_the_pure_ones_and_compares_them() -> None:
    async with open_log() as log:
        session = await record(agent(), log=log)
        again = await agent(silent).reexecute(session, tools="live")
        assert (again.ok, RAN) == (True, ["weather Oslo"])

        @tool(name="weather", effect="pure")
        def snow(city: str) -> str:
            """Current weather in a city."""
            return f"{city}: snow"

        again = await agent(silent).replace(tools=[snow, send]).reexecute(session, tools="live")
        ended = next(r.seq for r in await events(session) if isinstance(r.event, ToolExecutionEnd))
        assert again.mismatch is not None
        assert (again.mismatch.kind, again.mismatch.seq) == ("result", ended)
        assert again.mismatch.lines == ("-Oslo: rain", "+Oslo: snow")
        assert (await agent(silent).replace(tools=[snow, send]).reexecute(session)).ok


async def test_arguments_that_a_hook_changes_are_compared() -> None:
    def elsewhere(asked: ToolRequest) -> ToolVerdict | None:
        return ToolVerdict(arguments='{"city": "Bergen"}') if asked.call.name == "weather" else None

    async with open_log() as log:
        session = await record(agent(), log=log)
        again = await agent(silent, hooks=Hooks(before_tool_call=elsewhere)).reexecute(session)
        assert again.mismatch is not None
        assert again.mismatch.kind == "call"
        assert '- "city": "Oslo"' in again.mismatch.lines
        assert '+ "city": "Bergen"' in again.mismatch.lines
        changed = await record(agent(hooks=Hooks(before_tool_call=elsewhere)), log=log)
        assert (await agent(silent, hooks=Hooks(before_tool_call=elsewhere)).reexecute(changed)).ok


async def test_a_call_that_is_blocked_today_shows_in_the_next_request() -> None:
    hooks = Hooks(before_tool_call=lambda asked: ToolVerdict(block=asked.call.name == "send", reason="not today"))
    async with open_log() as log:
        session = await record(agent(), log=log)
        again = await agent(silent, hooks=hooks).reexecute(session)
        assert again.mismatch is not None
        assert "-tool_result: sent" in again.mismatch.lines
        assert "+tool_result: not today" in again.mismatch.lines


async def test_results_that_a_hook_changed_are_not_changed_twice() -> None:
    def louder(shown: ToolOutcomeShown) -> ToolRevision:
        text = "".join(getattr(block, "text", "") for block in shown.result.content)
        return ToolRevision(result=tool_result(text + "!"))

    async with open_log() as log:
        session = await record(agent(hooks=Hooks(after_tool_call=louder)), log=log)
        again = await agent(silent, hooks=Hooks(after_tool_call=louder)).reexecute(session)
        assert facts(again.history) == facts(await events(session))
        assert (await agent(silent, hooks=Hooks(after_tool_call=louder)).reexecute(session, tools="live")).ok


async def test_a_run_that_stops_too_early_misses_a_model_call() -> None:
    async with open_log() as log:
        session = await record(agent(), log=log)

        def stop(ended: TurnEnded) -> bool:
            return True

        again = await agent(silent, hooks=Hooks(should_stop_after_turn=stop)).reexecute(session)
        assert again.mismatch is not None
        assert (again.mismatch.kind, again.requests) == ("missing", 1)


async def test_a_run_that_goes_on_too_long_asks_for_what_is_not_there() -> None:
    def stop(ended: TurnEnded) -> bool:
        return True

    async with open_log() as log:
        session = await record(agent(hooks=Hooks(should_stop_after_turn=stop)), log=log)
        again = await agent(silent).reexecute(session)
        assert again.mismatch is not None
        assert again.mismatch.problem == "model call 2 is not in the recording, which has no more of them"


async def test_steering_and_follow_ups_come_where_they_came_whoever_said_them() -> None:
    said = {"steering": [["Also Bergen?"]], "follow_up": [["And Rome?"], ["And Paris?"]]}

    def poll(queue: str) -> Callable[[], list[Message]]:
        return lambda: [UserMessage(content=text) for text in (said[queue].pop(0) if said[queue] else [])]

    hooks = Hooks(get_steering_messages=poll("steering"), get_follow_up_messages=poll("follow_up"))
    async with open_log() as log:
        session = await record(agent(*ANSWERS, "Rome.", "Paris.", hooks=hooks), log=log)
        assert said == {"steering": [], "follow_up": []}
        again = await agent(silent).reexecute(session)
        assert again.ok
        assert again.requests == 5
        assert facts(again.history) == facts(await events(session))


async def test_what_a_person_said_while_a_tool_ran_comes_while_it_runs() -> None:
    async with open_log() as log:
        session = await log.session()

        @tool(name="weather", effect="pure")
        async def asked(city: str, context: ToolContext) -> str:
            """Current weather in a city."""
            context.update("looking")
            await session.steer("In one word, please.")
            return f"{city}: rain"

        made = agent(["", OSLO], "Rain.").replace(tools=[asked, send])
        await made.run("Do I need a coat?", session=session)
        again = await agent(silent).reexecute(session)
        assert again.ok
        assert [type(event) for event in facts(again.history)] == [
            type(event) for event in facts(await events(session))
        ]


async def test_a_run_that_was_aborted_is_aborted_again() -> None:
    async with open_log() as log:
        session = await log.session()
        run = asyncio.create_task(agent(["It ", "rains", stall()]).run("Coat?", session=session))
        while not any(getattr(r.event, "delta", "") == "rains" for r in await events(session)):
            await asyncio.sleep(0)
        await session.abort()
        await run
        again = await agent(silent).reexecute(session)
        assert again.ok
        assert again.run.status == "aborted"
        assert any(isinstance(event, AbortRequest) for event in facts(again.history))
        ends = [e for e in facts(again.history) if isinstance(e, MessageEnd) and e.message]
        assert ends == [e for e in facts(await events(session)) if isinstance(e, MessageEnd) and e.message]


async def test_failures_and_retries_are_recorded_answers_too() -> None:
    async with open_log() as log:
        made = agent([retry("overloaded")], [fail("broken")], "Yes.", policies=Policies(retries=1))
        session = await record(made, log=log)
        again = await agent(silent, policies=Policies(retries=1)).reexecute(session)
        assert facts(again.history) == facts(await events(session))
        assert again.ok


@pytest.mark.parametrize("updates", [True, False])
async def test_the_same_question_asked_twice_gets_its_answers_in_order(updates: bool) -> None:
    async with open_log() as log:
        made = agent(["", OSLO, OSLO], "Rain.")
        session = await record(made, log=log)
        if not updates:
            await log.store.drop_updates(session.id)
        again = await agent(silent).reexecute(session)
        assert (again.ok, again.calls) == (True, 2)


async def cut(log: Log, session: Session, seq: int) -> Session:
    made = await log.session()
    await log.store.append(made.id, [(r.at_us, r.event) for r in (await events(session))[:seq]])
    return made


async def test_a_recording_that_was_killed_and_continued_anywhere_is_one_run() -> None:
    async with open_log() as log:
        session = await record(agent(), log=log)
        for seq in range(2, (await session.info()).head):
            killed = await cut(log, session, seq)
            at = sum(isinstance(r.event, MessageEnd) and bool(r.event.message) for r in await events(killed))
            await agent(*ANSWERS[at:]).resume(killed)
            again: Reexecution[None] = await agent(silent).reexecute(killed)
            assert (seq, str(again.mismatch)) == (seq, "None")
            assert replay(again.history).difference is None


async def test_a_recording_that_ends_in_the_middle_is_run_up_to_there() -> None:
    async with open_log() as log:
        session = await record(agent(), log=log)
        for seq in range(3, (await session.info()).head):
            again = await agent(silent).reexecute(await cut(log, session, seq))
            assert again.ok
            assert replay(again.history).difference is None


async def test_a_fork_is_a_recording_with_what_it_inherits() -> None:
    async with open_log() as log:
        session = await record(agent(), log=log)
        for at in range(1, (await session.info()).head):
            fork = await session.fork(at=at)
            await agent("Only this.").run("Instead?", session=fork, tools="recorded")
            assert (await agent(silent).reexecute(fork)).ok


@pytest.mark.parametrize("approve", [True, False])
async def test_what_a_person_decided_is_decided_again(approve: bool) -> None:
    @tool(approval="always")
    async def sign(text: str) -> str:
        """Sign something."""
        RAN.append("sign")
        return "signed"

    async with open_log() as log:
        session = await log.session()
        made = agent(["", call("sign", {"text": "x"}), OSLO], "Done.").replace(tools=[weather, sign])
        run = await made.run("Sign it.", session=session)
        await session.decide(run.waits[0].key, approve=approve, reason="as you like")
        await made.resume(session)
        RAN.clear()
        again = await agent(silent).replace(tools=[weather, sign]).reexecute(session)
        assert str(again.mismatch) == "None"
        assert (again.run.text, RAN) == ("Done.", [])
        undecided = [r for r in await events(session) if r.event.__struct_config__.tag != "wait_end"]
        lacking = await agent(silent).replace(tools=[weather, sign]).reexecute(undecided)
        assert lacking.mismatch is not None
        assert lacking.mismatch.problem == "today's code waits for what nobody decided then"


async def test_a_compaction_by_rule_comes_where_it_came() -> None:
    async with open_log() as log:
        made = agent("One.", "Two.", "Three.", "Four.").replace(
            compaction=CompactionPolicy(keep_tokens=1, rule=lambda messages: Summary(text="They counted."))
        )
        session = await record(made, "1?", "2?", log=log)
        assert await made.compact(session) is not None
        await made.run("3?", session=session)
        again = await agent(silent).reexecute(session)
        assert str(again.mismatch) == "None"
        assert again.requests == 3


async def test_a_recording_without_a_run_is_refused() -> None:
    async with open_log() as log:
        with pytest.raises(TranscriptError, match="holds no run"):
            await agent().reexecute(await log.session())
