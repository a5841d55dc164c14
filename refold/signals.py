"""Signals of the process, where it can have handlers for them."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable


def on_signal(*numbers: signal.Signals, call: Callable[[], None]) -> bool:
    """Register a function that is called, in the running loop, when a signal comes.

    Returns: False when that cannot be: the system has no such signals, or this is not the main thread.
    """
    loop = asyncio.get_running_loop()
    try:
        for number in numbers:
            loop.add_signal_handler(number, call)
    except (RuntimeError, ValueError):
        return False
    return True
