"""A name is looked for by indexes, whatever it names: no store reads all sessions for one that is not there."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

import pytest

from eventsource.errors import UnknownSessionError
from eventsource.log import open_store
from eventsource.log.postgres.connection import PgConnection
from eventsource.log.postgres.server import Server
from eventsource.log.sql.connection import Rows, Sql
from eventsource.log.sql.sessions import resolve
from eventsource.log.sqlite.connection import SqliteConnection
from tests.postgres import empty_log


class Asked:
    """A connection that keeps in mind what it was asked."""

    def __init__(self, connection: Sql) -> None:
        self._connection, self.asked = connection, list[tuple[str, Sequence[object]]]()

    def execute(self, sql: str, values: Sequence[object] = ()) -> Rows:
        self.asked.append((sql, values))
        return self._connection.execute(sql, values)


def asked_for(connection: Sql, name: str) -> list[tuple[str, Sequence[object]]]:
    asked = Asked(connection)
    for prefix in (True, False):
        with pytest.raises(UnknownSessionError):
            resolve(asked, name, prefix=prefix)  # type: ignore[arg-type]  # it asks, and does nothing else
    return asked.asked


async def test_in_a_file(tmp_path: Path) -> None:
    async with open_store(tmp_path / "log.db") as log:
        await log.create("one", title="first")
    with closing(sqlite3.connect(tmp_path / "log.db", factory=SqliteConnection)) as connection:
        connection.belong(tmp_path / "log.db", lambda: 1)
        asked = asked_for(connection, "nobody")
        assert len(asked) >= 4
        for sql, values in asked:
            for row in connection.execute(f"EXPLAIN QUERY PLAN {sql}", values):
                assert row[3].startswith(b"SEARCH"), (sql, row)


async def test_on_a_server(postgres: str) -> None:
    """Where there are few sessions the server would read them all; here it may do that only where it must."""
    with empty_log(postgres) as place:
        async with open_store(place) as log:
            await log.create("one", title="first")
        connection = PgConnection(Server(place), None)
        try:
            asked = asked_for(connection, "nobody")
            connection.execute("SET enable_seqscan = off")
            for sql, values in asked:
                plan = [row[0].decode() for row in connection.execute(f"EXPLAIN {sql}", values)]
                assert not any("Seq Scan" in line for line in plan), (sql, plan)
        finally:
            connection.close()


async def test_a_file_that_was_made_without_the_index_gets_it(tmp_path: Path) -> None:
    async with open_store(tmp_path / "log.db") as log:
        await log.create("one", title="first")
    with closing(sqlite3.connect(tmp_path / "log.db")) as raw:
        raw.execute("DROP INDEX first_titled")
    async with open_store(tmp_path / "log.db") as log:
        assert (await log.verify()).findings == ()
        assert await log.resolve("first") == "one"
