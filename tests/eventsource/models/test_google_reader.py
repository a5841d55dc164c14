"""Answers in Google's protocol are read whatever comes, and in which order."""

from __future__ import annotations

import json
from typing import Any

import pytest

from eventsource.codec import from_json, read_object
from eventsource.messages import AssistantMessage, ProviderContent, TextContent, ThinkingContent
from eventsource.models.google_reader import GoogleReader
from eventsource.models.protocol import StreamEnd
from eventsource.models.transport.sse import ServerEvent


def chunk(*parts: dict[str, Any], finish: str = "", **fields: Any) -> dict[str, Any]:
    candidate: dict[str, Any] = {"content": {"parts": list(parts), "role": "model"}}
    return {"candidates": [candidate | ({"finishReason": finish} if finish else {})], "responseId": "r", **fields}


def called(**fields: Any) -> dict[str, Any]:
    return {"functionCall": fields}


def read(*chunks: dict[str, Any]) -> AssistantMessage:
    reader = GoogleReader("gemini")
    said = [out for value in chunks for out in reader.feed(ServerEvent(data=json.dumps(value)))]
    said += reader.finish("cut")
    assert isinstance(said[-1], StreamEnd)
    return said[-1].message


def test_text_runs_join_and_signed_parts_stand_alone() -> None:
    message = read(
        chunk({"text": "hm", "thought": True}, {"text": "m", "thought": True}),
        chunk({"text": "a"}, {"text": "b"}, {"text": ""}),
        chunk({"text": "c", "thoughtSignature": "1"}, {"text": "d"}),
        chunk({"text": "", "thoughtSignature": "2"}, finish="STOP"),
    )
    assert message.content == (
        ThinkingContent(thinking="hmm"),
        TextContent(text="ab"),
        TextContent(text="c", signature="1"),
        TextContent(text="d"),
        TextContent(text="", signature="2"),
    )


def test_calls_without_ids_get_ids_that_differ() -> None:
    message = read(
        chunk(called(name="a"), called(name="b", args={"x": 1}), called(name="c", id="given"), finish="STOP")
    )
    assert [call.id for call in message.tool_calls] == ["gemini_r_1", "gemini_r_2", "given"]
    assert [call.arguments for call in message.tool_calls] == ["", '{"x":1}', ""]
    assert message.stop_reason == "tool_use"


def test_streamed_arguments_are_put_together() -> None:
    pieces = [
        called(name="book", willContinue=True),
        called(partialArgs=[{"jsonPath": "$.city", "stringValue": "Os", "willContinue": True}], willContinue=True),
        called(partialArgs=[{"jsonPath": "$.city", "stringValue": "lo"}], willContinue=True),
        called(partialArgs=[{"jsonPath": "$.days[1].n", "numberValue": 2}], willContinue=True),
        called(partialArgs=[{"jsonPath": "$['odd key']", "boolValue": False}], willContinue=True),
        called(partialArgs=[{"jsonPath": "$.none", "nullValue": "NULL_VALUE"}], willContinue=True),
        called(),
        called(name="next", args={}),
    ]
    for ended in (pieces, [*pieces[:6], pieces[7]]):  # by an empty call, or by nothing
        book, after = read(*map(chunk, ended), chunk(finish="STOP")).tool_calls
        assert json.loads(book.arguments) == {
            "city": "Oslo",
            "days": [None, {"n": 2}],
            "odd key": False,
            "none": None,
        }
        assert after.name == "next"


def test_other_parts_are_kept_as_they_came() -> None:
    part = {"executableCode": {"code": "1", "language": "PYTHON"}, "thoughtSignature": "s"}
    (block,) = read(chunk(part, finish="STOP")).content
    assert isinstance(block, ProviderContent)
    assert from_json(block.block) == part


def test_each_figure_keeps_its_last_value() -> None:
    first = {"promptTokenCount": 15, "thoughtsTokenCount": 70, "cachedContentTokenCount": 5}
    message = read(
        chunk(usageMetadata=first),
        chunk(finish="STOP", usageMetadata={"promptTokenCount": 13, "candidatesTokenCount": 4}),
    )
    usage = message.usage
    assert usage is not None
    assert (usage.input_tokens, usage.cache_read_tokens, usage.output_tokens, usage.reasoning_tokens) == (8, 5, 74, 70)


@pytest.mark.parametrize(
    ("finish", "reason", "raw"),
    [
        ("STOP", "stop", ""),
        ("MAX_TOKENS", "length", ""),
        ("SAFETY", "refusal", "SAFETY"),
        ("MALFORMED_FUNCTION_CALL", "error", "MALFORMED_FUNCTION_CALL"),
        ("SOMETHING_NEW", "error", "SOMETHING_NEW"),
        ("", "error", ""),
    ],
)
def test_a_finish_reason_says_how_it_ended(finish: str, reason: str, raw: str) -> None:
    message = read(chunk({"text": "x"}, finish=finish))
    assert (message.stop_reason, message.raw_stop_reason) == (reason, raw)


def test_a_malformed_call_is_told_with_googles_words() -> None:
    candidate = {"finishReason": "MALFORMED_FUNCTION_CALL", "finishMessage": "Malformed function call: x("}
    assert read({"candidates": [candidate]}).error == "MALFORMED_FUNCTION_CALL: Malformed function call: x("


def test_a_blocked_prompt_is_a_refusal() -> None:
    feedback = {"blockReason": "PROHIBITED_CONTENT"}
    message = read({"promptFeedback": feedback, "usageMetadata": {"promptTokenCount": 3}})
    assert (message.stop_reason, message.raw_stop_reason) == ("refusal", "PROHIBITED_CONTENT")
    assert read_object(message.raw) == {"promptFeedback": feedback}


def test_an_error_inside_the_stream_ends_it() -> None:
    error = {"error": {"code": 503, "status": "UNAVAILABLE", "message": "overloaded"}}
    message = read(chunk({"text": "x"}), error, chunk({"text": "y"}, finish="STOP"))
    assert (message.text, message.error) == ("x", "503 UNAVAILABLE: overloaded")


def test_only_the_first_candidate_is_read() -> None:
    value = chunk({"text": "x"}, finish="STOP")
    value["candidates"].append({"index": 1, "content": {"parts": [{"text": "y"}]}})
    assert read(value).text == "x"


def test_arguments_that_come_as_text_are_read() -> None:
    message = read(chunk(called(name="f", args='{"x": 1}'), called(name="g", args="{x"), finish="STOP"))
    assert [json.loads(call.arguments) for call in message.tool_calls] == [{"x": 1}, {"invalid_arguments": "{x"}]
