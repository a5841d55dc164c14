"""The clock of an event loop, put forward by hand: whatever waits for a time that is over then goes on at once."""

from __future__ import annotations

import asyncio


def put_forward(seconds: float) -> None:
    """Let the clock of the running event loop jump ahead."""
    loop = asyncio.get_running_loop()
    before = loop.time
    loop.time = lambda: before() + seconds  # type: ignore[method-assign]  # of this one loop, which ends with its test
