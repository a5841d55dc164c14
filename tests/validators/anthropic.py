"""What Anthropic's Messages refuse; https://docs.anthropic.com/en/api/messages, and their error messages."""

from __future__ import annotations

import json
import re
from typing import Any

from tests.validators.shared import (
    argument_faults,
    draft_faults,
    duplicates,
    image_faults,
    name_faults,
    nodes,
    png_side,
    recursive,
)

IMAGES = {"image/png", "image/jpeg", "image/gif", "image/webp"}
NO_PREFILL = re.compile(r"claude-(opus|sonnet|haiku)-(4-[6-9]|[5-9])")
COOL = re.compile(r"claude-(opus-4-[789]|opus-5|sonnet-5|haiku-5|fable|mythos)")
BOUND = re.compile(r"claude-(fable-5-1|mythos-5-1|(opus|sonnet|haiku)-5-5)")
SMALL = re.compile(r"claude-(3|sonnet-4-5|sonnet-4-2|opus-4-5|haiku-4-5)")
OLD = re.compile(r"claude-(2|instant|3-(opus|sonnet|haiku|5))")
MOST = (
    (r"claude-(2|instant|3-(opus|sonnet|haiku))", 4_096),
    (r"claude-3-5", 8_192),
    (r"claude-opus-4(-[01](-|$)|-2025|$)", 32_000),
    (r"claude-(sonnet-4(-[05](-|$)|-2025|$)|haiku-4-5|opus-4-5)", 64_000),
)
FORMATS = {"date-time", "time", "date", "duration", "email", "hostname", "uri", "ipv4", "ipv6", "uuid"}
UNKNOWN = {
    *("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf", "minLength", "maxLength", "maxItems"),
    *("uniqueItems", "minProperties", "maxProperties", "oneOf", "not", "if", "patternProperties", "prefixItems"),
}


def judge_anthropic(body: dict[str, Any]) -> list[str]:
    """Say what is refused."""
    messages = body["messages"]
    faults = [] if messages else ["no messages"]
    if messages and messages[0]["role"] != "user":
        faults.append("the assistant speaks first")
    calls = [block["id"] for block in _blocks(messages, "assistant") if block.get("type") == "tool_use"]
    faults += duplicates(calls, "calls' ids")
    for place, message in enumerate(messages):
        last = place == len(messages) - 1
        if message["role"] not in ("user", "assistant"):
            faults.append(f"the role {message['role']!r}")
        if all(block.get("type") == "text" and not block["text"].strip() for block in message["content"]):
            faults.append("a message without anything to see")
        for block in message["content"]:
            faults += _block(block, message["role"], body["model"])
        faults += _results(messages, place)
        if message["role"] == "assistant" and message["content"]:
            faults += _answer(body, message, last=last)
    faults += _server_tools(messages) + _tools(body) + _options(body) + _images(body)
    for block in body.get("system", []):
        if not block["text"].strip():
            faults.append("a blank system prompt")
    return faults


def _blocks(messages: list[dict[str, Any]], role: str) -> list[dict[str, Any]]:
    return [block for message in messages if message["role"] == role for block in message["content"]]


def _block(block: dict[str, Any], role: str, model: str) -> list[str]:
    match block.get("type"):
        case "text":
            return [] if block["text"].strip() or (block["text"] and role == "assistant") else ["an empty text"]
        case "image":
            if role != "user":
                return ["an image of the assistant's"]
            source = block["source"]
            long = ["an image of more than 5 MB"] if len(source["data"]) > 5_242_880 else []
            return [*long, *image_faults(source["media_type"], source["data"], IMAGES)]
        case "thinking" | "redacted_thinking":
            if OLD.search(model):
                return [f"reasoning for {model}"]
            return [] if block.get("signature") or block.get("data") else ["reasoning without a signature"]
        case "tool_use":
            bad = [] if re.fullmatch(r"[a-zA-Z0-9_-]{1,64}", block["id"]) else [f"the call id {block['id']!r}"]
            bad += [] if isinstance(block["input"], dict) else ["an input that is no object"]
            return [*bad, *name_faults(block["name"], 128)]
        case "tool_result":
            return _result(block)
        case str() as kind if kind:
            return [] if role == "assistant" else [f"a {kind} of the user's"]
        case _:
            return [f"a block without a type: {block}"]


