"""Looking for a text in what was said: what is found of it, and how it is shown."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from .envelope import FoundText, Recorded
from .events import MessageEnd, MessageStart, QueuePush, ToolExecutionEnd
from .message_text import said_in

AROUND = 40
AHEAD = 200
"""In so many facts behind a text the message that brings it is looked for."""


def pattern_of(text: str) -> re.Pattern[str]:
    """Return what matches a text in any case."""
    return re.compile(re.escape(text), re.IGNORECASE)


def excerpt(said: str, match: re.Match[str], around: int) -> str:
    """Return what was found on one line, with so many characters of its surroundings on each side."""
    start, stop = max(match.start() - around, 0), match.end() + around
    cut = " ".join(said[start:stop].split())
    return ("…" if start else "") + cut + ("…" if stop < len(said) else "")


def find_in(session: str, one: Recorded, wanted: re.Pattern[str], behind: Iterable[Recorded]) -> FoundText | None:
    """Look for a text in one fact.

    Args:
        behind: the facts that follow it, from which comes the seq of the message that it became.
    """
    role, said = said_in(one.event)
    match = wanted.search(said) if said else None
    if match is None:
        return None
    seq = _message_seq(one, behind)
    shown = excerpt(said, match, AROUND)
    return FoundText(session=session, seq=seq, role=role, at_us=one.at_us, excerpt=shown, text_seq=one.seq)


def _message_seq(one: Recorded, behind: Iterable[Recorded]) -> int:
    """Return the seq of the message that delivers what a push or a tool's result says, its own where none is near."""
    event, begun = one.event, False
    if not isinstance(event, QueuePush | ToolExecutionEnd):
        return one.seq
    for later in _first(behind, AHEAD):
        match later.event:
            case MessageStart(role="input", push_seq=one.seq):
                begun = True
            case MessageStart(call=place) if place is not None and isinstance(event, ToolExecutionEnd):
                begun = (place.message_seq, place.content_index) == (event.message_seq, event.content_index)
            case MessageEnd() if begun:
                return later.seq
            case _:
                pass
    return one.seq


def _first(items: Iterable[Recorded], count: int) -> Iterator[Recorded]:
    for _, item in zip(range(count), items, strict=False):
        yield item
