from __future__ import annotations

import asyncio

import pytest
from hypothesis import given
from msgspec.structs import replace

from eventsource.envelope import Recorded
from eventsource.errors import CompactionError, LeaseHeldError, UnknownSeqError
from eventsource.events import (
    ChildEnd,
    ChildStart,
    Compaction,
    ContextEdit,
    MessageAdopt,
    MessageEnd,
    ModelRequest,
    Origin,
    ToolExecutionStart,
)
from eventsource.log.protocol import EventLog
from eventsource.messages import AssistantMessage, Message, TextContent, ToolCall, ToolResultMessage, Usage, UserMessage
from eventsource.models.scripted import ScriptedModel
from eventsource.models.scripted.script import call, fail, stop
from eventsource.runner.hooks import Hooks
from projections.compaction import choose_cut, context_tokens, cuts, first_kept, nearest_cut
from projections.context import CONTEXT, ContextView, parts
from projections.pairing import HIDDEN_RESULT, ContextMessage
from projections.projection import project
from projections.transcript import text_of
from refold import Agent, CompactionPolicy, Session, Summary, tool
from refold.log import Log
from refold.models import encode_recorded, recorded_ref
from tests.strategies import histories

ASKS = [call("weather", {"city": "Oslo"}), stop("tool_use")]


@tool(effect="pure")
def weather(city: str) -> str:
    """Say what the weather is."""
    return f"{city}: rain"


def agent(*answers: object, compaction: CompactionPolicy | None = None, hooks: Hooks | None = None) -> Agent[None]:
    return Agent(
        ScriptedModel(answers),  # type: ignore[arg-type]  # answers of any form
        tools=[weather],
        compaction=compaction or CompactionPolicy(keep_tokens=0),
        hooks=hooks or Hooks(),
    )


def by(*answers: object, limit_tokens: int = 1, keep_tokens: int = 0) -> CompactionPolicy:
    """A policy whose summaries a script writes."""
    return CompactionPolicy(
        limit_tokens=limit_tokens,
        keep_tokens=keep_tokens,
        model=ScriptedModel(answers),  # type: ignore[arg-type]  # answers of any form
    )


def opened(log: EventLog) -> Log:
    return Log(log, clock=lambda: 7)


async def talked(log: EventLog) -> Session:
    session = await opened(log).session("long")
    await agent(ASKS, "Take a coat.").run("Do I need a coat?", session=session)
    await agent("And boots.").run("Boots?", session=session)
    return session


async def sent(session: Session, at: int | None = None) -> list[str]:
    return [text_of(message) for message in (await session.request(at)).messages]


def summary(text: str) -> str:
    return (
        "The conversation history before this point was compacted into the following summary:\n\n"
        f"<summary>\n{text}\n</summary>"
    )


async def kinds(session: Session) -> list[str]:
    return [str(recorded.event.__struct_config__.tag) for recorded in await session.events()]


async def test_on_demand_a_summary_stands_in_place_of_the_beginning(log: EventLog) -> None:
    session = await talked(log)
    before = await sent(session)
    done = await agent(compaction=by("Oslo, coat.", keep_tokens=6)).compact(session)
    assert done is not None
    assert await sent(session) == [summary("Oslo, coat."), "Boots?", "And boots."]
    assert (await kinds(session))[-3:] == ["child_start", "child_end", "compaction"]
    assert [text_of(entry.message) for entry in await session.history() if entry.message][:4] == before[:4]
    assert done.tokens_before > 0
    assert (await session.replay()).difference is None
    assert (await session.verify()).ok


async def test_the_summary_is_a_model_call_recorded_in_a_child_session(log: EventLog) -> None:
    session = await talked(log)
    done = await agent(compaction=by("Short.")).compact(session)
    assert done is not None
    child = await opened(log).find(done.child)
    [asked, answer] = [text_of(one.message) for one in await child.messages()]
    assert answer == "Short."
    assert '[Assistant calls weather]\n{"city":"Oslo"}\n\n[weather answered]\nOslo: rain' in asked
    assert (await child.replay()).difference is None
    events = [recorded.event for recorded in await session.events()]
    [start] = [event for event in events if isinstance(event, ChildStart)]
    [end] = [event for event in events if isinstance(event, ChildEnd)]
    assert (start.child, start.key, end.is_error) == (done.child, end.key, False)


async def test_above_the_limit_it_comes_before_the_next_model_call(log: EventLog) -> None:
    session = await talked(log)
    run = await agent("Yes.", compaction=by("Wet.")).run("Hat?", session=session)
    assert run.text == "Yes."
    assert await sent(session) == [summary("Wet."), "Hat?", "Yes."]
    asked = [r for r in await session.events() if isinstance(r.event, ModelRequest)]
    assert await sent(session, asked[-1].seq) == [summary("Wet."), "Hat?"]
    assert (await session.replay()).difference is None


