"""Waiting with a limit that an abort signal cuts short."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from types import TracebackType
from typing import TypeVar

from ...background import stop

T = TypeVar("T")


class AbortedError(Exception):
    """The caller's signal was set."""


class StalledError(Exception):
    """Nothing came in time."""


class Timeouts:
    """Bounds each of a call's waits by a time and by the caller's signal; used as an async context manager."""

    def __init__(self, signal: asyncio.Event | None) -> None:
        self._signal = signal
        self._scope: asyncio.Timeout | None = None
        self._watcher: asyncio.Task[None] | None = None
        self._end_s = float("inf")

    async def __aenter__(self) -> Timeouts:
        if self._signal is not None:
            self._watcher = asyncio.create_task(self._watch(self._signal))
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._watcher is not None:
            await stop(self._watcher)

    async def wait(self, begin: Callable[[], Awaitable[T]], *, limit_ms: int) -> T:
        """Await what `begin` gives.

        Raises: AbortedError at once when the signal is set; StalledError after the limit.
        """
        if self._signal is not None and self._signal.is_set():
            raise AbortedError
        scope = asyncio.timeout_at(min(asyncio.get_running_loop().time() + limit_ms / 1000, self._end_s))
        try:
            async with scope:
                self._scope = scope
                return await begin()
        except TimeoutError as error:
            if self._signal is not None and self._signal.is_set():
                raise AbortedError from error
            if scope.expired():
                raise StalledError(f"nothing came for {limit_ms / 1000:g} seconds") from error
            raise
        finally:
            self._scope = None

    def finish_within(self, limit_ms: int) -> None:
        """Let all waits from now on end within a time; the first call counts."""
        self._end_s = min(self._end_s, asyncio.get_running_loop().time() + limit_ms / 1000)

    async def _watch(self, signal: asyncio.Event) -> None:
        await signal.wait()
        if self._scope is not None and not self._scope.expired():
            self._scope.reschedule(asyncio.get_running_loop().time())
