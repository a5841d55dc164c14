from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import pytest

from eventsource.assemble import Assembler, content_differs
from eventsource.codec import from_json
from eventsource.events import MessageUpdate
from eventsource.messages import AssistantMessage, TextContent, ThinkingContent, ToolCall
from eventsource.models.openai.chat_reader import ChunkReader
from eventsource.models.protocol import StreamEnd, StreamEvent
from eventsource.models.transport.sse import ServerEvent

DONE = ServerEvent(data="[DONE]")


def chunk(delta: dict[str, Any] | None = None, *, finish: str | None = None, **more: Any) -> ServerEvent:
    choice = {"index": 0, "delta": delta, "finish_reason": finish}
    return ServerEvent(data=json.dumps({"id": "r1", "model": "m", "choices": [choice], **more}))


def call(
    index: int | None = None, call_id: str | None = None, name: str | None = None, args: Any = None
) -> dict[str, Any]:
    said = {"index": index, "id": call_id, "function": {"name": name, "arguments": args}}
    return {"tool_calls": [{k: v for k, v in said.items() if v is not None}]}


def stream(events: Sequence[ServerEvent], **end: Any) -> list[StreamEvent]:
    reader = ChunkReader("m")
    said = [event for server_event in events for event in reader.feed(server_event)]
    return said + reader.finish(**end)


def read(*events: ServerEvent, **end: Any) -> AssistantMessage:
    *before, last = stream(events, **end)
    assert isinstance(last, StreamEnd)
    assembler = Assembler()
    for update in before:
        if isinstance(update, MessageUpdate):
            assembler.add(update)
    assert content_differs(assembler.content(), last.message.content) == ""
    return last.message


def calls(message: AssistantMessage) -> list[tuple[str, str, str]]:
    return [(call.id, call.name, call.arguments) for call in message.tool_calls]


def test_parallel_calls_that_all_have_index_0_stay_apart() -> None:
    message = read(
        chunk(call(0, "a", "one", '{"x":1}')), chunk(call(0, "b", "two", "")), chunk(call(0, args='{"y":2}')), DONE
    )
    assert calls(message) == [("a", "one", '{"x":1}'), ("b", "two", '{"y":2}')]


def test_interleaved_fragments_go_to_the_call_of_their_index() -> None:
    message = read(
        chunk(call(1, "a", "one", '{"x"')),
        chunk(call(2, "b", "two", '{"y"')),
        chunk(call(1, args=":1}")),
        chunk(call(2, args=":2}")),
        DONE,
    )
    assert calls(message) == [("a", "one", '{"x":1}'), ("b", "two", '{"y":2}')]


def test_an_id_and_a_name_that_are_repeated_are_the_same_call() -> None:
    message = read(chunk(call(0, "0", "f", "")), chunk(call(0, "0", "f", "{}")), DONE)
    assert calls(message) == [("0", "f", "{}")]


def test_an_id_that_changes_while_arguments_are_open_names_no_new_call() -> None:
    message = read(chunk(call(0, "a", "f", '{"x":')), chunk(call(0, "b", "f", "1}")), DONE)
    assert calls(message) == [("a", "f", '{"x":1}')]


def test_calls_without_any_index_are_kept_apart_by_their_ids() -> None:
    message = read(
        chunk(call(None, "a", "f", '{"x":1}')),
        chunk(call(None, "b", "g", '{"y"')),
        chunk(call(None, "b", args=":2}")),
        chunk(call(None, args=" ")),
        DONE,
    )
    assert calls(message) == [("a", "f", '{"x":1}'), ("b", "g", '{"y":2} ')]


def test_arguments_wait_until_the_name_is_known() -> None:
    events = stream((chunk(call(0, "a", args='{"x"')), chunk(call(0, name="late", args=":1}")), DONE))
    start = next(event for event in events if isinstance(event, MessageUpdate))
    assert (start.kind, start.id, start.name) == ("tool_call_start", "a", "late")
    assert calls(read(chunk(call(0, "a", args='{"x"')), chunk(call(0, name="late", args=":1}")), DONE)) == [
        ("a", "late", '{"x":1}')
    ]


