from __future__ import annotations

import json
from collections.abc import AsyncIterator, Sequence

import pytest
from hypothesis import given, strategies as st

from eventsource.errors import UnknownSeqError
from eventsource.events import ModelRef, ModelRequest, Policies
from eventsource.log import MemoryLog
from eventsource.log.protocol import EventLog
from eventsource.messages import Message, UserMessage
from eventsource.models.protocol import CallOptions, StreamEvent, WireBody
from eventsource.models.scripted import ScriptedModel
from eventsource.models.scripted.script import Answer, call, fail, stop
from eventsource.request import Request, request_sha256
from eventsource.runner.hooks import Hooks, NextTurn, TurnEnded
from projections.pairing import ContextMessage
from refold import Agent, CompactionPolicy, Session, open_log, tool
from refold.log import Log
from refold.models import encode_recorded
from replay.request_parts import RequestPart

ASKS: Answer = [call("weather", {"city": "Oslo"}), stop("tool_use")]


@tool(effect="pure")
def weather(city: str) -> str:
    """Say what the weather is."""
    return f"{city}: rain"


def agent(*answers: Answer, system: str = "Be brief.", hooks: Hooks | None = None) -> Agent[None]:
    return Agent(ScriptedModel(answers), system=system, tools=[weather], hooks=hooks or Hooks())


def shortened(text: str) -> CompactionPolicy:
    return CompactionPolicy(model=ScriptedModel([text]), keep_tokens=0)


async def requests(session: Session) -> list[int]:
    return [recorded.seq for recorded in await session.events() if isinstance(recorded.event, ModelRequest)]


def told(parts: Sequence[RequestPart]) -> list[tuple[str, str]]:
    return [(part.source, part.text) for part in parts if part.what == "message"]


async def eventful(log: EventLog) -> Session:
    """A session with tools, steering, a hook, two compactions, edits, adopted messages and changes of the agent."""
    opened = Log(log, clock=lambda: 7)
    session, other = await opened.session("main"), await opened.session("other")
    await agent(ASKS, "Take a coat.").run("Do I need a coat?", session=session)
    await agent("Indeed.").run("Aside.", session=other)
    await session.adopt(await other.messages(), from_=other)
    hooks = Hooks(
        transform_context=lambda said: [*said[2:], UserMessage(content="Mind the hook.")],
        prepare_next_turn=lambda ended: NextTurn(system_prompt="Next turn."),
    )
    await agent(ASKS, "Rain.", hooks=hooks).run("And now?", session=session)
    await session.hide((await session.messages())[0])
    await session.replace((await session.messages())[2], "Wear a coat.")
    await agent("Fine.", system="Be nice.").run("Well?", session=session)
    await Agent(ScriptedModel([]), compaction=shortened("All of it.")).compact(session)
    await agent([fail("overloaded")], system="Be nice.").run("Still there?", session=session)
    await agent("Yes.", system="Be nice.").resume(session)
    return session


async def test_every_request_ever_sent_is_built_again_digest_for_digest(log: EventLog) -> None:
    session = await eventful(log)
    seqs = await requests(session)
    assert len(seqs) == 7
    for seq in seqs:
        found = await session.why(seq)
        assert (found.request_seq, found.digest) == (seq, "equal")
        assert found.request == await session.request(seq)
        assert len(told(found.parts)) == len(found.request.messages)


async def test_each_part_names_the_event_that_put_it_there(log: EventLog) -> None:
    session = await eventful(log)
    events = {recorded.seq: recorded.event for recorded in await session.events()}
    kinds = {
        "config": "config_change",
        "prompt": "queue_push",
        "answer": "message_end",
        "result": "tool_execution_end",
        "adopted": "message_adopt",
        "compaction": "compaction",
        "edit": "context_edit",
        "hook": "model_request",
    }
    seen: set[str] = set()
    for seq in await requests(session):
        for part in (await session.why(seq)).parts:
            if part.seq:
                assert events[part.seq].__struct_config__.tag == kinds[part.source]
                seen.add(part.source)
    assert seen == set(kinds)


