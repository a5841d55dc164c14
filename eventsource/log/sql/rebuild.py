"""The folds of the sessions' rows computed again from the events, to set them right or to compare."""

from __future__ import annotations

import sqlite3
from collections import deque
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import msgspec

from ..lineage import MAX_SEQ
from ..row import Folds, as_0_1, step
from .append import SNAPSHOT_FACTS, folds_row, snapshot, write_folds
from .reading import folds_at, id_of, lineage, load_fact

_STORED = """
SELECT title, status, open, wake_at_us, task, messages, input_tokens, output_tokens, folds FROM sessions
WHERE number = ?"""


class Folded(NamedTuple):
    """The folds after one of a session's own facts."""

    seq: int
    at_us: int
    folds: Folds
    since: int


def own_folds(connection: sqlite3.Connection, number: int) -> Iterator[Folded]:
    """Fold a session's own facts, from what it inherits; a row of 0.1 by the rule of 0.1. Raises: CorruptLogError."""
    return _own_folds(connection, number, forgets=_is_of_0_1(connection, number))


def _is_of_0_1(connection: sqlite3.Connection, number: int) -> bool:
    """Return whether a fork's row forgot when the task's next attempt is made, as forks of 0.1 did."""
    first = next(_own_folds(connection, number), None)
    if first is None or first.folds.wake_at_us is None or len(lineage(connection, number)) == 1:
        return False
    ends = [deque(_own_folds(connection, number, forgets=old), maxlen=1)[0].folds for old in (False, True)]
    return not is_stored(connection, number, ends[0]) and is_stored(connection, number, ends[1])


def _own_folds(connection: sqlite3.Connection, number: int, *, forgets: bool = False) -> Iterator[Folded]:
    session = id_of(connection, number)
    chain = lineage(connection, number)
    fork_seq = chain[0][1]
    (given,) = connection.execute("SELECT given FROM sessions WHERE number = ?", (number,)).fetchone()
    title = given.decode("utf-8", "replace")
    folds, since = Folds(title=title), 0
    if len(chain) > 1:
        folds, since = folds_at(connection, session, chain[1:], fork_seq)
    base = number << 32
    rows = connection.execute("SELECT id, at_us, body, b FROM events WHERE id BETWEEN ? AND ?", (base, base | MAX_SEQ))
    for key, at_us, body, b in rows:
        seq = key & MAX_SEQ
        folds = step(folds, seq, load_fact(connection, session, seq, body, b))
        if len(chain) > 1 and seq == fork_seq + 1:
            folds = msgspec.structs.replace(folds, title=title, waits=() if forgets else folds.waits)
        since += 1
        yield Folded(seq, at_us, folds, since)


def is_stored(connection: sqlite3.Connection, number: int, folds: Folds) -> bool:
    """Return whether a session's row holds these folds, as this release writes them or as 0.1 did."""
    return stored_folds(connection, number) in (list(folds_row(folds)), list(folds_row(as_0_1(folds))))


def stored_folds(connection: sqlite3.Connection, number: int) -> list[object]:
    """Read the columns title to folds of a session's row."""
    row = connection.execute(_STORED, (number,)).fetchone()
    return [value.decode("utf-8", "replace") if isinstance(value, bytes) else value for value in row]


def refold(connection: sqlite3.Connection, numbers: Sequence[int]) -> int:
    """Set the folds and snapshots of sessions right, parents first. Returns: how many rows were wrong."""
    wrong = 0
    for number in numbers:
        first, last = number << 32, number << 32 | MAX_SEQ
        connection.execute("DELETE FROM snapshots WHERE id BETWEEN ? AND ?", (first, last))
        folded, taken = None, 0
        for folded in own_folds(connection, number):
            if folded.since - taken >= SNAPSHOT_FACTS:
                taken = folded.since
                snapshot(connection, first | folded.seq, folded.folds)
        if folded is not None and not is_stored(connection, number, folded.folds):
            wrong += 1
            write_folds(connection, number, folded.folds)
    return wrong


def all_numbers(connection: sqlite3.Connection) -> list[int]:
    """List every session's number, parents first."""
    return [row[0] for row in connection.execute("SELECT number FROM sessions ORDER BY number")]