async def test_below_the_limit_nothing_happens(log: EventLog) -> None:
    session = await talked(log)
    await agent("Yes.", compaction=by("Wet.", limit_tokens=10_000)).run("Hat?", session=session)
    assert "compaction" not in await kinds(session)


async def test_in_the_middle_of_a_turn_the_call_to_be_answered_keeps_its_result(log: EventLog) -> None:
    session = await opened(log).session("tools")
    await agent(ASKS, ASKS, "Rain.", compaction=by("Asked once.", "Asked twice.")).run("So?", session=session)
    requests = [r.seq for r in await session.events() if isinstance(r.event, ModelRequest)]
    assert await sent(session, requests[1]) == [summary("Asked once."), "", "Oslo: rain"]
    assert await sent(session, requests[2]) == [summary("Asked twice."), "", "Oslo: rain"]
    assert (await session.replay()).difference is None


async def test_a_second_summary_is_written_from_the_first(log: EventLog) -> None:
    session = await talked(log)
    model = ScriptedModel(["One.", "Two."])
    agents = agent(compaction=CompactionPolicy(keep_tokens=0, model=model))
    await agents.compact(session)
    assert await agents.compact(session) is None
    await agent("Yes.").run("Hat?", session=session)
    await agents.compact(session)
    assert await sent(session) == [summary("Two.")]
    [asked] = model.asked[1].request.messages
    assert "[Summary of what came before]\nOne.\n\n[User]\nHat?" in text_of(asked)


async def test_a_fork_from_before_does_not_see_it(log: EventLog) -> None:
    session = await talked(log)
    head = (await session.info()).head
    whole = await sent(session)
    await agent(compaction=by("Short.")).compact(session)
    assert await sent(await session.fork(at=head)) == whole
    assert await sent(await session.fork()) == [summary("Short.")]


@pytest.mark.parametrize("answer", [[fail("overloaded")], [""], []])
async def test_when_the_summary_fails_the_run_goes_on_uncompacted(log: EventLog, answer: list[object]) -> None:
    session = await talked(log)
    before = await sent(session)
    run = await agent("Yes.", ASKS, compaction=by(*[answer] if answer else [])).run("Hat?", session=session)
    assert (run.status, run.text) == ("done", "Yes.")
    assert await sent(session) == [*before, "Hat?", "Yes."]
    ends = [r.event for r in await session.events() if isinstance(r.event, ChildEnd)]
    assert [end.is_error for end in ends] == [True]
    assert (await session.replay()).difference is None


async def test_after_a_failure_a_run_does_not_try_at_every_call(log: EventLog) -> None:
    session = await talked(log)
    await agent(ASKS, ASKS, "Rain.", compaction=by()).run("So?", session=session)
    assert (await kinds(session)).count("child_start") == 1


async def test_on_demand_a_failure_is_said_and_changes_nothing(log: EventLog) -> None:
    session = await talked(log)
    before = await sent(session)
    with pytest.raises(CompactionError, match="overloaded"):
        await agent(compaction=by([fail("overloaded")])).compact(session)
    assert await sent(session) == before


async def test_an_abort_ends_the_summary_too(log: EventLog) -> None:
    session = await talked(log)
    signal = asyncio.Event()
    policy = by([signal.set, "Never ", "finished."])
    run = await agent("Yes.", compaction=policy).run("Hat?", session=session, signal=signal)
    assert run.status == "aborted"
    assert "compaction" not in await kinds(session)
    assert (await session.replay()).difference is None


async def test_a_session_that_somebody_runs_is_left_alone(log: EventLog) -> None:
    session = await talked(log)
    lease = await log.claim(session.id)
    with pytest.raises(LeaseHeldError):
        await agent(compaction=by("Short.")).compact(session)
    await log.release(lease)


async def test_an_unfinished_run_is_not_compacted_on_demand(log: EventLog) -> None:
    session = await talked(log)
    fork = await session.fork(at=next(r.seq for r in await session.events() if isinstance(r.event, ModelRequest)))
    with pytest.raises(CompactionError, match="unfinished"):
        await agent(compaction=by("Short.")).compact(fork)


async def test_a_rule_gives_the_summary_without_a_model(log: EventLog) -> None:
    session = await talked(log)

    def rule(said: object) -> Summary:
        assert isinstance(said, tuple)
        assert all(isinstance(one, ContextMessage) for one in said)
        return Summary(text=f"{len(said)} messages", first_kept_seq=said[-2].seq)

    done = await agent(compaction=CompactionPolicy(rule=rule)).compact(session)
    assert done is not None
    assert await sent(session) == [summary("6 messages"), "Boots?", "And boots."]
    assert done.child == ""
    assert "child_start" not in await kinds(session)


