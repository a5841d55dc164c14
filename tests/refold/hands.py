"""What the tests of tasks have in common: a clock set by hand, and looking at what was recorded."""

from __future__ import annotations

from eventsource.events import Event
from refold import Session


class Clock:
    """A clock that is set by hand."""

    def __init__(self, now_us: int = 1_000_000) -> None:
        self.now_us = now_us

    def __call__(self) -> int:
        return self.now_us


async def events_of(session: Session) -> list[Event]:
    """Read a session's events."""
    return [recorded.event for recorded in await session.events()]


async def verified(session: Session) -> None:
    """Hold that a session's log is whole and replays."""
    report = await session.replay()
    assert report.difference is None, report.difference
    assert (await session.verify()).ok
