"""The format of a database: its number, and the tables, indexes, triggers and views that it consists of."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

from ...errors import StoreError
from .sqlite_errors import translated

FORMAT = 2
_APPLICATION = 0x52464C44  # "RFLD"
_PARTS = "SELECT type, name, tbl_name, sql FROM sqlite_master WHERE sql IS NOT NULL AND name NOT LIKE 'search%'"


def format_of(path: Path) -> int:
    """Read the format of a database that nobody need have opened; 0 when it is empty. Raises: StoreError.

    Where a change of the format was interrupted it is the one before, until the database is opened to be written.
    """
    if path.with_name(f"{path.name}-journal").exists():  # only a writer may read it now
        return FORMAT - 1
    with translated(path), closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)) as connection:
        return read_format(path, connection)


def read_format(path: Path, connection: sqlite3.Connection) -> int:
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


def schema_of(of: sqlite3.Connection | int) -> set[tuple[str, ...]]:
    """Return (type, name, table, SQL) of what a database has, but the search, or of what one of a format ought to."""
    if isinstance(of, sqlite3.Connection):
        rows = of.execute(_PARTS).fetchall()
        return {tuple(value.decode("utf-8", "replace") for value in row) for row in rows}
    ideal = sqlite3.connect(":memory:")
    try:
        ideal.text_factory = bytes
        ideal.executescript(_schema(of))
        return schema_of(ideal)
    finally:
        ideal.close()


def _schema(format_number: int) -> str:
    name = "schema.sql" if format_number == FORMAT else f"schema_{format_number}.sql"
    return Path(__file__).with_name(name).read_text(encoding="utf-8")


def make_tables(connection: sqlite3.Connection) -> None:
    """Make a log of an empty database."""
    schema = _schema(FORMAT)
    connection.execute("PRAGMA page_size=8192")
    connection.execute("PRAGMA journal_mode=WAL")
    ends = f"PRAGMA application_id={_APPLICATION};\nPRAGMA user_version={FORMAT};"
    connection.executescript(f"BEGIN IMMEDIATE;\n{schema}\n{ends}\nCOMMIT;")
