"""Finding text in what was said."""

from __future__ import annotations

import re

import msgspec

from eventsource.messages import AssistantMessage, Message, ThinkingContent, ToolCall

from .context import ContextView, history
from .transcript import text_of


class Found(msgspec.Struct, frozen=True, kw_only=True):
    """A place where a text stands: the message, who said it, and the text around it on one line."""

    seq: int
    role: str
    excerpt: str


def find_text(view: ContextView, text: str, *, around: int = 40) -> tuple[Found, ...]:
    """Find a text, in any case, in messages, thinking, calls and results: once for each message, in order.

    `around`: how many characters of its surroundings an excerpt shows on each side.
    """
    wanted = re.compile(re.escape(text), re.IGNORECASE)
    found = []
    for entry in history(view):
        if entry.message is None:
            continue
        said = "\n".join(_texts(entry.message))
        match = wanted.search(said)
        if match is not None:
            role = str(entry.message.__struct_config__.tag)
            found.append(Found(seq=entry.seq, role=role, excerpt=_excerpt(said, match, around)))
    return tuple(found)


def _texts(message: Message) -> list[str]:
    texts = [text_of(message)]
    if isinstance(message, AssistantMessage):
        for block in message.content:
            if isinstance(block, ThinkingContent):
                texts.append(block.thinking)
            elif isinstance(block, ToolCall):
                texts.append(f"{block.name} {block.arguments}")
        texts.append(message.error)
    return [text for text in texts if text]


def _excerpt(said: str, match: re.Match[str], around: int) -> str:
    start, stop = max(match.start() - around, 0), match.end() + around
    cut = " ".join(said[start:stop].split())
    return ("…" if start else "") + cut + ("…" if stop < len(said) else "")
