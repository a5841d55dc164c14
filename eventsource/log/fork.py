"""What a fork keeps of the messages that are queued where it begins."""

from __future__ import annotations

from ..errors import IllegalEventError, UnknownSeqError
from ..events import AgentStart, MessageEnd, MessageStart, QueuePush, Resume, TurnEnd, TurnStart
from ..guards import kind_of
from ..loading import load_state
from ..ports import EventLog
from ..state import INPUTS, State
from ..steps import turn_messages

_PAGE = 64
_NO_STATE = State()


async def kept_at(log: EventLog, session: str, at: int) -> tuple[int, ...]:
    """Name the pushes that the turn under way at a seq was begun to deliver; none where no turn has just begun.

    Folds the session only where its last step says that there may be some, so forks elsewhere stay cheap.
    """
    if not await _may_deliver(log, session, at):
        return ()
    try:
        return turn_messages((await load_state(log, session, upto=at))[1])
    except (IllegalEventError, UnknownSeqError):  # no machine's log, or no such place: the fork itself will say so
        return ()


async def _may_deliver(log: EventLog, session: str, at: int) -> bool:
    """Say whether the last event at a seq that is no input begins a run or turn, or delivers a message to it."""
    upto = at
    while upto > 0:
        page = await log.read(session, after=max(0, upto - _PAGE), upto=upto, limit=_PAGE)
        for recorded in reversed(page):
            event = recorded.event
            if isinstance(event, Resume) or (isinstance(event, QueuePush) and event.queue == "output"):
                return True
            if kind_of(_NO_STATE, event) not in INPUTS:
                return isinstance(event, AgentStart | TurnStart | TurnEnd | MessageStart) or (
                    isinstance(event, MessageEnd) and event.message is None
                )
        upto -= _PAGE
    return False
