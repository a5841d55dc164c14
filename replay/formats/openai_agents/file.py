"""Databases of the OpenAI Agents SDK: how they are told from others, and the sessions in one.

A table of messages is known by its columns, since a program may give it another name.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import NamedTuple

from eventsource.errors import TranscriptError

from ..format import Format, Head, SourceSession
from ..jsonl import Findings, Line, each_record
from ..sqlite_file import MAGIC, columns_of, log_of, opened, quoted
from ..times import read_time
from .dialect import FORMAT, OpenAIAgentsDialect
from .rows import Rows, read_usage

_MESSAGES = {"id", "session_id", "message_data"}
_STRUCTURE, _USAGE = "message_structure", "turn_usage"
_PLACES = {"session_id", "message_id", "branch_id", "message_type", "sequence_number", "user_turn_number"}
_TOKENS = ("input_tokens", "output_tokens", "input_tokens_details", "output_tokens_details")
_NAMED = {"session_id", "created_at"}
_BY_MODEL = "message_type <> 'user' AND message_type NOT LIKE '%output'"


class _Tables(NamedTuple):
    """A table of messages; that of the sessions (empty: there is none); whether branches and usage are told."""

    messages: str
    sessions: str
    timed: bool
    structured: bool
    counted: bool


def _tables(connection: sqlite3.Connection) -> Iterator[_Tables]:
    columns = columns_of(connection)
    for name, own in columns.items():
        if own >= _MESSAGES:
            keys = connection.execute(f"PRAGMA foreign_key_list({quoted(name)})").fetchall()
            sessions = next((str(key[2]) for key in keys if columns.get(str(key[2]), set()) >= _NAMED), "")
            structured = columns.get(_STRUCTURE, set()) >= _PLACES
            counted = structured and columns.get(_USAGE, set()) >= {"branch_id", "user_turn_number", *_TOKENS}
            yield _Tables(name, sessions, "created_at" in own, structured, counted)


def _fits(head: Head) -> bool:
    if not head.data.startswith(MAGIC):
        return False
    try:
        with opened(head.path) as connection:
            return any(True for _ in _tables(connection))
    except TranscriptError:  # whoever opens it will say why it cannot be read
        return False


def _sessions(path: Path, *, growing: bool) -> Iterator[SourceSession]:
    found: list[SourceSession] = []
    with opened(path) as connection:
        for tables in _tables(connection):
            query = f"SELECT session_id FROM {quoted(tables.messages)} GROUP BY session_id ORDER BY MIN(id)"
            for (name,) in connection.execute(query).fetchall():
                rows = _rows(connection, tables, name)
                dialect = partial(OpenAIAgentsDialect, rows=rows)
                found.append(SourceSession(dialect=dialect, records=_Reader(path, tables, name, rows)))
    return iter(found)


def _rows(connection: sqlite3.Connection, tables: _Tables, name: object) -> Rows:
    """Read where the messages of a session stand, but not what they say."""
    created = None
    if tables.sessions:
        query = f"SELECT created_at FROM {quoted(tables.sessions)} WHERE session_id = ?"
        created = next(iter(connection.execute(query, (name,))), (None,))[0]
    rows = Rows(str(name), created if isinstance(created, str) else "")
    time = "created_at" if tables.timed else "NULL"
    query = f"SELECT id, {time} FROM {quoted(tables.messages)} WHERE session_id = ? ORDER BY id"
    for number, at in connection.execute(query, (name,)):
        if type(number) is int:
            rows.add(number, read_time(at))
    if tables.structured:
        query = (
            f"SELECT branch_id, message_id FROM {_STRUCTURE} WHERE session_id = ? ORDER BY branch_id, sequence_number"
        )
        for branch, message in connection.execute(query, (name,)):
            if type(message) is int:
                rows.follow(str(branch), message)
    if tables.counted:
        query = (
            f"SELECT (SELECT message_id FROM {_STRUCTURE} s WHERE s.session_id = u.session_id"
            f" AND s.branch_id = u.branch_id AND s.user_turn_number = u.user_turn_number AND {_BY_MODEL}"
            f" ORDER BY sequence_number DESC LIMIT 1), {', '.join(f'u.{one}' for one in _TOKENS)}"
            f" FROM {_USAGE} u WHERE u.session_id = ?"
        )
        for message, *counts in connection.execute(query, (name,)):
            if type(message) is int:
                rows.usage[message] = read_usage(dict(zip(_TOKENS, counts, strict=True)))
    return rows


class _Reader:
    """Reads the messages of one session, each time those that were there at first."""

    def __init__(self, path: Path, tables: _Tables, name: object, rows: Rows) -> None:
        self._path, self._tables, self._name, self._rows = path, tables, name, rows

    def __call__(self, findings: Findings) -> Iterator[Line]:
        """Read them; a line's number is the place of the row among those of the session."""
        with opened(self._path) as connection:
            yield from each_record(self._data(connection), lambda _: False, findings)

    def _data(self, connection: sqlite3.Connection) -> Iterator[bytes]:
        query = f"SELECT id, message_data FROM {quoted(self._tables.messages)} WHERE session_id = ? ORDER BY id"
        for place, (number, data) in enumerate(connection.execute(query, (self._name,))):
            if place >= len(self._rows.ids) or number != self._rows.ids[place]:
                return  # it was changed meanwhile: the next import reads what follows
            said = data if isinstance(data, bytes) else str(data).encode("utf-8", "surrogatepass")
            yield (said if said.strip() else b"null").replace(b"\n", b" ") + b"\n"


def _beside(path: Path) -> Iterable[Path]:
    return [log_of(path)] if log_of(path).exists() else []


OPENAI_AGENTS = Format(
    name=FORMAT,
    what="databases of the OpenAI Agents SDK (SQLiteSession)",
    fits=_fits,
    sessions=_sessions,
    owner=lambda _: None,
    beside=_beside,
    folder=lambda _: "",
)
