"""Comparing sessions."""

from __future__ import annotations

from eventsource.user_code.checked import checked
from replay.diff import SessionDiff, diff as compare

from .session import Session


@checked()
async def diff(a: Session, b: Session) -> SessionDiff:
    """Compare two sessions: branches from the last event they share, unrelated ones by what was said.

    Returns: a value, false when nothing differs; `.pretty()` writes it for a terminal, `.json()` as JSON.
    """
    return await compare(a.core, b.core)
