"""The rows of a log as they are, table by table, and in an order in which another database takes them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from .connection import Sql
from .folded_row import FOLD_COLUMNS

_FEW, _MANY = 20, 1_000
_SESSIONS = (
    "number", "id", "parent", "fork_seq", "root", "started_by", "source", "head", "link", "given", "created_at_us",
    "crc", "updated_at_us", *FOLD_COLUMNS, "first_words", "due_at_us", "epoch", "base", "removals", "searched",
    "archived_at_us",
)  # fmt: skip
"""All that a row says but who runs the session: the copy is nobody's."""
_TEXTS = frozenset((
    "id", "started_by", "source", "given", "title", "title_folded", "status", "task", "queue", "model", "models",
    "last", "agent", "folder", "branch", "folds", "first_words", "body", "key",
))  # fmt: skip


class Table(NamedTuple):
    """A table: its columns, those by which its rows are in order, and how many of them are read at once."""

    name: str
    columns: tuple[str, ...]
    key: tuple[str, ...]
    at_once: int = _MANY

    @property
    def texts(self) -> tuple[bool, ...]:
        """Of each column, whether it holds a text."""
        numbers = () if self.name == "sessions" else ("id",)
        others = numbers if self.name == "events" else (*numbers, "body")
        return tuple(name in _TEXTS and name not in others for name in self.columns)


TABLES = (
    Table("sessions", _SESSIONS, ("number",)),
    Table("events", ("id", "at_us", "body", "u", "link", "b"), ("id",)),
    Table("updates", ("id", "kind", "count", "body"), ("id",)),
    Table("bodies", ("sha256", "body"), ("sha256",), _FEW),
    Table("refs", ("id", "sha256"), ("id", "sha256")),
    Table("keys", ("number", "key", "head", "crc"), ("number", "key")),
    Table("snapshots", ("id", "folds"), ("id",)),
    Table("frames", ("id", "kind", "rows", "size", "sha256", "letters", "body"), ("id",), _FEW),
)


def rows_of(connection: Sql, table: Table) -> Iterator[list[Sequence[Any]]]:
    """Read the rows of a table, some at a time, texts as texts. Raises: UnicodeDecodeError where one is damaged."""
    columns, key = ", ".join(_read(name) for name in table.columns), ", ".join(table.key)
    places = [table.columns.index(name) for name in table.key]
    where, values = "", list[object]()
    while True:
        sql = f"SELECT {columns} FROM {table.name} {where} ORDER BY {key} LIMIT ?"
        rows = [_told(row, table.texts) for row in connection.execute(sql, (*values, table.at_once)).fetchall()]
        if rows:
            yield rows
        if len(rows) < table.at_once:
            return
        where = f"WHERE ({key}) > ({', '.join('?' * len(places))})"
        values = [rows[-1][place] for place in places]


def _read(name: str) -> str:
    """Write a column as a copy has it: no lease lasts, and the search knows no more than what is copied with it."""
    if name == "due_at_us":
        return "CASE WHEN owner IS NULL OR due_at_us IS NULL THEN due_at_us ELSE 0 END"
    if name == "searched":
        return "CASE WHEN archived_at_us IS NULL THEN 0 ELSE searched END"
    return name


def _told(row: Sequence[Any], texts: Sequence[bool]) -> Sequence[Any]:
    return [
        value.decode() if is_text and isinstance(value, bytes) else value
        for value, is_text in zip(row, texts, strict=True)
    ]