def _result(block: dict[str, Any]) -> list[str]:
    faults = [fault for part in block["content"] for fault in _block(part, "user", "")]
    if block.get("is_error"):
        faults += [] if block["content"] else ["a failed result without content"]
        faults += ["a failed result with an image"] if any(p["type"] != "text" for p in block["content"]) else []
    return faults


def _results(messages: list[dict[str, Any]], place: int) -> list[str]:
    """Every call has its result in the next message, and every result its call in the one before."""
    message = messages[place]
    calls = [b["id"] for b in message["content"] if b.get("type") == "tool_use"]
    after = messages[place + 1]["content"] if place + 1 < len(messages) else []
    answers = [b["tool_use_id"] for b in after if b.get("type") == "tool_result"]
    faults = [f"the call {one} has no result" for one in calls if one not in answers]
    before = messages[place - 1]["content"] if place else []
    asked = [b["id"] for b in before if b.get("type") == "tool_use"]
    own = [b["tool_use_id"] for b in message["content"] if b.get("type") == "tool_result"]
    return faults + [f"a result of no call: {one}" for one in own if one not in asked] + duplicates(own, "results of")


def _answer(body: dict[str, Any], message: dict[str, Any], *, last: bool) -> list[str]:
    faults, block = [], message["content"][-1]
    if str(block.get("type")).endswith("thinking"):
        faults.append("an answer that ends with reasoning")
    if last and block.get("type") in ("text", "tool_use"):
        thinks = body.get("thinking", {}).get("type") in ("enabled", "adaptive")
        formed = "format" in body.get("output_config", {})
        if NO_PREFILL.search(body["model"]) or thinks or formed:
            faults.append("the assistant's words last")
        if block.get("type") == "text" and block["text"] != block["text"].rstrip():
            faults.append("white space at the end of the assistant's last words")
    return faults


def _server_tools(messages: list[dict[str, Any]]) -> list[str]:
    """The provider's own tools: each call once, before its result, unless the request ends with it."""
    faults, open_calls, done = [], {}, set()
    for place, message in enumerate(messages):
        for block in message["content"]:
            kind = str(block.get("type"))
            if kind.endswith("tool_use") and kind != "tool_use":
                if block.get("id") in open_calls or block.get("id") in done:
                    faults.append(f"two of {block.get('id')}")
                open_calls[block.get("id")] = place
            elif kind.endswith("tool_result") and kind != "tool_result":
                if open_calls.pop(block.get("tool_use_id"), None) is None:
                    faults.append(f"a result of no call: {block.get('tool_use_id')}")
                done.add(block.get("tool_use_id"))
    end = max((p for p, m in enumerate(messages) if m["role"] == "assistant"), default=-1)
    waits = all(b.get("type") == "tool_result" for m in messages[end + 1 :] for b in m["content"])
    return faults + [f"no result of {one}" for one, at in open_calls.items() if at != end or not waits]


def _images(body: dict[str, Any]) -> list[str]:
    """https://docs.anthropic.com/en/docs/build-with-claude/vision: how many, and how large."""
    blocks = [block for block in _blocks(body["messages"], "user") if block.get("type") in ("image", "tool_result")]
    parts = [part for block in blocks for part in (block.get("content", []) if "content" in block else [block])]
    images = [part["source"]["data"] for part in parts if part["type"] == "image"]
    most = 100 if SMALL.search(body["model"]) else 600
    faults = [f"{len(images)} images"] if len(images) > most else []
    faults += ["a request of more than 32 MB"] if sum(map(len, images)) > 31_000_000 else []
    marks = json.dumps([{**message, "content": [_flat(b) for b in message["content"]]} for message in body["messages"]])
    marks += json.dumps([body.get("system", []), body.get("tools", [])])
    faults += ["more than four marks of what is cached"] if marks.count('"cache_control"') > 4 else []
    side = max(map(png_side, images), default=0)
    return faults + ([f"an image of {side} pixels"] if side > (2_000 if len(images) > 20 else 8_000) else [])


