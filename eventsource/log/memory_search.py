"""What is looked for in the log in memory: texts, and the ends of histories."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import TypeAlias

from ..envelope import FoundCount, FoundText, Recorded
from ..events import Fork
from ..found_text import pattern_of
from .encode import UPDATES
from .memory_session import MemorySession

Part: TypeAlias = tuple[MemorySession, int, int]
"""A session, and the first and the last of its own seqs that belong to a history."""


def find(where: Iterable[Part], text: str, after: FoundText | None, limit: int) -> tuple[FoundText, ...]:
    """Find a text, in what is looked through first before all else."""
    found = [hit for own, first, last in where for hit in own.hits(pattern_of(text)) if first <= hit.text_seq <= last]
    if after is not None:
        found = found[found.index(after) + 1 :]
    return tuple(found[:limit])


def count(within: Iterable[tuple[str, Sequence[Part]]], text: str, most: int) -> Iterator[FoundCount]:
    """Count a text in histories, up to so often in each."""
    wanted = pattern_of(text)
    for session, parts in within:
        hits = (1 for own, first, last in parts for hit in own.hits(wanted) if first <= hit.text_seq <= last)
        if found := sum(islice(hits, max(most, 0))):
            yield FoundCount(session, found)


def last(where: Iterable[Part], limit: int) -> list[Recorded]:
    """Return the last facts of a history, of which the latest part is the first."""
    found = list[Recorded]()
    for own, first, end in where:
        facts = [one for one in own.recorded() if first <= one.seq <= end and type(one.event) not in (*UPDATES, Fork)]
        found = facts[max(len(facts) + len(found) - limit, 0) :] + found
    return found
