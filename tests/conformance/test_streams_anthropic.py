"""Every recorded exchange with Anthropic is read as the official client reads it."""

from __future__ import annotations

import json
from typing import Any

import pytest

from eventsource.codec import from_json, read_object
from eventsource.messages import AssistantMessage, ProviderContent, TextContent, ThinkingContent, ToolCall
from eventsource.models.anthropic import AnthropicMessages
from refold.http.wires.anthropic import read_request
from tests.conformance.anthropic_requests import normal
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
from tests.conformance.stream_rules import ANTHROPIC, USAGE, bare_of_urls, follow, without_blank_texts

CASES = cases("anthropic")
CODEC = AnthropicMessages()
pytestmark = pytest.mark.skipif(not CASES, reason=ABSENT)

STOP = {
    "end_turn": "stop",
    "stop_sequence": "stop",
    "tool_use": "tool_use",
    "max_tokens": "length",
    "model_context_window_exceeded": "length",
    "pause_turn": "pause",
    "refusal": "refusal",
}


def read(message: AssistantMessage) -> dict[str, Any]:
    """Say our message in the words of the expectation."""
    blocks: list[Any] = []
    for block in message.content:
        match block:
            case TextContent():
                blocks.append({"type": "text", "text": block.text, **read_object(block.raw)})
            case ThinkingContent(redacted=True):
                blocks.append({"type": "redacted_thinking", "data": block.signature})
            case ThinkingContent():
                blocks.append({"type": "thinking", "thinking": block.thinking, "signature": block.signature})
            case ToolCall():
                blocks.append({"type": "tool_use", "id": block.id, "name": block.name, "input": arguments_of(block)})
                blocks[-1] |= read_object(block.raw)
            case ProviderContent():
                blocks.append(from_json(block.block))
    usage = message.usage
    return {
        "content": [neutral(block) for block in blocks],
        "stop": message.stop_reason,
        "usage": None
        if usage is None
        else [usage.input_tokens, usage.output_tokens, usage.cache_read_tokens, usage.cache_write_tokens],
    }


def arguments_of(call: ToolCall) -> object:
    """Read a call's arguments; text that is no JSON stays text."""
    try:
        return json.loads(call.arguments or "{}")
    except ValueError:
        return call.arguments


def neutral(block: dict[str, Any]) -> dict[str, Any]:
    """Leave out what says nothing: nulls, empty lists and signatures, a direct caller; the client renames `from`."""
    block = {"from" if name == "from_" else name: value for name, value in block.items()}
    return {
        k: v
        for k, v in block.items()
        if v not in (None, []) and (k, v) not in (("signature", ""), ("caller", {"type": "direct"}))
    }


def wanted(case: Case) -> dict[str, Any]:
    message = case.expected.get("message") or case.expected.get("partial") or {"content": [], "usage": {}}
    usage = message["usage"]
    want = {
        "content": message["content"],
        "stop": STOP[message["stop_reason"]] if "message" in case.expected else "error",
        "usage": [usage.get(field) or 0 for field in USAGE] if usage else None,
    }
    want = follow(case, want, ANTHROPIC)
    return {**want, "content": [neutral(block) for block in want["content"]]}


@pytest.mark.parametrize("case", CASES, ids=repr)
async def test_an_answer_is_read_as_expected(case: Case) -> None:
    request = asked(CODEC.name, "anthropic", "asked")
    message = final(await play(case, CODEC, request, [case.body]))
    if "error" in case.expected:
        assert message.stop_reason == "error"
        assert (case.expected["error"].get("type") or "") in message.error
    assert read(message) == wanted(case)
    assert final(await play(case, CODEC, request, pieces(case))) == message
    if case.response["status"] == 200:
        assert final(read_bytes(case, CODEC, request)).content == message.content


@pytest.mark.parametrize("case", [case for case in CASES if case.request_body], ids=repr)
def test_a_request_is_written_as_it_was_recorded(case: Case) -> None:
    assert case.request_body is not None
    body = normal(json.loads(CODEC.encode(read_request(case.request_body))))
    assert body == bare_of_urls(normal(case.request_body), body)


@pytest.mark.parametrize(("case", "after"), conversations(CASES), ids=repr)
async def test_the_next_request_follows_from_our_reading_of_the_answer(case: Case, after: Case) -> None:
    assert case.request_body is not None
    assert after.request_body is not None
    request = read_request(case.request_body)
    answer = final(await play(case, CODEC, request, [case.body]))
    following = with_answer(read_request(after.request_body), request, answer)
    body = normal(json.loads(CODEC.encode(following)))
    assert body == without_blank_texts(bare_of_urls(normal(after.request_body), body))