async def test_a_rule_that_cuts_between_a_call_and_its_result_keeps_the_call(log: EventLog) -> None:
    session = await talked(log)
    result = (await session.messages())[2]
    policy = CompactionPolicy(rule=lambda said: Summary(text="Short.", first_kept_seq=result.seq))
    await agent(compaction=policy).compact(session)
    assert await sent(session) == [summary("Short."), "", "Oslo: rain", "Take a coat.", "Boots?", "And boots."]


async def test_a_rule_may_leave_the_context_alone(log: EventLog) -> None:
    session = await talked(log)
    policy = CompactionPolicy(limit_tokens=1, rule=lambda said: None)
    await agent("Yes.", compaction=policy).run("Hat?", session=session)
    assert "compaction" not in await kinds(session)


async def test_a_rule_that_raises_ends_the_run_with_its_words(log: EventLog) -> None:
    session = await talked(log)

    def rule(said: object) -> Summary:
        raise ValueError("no idea")

    run = await agent("Yes.", compaction=CompactionPolicy(limit_tokens=1, rule=rule)).run("Hat?", session=session)
    assert (run.status, run.error) == ("error", "no idea")


async def test_hooks_are_shown_the_compacted_context(log: EventLog) -> None:
    session = await talked(log)
    shown: list[int] = []

    def look(said: list[Message]) -> list[Message]:
        shown.append(len(said))
        return said

    hooks = Hooks(transform_context=look)
    await agent("Yes.", compaction=by("Wet."), hooks=hooks).run("Hat?", session=session)
    assert shown == [2]
    assert (await session.replay()).difference is None


async def test_a_hidden_message_is_gone_from_the_request_only(log: EventLog) -> None:
    session = await talked(log)
    await session.hide((await session.messages())[1])
    assert await sent(session) == ["Do I need a coat?", "Take a coat.", "Boots?", "And boots."]
    assert len([entry for entry in await session.history() if entry.message]) == 6
    assert isinstance((await session.events())[-1].event, ContextEdit)


async def test_a_replaced_message_keeps_its_role_its_calls_and_its_place(log: EventLog) -> None:
    session = await talked(log)
    said = await session.messages()
    for message, new in zip(said[:3], ["Coat?", "I look.", "Bergen: sun"], strict=True):
        await session.replace(message, new)
    await session.replace(said[3], AssistantMessage(content=(TextContent(text="No coat."),)))
    request = await session.request()
    assert await sent(session) == ["Coat?", "I look.", "Bergen: sun", "No coat.", "Boots?", "And boots."]
    asked, result = request.messages[1:3]
    assert isinstance(asked, AssistantMessage)
    assert [one.name for one in asked.tool_calls] == ["weather"]
    assert isinstance(result, ToolResultMessage)


VENDORS = (
    "anthropic:claude-sonnet-4-5",
    "openai:gpt-5",
    "google:gemini-2.5-pro",
    "mistral:mistral-large-latest",
    "openrouter:openai/gpt-4.1",
)


@pytest.mark.parametrize("vendor", VENDORS)
async def test_every_provider_is_told_that_a_hidden_result_is_hidden(log: EventLog, vendor: str) -> None:
    session = await talked(log)
    await session.hide((await session.messages())[2])
    request = replace(await session.request(), model=recorded_ref(vendor))
    body = encode_recorded(request)
    assert body is not None
    assert HIDDEN_RESULT.encode() in body.body
    assert b"Oslo: rain" not in body.body
    assert b"answered in the history" not in body.body
    assert b"No result was recorded" not in body.body


@pytest.mark.parametrize("copied", [False, True])
async def test_a_hook_that_chooses_messages_is_shown_that_a_result_is_hidden(log: EventLog, copied: bool) -> None:
    session = await talked(log)
    await session.hide((await session.messages())[2])

    def choose(messages: list[Message]) -> list[Message]:
        return [replace(message) for message in messages] if copied else messages

    await agent("Yes.", compaction=by("Wet.", limit_tokens=10**6), hooks=Hooks(transform_context=choose)).run(
        "Hat?", session=session
    )
    asked = [one.seq for one in await session.events() if isinstance(one.event, ModelRequest)][-1]
    results = [one for one in (await session.request(asked)).messages if isinstance(one, ToolResultMessage)]
    assert [text_of(one) for one in results] == [HIDDEN_RESULT]
    assert (await session.replay()).difference is None


async def test_what_stands_in_place_of_a_result_stays_the_result_of_its_call(log: EventLog) -> None:
    session = await talked(log)
    result = (await session.messages())[2]
    other = ToolResultMessage(tool_call_id="another", tool_name="other", content=(TextContent(text="dry"),))
    await session.replace(result, other)
    [sent_now] = [one for one in (await session.request()).messages if isinstance(one, ToolResultMessage)]
    assert isinstance(result.message, ToolResultMessage)
    assert (sent_now.tool_call_id, text_of(sent_now)) == (result.message.tool_call_id, "dry")
    await session.replace(result, UserMessage(content="It was dry."))
    messages = (await session.request()).messages
    assert [text_of(one) for one in messages[2:4]] == [HIDDEN_RESULT, "It was dry."]


