"""Which runs the code that is called now belongs to, so that it can end its own at once."""

from __future__ import annotations

from collections.abc import Callable
from contextvars import ContextVar
from dataclasses import dataclass

from ..log.protocol import EventLog


@dataclass(frozen=True)
class CurrentRun:
    """A run that calls tools and callbacks: its session, what tells it of an abort, the run that called it."""

    log: EventLog
    session: str
    abort: Callable[[], None]
    outer: CurrentRun | None


CURRENT_RUN: ContextVar[CurrentRun | None] = ContextVar("run", default=None)


def notify_abort(log: EventLog, session: str) -> None:
    """Notify the run of a session, if this code was called by it, that its abort is on record."""
    run = CURRENT_RUN.get()
    while run is not None:
        if run.log is log and run.session == session:
            run.abort()
        run = run.outer
