"""Opening the database: pragmas, format, file modes, and SQLite's errors as sentences."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ...errors import StoreError
from .database_files import DatabaseFiles, identity_text
from .locks import WriterLock

FORMAT = 1
_APPLICATION = 0x52464C44  # "RFLD"
_BUSY_MS = 5_000
WAL_KEPT_BYTES = 16 * 2**20  # of a write-ahead file that has grown, so much stays when it begins anew
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


def is_read_only(path: Path) -> bool:
    """Return whether the file is there and neither it nor its folder can be written."""
    return path.exists() and not (os.access(path, os.W_OK) and os.access(path.parent, os.W_OK))


def connect_writer(files: DatabaseFiles, lock: WriterLock) -> sqlite3.Connection:
    """Open the one connection that writes, in the thread that will use it; makes the database if there is none.

    The file itself is never opened but by SQLite: closing it would give back SQLite's own locks on it.
    """
    path = files.path
    if path.is_dir():
        raise files.error("it is a folder", "name a file in it")
    before = files.look()
    if before is None:
        if files.is_settled:
            raise files.removed_error()
        try:
            os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
        except FileExistsError:
            pass  # another process was quicker
    _check_note(files, lock, before)
    connection = sqlite3.connect(path, isolation_level=None, timeout=_BUSY_MS / 1000)
    try:
        connection.text_factory = bytes
        if not _format(path, connection):
            with lock:
                if not _format(path, connection):
                    _make(connection)
        if connection.execute("PRAGMA journal_mode").fetchone() != (b"wal",):  # so it is in a backup
            with lock:
                connection.execute("PRAGMA journal_mode=WAL")
                _format(path, connection)
        connection.execute("PRAGMA wal_autocheckpoint=0")
        connection.execute(f"PRAGMA journal_size_limit={WAL_KEPT_BYTES}")
        connection.execute("PRAGMA synchronous=FULL")
        connection.execute("PRAGMA cell_size_check=ON")
        files.settle(before)
        if lock.read() != files.note:
            lock.write(files.note)
    except BaseException:
        connection.close()
        raise
    return connection


def _check_note(files: DatabaseFiles, lock: WriterLock, database: tuple[int, int] | None) -> None:
    """Refuse a database that was put in another's place while the write-ahead file of the other is still there.

    SQLite would take the other's pages for this one's. The note that each who opens a log leaves says which two files
    belong together; of files that were copied together, both are others.
    """
    if database is None or not files.wal_bytes():
        return
    noted = lock.read().split()
    if len(noted) == 2 and noted[0] != identity_text(database) and noted[1] == files.wal_identity_text():
        name = files.path.name
        raise files.error(
            f"this file was put in the place of another, of which the write-ahead file ({name}-wal) is still there",
            f"put the former file back, or, to go on with this one and lose what is only in {name}-wal, remove it and "
            f"{name}-shm while no program uses them",
        )


def connect_reader(files: DatabaseFiles, *, immutable: bool) -> sqlite3.Connection:
    """Open a connection that only reads.

    Args:
        immutable: the file lies where nothing can be written; it must then have no write-ahead file with content.
    """
    path = files.path
    before = files.look()
    if before is None:
        raise files.removed_error() if files.is_settled else files.error("it is not there", "check the path")
    still = immutable and not files.wal_bytes()
    uri = f"{path.as_uri()}?mode=ro{'&immutable=1' if still else ''}"
    connection = sqlite3.connect(uri, uri=True, isolation_level=None, timeout=_BUSY_MS / 1000)
    try:
        connection.text_factory = bytes
        connection.create_function("casefold", 1, _casefold, deterministic=True)
        if immutable and not _format(path, connection):
            raise StoreError(str(path), "it is empty", "name a log, or open it where it can be written")
        if immutable:
            files.settle(before)
        else:
            connection.execute("PRAGMA application_id").fetchone()
            files.check()
    except BaseException:
        connection.close()
        raise
    return connection


def _casefold(text: object) -> str:
    return str(text.decode("utf-8", "replace") if isinstance(text, bytes) else text).casefold()


def _format(path: Path, connection: sqlite3.Connection) -> int:
    """Read the format of a database, 0 when it is empty. Raises: StoreError when it is no log or a newer one."""
    application = int(connection.execute("PRAGMA application_id").fetchone()[0])
    version = int(connection.execute("PRAGMA user_version").fetchone()[0])
    if application == _APPLICATION and version > FORMAT:
        problem = f"it is a log of format {version}, this program reads up to format {FORMAT}"
        raise StoreError(str(path), problem, "use a newer release of refold")
    if application == _APPLICATION:
        return version
    if connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]:
        raise StoreError(
            str(path), "it is an SQLite database of another program", "name a log, or a file that is not there yet"
        )
    return 0


def schema_of(connection: sqlite3.Connection | None = None) -> set[tuple[object, ...]]:
    """Return the tables, indexes, views and triggers of a database; without one, those it ought to have."""
    if connection is not None:
        rows = connection.execute("SELECT type, name, tbl_name, sql FROM sqlite_master WHERE sql IS NOT NULL")
        return {tuple(value.decode("utf-8", "replace") for value in row) for row in rows}
    ideal = sqlite3.connect(":memory:")
    try:
        ideal.text_factory = bytes
        ideal.executescript(_schema())
        return schema_of(ideal)
    finally:
        ideal.close()


def _schema() -> str:
    return Path(__file__).with_name("schema.sql").read_text(encoding="utf-8")


def _make(connection: sqlite3.Connection) -> None:
    schema = _schema()
    connection.execute("PRAGMA page_size=8192")
    connection.execute("PRAGMA journal_mode=WAL")
    ends = f"PRAGMA application_id={_APPLICATION};\nPRAGMA user_version={FORMAT};"
    connection.executescript(f"BEGIN IMMEDIATE;\n{schema}\n{ends}\nCOMMIT;")
