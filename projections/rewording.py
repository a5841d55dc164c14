"""Saying a message in other words: same role, same calls, another text."""

from __future__ import annotations

import msgspec
from msgspec.structs import replace

from eventsource.codec import read_object, to_json
from eventsource.messages import (
    AssistantMessage,
    CustomMessage,
    Message,
    TextContent,
    ToolCall,
    ToolResultMessage,
    UserMessage,
)


def reworded(message: Message, text: str) -> Message:
    """Give a message another text; its calls stay, its thinking, images and signatures do not."""
    block = TextContent(text=text)
    match message:
        case UserMessage():
            return UserMessage(content=text)
        case AssistantMessage():
            calls = tuple(part for part in message.content if isinstance(part, ToolCall))
            return replace(message, content=(block, *calls) if text else calls, raw=msgspec.UNSET)
        case ToolResultMessage():
            return replace(message, content=(block,), details=msgspec.UNSET)
        case CustomMessage():
            return replace(message, body=to_json({**read_object(message.body), "content": text}))
