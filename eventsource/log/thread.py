"""One connection in its own thread, used by whole functions: one call into the thread for each."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable
from typing import TypeVar

import aiosqlite

T = TypeVar("T")


class SqlThread:
    """A connection that lives in aiosqlite's thread."""

    def __init__(self, connect: Callable[[], sqlite3.Connection]) -> None:
        self._connection = aiosqlite.Connection(self._connect, 64)
        self._make = connect
        self._raw: sqlite3.Connection | None = None
        self._error: Exception | None = None

    def _connect(self) -> sqlite3.Connection:
        try:
            self._raw = self._make()
        except (
            Exception
        ) as error:  # aiosqlite would leave its thread behind: it is closed as usual, then this is raised
            self._error = error
            return sqlite3.connect(":memory:")
        return self._raw

    async def start(self) -> None:
        """Start the thread and connect in it."""
        opening = asyncio.ensure_future(self._open())
        try:
            await asyncio.shield(opening)
        except asyncio.CancelledError:
            await _settle(opening)
            await self.close()
            raise
        if self._error is not None:
            await self.close()
            raise self._error

    async def _open(self) -> None:
        await self._connection

    async def call(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """Run a function with the connection in the thread.

        A cancelled call still runs; the cancellation is raised when it has ended, so nothing goes on behind the caller.
        """
        raw = self._raw
        if raw is None:
            raise sqlite3.ProgrammingError("the connection is closed")
        try:
            result: T = await self._connection._execute(work, raw)  # type: ignore[no-untyped-call]  # a private method
            return result
        except asyncio.CancelledError:
            await _settle(asyncio.ensure_future(self._idle()))
            raise

    async def _idle(self) -> None:
        """Wait until everything given to the thread so far has ended."""
        await self._connection._execute(int)  # type: ignore[no-untyped-call]  # a private method

    async def close(self) -> None:
        """Close the connection and end the thread."""
        self._raw = None
        closing = asyncio.ensure_future(self._connection.close())
        try:
            await asyncio.shield(closing)
        except asyncio.CancelledError:
            await _settle(closing)
            raise


async def _settle(task: asyncio.Task[None]) -> None:
    """Wait for a task to end, however often the waiting is cancelled."""
    while not task.done():
        try:
            await asyncio.wait([task])
        except asyncio.CancelledError:
            continue
