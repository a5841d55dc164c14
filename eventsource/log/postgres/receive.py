"""An empty log on a server that gets the rows of another log."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..sql.connection import Sql
from ..sql.copying import TABLES, Table, rows_of
from .arrays import ARRAY_OF, BYTEA, INT8, TEXT, WRITERS
from .connection import WritingConnection
from .schema import make_log, stored_format
from .server import Server

_BYTES = frozenset(("link", "u", "b", "sha256", "letters", "base"))


def receive(source: Sql, url: str) -> None:
    """Write the rows of a log into a schema that has none, or an empty one, all or none. Raises: StoreError."""
    server = Server(url)
    with server.translated():
        target = WritingConnection(server, None)
        try:
            if not stored_format(target):
                make_log(server)
            target.begin()
            if target.execute("SELECT 1 FROM sessions LIMIT 1").fetchone() is not None:
                raise server.error("there are sessions in this log", "name a schema without a log, or an empty one")
            for table in TABLES:
                for rows in rows_of(source, table):
                    _insert(target, table, rows)
            target.execute("SELECT setval('session_numbers', (SELECT coalesce(max(number), 0) + 1 FROM sessions))")
            target.commit()
        finally:
            target.close()


def _insert(target: WritingConnection, table: Table, rows: Sequence[Sequence[Any]]) -> None:
    kinds = [
        TEXT if is_text else BYTEA if name in _BYTES or name == "body" else INT8
        for name, is_text in zip(table.columns, table.texts, strict=True)
    ]
    columns = zip(*rows, strict=True)
    arrays = [WRITERS[kind](column) for kind, column in zip(kinds, columns, strict=True)]
    values = ", ".join(f"${n}" for n in range(1, len(kinds) + 1))
    sql = f"INSERT INTO {table.name} ({', '.join(table.columns)}) SELECT * FROM unnest({values})"
    target.run_arrays(sql, arrays, [ARRAY_OF[kind] for kind in kinds])