async def test_only_what_stands_in_the_context_is_hidden(log: EventLog) -> None:
    session = await talked(log)
    with pytest.raises(UnknownSeqError, match="in the context"):
        await session.hide(1)


async def test_calls_under_way_are_those_that_were_made_whatever_the_model_sees_of_them(log: EventLog) -> None:
    session = await talked(log)
    began = next(r.seq for r in await session.events() if isinstance(r.event, ToolExecutionStart))
    for edit in ("hide", "replace", "compact"):
        fork = await session.fork(at=began - 1)
        asking = (await fork.messages())[-1]
        if edit == "hide":
            await fork.hide(asking)
        elif edit == "replace":
            other = ToolCall(id="x", name="weather", arguments='{"city":"Rome"}')
            await fork.replace(asking, AssistantMessage(content=(other,), stop_reason="tool_use"))
        else:
            await fork.append([Compaction(summary="Short.")])
        assert (await agent("Fine.").resume(fork)).text == "Fine."
        results = [entry.message for entry in await fork.history() if isinstance(entry.message, ToolResultMessage)]
        assert [text_of(result) for result in results] == ["Oslo: rain"]
        assert (await fork.replay()).difference is None


def adopted(*messages: object) -> ContextView:
    origin = Origin(source="test")
    events = [MessageAdopt(message=message, origin=origin) for message in messages]  # type: ignore[arg-type]  # any
    return project(CONTEXT, [Recorded(seq, 0, event) for seq, event in enumerate(events, 1)])


ASKED = AssistantMessage(content=(ToolCall(id="a", name="f"), ToolCall(id="b", name="f")), stop_reason="tool_use")
ANSWERS = [ToolResultMessage(tool_call_id=name, tool_name="f") for name in "ab"]
USER, SAID = UserMessage(content="x" * 40), AssistantMessage(content=(TextContent(text="y" * 40),))


@pytest.mark.parametrize(
    ("messages", "places"),
    [
        ((), ()),
        ((USER,), ()),
        ((USER, SAID), (1, 2)),
        ((USER, SAID, USER), (1, 2)),
        ((USER, ASKED, *ANSWERS), (1,)),
        ((USER, ASKED, *ANSWERS, SAID), (1, 4, 5)),
        ((USER, ASKED, ANSWERS[0], USER, ANSWERS[1], SAID), (1, 5, 6)),
        ((USER, ASKED, *ANSWERS, ASKED, *ANSWERS, USER), (1, 4)),
    ],
)
def test_a_context_may_be_cut_where_a_turn_begins(messages: tuple[object, ...], places: tuple[int, ...]) -> None:
    assert cuts(adopted(*messages)) == places


def test_as_much_of_the_end_is_kept_as_fits() -> None:
    view = adopted(USER, SAID, USER, SAID)  # ten tokens each
    assert [choose_cut(view, keep) for keep in (0, 9, 10, 25, 30, 99)] == [4, 4, 3, 2, 1, 1]


def test_the_last_answers_usage_says_how_large_a_context_is() -> None:
    answer = AssistantMessage(usage=Usage(input_tokens=100, cache_read_tokens=20, output_tokens=3))
    view = project(CONTEXT, [Recorded(1, 0, MessageEnd(message=answer))])
    assert context_tokens(view) == 123
    more = CONTEXT.step(view, Recorded(2, 0, MessageAdopt(message=USER, origin=Origin(source="test"))))
    assert context_tokens(more) == 133
    assert context_tokens(adopted(answer, USER)) == 10  # what another session used says nothing here
    cut = CONTEXT.step(more, Recorded(3, 0, Compaction(summary="z" * 40, first_kept_seq=2)))
    assert 20 <= context_tokens(cut) < 60


@pytest.mark.slow
@given(histories())
def test_wherever_a_context_is_cut_every_call_kept_keeps_its_result(history: tuple[Recorded, ...]) -> None:
    view = project(CONTEXT, history)
    whole = parts(view)
    for place in cuts(view):
        event = Compaction(summary="s", first_kept_seq=first_kept(view, place))
        after = CONTEXT.step(view, Recorded(len(history) + 1, 0, event))
        kept = parts(after)
        assert [part.message for part in kept[1:]] == [part.message for part in whole[place:]]
        assert text_of(kept[0].message) == summary("s")
        assert nearest_cut(view, first_kept(view, place)) == place


def test_what_a_context_does_not_hold_cannot_be_kept() -> None:
    with pytest.raises(ValueError, match="holds no message 9"):
        nearest_cut(adopted(USER, SAID), 9)
