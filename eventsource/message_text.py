"""What is said in messages, as text: for people, for searching, and for models that are asked about a conversation."""

from __future__ import annotations

import msgspec

from .codec import read_object
from .events import Compaction, Event, MessageAdopt, MessageEnd, QueuePush, ToolExecutionEnd
from .messages import AssistantMessage, CustomMessage, Message, TextContent, ThinkingContent, ToolCall, UserMessage

TOLD_BY = tuple(
    b'{"type":"%b"' % name
    for name in (b"queue_push", b"message_end", b"message_adopt", b"tool_execution_end", b"compaction")
)
"""How the bytes of the events begin that `said_in` finds a text in."""


def text_of(message: Message) -> str:
    """Return the text that a person reads in a message; thinking and calls are not part of it."""
    if isinstance(message, CustomMessage):
        fields = read_object(message.body)
        texts = [fields.get(name) for name in ("summary", "command", "output", "content")]
        return "\n".join(text for text in texts if isinstance(text, str) and text)
    if isinstance(message, UserMessage) and isinstance(message.content, str):
        return message.content
    return "\n".join(block.text for block in message.content if isinstance(block, TextContent))


def role_of(message: UserMessage) -> str:
    """Return in whose name an input was said: user, or another one that its program gave it, as `system`."""
    named = read_object(message.raw).get("role") if not isinstance(message.raw, msgspec.UnsetType) else None
    return named if isinstance(named, str) and named else message.role


def whole_text(message: Message) -> str:
    """Return all that is said in a message: its text, thinking, calls with their arguments, and an error."""
    texts = [text_of(message)]
    if isinstance(message, AssistantMessage):
        for block in message.content:
            if isinstance(block, ThinkingContent):
                texts.append(block.thinking)
            elif isinstance(block, ToolCall):
                texts.append(f"{block.name} {block.arguments}")
        texts.append(message.error)
    return "\n".join(text for text in texts if text)


def tools_called_in(event: Event) -> tuple[str, ...]:
    """Return the names of the tools that an event's answer calls, each once."""
    match event:
        case MessageEnd(message=AssistantMessage() as message) | MessageAdopt(message=AssistantMessage() as message):
            names = (block.name for block in message.content if isinstance(block, ToolCall))
            return tuple(dict.fromkeys(name for name in names if name))
        case _:
            return ()


def said_in(event: Event) -> tuple[str, str]:
    """Return who says something in an event, and what; two empty texts for an event in which nobody does.

    Who: user (or what `role_of` says), assistant, tool_result, custom, summary.
    """
    match event:
        case QueuePush(message=message) | MessageAdopt(message=message):
            kind = str(message.__struct_config__.tag)
            return role_of(message) if isinstance(message, UserMessage) else kind, whole_text(message)
        case MessageEnd(message=AssistantMessage() as message):
            return "assistant", whole_text(message)
        case ToolExecutionEnd(result=result) if result is not None:
            return "tool_result", "\n".join(block.text for block in result.content if isinstance(block, TextContent))
        case Compaction(summary=summary):
            return "summary", summary
        case _:
            return "", ""
