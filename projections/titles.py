"""The title that a prompt gives its session: the first words of a person in it, whatever programs put around them."""

from __future__ import annotations

import re
from collections.abc import Iterable

from eventsource.events import EventBase, MessageAdopt, QueuePush
from eventsource.messages import UserMessage
from eventsource.values import MARKER

from .transcript import text_of

_LONGEST = 20_000
_SHOWN = 60
_BLOCK = re.compile(r"<([A-Za-z][\w.-]*)(?:\s[^<>]*)?>.*?</\1\s*>", re.DOTALL)
_FENCE = re.compile(r"^(```|~~~).*?^\1[^\S\n]*$", re.DOTALL | re.MULTILINE)
_WRAPPED = re.compile(r"<(?:command-args|user_query|user_message|query|prompt|question)>(.*?)</", re.DOTALL)


def title_of(prompt: str) -> str:
    """Make a title: blocks in tags and fenced texts are left out, unless nothing else is said."""
    text = prompt[:_LONGEST]
    wrapped = " ".join(said for said in _WRAPPED.findall(text) if said.strip())
    bare = _BLOCK.sub(" ", _FENCE.sub(" ", text))
    return next((_line(said) for said in (bare, wrapped, text) if said.strip()), "")


def title_of_first(events: Iterable[EventBase]) -> str:
    """Make a title of the first message of a person; empty when no such message has words."""
    for event in events:
        if isinstance(event, MessageAdopt | QueuePush) and isinstance(event.message, UserMessage):
            title = title_of(text_of(event.message))
            if title and title != MARKER:
                return title
    return ""


def _line(text: str) -> str:
    words = " ".join(text[: _SHOWN * 8].split())
    return words if len(words) <= _SHOWN and len(text) <= _SHOWN * 8 else words[: _SHOWN - 1].rstrip() + "…"
