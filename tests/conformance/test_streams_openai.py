"""Every recorded exchange in OpenAI's two protocols is read as expected, but for what a named rule says."""

from __future__ import annotations

import ast
import json
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest

from eventsource.codec import read_object
from eventsource.messages import AssistantMessage, ProviderContent, TextContent, ThinkingContent, ToolCall
from eventsource.models.openai.chat import OpenAICompletions
from eventsource.models.openai.responses import OpenAIResponses
from eventsource.request import Request
from tests.conformance.exchanges import ABSENT, Case, asked, cases, final, pieces, play, read_bytes
from tests.conformance.stream_rules import Rule, chunks, follow

CHAT = [*cases("openai_chat"), *cases("openai_compat")]
RESPONSES = cases("openai_responses")
COMPLETIONS, ITEMS = OpenAICompletions(), OpenAIResponses()
pytestmark = pytest.mark.skipif(not CHAT, reason=ABSENT)

WORDS = {"stop": "stop", "length": "length", "tool_use": "tool_calls", "refusal": "content_filter", "error": "error"}


def deltas(case: Case) -> Iterator[dict[str, Any]]:
    """Read what the first choice says, up to an error."""
    for chunk in chunks(case):
        for choice in chunk.get("choices") or []:
            if choice.get("index") in (0, None) and choice.get("delta"):
                yield choice["delta"]
        if chunk.get("error"):
            return


def parts(case: Case, kind: str) -> str:
    said = ""
    for delta in deltas(case):
        content = delta.get("content")
        listed: list[Any] = [{"type": "text", "text": content}] if isinstance(content, str) else content or []
        for part in listed:
            if kind == "text":
                said += part.get("text") or "" if part["type"] == "text" else ""
            elif part["type"] == "thinking":
                said += "".join(inner.get("text") or "" for inner in part["thinking"])
    return said


def hidden_usage(case: Case) -> dict[str, Any]:
    """Find usage where the expectation does not look: beside Groq's own fields, inside the choice (Moonshot)."""
    found: dict[str, Any] = {}
    for chunk in chunks(case):
        inside = [choice.get("usage") for choice in chunk.get("choices") or []]
        for usage in [(chunk.get("x_groq") or {}).get("usage"), *inside, chunk.get("usage")]:
            found = usage or found
    return found


def details_text(case: Case) -> str:
    found = [part for delta in deltas(case) for part in delta.get("reasoning_details") or []]
    return "".join(part.get("text") or part.get("summary") or "" for part in found)


CHAT_RULES: tuple[Rule, ...] = (
    Rule(
        "usage in x_groq or inside the choice is usage too; the expectation looks only at the chunk",
        lambda case, want: not any(want["usage"]) and bool(hidden_usage(case)),
        lambda case, want: {"usage": usage_of(hidden_usage(case))},
    ),
    Rule(
        "xAI counts reasoning beside the answer: it is a part of our output tokens",
        lambda case, want: (
            bool(want["usage"][3]) and want["total"] == want["usage"][0] + want["usage"][1] + want["usage"][3]
        ),
        lambda case, want: {"usage": [want["usage"][0], want["usage"][1] + want["usage"][3], *want["usage"][2:]]},
    ),
    Rule(
        "cached tokens and reasoning tokens have other names elsewhere",
        lambda case, want: bool(hidden_usage(case)) and not any(want["usage"][2:]) and any(want["usage"]),
        lambda case, want: {"usage": want["usage"][:2] + usage_of(hidden_usage(case))[2:]},
    ),
    Rule(
        "an answer without a finish reason and without [DONE] was cut",
        lambda case, want: want["stop"] is None and case.response["status"] == 200 and b"[DONE]" not in case.body,
        lambda case, want: {"error": True},
    ),
    Rule(
        "what follows an error is not read",
        lambda case, want: want["error"] and bool(want["text"]),
        lambda case, want: {"text": parts(case, "text")},
    ),
    Rule(
        "a finish reason that says error is an error",
        lambda case, want: want["stop"] in ("error", "network_error", "insufficient_system_resource"),
        lambda case, want: {"error": True},
    ),
    Rule(
        "no finish reason came, but [DONE] did: the calls decide",
        lambda case, want: want["stop"] is None,
        lambda case, want: {"stop": "tool_calls" if want["calls"] else "stop"},
    ),
    Rule(
        "a call whose name never came is an error",
        lambda case, want: any(not name for _, name, _ in want["calls"]),
        lambda case, want: {"error": True, "calls": [(i, name or "", a) for i, name, a in want["calls"]]},
    ),
    Rule(
        "reasoning that comes only in reasoning_details is reasoning too",
        lambda case, want: not want["thinking"] and bool(details_text(case)),
        lambda case, want: {"thinking": details_text(case)},
    ),
    Rule(
        "a content that comes as a list is text and reasoning; the official client cannot read it",
        lambda case, want: any(isinstance(delta.get("content"), list) for delta in deltas(case)),
        lambda case, want: {"text": parts(case, "text"), "thinking": parts(case, "thinking")},
    ),
)