def test_an_id_that_comes_late_is_in_the_message() -> None:
    assert calls(read(chunk(call(0, "", "f", "{}")), chunk(call(0, "late")), DONE)) == [("late", "f", "{}")]


def test_a_call_without_a_name_is_an_error_and_keeps_what_came() -> None:
    message = read(chunk(call(0, "a", args="{}")), chunk({}, finish="tool_calls"), DONE)
    assert (message.stop_reason, calls(message)) == ("error", [("a", "", "{}")])
    assert "name" in message.error


def test_arguments_that_parse_early_are_not_the_end() -> None:
    message = read(chunk(call(0, "a", "f", '{"q": 1}')), chunk(call(0, args=', "limit": 10}')), DONE)
    assert calls(message) == [("a", "f", '{"q": 1}, "limit": 10}')]


@pytest.mark.parametrize(("given", "text"), [(None, ""), ("", ""), ({"x": "ü"}, '{"x":"ü"}')])
def test_arguments_that_are_null_or_an_object_are_read(given: Any, text: str) -> None:
    assert calls(
        read(chunk({"tool_calls": [{"index": 0, "id": "a", "function": {"name": "f", "arguments": given}}]}), DONE)
    ) == [("a", "f", text)]


def test_a_custom_call_becomes_a_call_with_an_input() -> None:
    first = {"index": 0, "id": "a", "type": "custom", "custom": {"name": "patch", "input": 'say "'}}
    message = read(
        chunk({"tool_calls": [first]}), chunk({"tool_calls": [{"index": 0, "custom": {"input": 'hi"\n'}}]}), DONE
    )
    assert json.loads(message.tool_calls[0].arguments) == {"input": 'say "hi"\n'}
    assert message.tool_calls[0].signature == "custom"


def test_fields_of_a_call_without_a_name_here_are_kept() -> None:
    own = {"extra_content": {"google": {"thought_signature": "S"}}}
    first = {"index": 0, "id": "a", "type": "function", "function": {"name": "f", "arguments": "{}"}, **own}
    assert from_json(read(chunk({"tool_calls": [first]}), DONE).tool_calls[0].raw) == own


def test_a_function_call_of_the_old_kind_is_a_call() -> None:
    message = read(
        chunk({"function_call": {"name": "f", "arguments": "{"}}),
        chunk({"function_call": {"arguments": "}"}}, finish="function_call"),
    )
    assert (calls(message), message.stop_reason) == ([("", "f", "{}")], "tool_use")


@pytest.mark.parametrize(
    ("finish", "delta", "stop", "word"),
    [
        ("stop", {"content": "x"}, "stop", ""),
        ("stop", call(0, "a", "f", "{}"), "tool_use", "stop"),
        ("tool_calls", {"content": "x"}, "stop", "tool_calls"),
        ("tool_calls", call(0, "a", "f", "{}"), "tool_use", ""),
        ("length", call(0, "a", "f", '{"x'), "length", ""),
        ("content_filter", {"content": "x"}, "refusal", ""),
        ("stop", {"refusal": "no"}, "refusal", "stop"),
        ("eos", {"content": "x"}, "stop", "eos"),
        ("error", {"content": "x"}, "error", "error"),
        (None, call(0, "a", "f", "{}"), "tool_use", ""),
        (None, {"content": "x"}, "stop", ""),
    ],
)
def test_the_calls_decide_where_the_finish_reason_does_not(
    finish: str | None, delta: dict[str, Any], stop: str, word: str
) -> None:
    message = read(chunk(delta, finish=finish), DONE)
    assert (message.stop_reason, message.raw_stop_reason) == (stop, word)


