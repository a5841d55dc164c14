"""Whatever a server sends, both readers keep the contract of a stream, and what they read can be sent again."""

from __future__ import annotations

import json
from collections.abc import Sequence

import pytest
from hypothesis import given, strategies as st

from eventsource.assemble import Assembler, content_differs
from eventsource.events import MessageUpdate, ModelRef
from eventsource.messages import AssistantMessage
from eventsource.models.openai.chat import OpenAICompletions
from eventsource.models.openai.responses import OpenAIResponses
from eventsource.models.protocol import StreamEnd, StreamEvent, StreamStart, StreamUsage
from eventsource.models.transport.sse import ServerEvent
from eventsource.models.wire import Codec
from eventsource.request import Request

LEAVES = (
    st.none()
    | st.booleans()
    | st.integers(-2, 3)
    | st.floats(allow_nan=False)
    | st.sampled_from(["", "a", "{}", "\ud83d", "\ude00"])
)
CHAT = [
    "choices",
    "delta",
    "message",
    "index",
    "content",
    "reasoning",
    "reasoning_content",
    "reasoning_details",
    "refusal",
]
CHAT += [
    "tool_calls",
    "function",
    "custom",
    "name",
    "arguments",
    "input",
    "id",
    "finish_reason",
    "usage",
    "x_groq",
    "error",
]
CHAT += ["type", "text", "thinking", "model", "prompt_tokens_details", "object", "logprobs", "data", "signature"]
ITEM = [
    "response",
    "item",
    "output",
    "output_index",
    "item_id",
    "content_index",
    "summary_index",
    "delta",
    "content",
    "type",
]
ITEM += [
    "text",
    "refusal",
    "arguments",
    "input",
    "summary",
    "id",
    "call_id",
    "name",
    "usage",
    "status",
    "error",
    "tools",
]
ITEM += ["incomplete_details", "reason", "annotation", "encrypted_content", "choices", "object", "model", "phase"]
KINDS = ["response.created", "response.output_item.added", "response.output_item.done", "response.output_text.delta"]
KINDS += ["response.refusal.delta", "response.reasoning_text.delta", "response.reasoning_summary_text.delta", "error"]
KINDS += ["response.function_call_arguments.delta", "response.custom_tool_call_input.delta", "response.completed"]
KINDS += ["response.incomplete", "response.failed", "response.output_text.annotation.added"]
TYPES = ["message", "reasoning", "function_call", "custom_tool_call", "web_search_call", "output_text", "summary_text"]


def values(names: list[str]) -> st.SearchStrategy[object]:
    typed = st.fixed_dictionaries({"type": st.sampled_from(TYPES)}, optional={"id": st.just("i"), "name": st.just("f")})
    return st.recursive(
        LEAVES | typed,
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(names), inner, max_size=5),
        max_leaves=12,
    )


def chat_chunks() -> st.SearchStrategy[object]:
    piece = st.dictionaries(st.sampled_from(CHAT), values(CHAT), max_size=4)
    call = st.fixed_dictionaries({"index": LEAVES, "id": LEAVES, "function": piece | values(CHAT)})
    delta = st.fixed_dictionaries({}, optional={name: values(CHAT) for name in CHAT} | {"tool_calls": st.lists(call)})
    choice = st.fixed_dictionaries({"index": st.just(0), "delta": delta}, optional={"finish_reason": LEAVES})
    return st.fixed_dictionaries({"choices": st.lists(choice, max_size=2)}, optional={"usage": values(CHAT)}) | values(
        CHAT
    )


def item_events() -> st.SearchStrategy[object]:
    item = st.fixed_dictionaries(
        {"type": st.sampled_from(TYPES)}, optional={name: values(ITEM) for name in ITEM[8:] if name != "type"}
    )
    fields: dict[str, st.SearchStrategy[object]] = {name: values(ITEM) for name in ITEM if name != "type"}
    fields |= {"item": item, "output_index": st.integers(0, 2), "content_index": st.integers(0, 1)}
    return st.fixed_dictionaries({"type": st.sampled_from(KINDS)}, optional=fields)


def check(codec: Codec, events: Sequence[object]) -> None:
    request = Request(model=ModelRef(api=codec.name, provider="openai", model="m"))
    reader = codec.reader(request)
    said: list[StreamEvent] = []
    for event in events:
        said += reader.feed(ServerEvent(data=json.dumps(event)))
    said += reader.finish("cut")
    *before, last = [event for event in said if not isinstance(event, StreamUsage)]
    assert isinstance(last, StreamEnd)
    assert not any(isinstance(event, StreamEnd) for event in before)
    assert not any(isinstance(event, StreamStart) for event in before[1:])
    assembler = Assembler()
    for event in before:
        if isinstance(event, MessageUpdate):
            assembler.add(event)
    assert content_differs(assembler.content(), last.message.content) == ""
    again = Request(model=request.model, messages=(AssistantMessage(content=last.message.content),))
    assert isinstance(json.loads(codec.encode(again)), dict)


@pytest.mark.slow
@given(st.lists(chat_chunks(), max_size=6))
def test_any_chunks_make_one_message(events: list[object]) -> None:
    check(OpenAICompletions(), events)


@pytest.mark.slow
@given(st.lists(item_events(), max_size=8))
def test_any_items_make_one_message(events: list[object]) -> None:
    check(OpenAIResponses(), events)


def chat(*deltas: dict[str, object], finish: str = "stop", **more: object) -> AssistantMessage:
    """Read an answer of Chat Completions that comes in these pieces."""
    choices: list[dict[str, object]] = [{"index": 0, "delta": delta} for delta in deltas]
    choices.append({"index": 0, "delta": {}, "finish_reason": finish, **more})
    reader = OpenAICompletions().reader(Request(model=ModelRef(api="openai-completions", provider="mine", model="m")))
    events = [one for choice in choices for one in reader.feed(ServerEvent(data=json.dumps({"choices": [choice]})))]
    (end,) = [one for one in (*events, *reader.finish()) if isinstance(one, StreamEnd)]
    return end.message


def test_two_calls_of_one_chunk_are_two_though_nothing_tells_them_apart() -> None:
    call = {"function": {"name": "f", "arguments": ""}}
    assert [one.name for one in chat({"tool_calls": [call, call]}).tool_calls] == ["f", "f"]


def test_a_call_outside_a_list_and_an_id_that_is_a_number_are_read() -> None:
    message = chat({"tool_calls": {"index": 0, "id": 5, "function": {"name": "f", "arguments": {"x": 1}}}})
    assert [(one.id, one.name, one.arguments) for one in message.tool_calls] == [("5", "f", '{"x":1}')]


def test_a_content_that_is_one_part_and_a_text_of_the_choice_are_read() -> None:
    assert chat({"content": {"type": "text", "text": "hi"}}).text == "hi"
    assert chat(text="hi").text == "hi"


def test_an_error_within_a_choice_is_told_with_its_words() -> None:
    message = chat({"content": "hi"}, finish="error", error={"message": "upstream broke", "code": 502})
    assert (message.stop_reason, message.error) == ("error", "502: upstream broke")
