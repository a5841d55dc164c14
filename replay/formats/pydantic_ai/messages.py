"""Parts of Pydantic AI's messages, read into messages and written back."""

from __future__ import annotations

import json
from collections.abc import Mapping
from types import MappingProxyType

import msgspec

from eventsource.codec import read_object, to_json
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
from eventsource.models.adapt.reasoning import signed_fields
from eventsource.models.openai.chat_reader import REASONING_FIELDS
from eventsource.models.openai.responses_reader import API as RESPONSES

from ..fields import fields_of, list_of, text_of
from ..jsonl import Fields
from ..numbers import read_count

API = "pydantic-ai"
"""Whose blocks parts are that have no neutral form; no model takes them."""
APIS: Mapping[str, str] = MappingProxyType(
    {
        "anthropic": "anthropic-messages",
        "google": "google-generative-ai",
        "google-gla": "google-generative-ai",
        "google-vertex": "google-generative-ai",
    }
)
"""The protocols of providers that do not speak OpenAI's."""
_REDACTED = "redacted_thinking"
_READ_STOP: Mapping[str, StopReason] = MappingProxyType(
    {"stop": "stop", "length": "length", "content_filter": "refusal", "tool_call": "tool_use", "error": "error"}
)
_WRITE_STOP = MappingProxyType({ours: theirs for theirs, ours in _READ_STOP.items()})
_FAILED = ("failed", "denied", "interrupted", "retried")
_AGAIN = "Fix the errors and try again."


def read_part(part: Fields) -> UserMessage | ToolResultMessage | None:
    """Read a part of a request; None if the model does not read it as a message."""
    match part:
        case {"part_kind": "user-prompt", "content": str(text)}:
            return UserMessage(content=text)
        case {"part_kind": "user-prompt", "content": list(content)}:
            return UserMessage(content=tuple(_read_shown(one) for one in content if not _is_mark(one)))
        case {"part_kind": "speech" | "compaction"} if spoken := _spoken(part):
            return UserMessage(content=spoken)
        case {"part_kind": "instruction-delta"}:
            return UserMessage(content=_instruction(part), raw=to_json({"role": "system"}))
        case {"part_kind": "system-prompt", "content": str(text)}:
            return UserMessage(content=text, raw=to_json({"role": "system"}))
        case {"part_kind": "tool-return"}:
            return _result(part, _read_content(part.get("content")), failed=part.get("outcome") in _FAILED)
        case {"part_kind": "retry-prompt", "tool_name": str()}:
            return _result(part, (TextContent(text=_feedback(part.get("content"))),), failed=True)
        case {"part_kind": "retry-prompt" | "retry-feedback"}:
            return UserMessage(content=_feedback(part.get("content")))
        case _:
            return None


def write_part(message: UserMessage | ToolResultMessage) -> dict[str, object]:
    """Write what was said or answered as a part of a request."""
    if isinstance(message, ToolResultMessage):
        told = read_object(message.raw).get("content")
        kept = list(map(_write_shown, message.content))
        plain = kept[0] if len(kept) == 1 and isinstance(kept[0], str) else kept
        return {
            "tool_name": message.tool_name,
            "content": plain if told is None else told,
            "tool_call_id": message.tool_call_id,
            "outcome": "failed" if message.is_error else "success",
            "part_kind": "tool-return",
        }
    kind = "system-prompt" if read_object(message.raw).get("role") in ("system", "developer") else "user-prompt"
    content: object = message.content
    if not isinstance(message.content, str):
        content = list(map(_write_shown, message.content))
        if kind == "system-prompt":
            content = "\n".join(part.text for part in message.content if isinstance(part, TextContent))
    return {"content": content, "part_kind": kind}


def _result(part: Fields, content: tuple[UserContent, ...], *, failed: bool) -> ToolResultMessage:
    said = part.get("content")
    return ToolResultMessage(
        tool_call_id=text_of(part.get("tool_call_id")),
        tool_name=text_of(part.get("tool_name")),
        content=content,
        is_error=failed,
        raw=msgspec.UNSET if isinstance(said, str) or said is None else to_json({"content": said}),
    )


