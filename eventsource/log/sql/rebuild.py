"""The folds of the sessions' rows computed again from the events, to set them right or to compare."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import msgspec

from ..lineage import MAX_SEQ
from ..row import Folds, as_0_1, as_format_1, step, words_of
from .append import SNAPSHOT_FACTS, snapshot
from .connection import Sql
from .folded_row import FOLD_COLUMNS, folds_of, folds_row, stored_folds, write_folds
from .reading import folds_at, id_of, lineage, load_fact

_FIRST_SEQ = FOLD_COLUMNS.index("first_seq")
_OF_FORMAT_1 = tuple(
    FOLD_COLUMNS.index(name)
    for name in ("title", "status", "open", "wake_at_us", "task", "messages", "input_tokens", "output_tokens")
)


class Folded(NamedTuple):
    """The folds after one of a session's own facts."""

    seq: int
    at_us: int
    folds: Folds
    since: int


def own_folds(connection: Sql, number: int) -> Iterator[Folded]:
    """Fold a session's own facts, from what it inherits; a row of 0.1 by the rule of 0.1. Raises: CorruptLogError."""
    return _own_folds(connection, number, forgets=_is_of_0_1(connection, number))


def _is_of_0_1(connection: Sql, number: int) -> bool:
    """Return whether a fork's row forgot when the task's next attempt is made, as forks of 0.1 did."""
    first = next(_own_folds(connection, number), None)
    if first is None or first.folds.wake_at_us is None or len(lineage(connection, number)) == 1:
        return False
    ends = [deque(_own_folds(connection, number, forgets=old), maxlen=1)[0].folds for old in (False, True)]
    return not is_stored(connection, number, ends[0]) and is_stored(connection, number, ends[1])


def _own_folds(connection: Sql, number: int, *, forgets: bool = False) -> Iterator[Folded]:
    session = id_of(connection, number)
    chain = lineage(connection, number)
    fork_seq = chain[0][1]
    (given,) = connection.execute("SELECT given FROM sessions WHERE number = ?", (number,)).fetchone()
    title = given.decode("utf-8", "replace")
    folds, since = Folds(title=title), 0
    if len(chain) > 1:
        folds, since = folds_at(connection, session, chain[1:], fork_seq)
    base = number << 32
    rows = connection.execute(
        "SELECT id, at_us, body, b FROM events WHERE id BETWEEN ? AND ? ORDER BY id", (base, base | MAX_SEQ)
    )
    for key, at_us, body, b in rows:
        seq = key & MAX_SEQ
        folds = step(folds, seq, load_fact(connection, session, seq, body, b))
        if len(chain) > 1 and seq == fork_seq + 1:
            folds = msgspec.structs.replace(folds, title=title, waits=() if forgets else folds.waits)
        since += 1
        yield Folded(seq, at_us, folds, since)


def is_stored(connection: Sql, number: int, folds: Folds) -> bool:
    """Return whether a session's row holds these folds, as this release writes them or as 0.1 did."""
    stored = stored_folds(connection, number)
    if is_unfolded(stored):
        try:
            kept = as_format_1(folds_of(stored))
        except msgspec.DecodeError:
            return False
        ends = [as_format_1(one) for one in (folds, as_0_1(folds))]
        return any(kept == end and all(stored[at] == folds_row(end)[at] for at in _OF_FORMAT_1) for end in ends)
    return stored in (list(folds_row(folds)), list(folds_row(as_0_1(folds))))


def is_unfolded(stored: Sequence[object]) -> bool:
    """Return whether a row came from format 1, and what that did not keep has still to be computed."""
    return stored[_FIRST_SEQ] == -1


def first_words_at(connection: Sql, number: int, seq: int) -> str:
    """Return the first words of a person, of the event that holds them; empty when there is none or it was erased."""
    if seq <= 0:
        return ""
    own = next(one for one, fork_seq in lineage(connection, number) if fork_seq < seq)
    row = connection.execute("SELECT body, b FROM events WHERE id = ?", (own << 32 | seq,)).fetchone()
    if row is None or (row[1] is not None and len(row[1]) == 64):
        return ""
    return words_of(load_fact(connection, id_of(connection, own), seq, *row))


def refold(connection: Sql, numbers: Sequence[int]) -> int:
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
        wrong += _set_row(connection, number, None if folded is None else folded.folds)
        connection.put_back()
    return wrong


def _set_row(connection: Sql, number: int, folds: Folds | None) -> bool:
    """Write what a session's events come to into its row. Returns: whether something else stood there."""
    stored = stored_folds(connection, number)
    unfolded = is_unfolded(stored)
    if folds is None:  # nothing was appended
        if unfolded:
            sql = "UPDATE sessions SET title_folded = ?, first_seq = 0 WHERE number = ?"
            connection.execute(sql, (str(stored[0]).casefold(), number))
        return False
    wrong = not is_stored(connection, number, folds)
    words = first_words_at(connection, number, folds.first_seq)
    (kept,) = connection.execute("SELECT first_words FROM sessions WHERE number = ?", (number,)).fetchone()
    if wrong or unfolded:
        write_folds(connection, number, folds)
    if kept.decode("utf-8", "replace") != words:
        connection.execute("UPDATE sessions SET first_words = ? WHERE number = ?", (words, number))
        wrong = wrong or not unfolded
    return wrong


def all_numbers(connection: Sql) -> list[int]:
    """List every session's number, parents first."""
    return [row[0] for row in connection.execute("SELECT number FROM sessions ORDER BY number")]
