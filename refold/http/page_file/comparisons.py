"""The branches of a file beside each other: each pair of them, either way around, compared once and for all."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import permutations

import msgspec

from eventsource.envelope import SessionInfo
from eventsource.session import SessionHandle

from ...log import Log
from ...views.comparing import ComparedPair, ComparisonHead, comparison_head, comparison_page

MOST_COMPARED = 8
"""Branches; with more, those of them that come first are compared with each other, and the one of the file with all."""
MOST_PAIRS = 2_000
"""Of a comparison; a longer one is not in the file."""
_PAGE = 500


class Comparison(msgspec.Struct, frozen=True, kw_only=True):
    """Two branches beside each other, with all pairs of what was said in them."""

    head: ComparisonHead
    pairs: tuple[ComparedPair, ...]


async def compared_branches(
    log: Log, sessions: Sequence[SessionInfo]
) -> tuple[tuple[Comparison, ...], tuple[str, ...]]:
    """Compare the branches among sessions. Returns: the comparisons, and which there are not, in words."""
    branches = [one for one in sessions if one.parent is not None or not one.started_by]
    found: list[Comparison] = []
    long = 0
    for left, right in _pairs(branches):
        one = await _compared(
            SessionHandle(log.store, left, clock=log.clock), SessionHandle(log.store, right, clock=log.clock)
        )
        if one is None:
            long += 1
        else:
            found.append(one)
    return tuple(found), tuple(_missing(len(branches), long))


def _pairs(branches: Sequence[SessionInfo]) -> Iterator[tuple[str, str]]:
    for (one, left), (other, right) in permutations(enumerate(branches), 2):
        if (one < MOST_COMPARED and other < MOST_COMPARED) or not one or not other:
            yield left.id, right.id


def _missing(branches: int, long: int) -> Iterator[str]:
    if branches > MOST_COMPARED:
        yield f"comparisons of {branches - MOST_COMPARED:,} of its branches with any but the first"
    if long:
        comparisons = "comparison" if long == 1 else "comparisons"
        yield f"{long:,} {comparisons} of branches with more than {MOST_PAIRS:,} messages"


async def _compared(left: SessionHandle, right: SessionHandle) -> Comparison | None:
    """Compare two sessions; None when that is too long."""
    pairs: list[ComparedPair] = []
    after: tuple[int, int] | None = (0, 0)
    while after is not None:
        if len(pairs) >= MOST_PAIRS:
            return None
        page = await comparison_page(left, right, after=after, limit=_PAGE)
        pairs += page.pairs
        after = page.next
    return Comparison(head=await comparison_head(left, right), pairs=tuple(pairs))