def usage_of(usage: dict[str, Any] | None) -> list[int]:
    """Say usage as prompt, completion, cached and reasoning tokens."""
    usage = usage or {}
    inner, outer = usage.get("prompt_tokens_details") or {}, usage.get("completion_tokens_details") or {}
    cached = usage.get("cached_tokens") or inner.get("cached_tokens") or usage.get("prompt_cache_hit_tokens") or 0
    reasoning = usage.get("reasoning_tokens") or outer.get("reasoning_tokens") or 0
    return [usage.get("prompt_tokens") or 0, usage.get("completion_tokens") or 0, cached, reasoning]


def said_usage(message: AssistantMessage) -> list[int]:
    usage = message.usage
    if usage is None:
        return [0, 0, 0, 0]
    read = usage.input_tokens + usage.cache_read_tokens + usage.cache_write_tokens
    return [read, usage.output_tokens, usage.cache_read_tokens, usage.reasoning_tokens]


def said(message: AssistantMessage) -> dict[str, Any]:
    texts = [block for block in message.content if isinstance(block, TextContent)]
    return {
        "text": "".join(block.text for block in texts if "refusal" not in block.signature),
        "refusal": "".join(block.text for block in texts if "refusal" in block.signature),
        "thinking": "".join(block.thinking for block in message.content if isinstance(block, ThinkingContent)),
        "calls": [(call.id, call.name, call.arguments) for call in message.tool_calls],
        "error": message.stop_reason == "error",
        "usage": said_usage(message),
    }


def wanted_chat(case: Case) -> dict[str, Any]:
    summary, error = case.expected.get("summary") or {}, case.expected.get("error") or {}
    usage = summary.get("usage") or {}
    want = {
        "text": summary.get("text") or "",
        "refusal": summary.get("refusal") or "",
        "thinking": summary.get("reasoning_content") or summary.get("reasoning") or "",
        "calls": [(c["id"] or "", c["name"], c["arguments_json"] or "") for c in summary.get("tool_calls") or []],
        "stop": summary.get("finish_reason"),
        "error": bool(error) and "streaming went on" not in error.get("note", ""),
        "usage": usage_of(usage),
        "total": usage.get("total_tokens"),
    }
    return follow(case, want, CHAT_RULES)


def provider(case: Case) -> str:
    vendor = str(case.data["vendor"])
    return {"moonshotai": "moonshot"}.get(vendor, vendor)


def long_ones_last(found: list[Case]) -> list[Any]:
    """Mark what takes its time: a long body is read three times, once byte by byte."""
    slow = [pytest.mark.slow]
    return [pytest.param(case, id=case.name, marks=slow if len(case.body) > 30_000 else []) for case in found]


@pytest.mark.parametrize("case", long_ones_last(CHAT))
async def test_a_chat_completion_is_read_as_expected(case: Case) -> None:
    request = asked(COMPLETIONS.name, provider(case), "asked")
    message = final(await play(case, COMPLETIONS, request, [case.body]))
    want = wanted_chat(case)
    stop = want.pop("stop")
    want.pop("total")
    assert said(message) == want
    if want["error"] and (error := case.expected.get("error")):
        words = error.get("message", "").removeprefix(f"Error code: {error.get('status_code')} - ")
        assert words in message.error or "not JSON" in message.error or quoted(words, message.error)
        assert str(error.get("status_code") or "") in message.error
    elif not want["error"]:
        assert (message.raw_stop_reason or WORDS[message.stop_reason]) == stop
        assert not (message.tool_calls and message.stop_reason == "stop")
    await cut_anyhow(case, COMPLETIONS, request, message)


def quoted(words: str, error: str) -> bool:
    """Tell that an error body which the client shows as a Python value is told by its words."""
    found = ast.literal_eval(words) if words.startswith("{") else {}
    return any(isinstance(value, str) and value in error for value in found.values())


async def cut_anyhow(case: Case, codec: Any, request: Request, message: AssistantMessage) -> None:
    assert final(await play(case, codec, request, pieces(case))) == message
    if case.response["status"] == 200:
        assert final(read_bytes(case, codec, request)).content == message.content