async def test_what_a_hook_put_in_or_left_out_is_said(log: EventLog) -> None:
    session = await eventful(log)
    found = await session.why((await requests(session))[2])
    assert told(found.parts)[-1] == ("hook", "Mind the hook.")
    assert [part.text for part in found.left_out] == [
        "Do I need a coat?",
        'calls weather({"city":"Oslo"})',
        "Oslo: rain",
    ]
    assert "left out by a hook" in found.pretty()


async def test_what_changed_since_the_request_before_is_said_with_its_reason(log: EventLog) -> None:
    session = await eventful(log)
    seqs = await requests(session)
    found = await session.why(seqs[1])
    assert found.before_seq == seqs[0]
    assert [(change.kind, change.part.source) for change in found.changes] == [("added", "answer"), ("added", "result")]
    prompts = [c for c in (await session.why(seqs[3])).changes if c.part.what == "system_prompt"]
    assert [(c.kind, c.part.text, c.before and c.before.text) for c in prompts] == [
        ("changed", "Next turn.", "Be brief.")
    ]
    gone = {change.part.source for change in (await session.why(seqs[5])).changes if change.kind == "removed"}
    assert gone == {"compaction"}
    left = {change.part.source for change in (await session.why(seqs[2])).changes if change.kind == "removed"}
    assert left == {"hook"}


async def test_a_request_that_was_tried_again_is_the_same(log: EventLog) -> None:
    session = await eventful(log)
    found = await session.why((await requests(session))[-1])
    assert found.changes == ()
    assert "the same as the request at seq" in found.pretty()


async def test_an_answer_is_explained_by_the_request_that_led_to_it(log: EventLog) -> None:
    session = await eventful(log)
    asked, _, *_ = await requests(session)
    answer = (await session.messages(at=20))[1]
    assert (await session.why(answer.seq)).request_seq == asked
    assert (await session.why(answer.seq + 1)).request_seq == asked
    assert (await session.why(1)).request_seq == 0
    assert "it is what the model would get next" in (await session.why(1)).pretty()


async def test_it_says_in_words_where_the_run_stood(log: EventLog) -> None:
    session = await Log(log, clock=lambda: 7).session()
    asks: Answer = [call("weather", {"city": "Oslo"}), call("weather", {"city": "Rome"}), stop("tool_use")]
    await agent(asks, "Rain.").run("So?", session=session)
    said = [(await session.why(seq)).standing for seq in range(1, (await session.info()).head + 1)]
    assert "nothing has run here yet" in said[0]
    assert said[-1] == "idle: the last run ended with stop"
    for words in (
        "a run has begun, its first turn is about to begin; 1 message queued",
        "turn 1: the model was asked (attempt 1), nothing came yet",
        "turn 1: 2 tool calls: 2 running",
        "turn 1: 2 tool calls: 1 ended, 1 running",
        "turn 2: everything is answered, the turn is about to end",
    ):
        assert words in said


async def test_a_seq_that_is_not_there_is_refused(log: EventLog) -> None:
    session = await eventful(log)
    for seq in (0, (await session.info()).head + 1):
        with pytest.raises(UnknownSeqError):
            await session.why(seq)


async def test_after_its_content_was_erased_a_request_is_not_checkable(log: EventLog) -> None:
    session = await Log(log, clock=lambda: 7).session()
    await agent("Hello.").run("My number is 1234.", session=session)
    asked = (await requests(session))[0]
    await log.erase(session.id, (await session.why(asked)).parts[4].seq, at_us=8)
    found = await session.why(asked)
    assert found.digest == "unchecked"
    assert "content was erased" in found.pretty()


