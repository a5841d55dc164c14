"""Opening the database: pragmas, format, file modes, and SQLite's errors as sentences."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable
from pathlib import Path

from ...errors import StoreError
from .connection import ArchiveConnection, SqliteConnection, WritingConnection
from .database_files import DatabaseFiles, identity_text
from .database_format import FORMAT, make_tables, read_format
from .locks import WriterLock
from .upgrade import is_upgraded, lacks_indexes, make_indexes, read_as_format_2, upgrade

_BUSY_MS = 5_000
WAL_KEPT_BYTES = 16 * 2**20  # of a write-ahead file that has grown, so much stays when it begins anew


def is_read_only(path: Path) -> bool:
    """Return whether the file is there and neither it nor its folder can be written."""
    return path.exists() and not (os.access(path, os.W_OK) and os.access(path.parent, os.W_OK))


def connect_writer(files: DatabaseFiles, lock: WriterLock, clock: Callable[[], int]) -> WritingConnection:
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
    connection = sqlite3.connect(path, isolation_level=None, timeout=_BUSY_MS / 1000, factory=WritingConnection)
    try:
        connection.belong(path, clock)
        if not read_format(path, connection):
            with lock:
                if not read_format(path, connection):
                    make_tables(connection)
        if read_format(path, connection) < FORMAT or not is_upgraded(connection):
            with lock:
                upgrade(files, connection)
        if lacks_indexes(connection):
            with lock:
                make_indexes(connection)
        if connection.execute("PRAGMA journal_mode").fetchone() != (b"wal",):  # so it is in a backup
            with lock:
                connection.execute("PRAGMA journal_mode=WAL")
                read_format(path, connection)
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


def connect_reader(
    files: DatabaseFiles, clock: Callable[[], int], *, immutable: bool, archive: bool
) -> SqliteConnection:
    """Open a connection that only reads.

    Args:
        archive: whether it reads archived sessions too.
        immutable: the file lies where nothing can be written; it must then have no write-ahead file with content.
    """
    path = files.path
    before = files.look()
    if before is None:
        raise files.removed_error() if files.is_settled else files.error("it is not there", "check the path")
    still = immutable and not files.wal_bytes()
    uri = f"{path.as_uri()}?mode=ro{'&immutable=1' if still else ''}"
    timeout_s = _BUSY_MS / 1000
    kind = ArchiveConnection if archive else SqliteConnection
    connection = sqlite3.connect(uri, uri=True, isolation_level=None, timeout=timeout_s, factory=kind)
    try:
        connection.belong(path, clock)
        if immutable and not read_format(path, connection):
            raise StoreError(str(path), "it is empty", "name a log, or open it where it can be written")
        if immutable:
            files.settle(before)
        else:
            connection.execute("PRAGMA application_id").fetchone()
            files.check()
        if read_format(path, connection) == 1:
            read_as_format_2(connection)
        if isinstance(connection, ArchiveConnection):
            connection.prepare()
    except BaseException:
        connection.close()
        raise
    return connection
