"""Which sessions' own events a session's history is made of."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Generic, NamedTuple, TypeVar

from ..envelope import Recorded
from ..events import Fork, MessageEnd, MessageStart

MAX_SEQ = 2**32 - 1
K = TypeVar("K")


class Segment(NamedTuple, Generic[K]):
    """The seqs (first to last, both included) that a session's history takes from one session."""

    session: K
    first: int
    last: int


def segments(chain: Sequence[tuple[K, int]], *, after: int = 0, upto: int = MAX_SEQ) -> list[Segment[K]]:
    """Cut a history into segments, oldest first.

    Args:
        chain: (session, its fork seq) from the session itself to the root.
        after, upto: only seqs with `after < seq <= upto`.
    """
    found: list[Segment[K]] = []
    last = upto
    for session, fork_seq in chain:
        first = max(fork_seq, after) + 1
        if first <= last:
            found.append(Segment(session, first, last))
        last = min(last, fork_seq)
    found.reverse()
    return found


def fork_points(parents: Mapping[K, tuple[K | None, int]], session: K) -> set[int]:
    """Seqs of a session at which the history of another leaves it, by whatever way.

    Args:
        parents: for each session its parent and the last seq it inherits.
    """
    points: set[int] = set()
    for start in parents:
        at, last = start, MAX_SEQ
        while at != session:
            parent, fork_seq = parents[at]
            if parent is None or parent not in parents:
                break
            at, last = parent, min(last, fork_seq)
        else:
            if start != session:
                points.add(last)
    return points


def closed_messages(facts: Iterable[Recorded]) -> list[tuple[int, int]]:
    """Find the assistant messages that began and ended in one session's own facts: (seq of the start, of the end).

    A message that was open when the session was forked counts from the `fork`.
    """
    found: list[tuple[int, int]] = []
    start = 0
    for recorded in facts:
        match recorded.event:
            case MessageStart(role=role):
                start = (start or recorded.seq) if role == "assistant" else 0
            case Fork():
                start = recorded.seq
            case MessageEnd():
                if start:
                    found.append((start, recorded.seq))
                start = 0
            case _:
                pass
    return found