async def test_what_a_parent_erased_later_is_no_difference_in_its_forks(log: EventLog) -> None:
    session = await Log(log, clock=lambda: 7).session()
    await agent("Hello.", "Yes.").run("My number is 1234.", session=session)
    asked = (await requests(session))[0]
    fork = await session.fork(title="before it was erased")
    other = await session.fork(at=1, title="without it")
    await agent("Hello.").run("Mine is [erased].", session=other)
    await log.erase(session.id, (await session.why(asked)).parts[4].seq, at_us=8)
    assert (await fork.why(asked)).digest == "unchecked"
    assert (await fork.replay()).difference is None
    assert (await fork.replay()).unchecked == 1
    assert (await other.why((await requests(other))[0])).digest == "equal"
    assert (await other.replay()).unchecked == 0


class Wired:
    """A scripted model with the wire of a real one."""

    def __init__(self, ref: ModelRef, *answers: Answer) -> None:
        self.ref, self._script = ref, ScriptedModel(answers)

    def encode(self, request: Request) -> WireBody | None:
        return encode_recorded(request)

    def stream(self, request: Request, options: CallOptions) -> AsyncIterator[StreamEvent]:
        return self._script.stream(request, options)


REFS = (
    ModelRef(api="anthropic-messages", provider="anthropic", model="claude-sonnet-4-5"),
    ModelRef(api="openai-responses", provider="openai", model="gpt-5"),
    ModelRef(api="google-generative-ai", provider="google", model="gemini-2.5-pro"),
)


@pytest.mark.parametrize("ref", REFS)
async def test_the_wire_body_is_built_again_byte_for_byte(log: EventLog, ref: ModelRef) -> None:
    session = await Log(log, clock=lambda: 7).session()
    wired: Agent[None] = Agent(
        Wired(ref, ASKS, "Rain."), system="Be brief.", tools=[weather], options={"max_tokens": 100}
    )
    await wired.run("Do I need a coat?", session=session)
    for seq in await requests(session):
        found = await session.why(seq)
        assert (found.digest, found.body) == ("equal", "equal")
        assert "body     the recorded one" in found.pretty()


async def test_it_is_a_value_that_can_be_written_as_json(log: EventLog) -> None:
    session = await eventful(log)
    found = await session.why((await requests(session))[4])
    data = json.loads(found.json())
    assert data["request_seq"] == found.request_seq
    assert "\x1b" not in found.pretty()


STEPS = ("run", "tools", "hide", "replace", "compact")


def turns(ended: TurnEnded) -> NextTurn:
    return NextTurn(system_prompt=f"Turn {len(ended.messages)}")


def choosy(keep: int) -> Hooks:
    def some(said: list[Message]) -> list[Message]:
        return said[-keep:] if keep else said

    return Hooks(transform_context=some, prepare_next_turn=turns if keep % 2 else None)


@pytest.mark.slow
@given(
    st.lists(st.tuples(st.integers(0, 4), st.sampled_from(["run", "tools", "hide", "replace", "compact"])), max_size=8)
)
async def test_whatever_was_done_every_digest_comes_out_again(steps: list[tuple[int, str]]) -> None:
    numbers = iter(range(1000))
    log = MemoryLog(clock=lambda: 0, new_id=lambda: f"s{next(numbers)}")
    session = await Log(log, clock=lambda: 0).session()
    for keep, step in steps:
        said = await session.messages()
        if step in ("run", "tools") or not said:
            answers: list[Answer] = [ASKS, "Yes."] if step == "tools" else ["Yes."]
            policies = Policies(tools="sequential" if keep % 2 else "parallel")
            await agent(*answers, hooks=choosy(keep)).replace(policies=policies).run(str(keep), session=session)
        elif step == "hide":
            await session.hide(said[keep % len(said)])
        elif step == "replace":
            await session.replace(said[keep % len(said)], "Otherwise.")
        else:
            await Agent(ScriptedModel([]), compaction=shortened("Short.")).compact(session)
    for seq in await requests(session):
        found = await session.why(seq)
        assert found.digest == "equal"
        assert request_sha256(await session.request(seq)) == found.recorded_sha256
        assert found.pretty()


