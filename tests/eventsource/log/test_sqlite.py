"""The log in SQLite keeps the contract of stores, and what it promises beyond."""

from __future__ import annotations

import tempfile
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path

from eventsource.log import open_store
from eventsource.log.contract import LogContract
from eventsource.ports import EventLog


class TestSqliteLog(LogContract):
    def open(self) -> AbstractAsyncContextManager[EventLog]:
        return _temporary()


@asynccontextmanager
async def _temporary() -> AsyncIterator[EventLog]:
    with tempfile.TemporaryDirectory() as folder:
        async with open_store(Path(folder) / "log.db") as log:
            yield log
