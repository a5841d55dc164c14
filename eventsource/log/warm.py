"""What an opened log keeps folded of its sessions, so that going on in one costs what is new and not what is old.

It is a cache and nothing else: whatever is asked of it can be folded from the log again, with the same result. A
session's row says whether what is kept still holds. Under one number a log is only appended to, so a fold up to a seq
stays right until content is dropped or erased, which `removals` counts.
"""

from __future__ import annotations

from collections.abc import Callable
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

LIMIT_BYTES = 128 * 1024 * 1024
"""How much the folds of an opened log may take, by estimate; those of the session that was used last always stay."""
_SESSION_BYTES = 4_000
_EVENT_BYTES = 700
"""What an event takes in a fold beside its content: the objects that it is made of."""
_CONTENT = frozenset((QueuePush, MessageEnd, MessageAdopt, ToolExecutionEnd, Compaction, ContextEdit, ConfigChange))
_encoder = msgspec.json.Encoder()


class WarmFold(NamedTuple, Generic[V]):
    """A fold of a session's events up to a seq, and what it takes in memory by estimate."""

    seq: int
    value: V
    size_bytes: int = 0


def estimate_bytes(event: Event) -> int:
    """Estimate what a fold takes for an event: for one that holds content, what keeps that."""
    return _EVENT_BYTES + 2 * len(_encoder.encode(event)) if type(event) in _CONTENT else 0


class _Session:
    """What is kept of one session: folds by their step, and builders of requests by the fold they build from."""

    __slots__ = ("builders", "digest", "folds", "key", "seq", "size_bytes")

    def __init__(self, key: tuple[int, int]) -> None:
        self.key = key
        self.seq, self.digest = -1, ""  # of the row last seen
        self.folds: dict[object, WarmFold[Any]] = {}
        self.builders: dict[object, tuple[RequestBuilder[Any], PartHashes]] = {}
        self.size_bytes = _SESSION_BYTES


class WarmFolds:
    """Folds of the sessions that were used last, each with the row that it was made under.

    A fold is known by its step, so only steps that are the same function each time are kept, and only of values that
    never change. Used by one event loop.
    """

    def __init__(self, limit_bytes: int = LIMIT_BYTES) -> None:
        self.limit_bytes = limit_bytes
        self.size_bytes = 0
        self._sessions: dict[str, _Session] = {}

    def find(self, info: SessionInfo, step: Callable[[V, Recorded], V], initial: V, upto: int) -> WarmFold[V]:
        """Return the fold to go on from towards a seq: what is kept if it fits the row, else the beginning."""
        kept = self._of(info)
        found: WarmFold[V] | None = kept.folds.get(step) if kept is not None else None
        return found if found is not None and found.seq <= upto else WarmFold(0, initial)

    def reached(self, info: SessionInfo) -> int:
        """Return how far what is kept reaches: whoever appends keeps it, and a row that was just read may be older."""
        kept = self._of(info)
        return max((fold.seq for fold in kept.folds.values()), default=0) if kept is not None else 0

    def keep(self, info: SessionInfo, step: Callable[[V, Recorded], V], fold: WarmFold[V]) -> None:
        """Keep a fold that was made under a row, unless one that reaches further is there.

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
        before = kept.folds.get(step)
        if before is None or before.seq <= fold.seq:
            kept.folds[step] = fold
            grown = fold.size_bytes - (before.size_bytes if before is not None else 0)
            kept.size_bytes += grown
            self.size_bytes += grown
            if fold.seq == info.head:
                kept.seq, kept.digest = info.head, info.digest
        while self.size_bytes > self.limit_bytes and len(self._sessions) > 1:
            self.forget(next(iter(self._sessions)))

    def builders(self, info: SessionInfo, context: ContextFold[V]) -> tuple[RequestBuilder[V], PartHashes]:
        """Return what builds and hashes the requests of a session; each costs what came since the one before."""
        kept = self._of(info)
        if kept is None:
            return context.requests(), PartHashes()
        if context.step not in kept.builders:
            kept.builders[context.step] = (context.requests(), PartHashes())
        return kept.builders[context.step]

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


def _key(info: SessionInfo) -> tuple[int, int]:
    return info.number, info.removals
