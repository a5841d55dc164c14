from __future__ import annotations

import json
from collections.abc import Collection
from typing import Any

import pytest

from eventsource.assemble import Assembler, content_differs
from eventsource.codec import from_json
from eventsource.events import MessageUpdate
from eventsource.messages import AssistantMessage, ProviderContent, TextContent, ThinkingContent
from eventsource.models.openai.responses_reader import ItemReader
from eventsource.models.protocol import StreamEnd, StreamEvent
from eventsource.models.transport.sse import ServerEvent


def event(kind: str, **fields: Any) -> ServerEvent:
    return ServerEvent(data=json.dumps({"type": kind, **fields}))


def added(place: int, **item: Any) -> ServerEvent:
    return event("response.output_item.added", output_index=place, item=item)


def done(place: int, **item: Any) -> ServerEvent:
    return event("response.output_item.done", output_index=place, item=item)


def delta(kind: str, place: int | None, text: str, **more: Any) -> ServerEvent:
    more |= {} if place is None else {"output_index": place}
    return event(f"response.{kind}.delta", delta=text, **more)


def end(status: str = "completed", **response: Any) -> ServerEvent:
    return event(f"response.{status}", response={"id": "r", "model": "m", "status": status, **response})


def read(*events: ServerEvent, tools: Collection[str] = (), **ending: Any) -> AssistantMessage:
    reader = ItemReader("m", tools)
    said: list[StreamEvent] = [said for server_event in events for said in reader.feed(server_event)]
    said += reader.finish(**ending)
    assembler = Assembler()
    for update in said:
        if isinstance(update, MessageUpdate):
            assembler.add(update)
    last = said[-1]
    assert isinstance(last, StreamEnd)
    assert content_differs(assembler.content(), last.message.content) == ""
    return last.message


def text_item(text: str, item_id: str = "msg_1", **more: Any) -> dict[str, Any]:
    parts = [{"type": "output_text", "text": text, "annotations": []}]
    return {"type": "message", "id": item_id, "role": "assistant", "status": "completed", "content": parts, **more}


def test_items_are_told_apart_by_place_even_if_every_event_names_another_id() -> None:
    message = read(
        added(0, type="function_call", id="x1", call_id="a", name="f", arguments=""),
        added(1, type="function_call", id="x2", call_id="b", name="g", arguments=""),
        delta("function_call_arguments", 1, '{"y"', item_id="x3"),
        delta("function_call_arguments", 0, '{"x"', item_id="x4"),
        delta("function_call_arguments", 0, ":1}", item_id="x5"),
        delta("function_call_arguments", 1, ":2}", item_id="x6"),
        done(0, type="function_call", id="x7", call_id="a", name="f", arguments='{"x":1}'),
        done(1, type="function_call", id="x8", call_id="b", name="g", arguments='{"y":2}'),
        end(),
    )
    assert [(c.id, c.name, c.arguments) for c in message.tool_calls] == [("a", "f", '{"x":1}'), ("b", "g", '{"y":2}')]
    assert message.stop_reason == "tool_use"


def test_deltas_without_a_place_go_to_their_id_or_to_the_last_item() -> None:
    message = read(
        added(0, type="message", id="m1"),
        delta("output_text", None, "a", item_id="m1"),
        delta("output_text", None, "b"),
        done(0, type="message", id="m1"),
        end(),
    )
    assert message.text == "ab"


def test_text_that_came_only_at_an_item_s_end_or_with_the_answer_is_streamed_then() -> None:
    assert read(done(0, **text_item("late")), end()).text == "late"
    assert read(end(output=[text_item("later")])).text == "later"
    half = (added(0, type="message", id="m"), delta("output_text", 0, "ha"))
    assert read(*half, end(output=[text_item("half", "m")])).text == "half"


def test_what_was_streamed_stays_where_the_end_says_otherwise() -> None:
    assert read(delta("output_text", 0, "one"), done(0, **text_item("two")), end()).text == "one"


def test_an_empty_output_at_the_end_takes_nothing_away() -> None:
    assert read(done(0, **text_item("x")), end(output=[])).text == "x"


def test_a_message_remembers_its_id_phase_and_annotations() -> None:
    note = {"type": "url_citation", "url": "u"}
    item = text_item("x", phase="commentary")
    item["content"][0]["annotations"] = [note]
    (block,) = read(done(0, **item), end()).content
    assert isinstance(block, TextContent)
    assert json.loads(block.signature) == {"id": "msg_1", "phase": "commentary"}
    assert from_json(block.raw) == {"annotations": [note]}


