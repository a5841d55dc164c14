"""A history of any provider's, made into what one provider accepts."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Literal

import msgspec

from ..codec import from_json
from ..messages import (
    AssistantContent,
    AssistantMessage,
    CustomMessage,
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

NO_RESULT = "No result was recorded for this call."
NOT_SHOWN = "(what was said before is not shown)"
NO_IMAGE = "(an image was left out: this model does not take images)"


class Accepts(msgspec.Struct, frozen=True, kw_only=True):
    """What a provider accepts.

    `api` and `provider`: reasoning, signatures and raw fields go back only to where they came from.
    `signed_thinking`: reasoning goes back only with a signature; without one it counts as foreign.
    `foreign_thinking`: reasoning from elsewhere is dropped or becomes text.
    `id_pattern`: characters a call's id may NOT have (a regular expression); `id_chars`: how long it may be.
    """

    api: str
    provider: str = ""
    signed_thinking: bool = False
    foreign_thinking: Literal["drop", "text"] = "text"
    id_pattern: str = r"[^a-zA-Z0-9_-]"
    id_chars: int = 64


def prepare(messages: Sequence[Message], accepts: Accepts) -> tuple[Message, ...]:
    """Make a history acceptable.

    Every call has an id that is legal and unique, and right after its message stands exactly one result with that id,
    in the order of the calls; a call without one gets an error result that says so, a result without a call becomes a
    user's text. Custom messages are left out. What is already sent stays the same when the history goes on, so that a
    provider's prompt cache holds.
    """
    return tuple(_repaired(list(messages), accepts))


def _repaired(messages: list[Message], accepts: Accepts) -> Iterator[Message]:
    used: set[str] = set()
    place = 0
    while place < len(messages):
        message = messages[place]
        place += 1
        match message:
            case AssistantMessage():
                end = _batch_end(messages, place)
                yield from _exchange(message, messages[place:end], used, accepts)
                place = end
            case ToolResultMessage():
                yield _orphan(message)
            case UserMessage():
                yield message
            case CustomMessage():
                pass


def _batch_end(messages: list[Message], begin: int) -> int:
    """Find the next assistant message, up to which results belong to the calls before `begin`."""
    end = begin
    while end < len(messages) and not isinstance(messages[end], AssistantMessage):
        end += 1
    return end


def _exchange(
    message: AssistantMessage, following: list[Message], used: set[str], accepts: Accepts
) -> Iterator[Message]:
    """Yield an assistant message, its results in the order of its calls, then what else followed."""
    own = message.api in ("", accepts.api) and message.provider in ("", accepts.provider)
    content: list[AssistantContent] = []
    results: list[ToolResultMessage] = []
    rest = list(following)
    for block in message.content:
        kept = _accepted(block, accepts) if own else _translated(block, accepts)
        if isinstance(kept, ToolCall):
            wire_id = _unique(kept.id, used, accepts)
            results.append(_result(kept, wire_id, rest))
            kept = kept if kept.id == wire_id else msgspec.structs.replace(kept, id=wire_id)
        if kept is not None:
            content.append(kept)
    yield (
        message
        if own and tuple(content) == message.content
        else msgspec.structs.replace(message, content=tuple(content), raw=message.raw if own else msgspec.UNSET)
    )
    yield from results
    yield from _repaired(rest, accepts)


def _result(call: ToolCall, wire_id: str, rest: list[Message]) -> ToolResultMessage:
    """Take the first result with the call's id out of `rest`, or make one that says there is none."""
    for index, message in enumerate(rest):
        if isinstance(message, ToolResultMessage) and message.tool_call_id == call.id:
            del rest[index]
            return msgspec.structs.replace(message, tool_call_id=wire_id, tool_name=call.name)
    text = TextContent(text=NO_RESULT)
    return ToolResultMessage(tool_call_id=wire_id, tool_name=call.name, content=(text,), is_error=True)


def _orphan(message: ToolResultMessage) -> UserMessage:
    said = TextContent(text=f"Result of a call of the tool {message.tool_name or message.tool_call_id}:")
    return UserMessage(content=(said, *message.content))


def _unique(call_id: str, used: set[str], accepts: Accepts) -> str:
    legal = re.sub(accepts.id_pattern, "_", call_id)[: accepts.id_chars] or "call"
    found, number = legal, 1
    while found in used or (not call_id and number == 1):
        number += 1
        suffix = f"_{number - (not call_id)}"
        found = f"{legal[: accepts.id_chars - len(suffix)]}{suffix}"
    used.add(found)
    return found


def _accepted(block: AssistantContent, accepts: Accepts) -> AssistantContent | None:
    match block:
        case ProviderContent(api=api):
            return block if api == accepts.api else None
        case ThinkingContent(signature="") if accepts.signed_thinking:
            return _translated(block, accepts)
        case _:
            return block


def _translated(block: AssistantContent, accepts: Accepts) -> AssistantContent | None:
    """Say a block of another provider's without what only that provider can read."""
    match block:
        case TextContent(text=text):
            return TextContent(text=text) if text else None
        case ThinkingContent(thinking=text):
            return TextContent(text=text) if text.strip() and accepts.foreign_thinking == "text" else None
        case ToolCall(id=call_id, name=name, arguments=arguments):
            return ToolCall(id=call_id, name=name, arguments=arguments)
        case ProviderContent():
            return None


def without_images(messages: Sequence[Message]) -> tuple[Message, ...]:
    """Put a remark in place of each image, for a model that takes none."""
    return tuple(
        msgspec.structs.replace(message, content=tuple(map(_without_image, message.content)))
        if isinstance(message, UserMessage | ToolResultMessage) and not isinstance(message.content, str)
        else message
        for message in messages
    )


def _without_image(part: UserContent) -> UserContent:
    return TextContent(text=NO_IMAGE) if isinstance(part, ImageContent) else part


def arguments_object(arguments: str) -> Mapping[str, object]:
    """Read arguments as the object a provider wants; what is none is quoted, so that the model sees what it wrote."""
    try:
        value = from_json(arguments or "{}")
    except (ValueError, RecursionError):
        value = None
    return value if isinstance(value, dict) else {"invalid_arguments": arguments}
