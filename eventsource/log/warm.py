"""What an opened log keeps folded of its sessions, so that going on in one costs what is new and not what is old.

It is a cache and nothing else: whatever is asked of it can be folded from the log again, with the same result. A
session's row says whether what is kept still holds. Under one number a log is only appended to, so a fold up to a seq
stays right until content is dropped or erased, which `removals` counts.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable
from operator import attrgetter
from typing import Any, Generic, NamedTuple, TypeVar

import msgspec

from ..context_fold import ContextFold, RequestBuilder
from ..envelope import Recorded, SessionInfo
from ..events import (
    Compaction,
    ConfigChange,
    ContextEdit,
    Event,
    MessageAdopt,
    MessageEnd,
    QueuePush,
    ToolExecutionEnd,
)
from ..request import PartHashes

V = TypeVar("V")
B = TypeVar("B")

LIMIT_BYTES = 128 * 1024 * 1024
"""How much the folds of an opened log may take, by estimate; those of the session that was used last always stay."""
APART = 500
"""Seqs between two folds of one session, at the least: one that ends before the head begins at the nearest of them."""
_SESSION_BYTES = 4_000
_FOLD_BYTES = 1_000
"""What an earlier fold takes: it shares its content with the later ones."""
_EVENT_BYTES = 700
"""What an event takes in a fold beside its content: the objects that it is made of."""
_CONTENT = frozenset((QueuePush, MessageEnd, MessageAdopt, ToolExecutionEnd, Compaction, ContextEdit, ConfigChange))
_encoder = msgspec.json.Encoder()
_seq: Callable[[WarmFold[Any]], int] = attrgetter("seq")


class WarmFold(NamedTuple, Generic[V]):
    """A fold of a session's events up to a seq, and what it takes in memory by estimate."""

    seq: int
    value: V
    size_bytes: int = 0


def estimate_bytes(event: Event) -> int:
    """Estimate what a fold takes for an event: for one that holds content, what keeps that."""
    return _EVENT_BYTES + 2 * len(_encoder.encode(event)) if type(event) in _CONTENT else 0


class _Session:
    """What is kept of one session, by its step: folds, the longest last, and what reads their values."""

    __slots__ = ("beside", "digest", "folds", "key", "seq", "size_bytes")

    def __init__(self, key: tuple[int, int]) -> None:
        self.key = key
        self.seq, self.digest = -1, ""  # of the row last seen
        self.folds: dict[object, list[WarmFold[Any]]] = {}
        self.beside: dict[object, Any] = {}
        self.size_bytes = _SESSION_BYTES


class WarmFolds:
    """Folds of the sessions that were used last, each with the row that it was made under.

    A fold is known by its step, so only steps that are the same function each time are kept, and only of values that
    never change. Used by one event loop.
    """

    def __init__(self, limit_bytes: int = LIMIT_BYTES, apart: int = APART) -> None:
        self.limit_bytes, self.apart = limit_bytes, apart
        self.size_bytes = 0
        self._sessions: dict[str, _Session] = {}

    def find(self, info: SessionInfo, step: Callable[[V, Recorded], V], initial: V, upto: int) -> WarmFold[V]:
        """Return the fold to go on from towards a seq: the longest that fits the row, else the beginning."""
        kept = self._of(info)
        folds: list[WarmFold[V]] = kept.folds.get(step, []) if kept is not None else []
        place = bisect_right(folds, upto, key=_seq)
        return folds[place - 1] if place else WarmFold(0, initial)

    def reached(self, info: SessionInfo) -> int:
        """Return how far what is kept reaches: whoever appends keeps it, and a row that was just read may be older."""
        kept = self._of(info)
        return max((folds[-1].seq for folds in kept.folds.values()), default=0) if kept is not None else 0

    def keep(self, info: SessionInfo, step: Callable[[V, Recorded], V], fold: WarmFold[V]) -> None:
        """Keep a fold that was made under a row: the longest, and shorter ones that are far enough from one another.

        The row may be older than the fold: what its number and removals say counts.
        """
        kept, key = self._sessions.get(info.id), _key(info)
        if kept is not None and kept.key > key:
            return  # made under a row that is out of date
        if kept is None or kept.key < key:
            self.forget(info.id)
            kept = _Session(key)
            self.size_bytes += kept.size_bytes
        else:
            del self._sessions[info.id]
        self._sessions[info.id] = kept  # the one that was used last stands last
        grown = _insert(kept.folds.setdefault(step, []), fold, self.apart)
        kept.size_bytes += grown
        self.size_bytes += grown
        if fold.seq == info.head >= kept.seq:
            kept.seq, kept.digest = info.head, info.digest
        while self.size_bytes > self.limit_bytes and len(self._sessions) > 1:
            self.forget(next(iter(self._sessions)))

    def has(self, session: str) -> bool:
        """Return whether anything is kept of a session, under whatever row."""
        return session in self._sessions

    def begin_fork(self, info: SessionInfo, parent: SessionInfo) -> None:
        """Keep of a fork what is kept of its parent up to where it begins: up to there their events are the same."""
        kept = self._of(parent)
        for step, folds in list(kept.folds.items()) if kept is not None else ():
            for fold in folds[: bisect_right(folds, info.fork_seq, key=_seq)]:
                self.keep(info, step, fold)  # type: ignore[arg-type]  # the step it was kept under

    def builders(self, info: SessionInfo, context: ContextFold[V]) -> tuple[RequestBuilder[V], PartHashes]:
        """Return what builds and hashes the requests of a session; each costs what came since the one before."""
        return self.beside(info, context.step, lambda: (context.requests(), PartHashes()))

    def beside(self, info: SessionInfo, step: Callable[..., object], make: Callable[[], B]) -> B:
        """Return what is kept beside the folds of a step, to read their values with; at first what `make` makes."""
        kept = self._of(info)
        if kept is None:
            return make()
        if step not in kept.beside:
            kept.beside[step] = make()
        found: B = kept.beside[step]
        return found

    def forget(self, session: str) -> None:
        """Keep nothing more of a session."""
        gone = self._sessions.pop(session, None)
        if gone is not None:
            self.size_bytes -= gone.size_bytes

    def _of(self, info: SessionInfo) -> _Session | None:
        """Find what is kept of a session; what does not fit its row is gone for good, unless the row is older."""
        kept = self._sessions.get(info.id)
        if kept is None or kept.key > _key(info):
            return None
        if kept.key < _key(info) or (kept.seq == info.head and kept.digest != info.digest):
            self.forget(info.id)
            return None
        return kept


def _insert(folds: list[WarmFold[V]], fold: WarmFold[V], apart: int) -> int:
    """Put a fold among those of its step, the longest in place of one that it follows closely. Returns: bytes more."""
    place = bisect_right(folds, fold.seq, key=_seq)
    before = folds[place - 1].seq if place else 0
    if place < len(folds):  # not the longest
        if min(fold.seq - before, folds[place].seq - fold.seq) < apart:
            return 0
        folds.insert(place, fold)
        return _FOLD_BYTES
    grown = fold.size_bytes - (folds[-1].size_bytes if folds else 0)
    if folds and before - (folds[-2].seq if len(folds) > 1 else 0) < apart:
        folds[-1] = fold
        return grown
    folds.append(fold)
    return grown + (_FOLD_BYTES if len(folds) > 1 else 0)


def _key(info: SessionInfo) -> tuple[int, int]:
    return info.number, info.removals