def test_an_answer_that_stops_in_the_middle_is_an_error_and_keeps_its_text() -> None:
    message = read(chunk({"content": "half"}), problem="the line broke")
    assert (message.stop_reason, message.error, message.text) == ("error", "the line broke", "half")
    assert read(chunk({"content": "half"}), aborted=True, problem="gone").stop_reason == "aborted"


def test_a_broken_connection_after_the_finish_reason_does_no_harm() -> None:
    assert read(chunk({"content": "all"}, finish="stop"), problem="the line broke").stop_reason == "stop"


def test_usage_is_found_wherever_it_comes_and_the_last_one_counts() -> None:
    usage = {"prompt_tokens": 10, "completion_tokens": 5}
    inside = {"index": 0, "delta": {}, "finish_reason": "stop", "usage": usage}
    for event in (
        ServerEvent(data=json.dumps({"choices": [], "usage": usage})),
        ServerEvent(data=json.dumps({"choices": [], "x_groq": {"usage": usage}})),
        ServerEvent(data=json.dumps({"choices": [inside]})),
    ):
        first = chunk({"content": "x"}, usage={"prompt_tokens": 10, "completion_tokens": 1})
        said = read(first, chunk({}, finish="stop", usage=None), event, DONE).usage
        assert said is not None
        assert (said.input_tokens, said.output_tokens) == (10, 5)


def test_usage_in_x_groq_counts_where_the_chunk_has_none_of_its_own() -> None:
    usage = {"prompt_tokens": 18, "completion_tokens": 439}
    last = chunk({}, finish="stop", x_groq={"id": "req", "usage": usage})
    for end in (last, chunk({}, finish="stop", usage=None, x_groq={"usage": usage})):
        said = read(chunk({"content": "x"}, x_groq={"id": "req"}), end, DONE).usage
        assert said is not None
        assert (said.input_tokens, said.output_tokens) == (18, 439)


def test_only_the_first_choice_is_read() -> None:
    other = {"index": 1, "delta": {"content": "B"}, "finish_reason": None}
    first = {"index": 0, "delta": {"content": "A"}, "finish_reason": "stop"}
    assert read(ServerEvent(data=json.dumps({"choices": [other, first]})), DONE).text == "A"


def test_a_choice_without_a_delta_or_an_empty_list_of_choices_says_nothing() -> None:
    nothing = ServerEvent(data=json.dumps({"choices": [{"index": 0}], "prompt_filter_results": [{"ok": 1}]}))
    message = read(nothing, ServerEvent(data='{"choices":[]}'), chunk({"content": "x"}, finish="stop"))
    assert message.text == "x"
    assert from_json(message.raw) == {"prompt_filter_results": [{"ok": 1}]}


@pytest.mark.parametrize("field", ["reasoning_content", "reasoning", "reasoning_text"])
def test_reasoning_remembers_the_field_in_which_it_came(field: str) -> None:
    message = read(chunk({field: "hm"}), chunk({field: "m", "content": ""}), chunk({"content": "so"}, finish="stop"))
    assert message.content == (ThinkingContent(thinking="hmm", signature=field), TextContent(text="so"))


def test_reasoning_details_grow_and_their_text_is_stored_once() -> None:
    def details(**part: Any) -> ServerEvent:
        return chunk(
            {"reasoning_details": [{"type": "reasoning.text", "index": 0, **part}], "reasoning": part.get("text")}
        )

    encrypted = chunk({"reasoning_details": [{"type": "reasoning.encrypted", "data": "D", "index": 1}]})
    message = read(details(text="a"), details(text="b"), details(signature="S"), encrypted, chunk({}, finish="stop"))
    (block,) = message.content
    assert isinstance(block, ThinkingContent)
    assert block.thinking == "ab"
    assert json.loads(block.signature) == [
        {"type": "reasoning.text", "index": 0, "signature": "S"},
        {"type": "reasoning.encrypted", "data": "D", "index": 1},
    ]


