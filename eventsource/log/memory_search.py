"""Looking for a text in the log in memory."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import TypeAlias

from ..envelope import FoundCount, FoundText
from ..found_text import pattern_of
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
        if found := sum(islice(hits, most)):
            yield FoundCount(session, found)
