"""The log in PostgreSQL passes the contract of every store."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, AbstractContextManager, asynccontextmanager
from hashlib import sha256
from typing import Any, LiteralString

import psycopg
import pytest

from eventsource.codec import encode
from eventsource.events import Event
from eventsource.log import open_store
from eventsource.log.contract.append_read import LogContract
from eventsource.log.contract.stress import StressContract
from eventsource.log.lineage import MAX_SEQ
from eventsource.log.protocol import EventLog
from eventsource.log.sql.packs import from_row
from eventsource.log.sql.seal import redact
from tests.postgres import empty_log


class TestPostgresLog(LogContract):
    """Every promise of `EventLog`."""

    @pytest.fixture(autouse=True)
    def _place(self, postgres: str) -> None:
        self._server = postgres

    @asynccontextmanager
    async def open(self) -> AsyncIterator[EventLog]:
        """Open a log of its own."""
        with empty_log(self._server) as self._url:
            async with open_store(self._url) as log:
                yield log

    def open_again(self, log: EventLog) -> AbstractAsyncContextManager[EventLog]:
        """Open it once more."""
        return open_store(self._url)

    async def overwrite(self, log: EventLog, session: str, seq: int, event: Event | None, *, erased: bool) -> None:
        """Change what is stored, as somebody with the right to do so may."""
        with psycopg.connect(self._url, autocommit=True) as server:
            (number,) = row(server, "SELECT number FROM sessions WHERE id = %s", session)
            server.execute("UPDATE sessions SET mark = 'erase' WHERE number = %s", (number,))
            if event is None:
                sql = "SELECT id, kind, count, body FROM updates WHERE id >= %s ORDER BY id LIMIT 1"
                key, kind, count, body = row(server, sql, number << 32 | seq)
                server.execute("DELETE FROM updates WHERE id = %s", (key,))
                for last, *rest in redact(from_row(session, key & MAX_SEQ, kind, count, body), (), {seq}):
                    server.execute("INSERT INTO updates VALUES (%s, %s, %s, %s)", (number << 32 | last, *rest))
            else:
                stored, b = row(server, "SELECT body, b FROM events WHERE id = %s", number << 32 | seq)
                told = encode(event)
                kept = (b[:32] if b else sha256(stored.encode()).digest()) + sha256(told).digest() if erased else None
                sql = "UPDATE events SET body = %s, b = %s WHERE id = %s"
                server.execute(sql, (told.decode(), kept, number << 32 | seq))
            server.execute("UPDATE sessions SET mark = NULL WHERE number = %s", (number,))


def row(server: psycopg.Connection[tuple[Any, ...]], sql: LiteralString, *values: object) -> tuple[Any, ...]:
    """Read a row that is there."""
    found = server.execute(sql, values).fetchone()
    assert found is not None
    return found


@pytest.mark.slow
class TestManyProcesses(StressContract):
    """Processes that use one log at the same time."""

    @pytest.fixture(autouse=True)
    def _place(self, postgres: str) -> None:
        self._server = postgres

    def place(self) -> AbstractContextManager[str]:
        """Make a log."""
        return empty_log(self._server)
