"""Messages as Inspect writes them, read and written back."""

from __future__ import annotations

import json
from collections.abc import Sequence

import msgspec

from eventsource.codec import from_json, to_json
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

from ..fields import fields_of, list_of, text_of
from ..jsonl import Fields
from ..numbers import read_count, read_millionths

API = "inspect"  # of blocks that have no neutral form
_STOPS: dict[str, StopReason] = {
    "stop": "stop",
    "max_tokens": "length",
    "model_length": "length",
    "tool_calls": "tool_use",
    "content_filter": "refusal",
}


def choice_of(event: Fields) -> Fields:
    """Return what a model answered: its first choice."""
    choices = list_of(fields_of(event.get("output")).get("choices"))
    return fields_of(choices[0]) if choices else {}


def usage_of(event: Fields) -> Usage | None:
    """Read what a model call took; an answer from a cache took nothing."""
    raw = fields_of(fields_of(event.get("output")).get("usage"))
    if not raw or event.get("cache") == "read":
        return None
    return Usage(
        input_tokens=read_count(raw.get("input_tokens")),
        output_tokens=read_count(raw.get("output_tokens")),
        cache_read_tokens=read_count(raw.get("input_tokens_cache_read")),
        cache_write_tokens=read_count(raw.get("input_tokens_cache_write")),
        reasoning_tokens=read_count(raw.get("reasoning_tokens")),
        cost_microusd=read_millionths(raw.get("total_cost")),
        raw=to_json(dict(raw)),
    )


def read_answer(message: Fields, event: Fields) -> AssistantMessage:
    """Read what a model said, and what its call says of that (empty: there is none)."""
    content = message.get("content")
    parts = [{"type": "text", "text": content}] if isinstance(content, str) else list_of(content)
    blocks: list[AssistantContent] = [_read_block(fields_of(part)) for part in parts if part]
    blocks = [block for block in blocks if not (isinstance(block, TextContent) and not block.text)]
    calls = [_read_call(call) for call in map(fields_of, list_of(message.get("tool_calls")))]
    choice = choice_of(event)
    stop = _STOPS.get(text_of(choice.get("stop_reason")), "tool_use" if calls else "stop")
    if stop == "tool_use" and not calls:  # they were taken out of it
        stop = "stop"
    return AssistantMessage(
        content=(*blocks, *calls),
        stop_reason=stop,
        raw_stop_reason=text_of(choice.get("stop_reason")),
        usage=usage_of(event),
        response_id=text_of(fields_of(event.get("output")).get("response_id")),
    )


def _read_block(part: Fields) -> AssistantContent:
    match part:
        case {"type": "text", "text": str(text)}:
            return TextContent(text=text)
        case {"type": "reasoning", "reasoning": str(text)} if part.get("redacted") is True:
            said = text_of(part.get("signature")) or text
            return ThinkingContent(thinking="", signature=said, redacted=True)
        case {"type": "reasoning", "reasoning": str(text)}:
            return ThinkingContent(thinking=text, signature=text_of(part.get("signature")))
        case _:
            return ProviderContent(api=API, block=to_json(dict(part)))


def _read_call(call: Fields) -> ToolCall:
    arguments = call.get("arguments")
    return ToolCall(
        id=text_of(call.get("id")),
        name=text_of(call.get("function")),
        arguments=json.dumps(arguments, ensure_ascii=False) if isinstance(arguments, dict) and arguments else "",
    )


def read_content(content: object) -> str | tuple[UserContent, ...]:
    """Read what a person said or a tool answered; of what is neither a text nor an image, its type."""
    if isinstance(content, str):
        return content
    return tuple(_read_part(fields_of(part)) for part in list_of(content))


