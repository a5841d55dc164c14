"""Every recorded exchange with Google is read as the sum of its parts."""

from __future__ import annotations

import json
from typing import Any

import pytest

from eventsource.codec import read_object
from eventsource.messages import AssistantMessage, ProviderContent, ThinkingContent
from eventsource.models.google import GoogleGenerativeAI
from refold.http.wires.google import read_request
from tests.conformance.exchanges import (
    ABSENT,
    Case,
    asked,
    cases,
    conversations,
    final,
    pieces,
    play,
    read_bytes,
    with_answer,
)
from tests.conformance.google_requests import normal

CASES = cases("gemini")
CODEC = GoogleGenerativeAI()
pytestmark = pytest.mark.skipif(not CASES, reason=ABSENT)

STOP = {"STOP": "stop", "MAX_TOKENS": "length", None: "error"}
REFUSALS = {"SAFETY", "RECITATION", "PROHIBITED_CONTENT", "BLOCKLIST", "SPII", "LANGUAGE", "IMAGE_SAFETY"}


def read(message: AssistantMessage) -> dict[str, Any]:
    """Say our message in the words of the expectation."""
    other = [read_object(block.block) for block in message.content if isinstance(block, ProviderContent)]
    signed = [block for block in message.content if not isinstance(block, ProviderContent) and block.signature]
    return {
        "text": message.text,
        "thoughts": "".join(block.thinking for block in message.content if isinstance(block, ThinkingContent)),
        "calls": [(call.name, json.loads(call.arguments or "{}"), call.signature) for call in message.tool_calls],
        "other": sorted({name for part in other for name in part} - {"thoughtSignature", "thought"}),
        "signatures": len(signed) + sum("thoughtSignature" in part for part in other),
        "stop": message.stop_reason,
        "feedback": read_object(message.raw).get("promptFeedback"),
    }


def wanted(case: Case) -> dict[str, Any]:
    summary = case.expected["summary"]
    called = [call for call in summary["function_calls"] if "name" in call]
    calls = [(call["name"], call.get("args", {}), call.get("thoughtSignature", "")) for call in called]
    reason = summary["finish_reason"]
    stop = "refusal" if reason in REFUSALS else STOP.get(reason, "error")
    if reason is None and summary["prompt_feedback"]:
        stop = "refusal"
    return {
        "text": summary["text"],
        "thoughts": summary["thoughts"],
        "calls": calls,
        "other": sorted(set(summary["other_parts"])),
        "signatures": summary["thought_signatures"],
        "stop": "tool_use" if stop == "stop" and calls else stop,
        "feedback": summary["prompt_feedback"],
    }


@pytest.mark.parametrize("case", CASES, ids=repr)
async def test_an_answer_is_read_as_expected(case: Case) -> None:
    request = asked(CODEC.name, "google", "asked")
    message = final(await play(case, CODEC, request, [case.body]))
    assert final(await play(case, CODEC, request, pieces(case))) == message
    if "error" in case.expected:
        assert message.stop_reason == "error"
        assert case.expected["error"].get("body", {"error": {"message": ""}})["error"]["message"] in message.error
        return
    assert final(read_bytes(case, CODEC, request)) == message
    ours, theirs = read(message), wanted(case)
    if case.expected["summary"]["function_calls_are_streamed_partials"]:
        # the expectation leaves the pieces of arguments apart; test_google_reader.py says what they join to
        ours["calls"] = theirs["calls"] = None
    assert ours == theirs
    usage, expected = message.usage, case.expected["summary"]["usage"]
    assert (usage is None) == (expected is None)
    if usage is not None:
        # a figure of an earlier chunk stays known when the last chunk leaves it out
        raw: dict[str, Any] = dict(read_object(usage.raw))
        assert {name: raw.get(name) for name in expected} == expected
        prompt = raw.get("promptTokenCount", 0) + raw.get("toolUsePromptTokenCount", 0)
        assert usage.input_tokens + usage.cache_read_tokens == prompt
        assert usage.output_tokens == raw.get("candidatesTokenCount", 0) + raw.get("thoughtsTokenCount", 0)


@pytest.mark.parametrize("case", [case for case in CASES if case.request_body], ids=repr)
def test_a_request_is_written_as_it_was_recorded(case: Case) -> None:
    assert case.request_body is not None
    request = read_request(case.data["request"]["path"], case.request_body)
    body = json.loads(CODEC.encode(request))
    assert normal(body) == normal(case.request_body)


@pytest.mark.parametrize(("case", "after"), conversations(CASES), ids=repr)
async def test_the_next_request_follows_from_our_reading_of_the_answer(case: Case, after: Case) -> None:
    assert case.request_body is not None
    assert after.request_body is not None
    request = read_request(case.data["request"]["path"], case.request_body)
    answer = final(await play(case, CODEC, request, [case.body]))
    following = with_answer(read_request(after.data["request"]["path"], after.request_body), request, answer)
    body = json.loads(CODEC.encode(following))
    assert normal(body) == normal(after.request_body)
