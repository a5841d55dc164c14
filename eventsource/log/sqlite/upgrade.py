"""Bringing a database of format 1 to format 2: sessions' rows that say more, and nothing of what was appended.

One program does it alone. It may be killed at any moment: the tables are changed in one transaction, and each row says
whether what its events come to has been computed anew since.
"""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import Callable
from functools import partial

from ...errors import CorruptLogError
from ..sql.rebuild import refold
from ..sql.sessions import fixed_crc
from .connection import SqliteConnection
from .database_files import DatabaseFiles
from .database_format import FORMAT, read_format, schema_of

_ALONE_MS = 1_000
_AT_ONCE = 200
_LATEST_INDEX = "first_titled"
_LOG = logging.getLogger(__name__)
_KEPT = (
    "number", "id", "parent", "fork_seq", "head", "link", "given", "created_at_us", "updated_at_us", "title", "status",
    "open", "wake_at_us", "task", "due_at_us", "messages", "input_tokens", "output_tokens", "folds", "owner", "epoch",
    "expires_at_us", "base",
)  # fmt: skip
_CHILDREN = """
SELECT CAST(json_extract(body, '$.child') AS TEXT), s.id FROM events e JOIN sessions_1 s ON s.number = e.id >> 32
WHERE e.body LIKE '{"type":"child_start"%' AND json_valid(e.body)"""
_TASKS = """
SELECT s.id, CAST(json_extract(text, '$.parent') AS TEXT) FROM (
    SELECT e.id, coalesce(CAST(b.body AS TEXT), e.body) AS text FROM events e LEFT JOIN bodies b ON b.sha256 = e.b
    WHERE e.id & 4294967295 = 1 AND e.body LIKE '{"type":"task_start"%'
) e JOIN sessions_1 s ON s.number = e.id >> 32 WHERE json_valid(text)"""
_UNFOLDED = "SELECT number FROM sessions WHERE first_seq = -1 ORDER BY number LIMIT ?"
FORMAT_1_AS_2 = f"""
CREATE TEMP VIEW sessions AS SELECT {", ".join(_KEPT)}, crc, mark, (
        WITH RECURSIVE up (number, parent) AS (
            SELECT s.number, s.parent
            UNION ALL
            SELECT p.number, p.parent FROM main.sessions p JOIN up ON p.number = up.parent
        )
        SELECT number FROM up WHERE parent IS NULL
    ) AS root, '' AS started_by, NULL AS source, casefold(title) AS title_folded, '' AS queue,
    coalesce(json_extract(folds, '$.run'), json_extract(folds, '$.working'), 0) AS unfinished, 0 AS cache_read_tokens,
    0 AS cache_write_tokens, 0 AS cache_write_1h_tokens, 0 AS reasoning_tokens, NULL AS cost_microusd,
    0 AS inherited_input_tokens, 0 AS inherited_output_tokens, NULL AS inherited_cost_microusd, 0 AS turns, 0 AS errors,
    0 AS labels, -1 AS first_seq, '' AS model, '[]' AS models, '?' AS last, '' AS agent, '' AS folder, '' AS branch,
    '' AS first_words, 0 AS removals, 0 AS searched, NULL AS archived_at_us
FROM main.sessions s;
CREATE TEMP VIEW frames AS SELECT 0 AS id, x'' AS letters WHERE false"""
"""The rows of a database of format 1 that cannot be written, for whoever reads rows of format 2."""


def is_upgraded(connection: SqliteConnection) -> bool:
    """Return whether every row of a database of this format was brought to it whole."""
    return connection.execute(_UNFOLDED, (1,)).fetchone() is None


def lacks_indexes(connection: SqliteConnection) -> bool:
    """Return whether a database of this format was made before there were all of its indexes."""
    return connection.execute("SELECT 1 FROM sqlite_master WHERE name = ?", (_LATEST_INDEX,)).fetchone() is None


def make_indexes(connection: SqliteConnection) -> None:
    """Make the indexes that are missing; others may have the database open. The caller has the writers' turn."""
    _make_missing(connection, schema_of(FORMAT), ("index",))


def read_as_format_2(connection: SqliteConnection) -> None:
    """Let a connection that only reads a database of format 1 see its rows as those of format 2."""
    connection.create_function("casefold", 1, _casefold, deterministic=True)
    connection.executescript(FORMAT_1_AS_2)


def _casefold(text: str | bytes) -> str:
    return (text.decode("utf-8", "replace") if isinstance(text, bytes) else text).casefold()


def upgrade(files: DatabaseFiles, connection: SqliteConnection) -> None:
    """Bring a database to this format, or go on with it. The caller has the writers' turn. Raises: StoreError."""
    _take_alone(files, connection)
    try:
        if read_format(files.path, connection) < FORMAT:
            _LOG.warning("%s: a log of format 1 is brought to format %d", files.path, FORMAT)
            _in_transaction(connection, partial(_change_tables, connection))
        while numbers := [number for (number,) in connection.execute(_UNFOLDED, (_AT_ONCE,))]:
            _in_transaction(connection, partial(_fold, files, connection, numbers))
    finally:
        connection.execute("PRAGMA locking_mode=NORMAL")
        connection.execute("SELECT 1 FROM sqlite_master LIMIT 1").fetchone()  # only now others may come in


