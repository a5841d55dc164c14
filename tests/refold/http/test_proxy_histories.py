"""Whatever a client sends, every session stays sound, and says exactly what the client sent."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings, strategies as st

from eventsource.codec import to_json
from eventsource.events import ModelRequest, Policies
from eventsource.messages import AssistantMessage, Message, TextContent, ToolCall, ToolResultMessage, UserMessage
from eventsource.models.scripted import scripted
from eventsource.models.scripted.script import Answer, call
from eventsource.models.secrets import Secrets
from refold import Agent, Log, Session, open_log, tool
from refold.http.proxy.prefix_match import in_call_order, prefix_digests, shared_prefix
from refold.http.proxy.recorder import Call, ProxyRecorder
from refold.http.wires.protocol import JsonObject, as_json
from refold.http.wires.routes import WIRES
from refold.tasks import TaskContext, task

WIRE = WIRES["openai-completions"]
WORDS = st.sampled_from(["a", "b"])
# What a client does next: say something, answer the calls (all, some, none), ask the same again, go back and say
# something else, change what the model said, or bring along what nobody has heard of.
MOVES = st.one_of(
    st.tuples(st.just("say"), WORDS),
    st.tuples(st.just("answer"), st.integers(0, 2)),
    st.tuples(st.just("again"), st.just(0)),
    st.tuples(st.just("back"), st.integers(0, 6)),
    st.tuples(st.just("reword"), WORDS),
    st.tuples(st.just("bring"), st.integers(0, 1)),
)
ANSWERS = st.tuples(WORDS, st.integers(0, 2), st.sampled_from(["good", "good", "cut", "refused", "left"]))
Turn = tuple[tuple[str, Any], tuple[str, int, str]]


def spoken(text: str, calls: int, turn: int) -> JsonObject:
    told: JsonObject = {"role": "assistant", "content": text}
    if calls:
        told["tool_calls"] = [
            {"id": f"c{turn}_{n}", "type": "function", "function": {"name": "t", "arguments": f'{{"n": {n}}}'}}
            for n in range(calls)
        ]
    return told


def moved(talk: list[JsonObject], move: tuple[str, Any], turn: int) -> list[JsonObject]:
    match move:
        case ("say", text):
            return [*talk, {"role": "user", "content": text}]
        case ("answer", number):
            calls: Any = talk[-1].get("tool_calls", []) if talk else []
            return [*talk, *({"role": "tool", "tool_call_id": c["id"], "content": "r"} for c in calls[: number + 1])]
        case ("back", place):
            return [*talk[:place], {"role": "user", "content": f"other {turn % 2}"}]
        case ("reword", text):
            place = next((n for n, one in enumerate(talk) if one["role"] == "assistant"), None)
            return talk if place is None else [*talk[:place], spoken(f"no, {text}", 0, turn), *talk[place + 1 :]]
        case ("bring", number):
            return [*talk, spoken("from elsewhere", number, turn), {"role": "user", "content": "go on"}]
        case _:
            return talk


async def exchange(recorder: ProxyRecorder, talk: list[JsonObject], answer: JsonObject, how: str) -> None:
    """Let one exchange pass by."""

    def read() -> Call:
        asked = WIRE.read("/v1/chat/completions", {"model": "m", "messages": talk}, "openai")
        return Call(asked=asked, ref=asked.request.model, body_sha256="0" * 64, secrets=Secrets())

    buffer = recorder.begin(read, "POST")
    buffer.begin(429 if how == "refused" else 200, "")
    choice = {"index": 0, "delta": answer, "finish_reason": None if how in ("cut", "left") else "stop"}
    chunk = {"id": "x", "model": "m", "choices": [choice]}
    buffer.piece(f"data: {as_json(chunk)}\n\n".encode())
    await asyncio.sleep(0)
    buffer.end("the connection broke" if how == "cut" else "", aborted=how == "left")
    await recorder.close()


def heard(talk: list[JsonObject]) -> list[bytes]:
    messages = WIRE.read("/", {"messages": talk}, "openai").request.messages
    return prefix_digests(in_call_order(messages))


@settings(suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(st.tuples(MOVES, ANSWERS), min_size=1, max_size=7))
async def test_every_request_is_on_record_as_it_was_sent(
    turns: list[tuple[tuple[str, Any], tuple[str, int, str]]],
) -> None:
    lost: list[str] = []
    sent: list[list[bytes]] = []
    talk: list[JsonObject] = [{"role": "user", "content": "begin"}]
    async with open_log() as log:
        recorder = ProxyRecorder(log, lose=lost.append)
        for turn, (move, (text, calls, how)) in enumerate(turns):
            talk = moved(talk, move, turn)
            answer = spoken(text, calls, turn)
            sent.append(heard(talk))
            await exchange(recorder, talk, answer, how)
            talk = [*talk, answer] if how == "good" else talk
        assert lost == []
        recorded: list[list[bytes]] = []
        for session in await log.sessions():
            assert (await session.verify()).ok
            assert (await session.replay()).difference is None
            first = (await session.info()).fork_seq
            asked = [one.seq for one in await session.events(after=first) if isinstance(one.event, ModelRequest)]
            recorded += [prefix_digests(in_call_order((await session.request(at=seq)).messages)) for seq in asked]
        assert sorted(recorded) == sorted(sent)


@tool
async def look() -> str:
    """Look."""
    return "seen"


SCRIPTS: dict[str, tuple[Answer, ...]] = {
    "words": ("A", "B"),
    "calls": ([call("look"), call("look")], [call("look")], "C", "D"),
}
EXTRAS: dict[str, list[JsonObject]] = {
    "nothing": [],
    "word": [{"role": "user", "content": "say"}],
    "history": [{"role": "assistant", "content": "other"}, {"role": "user", "content": "x"}],
}


def told(message: Message) -> JsonObject:
    match message:
        case AssistantMessage():
            calls = [
                {"id": one.id, "type": "function", "function": {"name": one.name, "arguments": one.arguments}}
                for one in message.tool_calls
            ]
            said: JsonObject = {"role": "assistant", "content": message.text}
            return {**said, "tool_calls": calls} if calls else said
        case ToolResultMessage(content=[TextContent(text=text)]):
            return {"role": "tool", "tool_call_id": message.tool_call_id, "content": text}
        case UserMessage(content=str() as text):
            return {"role": "user", "content": text}
        case _:
            raise AssertionError(message)


async def converse(log: Log, how: str, agent: Agent[Any]) -> Session:
    """Let an agent answer twice: by itself, or in a task that then waits, or whose next attempt is to come."""
    if how == "agent":
        session = await log.session()
        for prompt in ("begin", "more"):
            await agent.run(prompt, session=session)
        return session

    @task(id="talk", retries=1, backoff="1h")
    async def talk(ctx: TaskContext, payload: None) -> None:
        for prompt in ("begin", "more"):
            await ctx.turn(agent, prompt)
        if how == "failed":
            raise ValueError("not yet")
        await ctx.wait(await ctx.create_token(key="k"))

    session = (await talk.run(log)).session
    await session.send("for the task alone")
    return session


@pytest.mark.parametrize("extra", EXTRAS.values(), ids=EXTRAS.keys())
@pytest.mark.parametrize("script", SCRIPTS.values(), ids=SCRIPTS.keys())
@pytest.mark.parametrize("how", ["agent", "waits", "failed"])
async def test_talk_that_begins_like_an_agents_session_is_on_record_and_leaves_its_task_alone(
    how: str, script: tuple[Answer, ...], extra: list[JsonObject]
) -> None:
    lost: list[str] = []
    sent: list[list[bytes]] = []
    async with open_log() as log:
        session = await converse(log, how, Agent[Any](scripted(*script), tools=[look], policies=Policies(turn_limit=9)))
        talk = [told(entry.message) for entry in await session.messages()]
        before = await session.info()
        for cut in range(1, len(talk) + 1):
            sent.append(heard([*talk[:cut], *extra]))
            await exchange(ProxyRecorder(log, lose=lost.append), [*talk[:cut], *extra], spoken("ok", 0, cut), "good")
        assert lost == []
        recorded: list[list[bytes]] = []
        for other in await log.sessions():
            assert (await other.verify()).ok
            assert (await other.replay()).difference is None
            info = await other.info()
            first = before.head if other.id == session.id else info.fork_seq
            asked = [one.seq for one in await other.events(after=first) if isinstance(one.event, ModelRequest)]
            recorded += [prefix_digests(in_call_order((await other.request(at=seq)).messages)) for seq in asked]
            assert (info.due_at_us is None) or other.id == session.id
            assert other.id == session.id or not (await other.state()).task
        assert sorted(recorded) == sorted(sent)
        assert how == "agent" or (await session.info()).head == before.head


def test_results_are_put_in_the_order_of_their_calls() -> None:
    calls = AssistantMessage(content=(ToolCall(id="1", name="t"), ToolCall(id="2", name="t")))
    one, two = (ToolResultMessage(tool_call_id=n, tool_name="") for n in "12")
    assert in_call_order([calls, two, one]) == [calls, one, two]
    assert in_call_order([calls, one, UserMessage(content="x"), two]) == [calls, one, UserMessage(content="x"), two]


def test_what_clients_change_on_the_way_does_not_matter_and_what_is_said_does() -> None:
    def link(*blocks: TextContent | ToolCall) -> list[bytes]:
        messages: list[Message] = [AssistantMessage(content=blocks)]
        return prefix_digests(messages)

    said = TextContent(text="Well.")
    assert link(said) == link(TextContent(text="Well. ", signature="id"))
    assert link(ToolCall(id="1", name="t", arguments='{"a": 1}')) == link(
        ToolCall(id="2", name="t", arguments='{"a":1}')
    )
    assert link(said) != link(TextContent(text="Well!"))
    assert prefix_digests([UserMessage(content="a")]) == prefix_digests([UserMessage(content=(TextContent(text="a"),))])
    noted = TextContent(text="a", raw=to_json({"part": 1}))
    assert prefix_digests([UserMessage(content="a")]) != prefix_digests([UserMessage(content=(noted,))])


def test_two_conversations_share_their_beginning() -> None:
    assert shared_prefix([b"a", b"b"], [b"a", b"b", b"c"]) == 2
    assert shared_prefix([b"a", b"x", b"c"], [b"a", b"b", b"c"]) == 1
    assert shared_prefix([], [b"a"]) == 0
