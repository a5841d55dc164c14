"""Messages of pi, read and written back: what Refold has no name for stays beside it, as received.

Every reading is checked by writing: whatever the named fields do not say goes to `raw`, which is laid over them again.
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
    CustomMessage,
    ImageContent,
    Json,
    Message,
    ProviderContent,
    StopReason,
    TextContent,
    ThinkingContent,
    ToolCall,
    ToolResultMessage,
    Usage,
    UserMessage,
)

from ..differences import same
from ..fields import fields_of, list_of, text_of
from ..jsonl import Fields
from ..numbers import read_count, read_millionths

SOURCE = "pi"
_TOKENS = ("input", "output", "cacheRead", "cacheWrite")
_READ_STOP: Mapping[str, StopReason] = MappingProxyType(
    {"stop": "stop", "length": "length", "toolUse": "tool_use", "error": "error", "aborted": "aborted"}
)
_WRITE_STOP: Mapping[StopReason, str] = MappingProxyType(
    {ours: theirs for theirs, ours in _READ_STOP.items()} | {"refusal": "error", "pause": "stop"}
)


def missing_fields(fields: Fields, written: Fields) -> dict[str, object]:
    """Return the fields that what was written lacks or has with other values."""
    return {name: value for name, value in fields.items() if name not in written or not same(value, written[name])}


def read_message(fields: Fields) -> tuple[Message, int]:
    """Read a message of any role, and when it was sent (UTC microseconds; 0: it does not say)."""
    time = fields.get("timestamp")
    sent_at_us = time * 1000 if type(time) is int and 0 < time < 1 << 52 else 0
    match fields.get("role"):
        case "user":
            content = fields.get("content")
            message: Message = UserMessage(content=content if isinstance(content, str) else _read_shown(content))
        case "assistant":
            message = _read_assistant(fields)
        case "toolResult":
            message = _read_result(fields)
        case role:
            left_out = {"role", "timestamp"} if sent_at_us else {"role"}
            body = {name: value for name, value in fields.items() if name not in left_out}
            return CustomMessage(kind=str(role), body=to_json(body)), sent_at_us
    extra = missing_fields(fields, write_message(message, sent_at_us))
    return (msgspec.structs.replace(message, raw=to_json(extra)) if extra else message), sent_at_us


def write_message(message: Message, sent_at_us: int) -> dict[str, object]:
    """Write a message as pi stores it."""
    raw: Json = msgspec.UNSET
    match message:
        case UserMessage(content=content):
            fields: dict[str, object] = {"role": "user", "content": content}
            if not isinstance(content, str):
                fields["content"] = _write_blocks(content)
            raw = message.raw
        case AssistantMessage():
            fields = _write_assistant(message)
            raw = message.raw
        case ToolResultMessage():
            fields = {"role": "toolResult", "toolCallId": message.tool_call_id, "toolName": message.tool_name}
            fields["content"] = _write_blocks(message.content)
            if not isinstance(message.details, msgspec.UnsetType):
                fields["details"] = from_json(message.details)
            fields["isError"] = message.is_error
            raw = message.raw
        case CustomMessage(kind=kind, body=body):
            fields = {"role": kind, **read_object(body)}
    if sent_at_us:
        fields.setdefault("timestamp", sent_at_us // 1000)
    return {**fields, **read_object(raw)}


def _read_shown(content: object) -> tuple[TextContent | ImageContent, ...]:
    """Read the texts and images of a list; other blocks stay in the message's `raw`."""
    blocks = (_read_block(block) for block in list_of(content))
    return tuple(block for block in blocks if isinstance(block, TextContent | ImageContent))


def _read_block(block: object) -> AssistantContent | ImageContent | None:
    fields = fields_of(block)
    match fields:
        case {"type": "text", "text": str(text)}:
            read: AssistantContent | ImageContent = TextContent(
                text=text, signature=text_of(fields.get("textSignature"))
            )
        case {"type": "image", "data": str(data), "mimeType": str(media_type)}:
            read = ImageContent(data=data, media_type=media_type)
        case {"type": "thinking", "thinking": str(thinking)}:
            signature, redacted = text_of(fields.get("thinkingSignature")), fields.get("redacted") is True
            read = ThinkingContent(thinking=thinking, signature=signature, redacted=redacted)
        case {"type": "toolCall", "id": str(call_id), "name": str(name), "arguments": arguments}:
            signature = text_of(fields.get("thoughtSignature"))
            text = bytes(to_json(arguments)).decode()
            read = ToolCall(id=call_id, name=name, arguments=text, signature=signature)
        case _:
            return None
    extra = missing_fields(fields, fields_of(_write_block(read)))
    return msgspec.structs.replace(read, raw=to_json(extra)) if extra else read


