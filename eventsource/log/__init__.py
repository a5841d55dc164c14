"""The stores of events: one protocol (`protocol.EventLog`), in memory and in SQLite; `contract` tests each of them."""

from __future__ import annotations

import secrets
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

from .encode import LIMIT_BYTES
from .memory import MemoryLog
from .place import file_of
from .protocol import EventLog
from .warm import WarmFolds

__all__ = ["MemoryLog", "WarmFolds", "open_store", "random_id", "start_store", "utc_now_us"]

_ALPHABET = "abcdefghijklmnopqrstuvwxyz0123456789"


def utc_now_us() -> int:
    """Read the clock: UTC in microseconds."""
    return time.time_ns() // 1000


def random_id() -> str:
    """Make a session id: 12 random lower case letters and digits."""
    return "".join(secrets.choice(_ALPHABET) for _ in range(12))


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
        path: a file, or `sqlite:///FILE`.
        clock: gives UTC microseconds.
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
        return MemoryLog(clock=clock, new_id=new_id, limit_bytes=limit_bytes)
    from .sqlite.store import SqliteLog  # what a log in memory does not need is not loaded

    log = SqliteLog(file_of(path), clock=clock, new_id=new_id, limit_bytes=limit_bytes)
    await log.start()
    return log