def _read_content(content: object) -> tuple[UserContent, ...]:
    """Read what a tool returned as the model is told it: texts as they are, other values as JSON."""
    values = content if isinstance(content, list) and any(_is_file(one) for one in content) else [content]
    return tuple(
        _read_shown(one) if isinstance(one, str) or _is_file(one) else TextContent(text=bytes(to_json(one)).decode())
        for one in values
    )


def _spoken(part: Fields) -> str:
    """Return what was spoken (that there was audio, where nobody wrote it down), or the words of a summary."""
    said = text_of(part.get("transcript")) or text_of(part.get("content"))
    return said or ("[speech: kept as it came]" if part.get("audio") is not None else "")


def _instruction(part: Fields) -> str:
    """Write what the model is told of an instruction that was changed or withdrawn."""
    said = part.get("content")
    words = said if isinstance(said, str) else "This context has been withdrawn."
    name = text_of(part.get("id"))
    return f"<pyai:context{f' id={json.dumps(name)}' if name else ''}>\n{words}\n</pyai:context>"


def _is_mark(value: object) -> bool:
    """Return whether a part of a prompt says nothing: it only marks how far the provider may keep it."""
    return fields_of(value).get("kind") == "cache-point"


def _is_file(value: object) -> bool:
    return "media_type" in fields_of(value) or text_of(fields_of(value).get("kind")).endswith("-url")


def _read_shown(value: object) -> UserContent:
    """Read a text or an image; of anything else its kind, and in `raw` the whole."""
    match value:
        case str(text):
            return TextContent(text=text)
        case {"kind": "binary", "data": str(data), "media_type": str(media)} if media.startswith("image/"):
            rest = {name: one for name, one in fields_of(value).items() if name not in ("kind", "data", "media_type")}
            return ImageContent(data=data.translate(_STANDARD), media_type=media, raw=to_json(rest))
        case {"kind": "text-content" | "structured-content", "content": str(text)}:
            return TextContent(text=text, raw=to_json({"part": value}))
        case _:
            kind, url = (text_of(fields_of(value).get(name)) for name in ("kind", "url"))
            link = f" {url}" if url and not url.startswith("data:") else ""
            return TextContent(text=f"[{kind or 'part'}{link}: kept as it came]", raw=to_json({"part": value}))


_STANDARD = str.maketrans("-_", "+/")  # Pydantic writes bytes in the alphabet of URLs
_FOR_URLS = str.maketrans("+/", "-_")


def _write_shown(part: UserContent) -> object:
    if isinstance(part, ImageContent):
        data = part.data.translate(_FOR_URLS)
        return {**read_object(part.raw), "data": data, "media_type": part.media_type, "kind": "binary"}
    kept = read_object(part.raw).get("part")
    return kept if "kind" in fields_of(kept) else part.text


def _feedback(content: object) -> str:
    """Write what the model is told of a call that has to be made again."""
    if isinstance(content, str):
        return f"{content}\n\n{_AGAIN}"
    errors = [{name: value for name, value in fields_of(error).items() if name != "ctx"} for error in list_of(content)]
    said = json.dumps(errors, indent=2, ensure_ascii=False)
    return f"{len(errors)} validation error{'s' * (len(errors) != 1)}:\n```json\n{said}\n```\n\n{_AGAIN}"


def read_answer(fields: Fields) -> AssistantMessage:
    """Read a response."""
    content = tuple(map(_read_reply, map(fields_of, list_of(fields.get("parts")))))
    reason = text_of(fields.get("finish_reason"))
    calls = any(isinstance(block, ToolCall) for block in content)
    stop: StopReason = _READ_STOP.get(reason, "tool_use" if calls else "stop")
    if fields.get("state") == "interrupted":
        stop = "aborted"
    return AssistantMessage(
        content=content,
        stop_reason=stop,
        raw_stop_reason="" if reason in _READ_STOP else reason,
        error="the provider ended the answer with an error" if stop == "error" else "",
        usage=_read_usage(fields_of(fields.get("usage"))),
        provider=text_of(fields.get("provider_name")),
        model=text_of(fields.get("model_name")),
        response_id=text_of(fields.get("provider_response_id")) or text_of(fields.get("vendor_id")),
    )


def write_answer(message: AssistantMessage) -> dict[str, object]:
    """Write a response."""
    finish = message.raw_stop_reason or _WRITE_STOP.get(message.stop_reason)
    return {
        "parts": [part for block in message.content if (part := _write_reply(block, message)) is not None],
        "usage": _write_usage(message.usage) if message.usage is not None else {},
        "model_name": message.model or None,
        "kind": "response",
        "provider_name": message.provider or None,
        "provider_response_id": message.response_id or None,
        "finish_reason": finish,
    }


