"""What searching is the same in every database: where to look, what lies in the archive, what brings a text."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from itertools import islice
from typing import TypeAlias

from ...envelope import FoundCount, FoundText, Recorded
from ...errors import CorruptLogError
from ...found_text import AHEAD, find_in, pattern_of
from ...message_text import TOLD_BY, said_in
from ..letters import letters_of, may_have
from ..lineage import MAX_SEQ, segments
from .connection import Sql
from .reading import id_of, lineage, load_fact

Keys: TypeAlias = Callable[[int, int], Iterable[int]]
"""Yields the keys of facts between two that may say a text and are not in the archive, the last first."""
MayHold: TypeAlias = Callable[[bytes, bytes | None], bool]
"""Says of a fact's body, and its hashes, whether it may say a text: False is certain."""

_NEXT = """
SELECT id, at_us, body, b FROM (SELECT * FROM events WHERE id > ? AND id <= ? ORDER BY id LIMIT ?) AS later
WHERE body LIKE '{"type":"message_start"%' OR body LIKE '{"type":"message_end"%' ORDER BY id"""
_ARCHIVED = """
SELECT number FROM sessions WHERE archived_at_us IS NOT NULL AND number BETWEEN ? AND ? ORDER BY number DESC"""
_ALL = "SELECT id FROM events WHERE id BETWEEN ? AND ? ORDER BY id DESC"


class TextSearch:
    """A text that is looked for, and how a database finds what may say it."""

    def __init__(self, connection: Sql, text: str, keys: Keys, may_hold: MayHold) -> None:
        self._connection, self._keys, self._may_hold = connection, keys, may_hold
        self._wanted, self._letters = pattern_of(text), letters_of(text)

    def find(self, session: str | None, after: FoundText | None, limit: int) -> tuple[FoundText, ...]:
        """Find it: the session made last first, and in it what was said last."""
        found = list[FoundText]()
        for low, high in ranges_of(self._connection, session, after):
            for key, one in self._facts(low, high):
                name = id_of(self._connection, key >> 32)
                hit = find_in(name, one, self._wanted, facts_behind(self._connection, key))
                if hit is not None:
                    found.append(hit)
                    if len(found) == limit:
                        return tuple(found)
        return tuple(found)

    def count(
        self, sessions: Sequence[str] | None, limit: int, most: int, *, inherited: bool
    ) -> tuple[FoundCount, ...]:
        """Count it in each session, up to so often."""
        if sessions is None:
            return tuple(self._count_all(limit, most))
        counts = [FoundCount(name, self._count(name, most, inherited=inherited)) for name in sessions]
        return tuple(one for one in counts if one.hits)

    def _count(self, session: str, most: int, *, inherited: bool) -> int:
        row = self._connection.execute("SELECT number, head FROM sessions WHERE id = ?", (session,)).fetchone()
        if row is None:
            return 0
        own = (row[0] << 32, row[0] << 32 | row[1])
        spans = ranges_of(self._connection, session, None) if inherited else [own]
        hits = (key for low, high in spans for key, one in self._facts(low, high) if self._is_said_in(one))
        return sum(1 for _ in islice(hits, max(most, 0)))

    def _count_all(self, limit: int, most: int) -> Iterator[FoundCount]:
        """Count it in the sessions that have it; of one in which it was found often enough, nothing more is read."""
        counts, full = dict[int, int](), set[int]()
        for key, one in self._facts(0, 2**63 - 1, full):
            if not self._is_said_in(one):
                continue
            number = key >> 32
            if number not in counts and len(counts) == limit:
                break
            counts[number] = counts.get(number, 0) + 1
            if counts[number] == most:
                full.add(number)
        for number, hits in counts.items():
            yield FoundCount(id_of(self._connection, number), hits)

    def _is_said_in(self, one: Recorded) -> bool:
        return self._wanted.search(said_in(one.event)[1]) is not None

    def _facts(self, low: int, high: int, full: Collection[int] = ()) -> Iterator[tuple[int, Recorded]]:
        """Yield the facts that may say it, with their keys, the last first.

        Args:
            full: the numbers of sessions that are passed over, as it is by then.
        """
        connection = self._connection
        for key in with_archived(connection, self._keys(low, high), self._letters, low, high):
            if key >> 32 in full:
                continue
            row = connection.execute("SELECT at_us, body, b FROM events WHERE id = ?", (key,)).fetchone()
            if row is None or not row[1].startswith(TOLD_BY) or not self._may_hold(row[1], row[2]):
                continue
            try:
                yield key, Recorded(key & MAX_SEQ, row[0], load_fact(connection, "", key & MAX_SEQ, row[1], row[2]))
            except CorruptLogError:  # `verify` says so
                continue


def ranges_of(connection: Sql, session: str | None, after: FoundText | None) -> Iterator[tuple[int, int]]:
    """Yield the first and last keys of where to look, the latest first."""
    end = None
    if after is not None:
        end = lineage(connection, after.session)[0][0] << 32 | after.text_seq
    if session is None:
        yield 0, 2**63 - 1 if end is None else end - 1
        return
    parts = segments(lineage(connection, session))
    for part in reversed(parts):
        low, high = part.session << 32 | part.first, part.session << 32 | part.last
        if end is not None and end >> 32 == part.session:
            high, end = min(high, end - 1), None
        if end is None:
            yield low, high


def with_archived(
    connection: Sql, candidates: Iterable[int], letters: Collection[str], low: int, high: int
) -> Iterator[int]:
    """Put the keys of facts between others that lie in the archive, of sessions that may have these letters."""
    numbers = _archived(connection, letters, low, high)
    number = next(numbers, -1)
    for key in candidates:
        while number > key >> 32:
            yield from _unpacked(connection, number, low, high)
            number = next(numbers, -1)
        yield key
    while number >= 0:
        yield from _unpacked(connection, number, low, high)
        number = next(numbers, -1)


def _archived(connection: Sql, letters: Collection[str], low: int, high: int) -> Iterator[int]:
    for (number,) in connection.execute(_ARCHIVED, (low >> 32, high >> 32)):
        row = connection.execute("SELECT letters FROM frames WHERE id = ?", (number << 32,)).fetchone()
        if row is not None and may_have(row[0], letters):
            yield number


def _unpacked(connection: Sql, number: int, low: int, high: int) -> Iterator[int]:
    connection.unpack([number])
    span = (max(low, number << 32), min(high, number << 32 | MAX_SEQ))
    yield from [key for (key,) in connection.execute(_ALL, span)]


def facts_behind(connection: Sql, key: int) -> Iterator[Recorded]:
    """Yield the facts close behind one that bring a message, of the same session."""
    for later, at_us, body, b in connection.execute(_NEXT, (key, key | MAX_SEQ, AHEAD)):
        try:
            event = load_fact(connection, "", later & MAX_SEQ, body, b)
        except CorruptLogError:
            continue
        yield Recorded(later & MAX_SEQ, at_us, event)
