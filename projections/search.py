"""Finding text in what was said."""

from __future__ import annotations

import msgspec

from eventsource.found_text import AROUND, excerpt, pattern_of
from eventsource.message_text import whole_text

from .context import ContextView, history


class Found(msgspec.Struct, frozen=True, kw_only=True):
    """A place where a text stands: the message, who said it, and the text around it on one line."""

    seq: int
    role: str
    excerpt: str


def find_text(view: ContextView, text: str, *, around: int = AROUND) -> tuple[Found, ...]:
    """Find a text, in any case, in messages, thinking, calls and results: once for each message, in order.

    `around`: how many characters of its surroundings an excerpt shows on each side.
    """
    wanted = pattern_of(text)
    found = []
    for entry in history(view):
        if entry.message is None:
            continue
        said = whole_text(entry.message)
        match = wanted.search(said)
        if match is not None:
            role = str(entry.message.__struct_config__.tag)
            found.append(Found(seq=entry.seq, role=role, excerpt=excerpt(said, match, around)))
    return tuple(found)