def _flat(block: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in block.items() if name not in ("source", "content")}


def _tools(body: dict[str, Any]) -> list[str]:
    tools = body.get("tools", [])
    faults = duplicates([tool["name"] for tool in tools], "tools")
    for tool in tools:
        faults += name_faults(tool["name"], 128)
        if "input_schema" in tool:
            faults += argument_faults(tool["input_schema"], ("anyOf", "oneOf", "allOf")) + draft_faults(
                tool["input_schema"]
            )
            known = tool["input_schema"].get("properties", {})
            faults += [f"the property {one!r}" for one in known if not re.fullmatch(r"[a-zA-Z0-9_.-]{1,64}", one)]
            faults += [
                f"a property {one!r} that is required and not there"
                for one in tool["input_schema"].get("required", [])
                if one not in known
            ]
    return faults


def _options(body: dict[str, Any]) -> list[str]:
    faults = []
    choice, thinking = body.get("tool_choice"), body.get("thinking", {})
    thinks = thinking.get("type") in ("enabled", "adaptive")
    if choice and not body.get("tools"):
        faults.append("a tool choice without tools")
    if choice and thinks and choice["type"] in ("any", "tool"):
        faults.append("a forced choice with reasoning")
    if choice and choice["type"] == "tool" and choice["name"] not in [tool["name"] for tool in body.get("tools", [])]:
        faults.append("a choice of a tool that is not there")
    if choice and choice["type"] in ("any", "tool") and BOUND.search(body["model"]):
        faults.append(f"a forced choice of {body['model']}")
    if COOL.search(body["model"]) and "temperature" in body:
        faults.append(f"a temperature of {body['model']}")
    reasons = any(str(block.get("type")).endswith("thinking") for block in _blocks(body["messages"], "assistant"))
    if reasons and BOUND.search(body["model"]):
        said = thinking.get("block_binding", {}).get("prefix_mismatch_behavior")
        faults += [] if thinks and said == "drop_block" else ["reasoning that is bound to another history"]
    if body.get("temperature", 1) > 1:
        faults.append("a temperature above 1")
    most = next((limit for pattern, limit in MOST if re.search(pattern, body["model"])), 128_000)
    faults += [f"{body['max_tokens']} tokens"] if body["max_tokens"] > most else []
    if thinking.get("type") == "enabled" and not _began_thinking(body["messages"]):
        faults.append("reasoning in a turn that began without")
    if thinks and body.get("temperature", 1) != 1:
        faults.append("a temperature with reasoning")
    if thinking.get("budget_tokens", 0) >= body["max_tokens"]:
        faults.append("more tokens to think with than to write")
    if any(not text.strip() for text in body.get("stop_sequences", [])):
        faults.append("a blank stop sequence")
    formed = body.get("output_config", {}).get("format")
    if formed and re.search(r"claude-(2|3|instant)|claude-(opus|sonnet|haiku)-4(-0|-2025|$)", body["model"]):
        faults.append(f"a schema for the text of {body['model']}")
    return faults + (_schema(formed["schema"]) if formed else [])


def _began_thinking(messages: list[dict[str, Any]]) -> bool:
    """Say whether the answers since the user's last words, if any, begin with reasoning."""
    turn: list[dict[str, Any]] = []
    for message in messages:
        if message["role"] == "user" and any(block["type"] != "tool_result" for block in message["content"]):
            turn = []
        elif message["role"] == "assistant":
            turn.append(message)
    return not turn or turn[0]["content"][0]["type"] in ("thinking", "redacted_thinking")


def _schema(schema: dict[str, Any]) -> list[str]:
    faults = ["a schema that recurs"] if recursive(schema) else []
    for node in nodes(schema):
        if node.get("type") == "object" and node.get("additionalProperties") is not False:
            faults.append("an object that is not closed")
        if node.get("type") == "object" and "properties" not in node:
            faults.append("an object that can hold nothing")
        faults += [f"{name} in a schema" for name in sorted(UNKNOWN & node.keys())]
        if node.get("format", "date") not in FORMATS:
            faults.append(f"the format {node['format']}")
    return faults
