"""Messages of Claude Code, which are those of the Anthropic API, read and written back.

What has no name here stays in the `raw` of its block, or beside the message.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from types import MappingProxyType

import msgspec

from eventsource.codec import from_json, read_object, to_json
from eventsource.messages import (
    AssistantContent,
    AssistantMessage,
    ImageContent,
    ProviderContent,
    StopReason,
    TextContent,
    ThinkingContent,
    ToolCall,
    ToolResultMessage,
    Usage,
    UserContent,
    UserMessage,
)
from eventsource.values import ToolSpec

from ..differences import same
from ..fields import fields_of, list_of, text_of
from ..jsonl import Fields
from ..numbers import read_count

API, PROVIDER = "anthropic-messages", "anthropic"
_READ_STOP: Mapping[str, StopReason] = MappingProxyType(
    {
        "end_turn": "stop",
        "stop_sequence": "stop",
        "max_tokens": "length",
        "tool_use": "tool_use",
        "refusal": "refusal",
        "pause_turn": "pause",
    }
)
_WRITE_STOP: Mapping[StopReason, str | None] = MappingProxyType(
    {
        "stop": "end_turn",
        "length": "max_tokens",
        "tool_use": "tool_use",
        "refusal": "refusal",
        "pause": "pause_turn",
        "error": "stop_sequence",
        "aborted": None,
    }
)
_TOKENS = (
    ("input_tokens", "input_tokens"),
    ("output_tokens", "output_tokens"),
    ("cache_read_input_tokens", "cache_read_tokens"),
    ("cache_creation_input_tokens", "cache_write_tokens"),
)


def read_answer(records: Sequence[Fields]) -> AssistantMessage:
    """Read the records of one answer: each holds one or more blocks of it, and repeats what is said of the whole."""
    messages = [fields_of(fields.get("message")) for fields in records]
    blocks = [block for message in messages for block in _blocks(message.get("content"))]
    content = tuple(_read_reply(block) for block in blocks)
    reasons = [text_of(message.get("stop_reason")) for message in messages]
    reason = next((one for one in reversed(reasons) if one), "")
    calls = any(isinstance(block, ToolCall) for block in content)
    stop: StopReason = _READ_STOP.get(reason, "tool_use" if calls else "stop")
    error = ""
    if any(fields.get("isApiErrorMessage") is True for fields in records):
        stop = "error"
        error = " ".join(block.text for block in content if isinstance(block, TextContent)) or "an error of the API"
    elif any(fields.get("isAbortedMidStream") is True for fields in records):
        if any(fields.get("isVirtual") is True for fields in records):
            stop = "aborted"
        else:
            reason = reason or "aborted"  # the model is told what it had said
    last = messages[-1]
    usages = [message["usage"] for message in messages if isinstance(message.get("usage"), dict)]
    return AssistantMessage(
        content=content,
        stop_reason=stop,
        raw_stop_reason="" if reason in _READ_STOP else reason,
        error=error,
        usage=_read_usage(fields_of(usages[-1])) if usages else None,
        api=API,
        provider=PROVIDER,
        model=text_of(last.get("model")),
        response_id=text_of(last.get("id")),
    )


def write_answer(message: AssistantMessage) -> list[dict[str, object]]:
    """Write an answer as messages of one block each, as Claude Code stores it."""
    whole: dict[str, object] = {
        "model": message.model,
        "id": message.response_id,
        "type": "message",
        "role": "assistant",
        "stop_reason": message.raw_stop_reason or _WRITE_STOP[message.stop_reason],
        "stop_sequence": None,
    }
    if message.usage is not None:
        whole["usage"] = _write_usage(message.usage)
    blocks = [[write_block(block)] for block in message.content] or [[]]
    return [{**whole, "content": block} for block in blocks]


def _blocks(content: object) -> Sequence[object]:
    return [{"type": "text", "text": content}] if isinstance(content, str) else list_of(content)


def _read_reply(block: object) -> AssistantContent:
    read = read_block(block)
    if read is None or isinstance(read, ImageContent):
        return ProviderContent(api=API, block=to_json(block))
    return read


def read_block(block: object) -> AssistantContent | UserContent | None:
    """Read a block; None if it has no neutral form."""
    fields = fields_of(block)
    match fields:
        case {"type": "text", "text": str(text)}:
            read: AssistantContent | UserContent = TextContent(text=text)
        case {"type": "image", "source": {"type": "base64", "media_type": str(media_type), "data": str(data)}}:
            read = ImageContent(data=data, media_type=media_type)
        case {"type": "thinking", "thinking": str(thinking)}:
            read = ThinkingContent(thinking=thinking, signature=text_of(fields.get("signature")))
        case {"type": "redacted_thinking", "data": str(data)}:
            read = ThinkingContent(thinking="", signature=data, redacted=True)
        case {"type": "tool_use", "name": str(name)}:
            arguments = bytes(to_json(fields.get("input"))).decode()
            read = ToolCall(id=text_of(fields.get("id")), name=name, arguments=arguments)
        case _:
            return None
    written = write_block(read)
    extra = {name: value for name, value in fields.items() if name not in written or not same(value, written[name])}
    return msgspec.structs.replace(read, raw=to_json(extra)) if extra else read


def write_block(block: AssistantContent | UserContent) -> dict[str, object]:
    """Write a block."""
    match block:
        case TextContent(text=text):
            fields: dict[str, object] = {"type": "text", "text": text}
        case ImageContent(data=data, media_type=media_type):
            fields = {"type": "image", "source": {"type": "base64", "media_type": media_type, "data": data}}
        case ThinkingContent(redacted=True, signature=data):
            fields = {"type": "redacted_thinking", "data": data}
        case ThinkingContent(thinking=thinking, signature=signature):
            fields = {"type": "thinking", "thinking": thinking, "signature": signature}
        case ToolCall(id=call_id, name=name, arguments=arguments):
            fields = {"type": "tool_use", "id": call_id, "name": name, "input": _arguments(arguments)}
        case ProviderContent(block=received):
            found = from_json(received)
            return dict(found) if isinstance(found, dict) else {}
    return {**fields, **read_object(block.raw)}


def _arguments(text: str) -> object:
    try:
        return json.loads(text) if text else {}
    except ValueError:
        return {}


def _read_usage(usage: Fields) -> Usage:
    return Usage(
        input_tokens=read_count(usage.get("input_tokens")),
        output_tokens=read_count(usage.get("output_tokens")),
        cache_read_tokens=read_count(usage.get("cache_read_input_tokens")),
        cache_write_tokens=read_count(usage.get("cache_creation_input_tokens")),
        cache_write_1h_tokens=read_count(fields_of(usage.get("cache_creation")).get("ephemeral_1h_input_tokens")),
        reasoning_tokens=read_count(fields_of(usage.get("output_tokens_details")).get("thinking_tokens")),
        raw=to_json(usage),
    )


def _write_usage(usage: Usage) -> dict[str, object]:
    if not isinstance(usage.raw, msgspec.UnsetType):
        return dict(read_object(usage.raw))
    return {theirs: getattr(usage, ours) for theirs, ours in _TOKENS}


def read_shown(content: object) -> tuple[UserContent, ...]:
    """Read the texts and images of a message or a result; other blocks stay beside it."""
    blocks = (read_block(block) for block in _blocks(content))
    return tuple(block for block in blocks if isinstance(block, TextContent | ImageContent))


def read_shape(shape: Fields) -> tuple[str, tuple[ToolSpec, ...]]:
    """Read the system prompt and the tools of a request, as the proxy reads them; a server's own tools are left out."""
    system = shape.get("system")
    blocks = [text_of(fields_of(block).get("text")) for block in list_of(system)]
    tools = tuple(
        ToolSpec(name=text_of(one["name"]), description=text_of(one.get("description")), schema=to_json(schema))
        for one in map(fields_of, list_of(shape.get("tools")))
        if text_of(one.get("name")) and isinstance(schema := one.get("input_schema"), dict)
    )
    return text_of(system) or "\n".join(blocks), tools


def write_shown(content: Sequence[UserContent]) -> str | list[dict[str, object]]:
    """Write the content of a result: a single text as it is."""
    match content:
        case (TextContent(text=text, raw=msgspec.UNSET),):
            return text
        case _:
            return [write_block(block) for block in content]


def read_result(block: Fields, tool_name: str, details: object) -> ToolResultMessage:
    """Read what a tool answered; `details` is what Claude Code keeps of it beside the text (unset: nothing)."""
    return ToolResultMessage(
        tool_call_id=text_of(block.get("tool_use_id")),
        tool_name=tool_name,
        content=read_shown(block.get("content")),
        details=details if isinstance(details, msgspec.UnsetType) else to_json(details),
        is_error=block.get("is_error") is True,
    )


def write_result(result: ToolResultMessage) -> dict[str, object]:
    """Write what a tool answered, without what is kept beside it."""
    block: dict[str, object] = {"tool_use_id": result.tool_call_id, "type": "tool_result"}
    block["content"] = write_shown(result.content)
    return {**block, "is_error": True} if result.is_error else block


def write_user(message: UserMessage) -> str | list[dict[str, object]]:
    """Write the content of what a person said."""
    content = message.content
    return content if isinstance(content, str) else [write_block(block) for block in content]
