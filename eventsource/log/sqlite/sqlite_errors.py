"""What SQLite says, as sentences that tell a person what to do."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ...errors import StoreError

_ADVICE = {
    sqlite3.SQLITE_NOTADB: ("it is no log: not an SQLite database", "name a log, or a file that is not there yet"),
    sqlite3.SQLITE_FULL: ("the disk is full", "free some space and try again"),
    sqlite3.SQLITE_BUSY: ("another program keeps the database locked", "let it finish or stop it, then try again"),
    sqlite3.SQLITE_LOCKED: ("another program keeps the database locked", "let it finish or stop it, then try again"),
    sqlite3.SQLITE_READONLY: ("it cannot be written", "check the modes of the file and of its folder"),
    sqlite3.SQLITE_CANTOPEN: ("it cannot be opened", "check that its folder is there and may be written"),
    sqlite3.SQLITE_PERM: ("it may not be opened", "check the modes of the file and of its folder"),
    sqlite3.SQLITE_IOERR: ("the disk failed to read or write", "check the disk and try again"),
    sqlite3.SQLITE_CORRUPT: ("the database file is damaged", "restore a backup; `refold verify` says what is hit"),
    sqlite3.SQLITE_TOOBIG: ("a value is larger than SQLite takes", "append it in smaller pieces"),
}


def store_error(path: Path, error: sqlite3.Error) -> StoreError:
    """Turn what SQLite says into what a person can do."""
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    problem, advice = _ADVICE.get(code, ("the database refused", "this should not happen; please report it"))
    words = str(error).partition("\n")[0][:200]
    return StoreError(str(path), f"{problem} ({words})", advice)


@contextmanager
def translated(path: Path) -> Iterator[None]:
    """Raise StoreError in place of SQLite's and the system's errors."""
    try:
        yield
    except sqlite3.Error as error:
        raise store_error(path, error) from error
    except OSError as error:
        raise StoreError(
            str(path), f"it cannot be used ({error.strerror or error})", "check the path and its modes"
        ) from error
