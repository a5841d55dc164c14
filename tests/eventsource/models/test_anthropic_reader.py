"""Answers in Anthropic's protocol are read whatever comes, and in which order."""

from __future__ import annotations

import json
from typing import Any

from eventsource.codec import from_json, read_object
from eventsource.messages import AssistantMessage, ProviderContent, ThinkingContent
from eventsource.models.anthropic_reader import AnthropicReader
from eventsource.models.protocol import StreamEnd, StreamStart
from eventsource.models.transport.sse import ServerEvent

BEGIN = {"type": "message_start", "message": {"id": "m1", "model": "claude-x", "usage": {"input_tokens": 9}}}
STOP = {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 5}}


def begin(index: int, **block: Any) -> dict[str, Any]:
    return {"type": "content_block_start", "index": index, "content_block": block}


def delta(index: int, kind: str, **fields: Any) -> dict[str, Any]:
    return {"type": "content_block_delta", "index": index, "delta": {"type": kind, **fields}}


def close(index: int) -> dict[str, Any]:
    return {"type": "content_block_stop", "index": index}


def read(*events: dict[str, Any], problem: str = "cut", aborted: bool = False) -> AssistantMessage:
    reader = AnthropicReader("claude-x")
    said = [out for event in events for out in reader.feed(ServerEvent(data=json.dumps(event)))]
    said += reader.finish(problem, aborted=aborted)
    assert sum(isinstance(out, StreamStart) for out in said) <= 1
    assert isinstance(said[-1], StreamEnd)
    return said[-1].message


def test_input_given_whole_is_kept_and_an_empty_one_is_not_put_before_the_deltas() -> None:
    whole = begin(0, type="tool_use", id="a", name="t", input={"x": 1})
    empty = begin(1, type="tool_use", id="b", name="t", input={})
    pieces = [delta(1, "input_json_delta", partial_json=part) for part in ("", '{"y"', ":2}")]
    message = read(BEGIN, whole, close(0), empty, *pieces, close(1), STOP)
    assert [call.arguments for call in message.tool_calls] == ['{"x":1}', '{"y":2}']


def test_figures_are_totals_so_far_and_null_says_nothing() -> None:
    later = {"type": "message_delta", "delta": {}, "usage": {"input_tokens": 100, "output_tokens": None}}
    usage = read(BEGIN, STOP, later).usage
    assert usage is not None
    assert (usage.input_tokens, usage.output_tokens) == (100, 5)


def test_a_repeated_start_is_ignored_and_another_message_is_an_error() -> None:
    assert read(BEGIN, BEGIN, STOP).stop_reason == "stop"
    other = {"type": "message_start", "message": {"id": "m2"}}
    assert "m1 and m2" in read(BEGIN, other, STOP).error


def test_a_stop_reason_is_enough_and_without_one_the_stream_was_cut() -> None:
    assert read(BEGIN, STOP).stop_reason == "stop"
    assert (read(BEGIN).stop_reason, read(BEGIN).error) == ("error", "cut")
    assert read(BEGIN, problem="aborted", aborted=True).stop_reason == "aborted"


def test_signatures_are_joined_and_reasoning_may_be_empty() -> None:
    signed = [delta(0, "signature_delta", signature=part) for part in ("si", "g")]
    message = read(BEGIN, begin(0, type="thinking", thinking="", signature=""), *signed, close(0), STOP)
    assert message.content == (ThinkingContent(thinking="", signature="sig"),)


def test_unknown_blocks_grow_by_their_deltas_and_half_ones_are_left_out() -> None:
    grown = [begin(0, type="new", text="a", list=[1]), delta(0, "new_delta", text="b", list=[2], null=None), close(0)]
    half = [begin(1, type="server_tool_use", id="s", input={}), delta(1, "input_json_delta", partial_json='{"q')]
    (block,) = read(BEGIN, *grown, *half).content
    assert isinstance(block, ProviderContent)
    assert from_json(block.block) == {"type": "new", "text": "ab", "list": [1, 2]}


def test_pings_unknown_events_and_deltas_of_calls_nobody_began_are_ignored() -> None:
    stray = [{"type": "ping"}, {"type": "later"}, delta(7, "input_json_delta", partial_json="{}"), close(7), {}]
    assert read(BEGIN, *stray, STOP) == read(BEGIN, STOP)


def test_text_and_reasoning_whose_beginning_did_not_come_are_read() -> None:
    pieces = [delta(0, "thinking_delta", thinking="hm"), delta(0, "signature_delta", signature="s"), close(0)]
    message = read(BEGIN, *pieces, delta(1, "text_delta", text="hi"), STOP)
    assert message.text == "hi"
    assert message.content[0] == ThinkingContent(thinking="hm", signature="s")


def test_what_has_no_name_here_is_kept_beside_the_message() -> None:
    stop = {"type": "message_delta", "delta": {"stop_reason": "refusal", "stop_details": {"category": "x"}}}
    message = read(BEGIN, stop)
    assert (message.stop_reason, read_object(message.raw)) == ("refusal", {"stop_details": {"category": "x"}})


def test_an_unknown_stop_reason_is_kept_as_a_word() -> None:
    message = read(BEGIN, {"type": "message_delta", "delta": {"stop_reason": "nap"}})
    assert (message.stop_reason, message.raw_stop_reason) == ("stop", "nap")


def test_a_message_that_was_not_streamed_is_read() -> None:
    whole = {"type": "message", "id": "m", "model": "claude-x", "stop_reason": "end_turn"}
    message = read(whole | {"content": [{"type": "text", "text": "Hi"}], "usage": {"output_tokens": 1}})
    assert (message.text, message.stop_reason) == ("Hi", "stop")
