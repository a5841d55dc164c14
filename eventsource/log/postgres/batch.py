"""What a batch of appends writes, held back until one call of `refold_write` writes all of it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from ..sql.append import (
    DUE,
    INSERT_BODY,
    INSERT_FACT,
    INSERT_KEY,
    INSERT_REF,
    INSERT_UPDATES,
    MOVE,
    MOVE_AND_FOLD,
    NOT_DUE,
    PUT_SNAPSHOT,
    SET_FIRST_WORDS,
)
from ..sql.folded_row import FOLD_COLUMNS
from ..sql.frames import PUT_REF
from .arrays import ARRAY_OF, BYTEA, INT8, TEXT, WRITERS

_TEXTS = frozenset(
    (
        "title",
        "title_folded",
        "status",
        "task",
        "queue",
        "model",
        "last",
        "agent",
        "folder",
        "branch",
        "models",
        "folds",
    )
)
_FOLDS = tuple(TEXT if name in _TEXTS else INT8 for name in FOLD_COLUMNS)
_MOVED = (INT8, BYTEA, INT8)
_COLUMNS: tuple[tuple[int, ...], ...] = (
    (INT8, INT8, BYTEA, INT8, INT8, INT8),
    (BYTEA, BYTEA),
    (BYTEA, INT8),
    (INT8, INT8, TEXT, BYTEA, BYTEA, BYTEA),
    (INT8, INT8, INT8, BYTEA),
    (INT8, TEXT),
    (INT8, TEXT, INT8, INT8),
    (*_MOVED, INT8),
    (*_MOVED, *_FOLDS, INT8),
    (TEXT, INT8),
    (INT8, INT8),
)
"""Of each group of arrays that `refold_write` takes, their types: checks, bodies, refs, facts, updates and so on."""
_BODIES, _REFS, _FACTS, _UPDATES, _SNAPSHOTS, _KEYS, _MOVES, _WORDS, _DUE = 1, 2, 3, 4, 5, 6, 7, 9, 10
_GROUP_OF = {
    INSERT_BODY: _BODIES,
    INSERT_REF: _REFS,
    PUT_REF.format(""): _REFS,
    INSERT_FACT: _FACTS,
    INSERT_UPDATES: _UPDATES,
    PUT_SNAPSHOT: _SNAPSHOTS,
    INSERT_KEY: _KEYS,
    MOVE: _MOVES,
    MOVE_AND_FOLD: _MOVES,
    SET_FIRST_WORDS: _WORDS,
    DUE: _DUE,
    NOT_DUE: _DUE,
}
TYPES = [ARRAY_OF[kind] for group in _COLUMNS for kind in group]
CALL = f"SELECT refold_write({', '.join(f'${n}' for n in range(1, len(TYPES) + 1))})".encode()
_Row = Sequence[Any]


class Believed(NamedTuple):
    """What a batch believes of a session that it goes on with; the head of its row, and where its updates end."""

    number: int
    row_head: int
    link: bytes
    epoch: int
    removals: int
    head: int


class Batch:
    """Rows by what is done with them, in order."""

    def __init__(self) -> None:
        self._rows: list[list[_Row]] = [[] for _ in _COLUMNS]

    def take(self, sql: str, rows: Iterable[_Row]) -> bool:
        """Hold rows back, if it is known what to do with them. Returns: whether it is."""
        group = _GROUP_OF.get(sql)
        if group is None:
            return False
        if group == _DUE:
            rows = [(None if sql == NOT_DUE else row[0], row[-1]) for row in rows]
        self._rows[group].extend(rows)
        return True

    @property
    def has_rows(self) -> bool:
        """True when there is something to write."""
        return any(self._rows)

    def mark(self) -> tuple[int, ...]:
        """Return a mark to go back to."""
        return tuple(map(len, self._rows))

    def go_back(self, mark: tuple[int, ...] = (0,) * len(_COLUMNS)) -> None:
        """Forget what was taken after a mark; without one, everything."""
        for rows, count in zip(self._rows, mark, strict=True):
            del rows[count:]

    def parameters(self, checks: Sequence[Believed]) -> list[bytes | None]:
        """Write the values of `CALL`."""
        rows = self._rows
        moved, folded = _merged(rows[_MOVES])
        words, due = ({row[1]: row for row in rows[group]} for group in (_WORDS, _DUE))
        groups = (checks, *rows[_BODIES:_MOVES], moved, folded, list(words.values()), list(due.values()))
        values: list[bytes | None] = []
        for kinds, group in zip(_COLUMNS, groups, strict=True):
            if group:
                columns = zip(*group, strict=True)
                values += [WRITERS[kind](column) for kind, column in zip(kinds, columns, strict=True)]
            else:
                values += [None] * len(kinds)
        return values


def _merged(moves: Sequence[_Row]) -> tuple[list[_Row], list[_Row]]:
    """Put several moves of one session into one. Returns: those without folds, and those with them."""
    last: dict[int, _Row] = {}
    for row in moves:
        before = last.get(row[-1], ())
        last[row[-1]] = (*row[:3], *before[3:]) if len(before) > len(row) else row
    found = last.values()
    return [row for row in found if len(row) == 4], [row for row in found if len(row) > 4]
