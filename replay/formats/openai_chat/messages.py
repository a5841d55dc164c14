"""Messages of Chat Completions, read and written back; what has no name here stays beside the message."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType

import msgspec

from eventsource.codec import from_json, read_object, to_json
from eventsource.events import ToolSpec
from eventsource.messages import (
    AssistantContent,
    AssistantMessage,
    ImageContent,
    StopReason,
    TextContent,
    ThinkingContent,
    ToolCall,
    ToolResultMessage,
    Usage,
    UserContent,
    UserMessage,
)
from eventsource.models.openai.chat import API
from eventsource.models.openai.chat_reader import CUSTOM, REASONING_FIELDS, REFUSAL
from eventsource.models.openai.shared import (
    CUSTOM_CLOSE,
    CUSTOM_KEY,
    CUSTOM_OPEN,
    custom_input,
    escaped,
    image_url,
    read_usage,
)

from ..fields import fields_of, list_of, text_of
from ..jsonl import Fields
from ..numbers import read_count

_STOP: Mapping[str, StopReason] = MappingProxyType(
    {
        "stop": "stop",
        "length": "length",
        "tool_calls": "tool_use",
        "function_call": "tool_use",
        "content_filter": "refusal",
    }
)
_SANE = 1 << 53


def read_said(fields: Fields) -> UserMessage:
    """Read what a person, or the program in their place, said; `raw` keeps a role that is not the user's."""
    role = fields.get("role")
    return UserMessage(
        content=_read_content(fields.get("content")), raw=msgspec.UNSET if role == "user" else to_json({"role": role})
    )


def read_result(fields: Fields, tool: str) -> ToolResultMessage:
    """Read what a tool answered."""
    content = _read_content(fields.get("content"))
    return ToolResultMessage(
        tool_call_id=text_of(fields.get("tool_call_id")),
        tool_name=tool or text_of(fields.get("name")),
        content=(TextContent(text=content),) if isinstance(content, str) else content,
    )


def _read_content(content: object) -> str | tuple[UserContent, ...]:
    return content if isinstance(content, str) else tuple(map(_read_part, list_of(content)))


def _read_part(part: object) -> UserContent:
    """Read a text or an image; of anything else its kind, and in `raw` the whole."""
    fields = fields_of(part)
    if fields.get("type") == "text" and isinstance(fields.get("text"), str):
        return TextContent(text=text_of(fields.get("text")))
    url = text_of(fields_of(fields.get("image_url")).get("url"))
    head, carried, data = url.partition(";base64,")
    if carried and head.startswith("data:"):
        return ImageContent(data=data, media_type=head.removeprefix("data:"))
    kind = text_of(fields.get("type")) or "part"
    return TextContent(text=f"[{kind}: kept as it came]", raw=to_json({"part": part}))


def _write_content(content: str | Sequence[UserContent]) -> object:
    return content if isinstance(content, str) else list(map(_write_part, content))


def _write_part(part: UserContent) -> object:
    if isinstance(part, ImageContent):
        return {"type": "image_url", "image_url": {"url": image_url(part)}}
    return read_object(part.raw).get("part", {"type": "text", "text": part.text})


def read_answer(fields: Fields, choice: Fields, response: Fields) -> AssistantMessage:
    """Read an answer, with what its choice and its response say beside it (empty: nothing is known of these)."""
    content = tuple(_blocks(fields))
    reason = text_of(choice.get("finish_reason"))
    calls = any(isinstance(block, ToolCall) for block in content)
    usage = fields_of(response.get("usage"))
    return AssistantMessage(
        content=content,
        stop_reason="tool_use" if calls and _STOP.get(reason, "stop") == "stop" else _STOP.get(reason, "stop"),
        raw_stop_reason="" if reason in _STOP else reason,
        usage=_read_usage(usage) if usage else None,
        api=API,
        model=text_of(response.get("model")),
        response_id=text_of(response.get("id")),
    )


def _blocks(fields: Fields) -> list[AssistantContent]:
    blocks: list[AssistantContent] = []
    details = fields.get("reasoning_details")
    if isinstance(details, list) and details:
        blocks.append(ThinkingContent(thinking="", signature=bytes(to_json(details)).decode()))
    else:
        blocks += [
            ThinkingContent(thinking=text_of(fields.get(name)), signature=name)
            for name in REASONING_FIELDS
            if text_of(fields.get(name))
        ]
    content = fields.get("content")
    parts: Sequence[object] = [{"type": "text", "text": content}] if isinstance(content, str) else list_of(content)
    for part in map(fields_of, parts):
        if text_of(part.get("refusal")):
            blocks.append(TextContent(text=text_of(part.get("refusal")), signature=REFUSAL))
        elif text_of(part.get("text")):
            blocks.append(TextContent(text=text_of(part.get("text"))))
    if text_of(fields.get("refusal")):
        blocks.append(TextContent(text=text_of(fields.get("refusal")), signature=REFUSAL))
    blocks += [read for call in map(fields_of, list_of(fields.get("tool_calls"))) if (read := _read_call(call))]
    if legacy := fields_of(fields.get("function_call")):
        blocks += [read for read in (_read_call({"function": legacy}),) if read]
    return blocks


