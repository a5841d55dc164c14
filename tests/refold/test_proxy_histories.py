"""Whatever a client sends, every session stays sound, and says exactly what the client sent."""

from __future__ import annotations

import asyncio
from typing import Any

from hypothesis import HealthCheck, given, settings, strategies as st

from eventsource.codec import to_json
from eventsource.events import ModelRequest
from eventsource.messages import AssistantMessage, Message, TextContent, ToolCall, ToolResultMessage, UserMessage
from eventsource.models.redact import Secrets
from refold import open_log
from refold.http.matching import chain, common, told_messages
from refold.http.recording import Call, Recording
from refold.http.wire import JsonObject, as_json
from refold.http.wires import WIRES

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


async def exchange(recording: Recording, talk: list[JsonObject], answer: JsonObject, how: str) -> None:
    """Let one exchange pass by."""

    def read() -> Call:
        asked = WIRE.read("/v1/chat/completions", {"model": "m", "messages": talk}, "openai")
        return Call(asked=asked, ref=asked.request.model, body_sha256="0" * 64, secrets=Secrets())

    tape = recording.tape(read, "POST")
    tape.begin(429 if how == "refused" else 200, "")
    choice = {"index": 0, "delta": answer, "finish_reason": None if how in ("cut", "left") else "stop"}
    chunk = {"id": "x", "model": "m", "choices": [choice]}
    tape.piece(f"data: {as_json(chunk)}\n\n".encode())
    await asyncio.sleep(0)
    tape.end("the connection broke" if how == "cut" else "", aborted=how == "left")
    await recording.close()


def heard(talk: list[JsonObject]) -> list[bytes]:
    messages = WIRE.read("/", {"messages": talk}, "openai").request.messages
    return chain(told_messages(messages))


@settings(suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(st.tuples(MOVES, ANSWERS), min_size=1, max_size=7))
async def test_every_request_is_on_record_as_it_was_sent(
    turns: list[tuple[tuple[str, Any], tuple[str, int, str]]],
) -> None:
    lost: list[str] = []
    sent: list[list[bytes]] = []
    talk: list[JsonObject] = [{"role": "user", "content": "begin"}]
    async with open_log() as log:
        recording = Recording(log, lose=lost.append)
        for turn, (move, (text, calls, how)) in enumerate(turns):
            talk = moved(talk, move, turn)
            answer = spoken(text, calls, turn)
            sent.append(heard(talk))
            await exchange(recording, talk, answer, how)
            talk = [*talk, answer] if how == "good" else talk
        assert lost == []
        recorded: list[list[bytes]] = []
        for session in await log.sessions():
            assert (await session.verify()).ok
            assert (await session.replay()).difference is None
            first = (await session.info()).fork_seq
            asked = [one.seq for one in await session.events(after=first) if isinstance(one.event, ModelRequest)]
            recorded += [chain(told_messages((await session.request(at=seq)).messages)) for seq in asked]
        assert sorted(recorded) == sorted(sent)


def test_results_are_put_in_the_order_of_their_calls() -> None:
    calls = AssistantMessage(content=(ToolCall(id="1", name="t"), ToolCall(id="2", name="t")))
    one, two = (ToolResultMessage(tool_call_id=n, tool_name="") for n in "12")
    assert told_messages([calls, two, one]) == [calls, one, two]
    assert told_messages([calls, one, UserMessage(content="x"), two]) == [calls, one, UserMessage(content="x"), two]


def test_what_clients_change_on_the_way_does_not_matter_and_what_is_said_does() -> None:
    def link(*blocks: TextContent | ToolCall) -> list[bytes]:
        messages: list[Message] = [AssistantMessage(content=blocks)]
        return chain(messages)

    said = TextContent(text="Well.")
    assert link(said) == link(TextContent(text="Well. ", signature="id"))
    assert link(ToolCall(id="1", name="t", arguments='{"a": 1}')) == link(
        ToolCall(id="2", name="t", arguments='{"a":1}')
    )
    assert link(said) != link(TextContent(text="Well!"))
    assert chain([UserMessage(content="a")]) == chain([UserMessage(content=(TextContent(text="a"),))])
    noted = TextContent(text="a", raw=to_json({"part": 1}))
    assert chain([UserMessage(content="a")]) != chain([UserMessage(content=(noted,))])


def test_two_conversations_share_their_beginning() -> None:
    assert common([b"a", b"b"], [b"a", b"b", b"c"]) == 2
    assert common([b"a", b"x", b"c"], [b"a", b"b", b"c"]) == 1
    assert common([], [b"a"]) == 0
