"""The first words of a person in a prompt, whatever programs put around them: a session is shown and titled by them.

Rows of the log hold what is made of them here, so another rule needs another format of the log.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from .events import EventBase, MessageAdopt, QueuePush
from .message_text import text_of
from .messages import UserMessage
from .values import MARKER

_LONGEST = 20_000
_SHOWN = 60
_BLOCK = re.compile(r"<([A-Za-z][\w.-]*)(?:\s[^<>]*)?>.*?</\1\s*>", re.DOTALL)
_FENCE = re.compile(r"^(```|~~~).*?^\1[^\S\n]*$", re.DOTALL | re.MULTILINE)
_WRAPPED = re.compile(r"<(?:command-args|user_query|user_message|query|prompt|question)>(.*?)</", re.DOTALL)


def title_of(prompt: str) -> str:
    """Make a title: blocks in tags and fenced texts are left out, unless nothing else is said."""
    return typed_words(prompt) or _line(prompt[:_LONGEST])


def typed_words(prompt: str) -> str:
    """Make a title of what stands outside of tags and fences, or in tags around what was typed; empty: nothing."""
    text = prompt[:_LONGEST]
    wrapped = " ".join(said for said in _WRAPPED.findall(text) if said.strip())
    bare = _BLOCK.sub(" ", _FENCE.sub(" ", text))
    return next((_line(said) for said in (bare, wrapped) if said.strip()), "")


def title_of_first(events: Iterable[EventBase]) -> str:
    """Make a title of the first message of a person; empty when no such message has words."""
    for event in events:
        if isinstance(event, MessageAdopt | QueuePush) and isinstance(event.message, UserMessage):
            title = first_words(event.message)
            if title:
                return title
    return ""


def first_words(message: UserMessage) -> str:
    """Return the first words of a message; empty when it has none, or was erased."""
    words = title_of(text_of(message))
    return "" if words == MARKER else words


def has_words(message: UserMessage) -> bool:
    """Return whether a message says anything, or did before it was erased."""
    return bool(text_of(message).strip())


def _line(text: str) -> str:
    words = " ".join(text[: _SHOWN * 8].split())
    return words if len(words) <= _SHOWN and len(text) <= _SHOWN * 8 else words[: _SHOWN - 1].rstrip() + "…"
