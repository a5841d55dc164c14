"""Closing a log in a database: every step is taken, whatever goes wrong with one, and however often it is cancelled."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AbstractContextManager
from typing import Protocol

from ...errors import StoreError

_LOOK_S = 0.001


class Closable(Protocol):
    """What reads, and is closed."""

    async def close(self) -> None:
        """Close it."""
        ...


async def take_steps(
    steps: Sequence[Callable[[], Awaitable[None]]], translated: Callable[[], AbstractContextManager[None]]
) -> None:
    """Take each step. Raises: what went wrong first, but a cancellation before all else."""
    problem: BaseException | None = None
    for step in steps:
        try:
            with translated():
                await step()
        except (StoreError, asyncio.CancelledError) as error:
            problem = error if problem is None or isinstance(error, asyncio.CancelledError) else problem
    if problem is not None:
        raise problem


async def stop_reading(is_busy: Callable[[], bool], readers: Callable[[], Sequence[Closable | None]]) -> None:
    """Wait until nobody reads any more, then close what reads; a cancellation is raised after that."""
    cancelled: asyncio.CancelledError | None = None
    while is_busy():
        try:
            await asyncio.sleep(_LOOK_S)
        except asyncio.CancelledError as error:
            cancelled = error
    for reader in readers():
        if reader is not None:
            await reader.close()
    if cancelled is not None:
        raise cancelled