def test_a_content_that_is_a_list_is_reasoning_and_text() -> None:
    thinking = {"type": "thinking", "thinking": [{"type": "text", "text": "hm"}]}
    source = {"type": "reference", "reference_ids": [1]}
    message = read(
        chunk({"content": [thinking]}), chunk({"content": [{"type": "text", "text": "so"}, source]}, finish="stop")
    )
    assert message.content == (ThinkingContent(thinking="hm", signature="content"), TextContent(text="so"))
    assert from_json(message.raw) == {"content": [source]}


def test_annotations_and_log_probabilities_are_kept() -> None:
    events = [
        chunk({"content": "a", "annotations": [1]}),
        chunk({"content": "b", "annotations": [2]}, finish="stop", citations=["u"]),
    ]
    assert from_json(read(*events).raw) == {"annotations": [1, 2], "citations": ["u"]}


@pytest.mark.parametrize(
    "event",
    [
        ServerEvent(data='{"error":{"message":"too much","type":"server_error"}}'),
        ServerEvent(data='{"error":"too much"}'),
        ServerEvent(data='{"object":"error","message":"too much"}'),
        ServerEvent(data='{"detail":"too much"}'),
        ServerEvent(data='{"message":"too much"}', event="error"),
        chunk({"content": ""}, error={"code": 502, "message": "too much"}, usage={"prompt_tokens": 3}),
    ],
)
def test_an_error_inside_the_stream_is_told_in_its_words(event: ServerEvent) -> None:
    reader = ChunkReader("m")
    for said in (chunk({"content": "x"}, finish="stop"), event):
        reader.feed(said)
    assert reader.done
    assert reader.failure is not None
    last = reader.finish()[-1]
    assert isinstance(last, StreamEnd)
    assert (last.message.stop_reason, last.message.text) == ("error", "x")
    assert "too much" in last.message.error


def test_a_line_that_is_no_json_is_quoted() -> None:
    message = read(chunk({"content": "x"}), ServerEvent(data="{unparsable}"))
    assert message.stop_reason == "error"
    assert "{unparsable}" in message.error


def test_the_other_protocol_is_named() -> None:
    message = read(ServerEvent(data='{"type":"response.created","response":{}}'))
    assert "openai-responses" in message.error


def test_an_answer_that_was_not_streamed_is_read_too() -> None:
    said = {
        "role": "assistant",
        "content": "hi",
        "tool_calls": [{"id": "a", "function": {"name": "f", "arguments": "{}"}}],
    }
    whole = {
        "object": "chat.completion",
        "id": "r",
        "model": "m-2",
        "choices": [{"message": said, "finish_reason": "tool_calls"}],
    }
    message = read(ServerEvent(data=json.dumps(whole)))
    assert message.content == (TextContent(text="hi"), ToolCall(id="a", name="f", arguments="{}"))
    assert (message.model, message.response_id, message.stop_reason) == ("m-2", "r", "tool_use")


def test_pieces_at_an_index_that_nobody_opened_go_on_with_the_call_that_is_open() -> None:
    pieces = [chunk(call(0, "a", "one", "")), chunk(call(1, args='{"x":')), chunk(call(2, args="1}")), DONE]
    assert calls(read(*pieces)) == [("a", "one", '{"x":1}')]


@pytest.mark.parametrize("index", [None, 0])
def test_two_calls_without_ids_are_told_apart_by_their_names_and_where_arguments_begin(index: int | None) -> None:
    pieces = [call(index, name="one", args='{"x":'), call(index, args="1}"), call(index, name="two", args='{"y"')]
    again = [call(index, args=":2}"), call(index, name="two", args='{"y":3}')]
    message = read(*map(chunk, [*pieces, *again]), DONE)
    assert calls(message) == [("", "one", '{"x":1}'), ("", "two", '{"y":2}'), ("", "two", '{"y":3}')]