def _read_part(part: Fields) -> UserContent:
    match part:
        case {"type": "text", "text": str(text)}:
            return TextContent(text=text)
        case {"type": "image", "image": str(url)} if url.startswith("data:") and ";base64," in url:
            head, _, data = url.partition(";base64,")
            return ImageContent(data=data, media_type=head.removeprefix("data:"))
        case {"type": "image", "image": str(url)}:
            return TextContent(text=f"[image: {url}]")
        case _:
            return TextContent(text=f"[{text_of(part.get('type')) or 'content'}]")


def read_result(message: Fields, tool: str) -> ToolResultMessage:
    """Read what a tool answered; of one that failed, what the model was told."""
    content = read_content(message.get("content"))
    error = message.get("error")
    failure = text_of(fields_of(error).get("message")) or text_of(message.get("tool_error"))
    parts = (TextContent(text=content),) if isinstance(content, str) else content
    if failure and not any(not isinstance(part, TextContent) or part.text for part in parts):
        parts = (TextContent(text=failure),)
    return ToolResultMessage(
        tool_call_id=text_of(message.get("tool_call_id")),
        tool_name=text_of(message.get("function")) or tool,
        content=parts,
        details=msgspec.UNSET if error is None else to_json(error),
        is_error=bool(error or failure),
    )


def write_message(message: object) -> dict[str, object]:
    """Write a message as far as the log says it by itself."""
    match message:
        case UserMessage(content=content, raw=raw):
            role = {} if isinstance(raw, msgspec.UnsetType) else fields_of(from_json(raw))
            return {"content": _write_content(content), "role": "user", **role}
        case ToolResultMessage():
            written: dict[str, object] = {"content": _write_content(message.content), "role": "tool"}
            written |= {"tool_call_id": message.tool_call_id, "function": message.tool_name}
            if not isinstance(message.details, msgspec.UnsetType):
                written["error"] = from_json(message.details)
            elif message.is_error:
                written["error"] = {"type": "unknown", "message": written["content"]}
            return written
        case AssistantMessage():
            return _write_answer(message)
        case _:
            return {}


def _write_answer(message: AssistantMessage) -> dict[str, object]:
    parts = [_write_block(block) for block in message.content if not isinstance(block, ToolCall)]
    alone = len(parts) == 1 and parts[0].get("type") == "text"
    content: object = parts[0].get("text") if alone else parts or ""
    written: dict[str, object] = {"content": content, "source": "generate", "role": "assistant"}
    if message.tool_calls:
        written["tool_calls"] = [_write_call(call) for call in message.tool_calls]
    if message.model:
        written["model"] = f"{message.provider}/{message.model}" if message.provider else message.model
    return written


def _write_call(call: ToolCall) -> dict[str, object]:
    try:
        arguments = json.loads(call.arguments or "{}")
    except (ValueError, RecursionError):
        arguments = {}
    return {"id": call.id, "function": call.name, "arguments": arguments, "type": "function"}


def _write_block(block: AssistantContent) -> dict[str, object]:
    match block:
        case TextContent(text=text):
            return {"type": "text", "text": text}
        case ThinkingContent(thinking=text, signature=signature, redacted=True):
            return {"type": "reasoning", "reasoning": text or signature, "redacted": True}
        case ThinkingContent(thinking=text, signature=signature):
            signed = {"signature": signature} if signature else {}
            return {"type": "reasoning", "reasoning": text, **signed, "redacted": False}
        case ProviderContent(api=api, block=raw) if api == API:
            return dict(fields_of(from_json(raw)))
        case _:
            return {"type": "text", "text": ""}


def _write_content(content: str | Sequence[UserContent]) -> object:
    parts = [content] if isinstance(content, str) else content
    written = [part if isinstance(part, str) else _write_part(part) for part in parts]
    if len(written) == 1 and (isinstance(written[0], str) or "text" in written[0]):
        return written[0] if isinstance(written[0], str) else written[0]["text"]
    return written


def _write_part(part: UserContent) -> dict[str, object]:
    if isinstance(part, TextContent):
        return {"type": "text", "text": part.text}
    return {"type": "image", "image": f"data:{part.media_type};base64,{part.data}", "detail": "auto"}
