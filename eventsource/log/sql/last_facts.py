"""Reading the last facts of many sessions, in one transaction and without those that nobody asks for."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import TypeAlias

from ...envelope import Recorded
from ...events import EventBase, Fork
from ..lineage import MAX_SEQ
from .connection import Sql
from .reading import load_fact

_OF_ID = "SELECT number, parent, fork_seq, archived_at_us FROM sessions WHERE id = ?"
_OF_NUMBER = "SELECT number, parent, fork_seq, archived_at_us FROM sessions WHERE number = ?"
_FACTS = "SELECT id, at_us, body, b FROM events WHERE id > ? AND id <= ? ORDER BY id DESC LIMIT ?"
_End: TypeAlias = list[Recorded | None]
"""The last facts of a session, the latest first; None in the place of one that nobody asks for."""


def last_facts(
    connection: Sql, sessions: Sequence[str], types: Collection[type[EventBase]], *, limit: int
) -> tuple[tuple[Recorded, ...], ...]:
    """Read of each session those of some types among its last facts, forks apart. Raises: CorruptLogError."""
    reading = _Reading(connection, types, limit)
    return tuple(tuple(one for one in reversed(reading.end_of(session)) if one is not None) for session in sessions)


class _Reading:
    """Reads what many sessions share once: the end of each (number, seq) that a lineage comes through is kept."""

    def __init__(self, connection: Sql, types: Collection[type[EventBase]], limit: int) -> None:
        self._connection, self._limit = connection, limit
        self._begins = tuple(map(_beginning, types))
        self._known: dict[tuple[int, int], _End] = {}

    def end_of(self, session: str) -> _End:
        """Read the last facts of a session; none if it is not there."""
        levels, end = list[tuple[tuple[int, int], _End]](), _End()
        row, last = self._connection.execute(_OF_ID, (session,)).fetchone(), MAX_SEQ
        while row is not None and not end:
            number, parent, fork_seq, archived_at_us = row
            if archived_at_us is not None:
                self._connection.unpack([number])
            end = self._known.get((number, last), [])
            if not end:
                own = self._own(session, number, fork_seq, last)
                levels.append(((number, last), own))
                is_whole = parent is None or len(own) == self._limit
                row = None if is_whole else self._connection.execute(_OF_NUMBER, (parent,)).fetchone()
                last = min(last, fork_seq)
        for place, own in reversed(levels):
            end = self._known[place] = (own + end)[: self._limit]
        return end

    def _own(self, session: str, number: int, fork_seq: int, last: int) -> _End:
        base, end = number << 32, _End()
        rows = self._connection.execute(_FACTS, (base | fork_seq, base | last, self._limit + 1)).fetchall()
        for key, at_us, body, b in rows:
            if body.startswith(self._begins):
                seq = key & MAX_SEQ
                end.append(Recorded(seq, at_us, load_fact(self._connection, session, seq, body, b)))
            elif not body.startswith(_FORK):
                end.append(None)
        return end[: self._limit]


def _beginning(kind: type[EventBase]) -> bytes:
    """Return how the bytes of an event begin."""
    if EventBase not in getattr(kind, "__mro__", ()):
        raise ValueError(f"types: expected classes of events, found {kind!r}")
    return b'{"type":"%b"' % str(kind.__struct_config__.tag).encode()


_FORK = _beginning(Fork)