async def test_a_limit_tells_of_the_last_messages_and_checks_the_digest_of_all() -> None:
    async with open_log() as log:
        session = await log.session()
        for number in range(6):
            await agent(f"Answer {number}.").run(f"Question {number}", session=session)
        seq = (await requests(session))[-1]
        whole, page = await session.why(seq), await session.why(seq, limit=3)
    assert (whole.earlier, page.earlier) == (0, 8)
    assert [part for part in page.parts if part.what == "message"] == [
        part for part in whole.parts if part.what == "message"
    ][-3:]
    assert page.request.messages == whole.request.messages[-3:]
    assert (page.digest, page.request_sha256) == ("equal", whole.request_sha256)
    assert page.changes == whole.changes
    assert "… 8 earlier messages (--limit 0 shows all)" in page.pretty()
    assert (page.more_changes, len(whole.changes)) == (0, 2)


async def test_a_limit_bounds_the_changes_too() -> None:
    async with open_log() as log:
        session = await log.session()
        await agent("Yes.").run("Hello", session=session)
        await session.adopt(await many(log, 20), from_=await log.session("many"))
        await agent("No.").run("And now?", session=session)
        seq = (await requests(session))[-1]
        whole, page = await session.why(seq), await session.why(seq, limit=3)
    assert page.changes == whole.changes[:3]
    assert page.more_changes == len(whole.changes) - 3 > 10
    assert f"… {page.more_changes} more changes (--limit 0 shows all)" in page.pretty()


async def test_a_page_of_long_messages_is_small() -> None:
    async with open_log() as log:
        session, other = await log.session(), await log.session()
        for _ in range(10):
            await agent("no " * 3_000).run("long? " * 1_000, session=other)
        await agent("Yes.").run("Hello", session=session)
        await session.adopt(await other.messages(), from_=other)
        await agent("No.").run("And now?", session=session)
        seq = (await requests(session))[-1]
        whole, page = await session.why(seq), await session.why(seq, limit=50)
    assert len(page.json()) <= 64_000 < len(whole.json())
    shown = [part for part in page.parts if part.what == "message"]
    assert shown == [part for part in whole.parts if part.what == "message"][page.earlier :]
    assert len(page.request.messages) == len(shown) > 1
    assert len(page.changes) + page.more_changes == len(whole.changes)
    assert (page.digest, page.changes) == ("equal", whole.changes[: len(page.changes)])


async def many(log: Log, number: int) -> Sequence[ContextMessage]:
    session = await log.session("many")
    for one in range(number):
        await agent(f"Answer {one}.").run(f"Question {one}", session=session)
    return await session.messages()


async def test_an_answer_that_was_adopted_has_the_request_that_had_been_said_by_then() -> None:
    async with open_log() as log:
        session = await log.session()
        seqs = await session.adopt(await many(log, 3), from_=await log.session("many"))
        answers = [one.seq for one in await session.messages() if one.message.role == "assistant"]
        found = await session.why(answers[1])
        assert (found.request_seq, found.before_seq, found.adopted) == (answers[1], answers[0], True)
        assert (found.digest, found.recorded_sha256) == ("unchecked", "")
        assert [part.seq for part in found.parts if part.what == "message"] == [one for one in seqs if one < answers[1]]
        assert [(change.kind, change.part.role) for change in found.changes] == [
            ("added", "assistant"),
            ("added", "user"),
        ]
        assert f"of the answer adopted at seq {answers[1]}" in found.pretty()
        asked = next(one for one in seqs if one > answers[1])
        assert (await session.why(asked)).request_seq == 0  # nothing answers it yet
        await agent("No.").run("And now?", session=session)
        [request] = await requests(session)
        found = await session.why(request)
        assert (found.request_seq, found.before_seq, found.adopted) == (request, answers[-1], False)
