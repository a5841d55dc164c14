"""SQLite files of other programs, read without changing them."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote

from eventsource.errors import TranscriptError

MAGIC = b"SQLite format 3\0"
_WAL = b"\2\2"  # in bytes 18 and 19: what was written last may stand in a file of its own


@contextmanager
def opened(path: Path) -> Iterator[sqlite3.Connection]:
    """Open a file for reading.

    Raises: TranscriptError when it cannot be read, also while it is.
    """
    mode = "mode=ro"
    try:
        with path.open("rb") as file:
            alone = file.read(20)[18:] == _WAL and not log_of(path).exists()
        if alone:  # reading it in the ordinary way would make files beside it
            mode += "&immutable=1"
        connection = sqlite3.connect(f"file:{quote(str(path.absolute()))}?{mode}", uri=True, check_same_thread=False)
        try:
            connection.text_factory = _text
            connection.execute("PRAGMA trusted_schema = OFF")
            yield connection
        finally:
            connection.close()
    except OSError as error:
        raise TranscriptError(str(path), f"cannot be read: {error.strerror or error}") from error
    except (sqlite3.Error, UnicodeError) as error:  # names and messages of a damaged file may be no text
        raise TranscriptError(str(path), f"cannot be read: {error}") from error


def log_of(path: Path) -> Path:
    """Return the file beside a database in which what was written last may stand."""
    return path.with_name(f"{path.name}-wal")


def columns_of(connection: sqlite3.Connection) -> dict[str, set[str]]:
    """Return the tables of a database with the names of their columns."""
    tables = connection.execute("SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY rowid").fetchall()
    return {
        name: {str(row[1]) for row in connection.execute(f"PRAGMA table_info({quoted(name)})")} for (name,) in tables
    }


def quoted(name: str) -> str:
    """Write a name as SQL does."""
    return '"' + name.replace('"', '""') + '"'


def _text(raw: bytes) -> str:
    return raw.decode("utf-8", "replace")
