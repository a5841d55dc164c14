"""What searching is the same in every database: where to look, what lies in the archive, what brings a text."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator

from ...envelope import FoundText, Recorded
from ...errors import CorruptLogError
from ...found_text import AHEAD
from ..letters import may_have
from ..lineage import MAX_SEQ, segments
from .connection import Sql
from .reading import lineage, load_fact

_NEXT = """
SELECT id, at_us, body, b FROM (SELECT * FROM events WHERE id > ? AND id <= ? ORDER BY id LIMIT ?) AS later
WHERE body LIKE '{"type":"message_start"%' OR body LIKE '{"type":"message_end"%' ORDER BY id"""
_ARCHIVED = """
SELECT number FROM sessions WHERE archived_at_us IS NOT NULL AND number BETWEEN ? AND ? ORDER BY number DESC"""
_ALL = "SELECT id FROM events WHERE id BETWEEN ? AND ? ORDER BY id DESC"


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