def test_reasoning_keeps_what_must_go_back_and_not_its_text_twice() -> None:
    summary = [{"type": "summary_text", "text": "because"}]
    message = read(
        added(0, type="reasoning", id="rs", summary=[]),
        delta("reasoning_summary_text", 0, "because", summary_index=0),
        done(0, type="reasoning", id="rs", summary=summary, encrypted_content="E", status="completed"),
        end(),
    )
    (block,) = message.content
    assert isinstance(block, ThinkingContent)
    assert block.thinking == "because"
    assert json.loads(block.signature) == {"id": "rs", "summary": [{"type": "summary_text"}], "encrypted_content": "E"}


def test_parts_of_a_summary_are_set_apart_and_kept_as_parts() -> None:
    parts = [{"type": "summary_text", "text": text} for text in ("one", "two")]
    message = read(
        delta("reasoning_summary_text", 0, "one", summary_index=0),
        delta("reasoning_summary_text", 0, "tw", summary_index=1),
        delta("reasoning_summary_text", 0, "o", summary_index=1),
        done(0, type="reasoning", id="rs", summary=parts),
        end(),
    )
    (block,) = message.content
    assert isinstance(block, ThinkingContent)
    assert block.thinking == "one\n\ntwo"
    assert json.loads(block.signature)["summary"] == parts


def test_reasoning_that_ends_after_the_message_began_still_stands_before_it() -> None:
    message = read(
        added(0, type="reasoning", id="rs", summary=[]),
        delta("reasoning_text", 0, "hm"),
        added(1, type="message", id="m"),
        delta("output_text", 1, "so"),
        done(1, **text_item("so", "m")),
        done(0, type="reasoning", id="rs", summary=[], content=[{"type": "reasoning_text", "text": "hm"}]),
        end(),
    )
    assert [type(block) for block in message.content] == [ThinkingContent, TextContent]
    assert json.loads(message.content[0].signature)["content"] == [{"type": "reasoning_text"}]  # type: ignore[union-attr] # checked above


def test_an_item_of_an_unknown_type_is_kept_as_it_came() -> None:
    item = {"type": "compaction", "id": "c", "encrypted_content": "E", "new_field": [1.0, None]}
    (block,) = read(added(0, type="compaction", id="c"), done(0, **item), end()).content
    assert isinstance(block, ProviderContent)
    assert (block.api, from_json(block.block)) == ("openai-responses", item)


def test_a_custom_call_is_ours_if_its_tool_is() -> None:
    events = (
        added(0, type="custom_tool_call", id="c", call_id="a", name="patch", input=""),
        delta("custom_tool_call_input", 0, 'say "'),
        delta("custom_tool_call_input", 0, 'hi"\n'),
        done(0, type="custom_tool_call", id="c", call_id="a", name="patch", input='say "hi"\n', status="completed"),
    )
    (call,) = read(*events, end(), tools=["patch"]).tool_calls
    assert (call.id, call.name, json.loads(call.arguments)) == ("a", "patch", {"input": 'say "hi"\n'})
    assert json.loads(call.signature) == {"id": "c", "type": "custom_tool_call"}
    declared = event("response.created", response={"tools": [{"type": "custom", "name": "patch"}]})
    assert len(read(declared, *events, end()).tool_calls) == 1
    others = read(*events, end())
    assert [type(block) for block in others.content] == [ProviderContent]
    assert others.stop_reason == "stop"


def test_a_refusal_is_a_text_that_knows_it() -> None:
    item = {"type": "message", "id": "m", "role": "assistant", "content": [{"type": "refusal", "refusal": "no"}]}
    message = read(delta("refusal", 0, "n"), done(0, **item), end())
    (block,) = message.content
    assert isinstance(block, TextContent)
    assert (block.text, json.loads(block.signature)) == ("no", {"id": "m", "type": "refusal"})
    assert message.stop_reason == "refusal"