def _read_call(call: Fields) -> ToolCall | None:
    custom, function = fields_of(call.get("custom")), fields_of(call.get("function"))
    call_id, name = text_of(call.get("id")), text_of((custom or function).get("name"))
    if not name:
        return None
    if custom:
        text = CUSTOM_OPEN + escaped(text_of(custom.get("input"))) + CUSTOM_CLOSE
        return ToolCall(id=call_id, name=name, arguments=text, signature=CUSTOM)
    given = function.get("arguments")
    arguments = given if isinstance(given, str) else "" if given is None else bytes(to_json(given)).decode()
    return ToolCall(id=call_id, name=name, arguments=arguments)


def _read_usage(raw: Fields) -> Usage:
    usage = read_usage(_sane(raw))
    tokens = ("input_tokens", "output_tokens", "cache_read_tokens", "cache_write_tokens", "reasoning_tokens")
    return msgspec.structs.replace(usage, **{name: read_count(getattr(usage, name)) for name in tokens})


def _sane(fields: Fields) -> dict[str, object]:
    """Leave out numbers that nobody counts to."""
    return {
        name: _sane(value) if isinstance(value, dict) else value
        for name, value in fields.items()
        if not isinstance(value, int | float) or abs(value) < _SANE
    }


def write_message(message: UserMessage | AssistantMessage | ToolResultMessage) -> dict[str, object]:
    """Write a message as a request holds it."""
    match message:
        case UserMessage(content=content):
            return {"role": "user", **read_object(message.raw), "content": _write_content(content)}
        case ToolResultMessage(content=(TextContent(text=text, raw=msgspec.UNSET),)):
            return {"role": "tool", "tool_call_id": message.tool_call_id, "content": text}
        case ToolResultMessage(content=content):
            return {"role": "tool", "tool_call_id": message.tool_call_id, "content": _write_content(content)}
        case AssistantMessage():
            return _write_answer(message)


def _write_answer(message: AssistantMessage) -> dict[str, object]:
    written: dict[str, object] = {"role": "assistant", "content": None}
    texts = [block for block in message.content if isinstance(block, TextContent)]
    said = [block.text for block in texts if block.signature != REFUSAL]
    refused = [block.text for block in texts if block.signature == REFUSAL]
    if said:
        written["content"] = "".join(said)
    if refused:
        written["refusal"] = "".join(refused)
    for block in message.content:
        if isinstance(block, ThinkingContent) and block.signature.startswith("["):
            written["reasoning_details"] = from_json(block.signature)
        elif isinstance(block, ThinkingContent) and block.signature in REASONING_FIELDS:
            written[block.signature] = block.thinking
    if message.tool_calls:
        written["tool_calls"] = list(map(_write_call, message.tool_calls))
    return written


def _write_call(call: ToolCall) -> dict[str, object]:
    if call.signature == CUSTOM:
        return {"id": call.id, "type": CUSTOM, "custom": {"name": call.name, "input": custom_input(call.arguments)}}
    return {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": call.arguments}}


def read_tools(body: Fields) -> tuple[ToolSpec, ...]:
    """Read the tools of a request, and its functions, as they were called once; a server's own stay beside it."""
    found: dict[str, ToolSpec] = {}
    functions = [{"function": one} for one in list_of(body.get("functions"))]
    for tool in map(fields_of, [*list_of(body.get("tools")), *functions]):
        custom, function = fields_of(tool.get("custom")), fields_of(tool.get("function"))
        name = text_of((custom or function).get("name"))
        if not name:
            continue
        schema = {CUSTOM_KEY: custom.get("format") or True} if custom else fields_of(function.get("parameters"))
        description = text_of((custom or function).get("description"))
        found[name] = ToolSpec(name=name, schema=to_json(schema or {"type": "object"}), description=description)
    return tuple(found.values())


def system_text(fields: Fields) -> str:
    """Return the text of a system message."""
    content = _read_content(fields.get("content"))
    return content if isinstance(content, str) else "".join(one.text for one in content if isinstance(one, TextContent))