def _read_reply(part: Fields) -> AssistantContent:
    match part:
        case {"part_kind": "text", "content": str(text)}:
            return TextContent(text=text)
        case {"part_kind": "speech"} if spoken := _spoken(part):
            return TextContent(text=spoken)
        case {"part_kind": "thinking", "content": str(text)}:
            signature = text_of(part.get("signature"))
            if part.get("id") == _REDACTED and not text:
                return ThinkingContent(thinking="", signature=signature, redacted=True)
            return ThinkingContent(thinking=text, signature=signature)
        case {"part_kind": "tool-call", "tool_name": str(name)}:
            args = part.get("args")
            arguments = args if isinstance(args, str) else "" if args is None else bytes(to_json(args)).decode()
            return ToolCall(id=text_of(part.get("tool_call_id")), name=name, arguments=arguments)
        case _:
            return ProviderContent(api=API, block=to_json(part))


def _write_reply(block: AssistantContent, message: AssistantMessage) -> dict[str, object] | None:
    """Write a block; None for one of another provider's own."""
    match block:
        case TextContent(text=text):
            return {"content": text, "part_kind": "text"}
        case ThinkingContent(redacted=True, signature=signature):
            signed: dict[str, object] = {"id": _REDACTED, "signature": signature}
            return {"content": "", **signed, "provider_name": message.provider or None, "part_kind": "thinking"}
        case ThinkingContent(thinking=text, signature=signature):
            signed = _signed(signature, message.api) if signature else {"signature": None}
            own = message.provider if signature and message.provider else None
            return {"content": text, **signed, "provider_name": own, "part_kind": "thinking"}
        case ToolCall(id=call_id, name=name, arguments=arguments):
            return {
                "tool_name": name,
                "args": _arguments(arguments),
                "tool_call_id": call_id,
                "part_kind": "tool-call",
            }
        case ProviderContent(api=api, block=raw):
            return dict(read_object(raw)) if api == API else None


def _signed(signature: str, api: str) -> dict[str, object]:
    """Write what reasoning is signed with, which Pydantic AI keeps in other fields."""
    if api == RESPONSES:
        item = signed_fields(signature)
        return {"id": item.get("id"), "signature": item.get("encrypted_content")}
    return {"id": signature, "signature": None} if signature in REASONING_FIELDS else {"signature": signature}


def _arguments(text: str) -> object:
    """Write arguments as an object, if that says the same text."""
    try:
        value = json.loads(text)
        same = isinstance(value, dict) and bytes(to_json(value)).decode() == text
    except (ValueError, RecursionError):
        return text
    return value if same else text


def _read_usage(usage: Fields) -> Usage | None:
    details = fields_of(usage.get("details"))
    cached, written = read_count(usage.get("cache_read_tokens")), read_count(usage.get("cache_write_tokens"))
    taken = read_count(usage.get("input_tokens")) or read_count(usage.get("request_tokens"))
    found = Usage(
        input_tokens=max(0, taken - cached - written),
        output_tokens=read_count(usage.get("output_tokens")) or read_count(usage.get("response_tokens")),
        cache_read_tokens=cached,
        cache_write_tokens=written,
        cache_write_1h_tokens=read_count(usage.get("cache_write_1h_tokens")),
        reasoning_tokens=read_count(usage.get("output_reasoning_tokens"))
        or read_count(details.get("reasoning_tokens")),
    )
    return msgspec.structs.replace(found, raw=to_json(usage)) if found != Usage() else None


def _write_usage(usage: Usage) -> dict[str, object]:
    raw = read_object(usage.raw)
    if "details" in raw or "requests" in raw:  # Pydantic AI's own
        return dict(raw)
    return {
        "input_tokens": usage.input_tokens + usage.cache_read_tokens + usage.cache_write_tokens,
        "cache_write_tokens": usage.cache_write_tokens,
        "cache_read_tokens": usage.cache_read_tokens,
        "output_tokens": usage.output_tokens,
        "details": {"reasoning_tokens": usage.reasoning_tokens} if usage.reasoning_tokens else {},
    }