@pytest.mark.parametrize(
    ("reason", "stop", "word"),
    [("max_output_tokens", "length", ""), ("content_filter", "refusal", "content_filter"), ("new", "length", "new")],
)
def test_an_incomplete_answer_says_why(reason: str, stop: str, word: str) -> None:
    message = read(delta("output_text", 0, "x"), end("incomplete", incomplete_details={"reason": reason}))
    assert (message.stop_reason, message.raw_stop_reason, message.text) == (stop, word, "x")


@pytest.mark.parametrize(
    "failed",
    [
        event("error", code="server_error", message="it broke", param=None),
        event("error", error={"type": "server_error", "message": "it broke"}),
        end("failed", error={"code": "server_error", "message": "it broke"}),
        ServerEvent(data='{"error":{"code":"server_error","message":"it broke"}}'),
    ],
)
def test_a_failure_is_told_in_the_provider_s_words_and_keeps_what_came(failed: ServerEvent) -> None:
    reader = ItemReader("m", ())
    reader.feed(delta("output_text", 0, "x"))
    reader.feed(failed)
    assert reader.done
    assert reader.failure is not None
    assert reader.failure.retryable
    message = read(delta("output_text", 0, "x"), failed)
    assert (message.stop_reason, message.text) == ("error", "x")
    assert "it broke" in message.error


def test_a_failure_without_words_says_what_is_known() -> None:
    message = read(end("failed", error=None, incomplete_details={"reason": "max_output_tokens"}))
    assert "max_output_tokens" in message.error


def test_an_answer_without_a_terminal_event_was_cut() -> None:
    events = (event("response.created", response={"id": "r"}), event("keepalive"), done(0, **text_item("x")))
    assert read(*events, problem="gone").error == "gone"
    assert read(*events).stop_reason == "error"
    assert read(*events, aborted=True).stop_reason == "aborted"
    assert read(*events, end(), problem="gone").stop_reason == "stop"


def test_chunks_of_the_other_protocol_are_named() -> None:
    message = read(ServerEvent(data='{"object":"chat.completion.chunk","choices":[]}'))
    assert "openai-completions" in message.error


def test_an_answer_that_was_not_streamed_is_read_too() -> None:
    usage = {"input_tokens": 10, "input_tokens_details": {"cached_tokens": 4}, "output_tokens": 3}
    whole = {
        "object": "response",
        "id": "r",
        "model": "m-2",
        "status": "completed",
        "output": [text_item("x")],
        "usage": usage,
    }
    message = read(ServerEvent(data=json.dumps(whole)))
    assert (message.text, message.model, message.response_id) == ("x", "m-2", "r")
    assert message.usage is not None
    assert (message.usage.input_tokens, message.usage.cache_read_tokens, message.usage.output_tokens) == (6, 4, 3)


def test_a_last_event_that_leaves_items_out_or_orders_them_otherwise_finds_them_by_id() -> None:
    one, two = (
        {"type": "function_call", "id": f"fc_{x}", "call_id": f"call_{x}", "name": "f", "arguments": x} for x in "12"
    )
    for output in ([one, two], [two, one], [two]):
        message = read(
            added(0, type="reasoning", id="rs", summary=[]),
            done(0, type="reasoning", id="rs", summary=[]),
            *(made(place, **item) for place, item in ((1, one), (2, two)) for made in (added, done)),
            end(output=output),
        )
        assert [(call.id, call.arguments) for call in message.tool_calls] == [("call_1", "1"), ("call_2", "2")]


def test_the_end_of_an_item_at_another_place_is_that_of_its_id() -> None:
    one, two = ({"type": "function_call", "id": f"fc_{x}", "call_id": f"call_{x}", "name": "f"} for x in "12")
    message = read(
        added(0, **one, arguments=""),
        added(1, **two, arguments=""),
        done(1, **one, arguments="1"),
        done(0, **two, arguments="2"),
        end(),
    )
    assert [(call.id, call.arguments) for call in message.tool_calls] == [("call_1", "1"), ("call_2", "2")]


def test_arguments_that_come_as_an_object_are_read() -> None:
    message = read(done(0, type="function_call", call_id="c", name="f", arguments={"x": 1}), end())
    assert [call.arguments for call in message.tool_calls] == ['{"x":1}']


def test_the_event_says_how_it_ended_where_the_response_does_not() -> None:
    filtered = {"incomplete_details": {"reason": "content_filter"}}
    assert read(event("response.incomplete", response=filtered)).stop_reason == "refusal"
    assert read(event("response.incomplete", response={})).stop_reason == "length"
