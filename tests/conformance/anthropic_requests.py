"""Recorded request bodies of Anthropic's protocol, read back into neutral requests."""

from __future__ import annotations

from typing import Any

import msgspec

from eventsource.codec import to_json
from eventsource.events import ModelRef, ToolSpec
from eventsource.messages import (
    AssistantContent,
    AssistantMessage,
    ImageContent,
    Message,
    ProviderContent,
    TextContent,
    ThinkingContent,
    ToolCall,
    ToolResultMessage,
    UserContent,
    UserMessage,
)
from eventsource.request import Request
from tests.conformance.exchanges import plain

API = "anthropic-messages"
CHOICES = {"auto": "auto", "any": "required", "none": "none"}


def read_request(body: dict[str, Any]) -> Request:
    """Read a body; what has no neutral name goes to `extra_body`."""
    body = dict(body)
    options: dict[str, Any] = {"cache": "none", "max_tokens": body.pop("max_tokens")}
    tools = body.pop("tools", [])
    own = [tool for tool in tools if "input_schema" in tool and set(tool) <= {"name", "description", "input_schema"}]
    extra: dict[str, Any] = {"tools": [tool for tool in tools if tool not in own]} if len(own) < len(tools) else {}
    if "temperature" in body:
        options["temperature"] = body.pop("temperature")
    if "stop_sequences" in body:
        options["stop"] = body.pop("stop_sequences")
    choice = body.pop("tool_choice", None)
    if choice is not None:
        options["tool_choice"] = {"name": choice["name"]} if choice["type"] == "tool" else CHOICES[choice["type"]]
    config = dict(body.pop("output_config", {}))
    if "format" in config:
        options["output_schema"] = config.pop("format")["schema"]
    if config:
        extra["output_config"] = config
    model, system, messages = body.pop("model"), body.pop("system", ""), body.pop("messages")
    options["extra_body"] = extra | body
    return Request(
        model=ModelRef(api=API, provider="anthropic", model=model),
        system_prompt=system if isinstance(system, str) else "\n".join(block["text"] for block in system),
        tools=tuple(
            ToolSpec(name=t["name"], description=t.get("description") or "", schema=to_json(t["input_schema"]))
            for t in own
        ),
        options=to_json(options),
        messages=tuple(m for message in messages for m in _messages(message)),
    )


def _messages(message: dict[str, Any]) -> list[Message]:
    content = message["content"]
    blocks = [{"type": "text", "text": content}] if isinstance(content, str) else content
    if message["role"] == "assistant":
        return [AssistantMessage(content=tuple(map(_assistant, blocks)))]
    results = [block for block in blocks if block["type"] == "tool_result"]
    rest = tuple(_user(block) for block in blocks if block["type"] != "tool_result")
    return [*map(_result, results), *([UserMessage(content=rest)] if rest else [])]


def _result(block: dict[str, Any]) -> Message:
    content = block.get("content", [])
    parts = [{"type": "text", "text": content}] if isinstance(content, str) else content
    return ToolResultMessage(
        tool_call_id=block["tool_use_id"],
        tool_name="",
        content=tuple(map(_user, parts)),
        is_error=block.get("is_error", False),
    )


def _user(block: dict[str, Any]) -> UserContent:
    if block["type"] == "text":
        return TextContent(text=block["text"])
    return ImageContent(data=block["source"].get("data", ""), media_type=block["source"].get("media_type", ""))


def _assistant(block: dict[str, Any]) -> AssistantContent:
    match block["type"]:
        case "text":
            rest = {k: v for k, v in block.items() if k not in ("type", "text")}
            return TextContent(text=block["text"], raw=to_json(rest) if rest else msgspec.UNSET)
        case "thinking":
            return ThinkingContent(thinking=block["thinking"], signature=block["signature"])
        case "redacted_thinking":
            return ThinkingContent(thinking="", signature=block["data"], redacted=True)
        case "tool_use":
            return ToolCall(id=block["id"], name=block["name"], arguments=bytes(to_json(block["input"])).decode())
        case _:
            return ProviderContent(api=API, block=to_json(block))


def normal(value: Any) -> Any:
    """Write a body's equal forms one way.

    A text alone is a list of one text; an empty description, `is_error: false`, a direct caller, and what is null or an
    empty list say nothing.
    """
    if isinstance(value, list):
        return [normal(item) for item in value]
    if not isinstance(value, dict):
        return plain(value) if isinstance(value, str) else value
    result = {name: normal(item) for name, item in value.items() if item is not None and item != []}
    for name in ("content", "system"):
        if isinstance(result.get(name), str):
            result[name] = [{"type": "text", "text": result[name]}]
    for name, silent in (("description", ""), ("is_error", False), ("caller", {"type": "direct"})):
        if result.get(name) == silent:
            del result[name]
    return result
