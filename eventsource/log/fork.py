"""What a fork keeps of the messages that are queued where it begins."""

from __future__ import annotations

from collections.abc import Iterable

from ..errors import IllegalEventError, UnknownSeqError
from ..machine.steps import turn_messages
from .load import load_state
from .protocol import EventLog


async def kept_at(log: EventLog, session: str, at: int, queued: Iterable[tuple[int, str]]) -> tuple[int, ...]:
    """Name the pushes that the turn under way at a seq was begun to deliver; none where no turn has just begun.

    Folds the session only where something is queued at that seq (`Folds.queued`), so forks elsewhere stay cheap.
    """
    if all(queue == "inbox" for _, queue in queued):
        return ()
    try:
        return turn_messages((await load_state(log, session, upto=at))[1])
    except (IllegalEventError, UnknownSeqError):  # no machine's log, or no such place: the fork itself will say so
        return ()
