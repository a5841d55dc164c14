"""A new file made of the rows of another log."""

from __future__ import annotations

import os
import sqlite3
from contextlib import closing, suppress
from pathlib import Path

from ..sql.connection import Sql
from ..sql.copying import TABLES, rows_of
from .database_format import make_tables
from .sqlite_errors import translated


def receive(source: Sql, path: Path) -> None:
    """Write the rows of a log into a file that is not there yet. Raises: StoreError; nothing is left of it then."""
    with translated(path):
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
        try:
            with closing(sqlite3.connect(path, isolation_level=None)) as target:
                make_tables(target)
                target.execute("BEGIN")
                for table in TABLES:
                    names, places = ", ".join(table.columns), ", ".join("?" * len(table.columns))
                    for rows in rows_of(source, table):
                        target.executemany(f"INSERT INTO {table.name} ({names}) VALUES ({places})", rows)
                target.execute("COMMIT")
        except BaseException:
            for name in (path, path.with_name(f"{path.name}-wal"), path.with_name(f"{path.name}-shm")):
                with suppress(FileNotFoundError):
                    os.unlink(name)
            raise
