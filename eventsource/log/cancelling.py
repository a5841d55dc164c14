"""Waiting that ends with what is waited for, not with a cancellation."""

from __future__ import annotations

import asyncio
from typing import TypeVar

T = TypeVar("T")


async def settled(future: asyncio.Future[T]) -> asyncio.CancelledError | None:
    """Wait for a future to be done, however often the waiting is cancelled. Returns: the last cancellation."""
    cancelled: asyncio.CancelledError | None = None
    while not future.done():
        try:
            await asyncio.wait([future])
        except asyncio.CancelledError as error:
            cancelled = error
    return cancelled