def _take_alone(files: DatabaseFiles, connection: SqliteConnection) -> None:
    """Leave the write-ahead mode, which no database does that anybody else has open, and let nobody in."""
    (busy,) = connection.execute("PRAGMA busy_timeout").fetchone()
    connection.execute(f"PRAGMA busy_timeout={_ALONE_MS}")
    try:
        connection.execute("PRAGMA journal_mode=DELETE")
        connection.execute("PRAGMA locking_mode=EXCLUSIVE")
        connection.execute("BEGIN EXCLUSIVE")
        connection.execute("COMMIT")
    except sqlite3.OperationalError as error:
        if error.sqlite_errorcode & 0xFF not in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
            raise
        problem = f"it is a log of format 1, which another program has open; format {FORMAT} is made by one alone"
        raise files.error(problem, "end what uses it, then open it again; nothing was changed") from error
    finally:
        connection.execute(f"PRAGMA busy_timeout={busy}")


def _in_transaction(connection: SqliteConnection, work: Callable[[], None]) -> None:
    connection.execute("BEGIN EXCLUSIVE")
    try:
        work()
        connection.execute("COMMIT")
    finally:
        if connection.in_transaction:
            connection.execute("ROLLBACK")


def _change_tables(connection: SqliteConnection) -> None:
    wanted = schema_of(FORMAT)
    for kind, name, table, sql in schema_of(connection):
        if kind != "table" and (table == "sessions" or (kind, name, table, sql) not in wanted):
            connection.execute(f"DROP {kind} {name}")
    connection.execute("PRAGMA legacy_alter_table=ON")  # what names the table means the new one
    connection.execute("ALTER TABLE sessions RENAME TO sessions_1")
    connection.execute("PRAGMA legacy_alter_table=OFF")
    (made,) = connection.execute("SELECT coalesce(max(seq), 0) FROM sqlite_sequence").fetchone()
    _make_missing(connection, wanted, ("table",))
    columns = ", ".join((*_KEPT, "crc"))
    sql = f"INSERT INTO sessions ({columns}, root, first_seq) SELECT {columns}, number, -1 FROM sessions_1"
    connection.execute(sql)
    sql = "UPDATE sessions SET root = ?, started_by = ?, crc = ? WHERE number = ?"
    connection.executemany(sql, _places(connection))
    connection.execute("DROP TABLE sessions_1")
    connection.execute("DELETE FROM sqlite_sequence")
    if made:
        connection.execute("INSERT INTO sqlite_sequence (name, seq) VALUES ('sessions', ?)", (made,))
    _make_missing(connection, wanted, ("index", "trigger", "view"))
    connection.execute(f"PRAGMA user_version={FORMAT}")


def _make_missing(connection: SqliteConnection, wanted: set[tuple[str, ...]], kinds: tuple[str, ...]) -> None:
    there = {(kind, name) for kind, name, _, _ in schema_of(connection)}
    for kind, name, _, sql in sorted(wanted):
        if kind in kinds and (kind, name) not in there:
            connection.execute(sql)


def _places(connection: SqliteConnection) -> list[tuple[int, str, int, int]]:
    """List (root, started_by, crc, number) of sessions that were forked, or started by another."""
    starters = {_text(child): _text(starter) for child, starter in connection.execute(_CHILDREN) if child}
    for child, starter in connection.execute(_TASKS):
        if starter:
            starters.setdefault(_text(child), _text(starter))
    numbers, roots, found = dict[str, int](), dict[int, int](), list[tuple[int, str, int, int]]()
    sql = "SELECT number, crc, id, parent, fork_seq, given, created_at_us FROM sessions_1 ORDER BY number"
    for number, crc, name, parent, fork_seq, given, created in connection.execute(sql):
        told = _text(name)
        starter = starters.get(told, "")
        above = numbers.get(starter, number) if parent is None else parent
        numbers[told], roots[number] = number, roots.get(above, number)
        fixed = (told, parent, fork_seq, _text(given), created)
        if starter and fixed_crc(number, (*fixed, "", None)) == crc:  # a row that was damaged stays so
            crc = fixed_crc(number, (*fixed, starter, None))
        if starter or roots[number] != number:
            found.append((roots[number], starter, crc, number))
    return found


def _text(value: bytes) -> str:
    return value.decode("utf-8", "replace")


def _fold(files: DatabaseFiles, connection: SqliteConnection, numbers: list[int]) -> None:
    for number in numbers:
        try:
            refold(connection, [number])
        except CorruptLogError as error:
            _LOG.warning("%s: %s; what the list of sessions shows of it stays as it was", files.path, str(error))
            connection.execute("UPDATE sessions SET first_seq = 0 WHERE number = ?", (number,))