RESPONSES_RULES: tuple[Rule, ...] = (
    Rule(
        "the final text is not what was streamed: what was handed on stays",
        lambda case, want: bool(want["deltas"]) and not want["text"].startswith(want["deltas"]),
        lambda case, want: {"text": want["deltas"]},
    ),
    Rule(
        "a refusal is kept apart from the text",
        lambda case, want: bool(refusals(case)),
        lambda case, want: {"text": want["text"].removesuffix(refusals(case))},
    ),
)


def refusals(case: Case) -> str:
    output = case.expected.get("output") or []
    found = [part for item in output for part in item.get("content") or [] if item["type"] == "message"]
    return "".join(part["refusal"] for part in found if part["type"] == "refusal")


def wanted_responses(case: Case) -> dict[str, Any]:
    summary = case.expected.get("summary") or {}
    usage = summary.get("usage") or {}
    inner, outer = usage.get("input_tokens_details") or {}, usage.get("output_tokens_details") or {}
    counts = [
        usage.get("input_tokens"),
        usage.get("output_tokens"),
        inner.get("cached_tokens"),
        outer.get("reasoning_tokens"),
    ]
    want = {
        "text": summary.get("text") or "",
        "deltas": summary.get("text_from_deltas") or "",
        "calls": [(c["id"], c["name"], c["arguments_json"]) for c in summary.get("tool_calls") or []],
        "items": Counter(summary.get("item_types") or []),
        "thinking": [said for said in summary.get("reasoning_summary") or [] if said],
        "error": "terminal_event" not in case.expected
        or case.expected["terminal_event"] in (None, "response.failed", "error"),
        "usage": [n or 0 for n in counts],
    }
    return follow(case, want, RESPONSES_RULES)


def items_of(message: AssistantMessage) -> Iterator[tuple[str, str]]:
    """Say what kind of item each block came as, with its id."""
    for block in message.content:
        match block:
            case TextContent():
                yield "message", str(json.loads(block.signature or "{}").get("id"))
            case ThinkingContent():
                yield "reasoning", ""
            case ToolCall():
                yield ("custom_tool_call" if '"custom_tool_call"' in block.signature else "function_call"), ""
            case ProviderContent():
                yield str(read_object(block.block)["type"]), ""


def read_responses(message: AssistantMessage) -> dict[str, Any]:
    kinds: list[tuple[str, str]] = []
    for kind in items_of(message):
        if not (kind[0] == "message" and kinds and kinds[-1] == kind):
            kinds.append(kind)
    read = said(message)
    custom = {call.id for call in message.tool_calls if '"custom_tool_call"' in call.signature}
    return {
        "text": read["text"],
        "calls": [call for call in read["calls"] if call[0] not in custom],
        "items": Counter(kind for kind, _ in kinds),
        "error": read["error"],
        "usage": read["usage"],
    }


@pytest.mark.parametrize("case", long_ones_last(RESPONSES))
async def test_a_response_is_read_as_expected(case: Case) -> None:
    request = asked(ITEMS.name, provider(case), "asked")
    message = final(await play(case, ITEMS, request, [case.body]))
    want = wanted_responses(case)
    want.pop("deltas")
    thinking = want.pop("thinking")
    read = read_responses(message)
    if want["error"]:  # what was streamed stays, also of items that never ended
        for name in ("items", "calls"):
            assert len(read.pop(name)) >= len(want.pop(name))
    assert read == want
    spoken = [b.thinking.replace("\n\n", "\n") for b in message.content if isinstance(b, ThinkingContent)]
    thinking = [text.replace("\n\n", "\n") for text in thinking]
    aloud = any(chunk.get("type") == "response.reasoning_text.delta" for chunk in chunks(case))
    if aloud:  # the expectation holds summaries only
        assert all(text in "\n".join(spoken) for text in thinking)
        assert any(spoken)
    else:
        assert [text for text in spoken if text] == thinking
    if failed := case.expected.get("error_object"):
        assert failed["message"] in message.error
    if case.expected.get("status") == "incomplete":
        reason = case.expected["incomplete_details"]["reason"]
        assert (message.stop_reason, message.raw_stop_reason) in (
            ("length", ""),
            ("refusal", reason),
            ("length", reason),
        )
    elif not want["error"]:
        refused = any("refusal" in str(item.get("content")) for item in case.expected["output"])
        assert message.stop_reason == ("tool_use" if message.tool_calls else "refusal" if refused else "stop")
    await cut_anyhow(case, ITEMS, request, message)
