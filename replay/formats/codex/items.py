"""Items of the Responses API as Codex keeps them, read into messages and written back."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence

import msgspec

from eventsource.codec import from_json, read_object, to_json
from eventsource.messages import (
    AssistantMessage,
    ImageContent,
    TextContent,
    ToolResultMessage,
    Usage,
    UserContent,
    UserMessage,
)
from eventsource.models.openai.responses import message_items
from eventsource.models.openai.responses_reader import API, ItemReader
from eventsource.models.protocol import StreamEnd
from eventsource.models.transport.sse import ServerEvent

from ..fields import fields_of, list_of, text_of
from ..jsonl import Fields

__all__ = [
    "API",
    "as_item",
    "is_readable",
    "is_said_by_model",
    "read_answer",
    "read_result",
    "read_said",
    "write_answer",
    "write_result",
    "write_said",
]

_OUTPUTS = ("function_call_output", "custom_tool_call_output")
_BESIDE_CALLS = ("compaction", "compaction_summary", "tool_search_output")  # pieces of an answer that no tool made


def is_said_by_model(item: Fields) -> bool:
    """Return whether an item is a piece of an answer."""
    kind = text_of(item.get("type"))
    if kind == "message":
        return item.get("role") == "assistant"
    return kind == "reasoning" or kind.endswith("_call") or kind in _BESIDE_CALLS


def is_result(item: Fields) -> bool:
    """Return whether an item is what a tool answered."""
    return item.get("type") in _OUTPUTS


def read_answer(items: Sequence[Fields], model: str, usage: Usage | None) -> AssistantMessage:
    """Read the items of one answer."""
    custom = [text_of(item.get("name")) for item in items if item.get("type") == "custom_tool_call"]
    reader = ItemReader(model, custom)
    whole = {"object": "response", "status": "completed", "output": list(items)}
    said = [*reader.feed(ServerEvent(data=json.dumps(whole))), *reader.finish()]
    message = next(one.message for one in said if isinstance(one, StreamEnd))
    return msgspec.structs.replace(message, api=API, usage=usage, model=model)


def write_answer(message: AssistantMessage) -> list[dict[str, object]]:
    """Write an answer as its items."""
    return message_items(message)


def as_item(item: Fields) -> dict[str, object]:
    """Write a piece of an answer with all that Codex wants of it; the API takes less."""
    content = item.get("content")
    if "type" in item or not isinstance(content, str):
        return dict(item)
    return {"type": "message", **item, "content": [{"type": "output_text", "text": content}]}


def read_said(item: Fields) -> UserMessage:
    """Read what a person, or the program in their place, said; `raw` keeps a role that is not the user's."""
    content, role = read_parts(item.get("content")), item.get("role")
    return UserMessage(content=content, raw=msgspec.UNSET if role == "user" else to_json({"role": role}))


def write_said(message: UserMessage) -> dict[str, object]:
    """Write what a person said."""
    content = message.content
    parts: Sequence[UserContent] = (TextContent(text=content),) if isinstance(content, str) else content
    written = {"type": "message", "role": "user", "content": [write_part(part) for part in parts]}
    return {**written, **read_object(message.raw)}


def read_parts(content: object) -> tuple[UserContent, ...]:
    if isinstance(content, str):
        return (TextContent(text=content),)
    blocks = [content] if isinstance(content, dict) else list_of(content)
    return tuple(part for part in map(_read_part, map(fields_of, blocks)) if part is not None)


def is_readable(part: Fields) -> bool:
    """Return whether a part of a message has a neutral form."""
    return _read_part(part) is not None


def _read_part(part: Fields) -> UserContent | None:
    match part:
        case {"type": "input_text" | "output_text" | "text", "text": str(text)}:
            return TextContent(text=text)
        case {"type": "input_image", "image_url": str(url)} if url.startswith("data:") and ";base64," in url:
            head, _, data = url.partition(";base64,")
            return ImageContent(data=data, media_type=head.removeprefix("data:"))
        case _:
            return None


def write_part(part: UserContent) -> dict[str, object]:
    if isinstance(part, TextContent):
        return {"type": "input_text", "text": part.text}
    return {"type": "input_image", "image_url": f"data:{part.media_type};base64,{part.data}"}


def read_result(item: Fields, tool_name: str) -> ToolResultMessage:
    """Read what a tool answered: a text, or one in JSON with what else is known (until 0.40), or parts."""
    output = item.get("output")
    details: object = msgspec.UNSET
    failed = False
    if isinstance(output, str):
        told = _told(output)
        text = text_of(told.get("output")) if told else output
        content: tuple[UserContent, ...] = (TextContent(text=text),)
        if told:
            details = {name: value for name, value in told.items() if name != "output"}
            code = fields_of(told.get("metadata")).get("exit_code")
            failed = type(code) is int and code != 0
    else:
        content = read_parts(output)
    return ToolResultMessage(
        tool_call_id=text_of(item.get("call_id")),
        tool_name=tool_name,
        content=content,
        details=details if isinstance(details, msgspec.UnsetType) else to_json(details),
        is_error=failed,
    )


def _told(output: str) -> Mapping[str, object]:
    """Read an output that is JSON and says more than the text; of another nothing."""
    if not output.startswith('{"output":'):
        return {}
    try:
        found = json.loads(output)
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) and isinstance(found.get("output"), str) else {}


def write_result(result: ToolResultMessage, *, custom: bool) -> dict[str, object]:
    """Write what a tool answered."""
    kind = "custom_tool_call_output" if custom else "function_call_output"
    output: object = [write_part(part) for part in result.content]
    if all(isinstance(part, TextContent) for part in result.content[:1]) and len(result.content) < 2:
        output = "".join(part.text for part in result.content if isinstance(part, TextContent))
    if isinstance(output, str) and not isinstance(result.details, msgspec.UnsetType):
        output = json.dumps({"output": output, **fields_of(from_json(result.details))}, ensure_ascii=False)
    return {"type": kind, "call_id": result.tool_call_id, "output": output}