def _read_assistant(fields: Fields) -> AssistantMessage:
    reason = text_of(fields.get("stopReason"))
    usage = fields.get("usage")
    return AssistantMessage(
        content=tuple(_read_reply(block) for block in list_of(fields.get("content"))),
        stop_reason=_READ_STOP.get(reason, "stop"),
        raw_stop_reason="" if reason in _READ_STOP else reason,
        error=text_of(fields.get("errorMessage")),
        usage=_read_usage(usage) if isinstance(usage, dict) else None,
        api=text_of(fields.get("api")),
        provider=text_of(fields.get("provider")),
        model=text_of(fields.get("model")),
        response_id=text_of(fields.get("responseId")),
    )


def _read_reply(block: object) -> AssistantContent:
    read = _read_block(block)
    if read is None or isinstance(read, ImageContent):
        return ProviderContent(api=SOURCE, block=to_json(block))
    return read


def _read_usage(fields: Fields) -> Usage:
    counts = [read_count(value) for value in map(fields.get, _TOKENS)]
    cost = fields.get("cost")
    total = cost.get("total") if isinstance(cost, dict) else None
    usage = Usage(
        input_tokens=counts[0],
        output_tokens=counts[1],
        cache_read_tokens=counts[2],
        cache_write_tokens=counts[3],
        cost_microusd=read_millionths(total),
        raw=to_json({}),
    )
    return msgspec.structs.replace(usage, raw=to_json(missing_fields(fields, _write_usage(usage))))


def _read_result(fields: Fields) -> ToolResultMessage:
    return ToolResultMessage(
        tool_call_id=text_of(fields.get("toolCallId")),
        tool_name=text_of(fields.get("toolName")),
        content=_read_shown(fields.get("content")),
        details=to_json(fields["details"]) if "details" in fields else msgspec.UNSET,
        is_error=fields.get("isError") is True,
    )


def _write_blocks(blocks: Sequence[AssistantContent | ImageContent]) -> list[object]:
    return [_write_block(block) for block in blocks]


def _write_block(block: AssistantContent | ImageContent) -> object:
    signed = ""
    match block:
        case TextContent(text=text, signature=signature):
            fields: dict[str, object] = {"type": "text", "text": text}
            signed = "textSignature"
        case ImageContent(data=data, media_type=media_type):
            fields, signature = {"type": "image", "data": data, "mimeType": media_type}, ""
        case ThinkingContent(thinking=thinking, signature=signature):
            fields = {"type": "thinking", "thinking": thinking}
            fields |= {"redacted": True} if block.redacted else {}
            signed = "thinkingSignature"
        case ToolCall(signature=signature):
            fields = {"type": "toolCall", "id": block.id, "name": block.name, **_write_arguments(block.arguments)}
            signed = "thoughtSignature"
        case ProviderContent(block=received):
            return from_json(received)
    if signature:
        fields[signed] = signature
    return {**fields, **read_object(block.raw)}


def _write_arguments(text: str) -> dict[str, object]:
    """Parse a call's arguments; text that is no JSON goes where pi keeps unfinished arguments."""
    try:
        return {"arguments": json.loads(text) if text else {}}
    except ValueError:
        return {"arguments": {}, "partialJson": text}


def _write_assistant(message: AssistantMessage) -> dict[str, object]:
    said = {
        "api": message.api,
        "provider": message.provider,
        "model": message.model,
        "errorMessage": message.error,
        "responseId": message.response_id,
    }
    fields: dict[str, object] = {"role": "assistant", "content": _write_blocks(message.content)}
    fields |= {name: text for name, text in said.items() if text}
    if message.usage is not None:
        fields["usage"] = _write_usage(message.usage)
    return {**fields, "stopReason": _WRITE_STOP[message.stop_reason]}


def _write_usage(usage: Usage) -> dict[str, object]:
    counts = (usage.input_tokens, usage.output_tokens, usage.cache_read_tokens, usage.cache_write_tokens)
    fields: dict[str, object] = dict(zip(_TOKENS, counts, strict=True))
    if isinstance(usage.raw, msgspec.UnsetType):  # not from pi: it expects sums and a price
        prices = dict.fromkeys((*_TOKENS, "total"), 0.0)
        return {
            **fields,
            "totalTokens": sum(counts),
            "cost": prices | {"total": (usage.cost_microusd or 0) / 1_000_000},
        }
    return {**fields, **read_object(usage.raw)}
