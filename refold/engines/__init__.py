"""Engines around the log: what decides when and where a session is run, and keeps nothing else of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from eventsource.lazy_names import load_when_asked

if TYPE_CHECKING:
    from ..tasks.ticker import Tick
    from .protocol import Engine, EngineError
    from .worker import EngineWorker

__all__ = ["Engine", "EngineError", "EngineWorker", "Tick"]

load_when_asked(
    __name__,
    {
        "..tasks.ticker": "Tick",
        ".protocol": "Engine EngineError",
        ".worker": "EngineWorker",
    },
)
