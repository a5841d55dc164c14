"""Opening a log, in memory, in a file or on a server: what a place does not need is not loaded."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

from .defaults import random_id, utc_now_us
from .encode import LIMIT_BYTES
from .place import file_of, is_server
from .protocol import EventLog


@asynccontextmanager
async def open_store(
    path: str | Path | None = None,
    *,
    clock: Callable[[], int] = utc_now_us,
    new_id: Callable[[], str] = random_id,
    limit_bytes: int = LIMIT_BYTES,
) -> AsyncIterator[EventLog]:
    """Open a log, and close it at the end; without a path it lives in memory and ends with the program.

    Args:
        path: a file, or `sqlite:///FILE`, or `postgresql://...` (needs the extra `postgres`).
        clock: gives UTC microseconds; on a server its own is used unless another is given.
        new_id: makes the id of a session that is created without one.
        limit_bytes: no event may be larger.

    Raises: StoreError when the file is no log, is of a newer format, or cannot be opened.
    """
    store = await start_store(path, clock=clock, new_id=new_id, limit_bytes=limit_bytes)
    try:
        yield store
    finally:
        await store.close()


async def start_store(
    path: str | Path | None = None,
    *,
    clock: Callable[[], int] = utc_now_us,
    new_id: Callable[[], str] = random_id,
    limit_bytes: int = LIMIT_BYTES,
) -> EventLog:
    """Open a log as `open_store` does, for who closes it himself."""
    if path is None:
        from .memory import MemoryLog

        return MemoryLog(clock=clock, new_id=new_id, limit_bytes=limit_bytes)
    if is_server(path):
        from .postgres.store import PostgresLog

        server = PostgresLog(path, clock=clock, new_id=new_id, limit_bytes=limit_bytes)
        await server.start()
        return server
    from .sqlite.store import SqliteLog

    log = SqliteLog(file_of(path), clock=clock, new_id=new_id, limit_bytes=limit_bytes)
    await log.start()
    return log
