"""The status of sessions: under way, waiting for what, or how the last run ended and why."""

from __future__ import annotations

import msgspec

from eventsource.envelope import SessionInfo
from eventsource.events import AgentEnd, AgentStart, MessageEnd, TaskEnd
from eventsource.log.load import load_state
from eventsource.log.protocol import EventLog
from eventsource.machine.outcome import Ending, ending, outcome
from eventsource.machine.state import Phase, State
from eventsource.machine.steps import resume_reason

from .waits import Waiting, load_waiting

STATUSES = (
    "empty",
    "idle",
    "running",
    "interrupted",
    "queued",
    "due",
    "waiting",
    "stuck",
    "failed",
    "aborted",
    "limit",
    "refused",
    "cancelled",
)
_LOOKS = (64, 4096)
"""How many seqs from the end are looked at for the end of the last run, before everything is."""
_PAGE = 1000


class SessionStatus(msgspec.Struct, frozen=True, kw_only=True):
    """How a session stands and why; `waits`: what it waits for.

    status: as the session's row says it, and for an idle one whose last run was not done how that ended (failed,
    aborted, limit, refused).
    """

    status: str
    reason: str = ""
    waits: tuple[Waiting, ...] = ()


def status_at(state: State) -> SessionStatus:
    """Return the status that a state has: under way, or how the last run had ended."""
    if state.phase is not Phase.IDLE:
        return SessionStatus(status="under way")
    last = _ended("idle", state.ending)
    queued = len(state.queue) > len(state.queued("inbox")) and not state.task
    return _queued(last) if queued else last


def row_statuses(status: str) -> tuple[str, ...]:
    """Return the statuses that rows may have of sessions with this status."""
    among = {
        "aborted": ("idle",),
        "limit": ("idle",),
        "cancelled": ("idle", "cancelled"),
        "refused": ("idle", "failed"),
    }
    return among.get(status, (status,))


async def find_status(log: EventLog, info: SessionInfo) -> SessionStatus:
    """Compute a session's status from its row and its last facts."""
    if info.status == "waiting":
        return _status_of(info, Ending(), await load_waiting(log, info.id))
    if info.status in ("stuck", "cancelled"):
        _, state = await load_state(log, info.id)
        why = state.cancelled.error if state.cancelled is not None else state.stuck
        return SessionStatus(status=info.status, reason=why)
    if info.status == "interrupted":
        _, state = await load_state(log, info.id)
        why = "what it waited for has come" if resume_reason(state) == "wait" else "its run is unfinished"
        return SessionStatus(status=info.status, reason=f"{why}, and nobody runs it now")
    if info.status == "idle" and info.last in ("", "done"):
        return SessionStatus(status="idle")
    if info.status not in ("idle", "failed", "queued"):
        return _status_of(info, Ending(), ())
    looks = [look for look in _LOOKS if look < info.head]
    for look in (*looks, info.head):
        found = await _last_run(log, info, after=info.head - look)
        if isinstance(found, TaskEnd):
            return _queued(_of_task(info, found)) if info.status == "queued" else _of_task(info, found)
        if found is not None:
            return _queued(_ended("idle", found)) if info.status == "queued" else _status_of(info, found, ())
    return SessionStatus(status=info.status) if info.status != "queued" else _queued(SessionStatus(status="idle"))


def _queued(last: SessionStatus) -> SessionStatus:
    """Return the status of a session with a queued message, and how its last run ended if it was not done."""
    how = f"; the last one was {last.status}: {last.reason}" if last.reason and last.status != "idle" else ""
    return SessionStatus(status="queued", reason=f"a queued message waits for the next run{how}")


def _status_of(info: SessionInfo, last: Ending, waits: tuple[Waiting, ...]) -> SessionStatus:
    if waits:
        return SessionStatus(status="waiting", reason="; ".join(wait.words for wait in waits), waits=waits)
    return SessionStatus(status=info.status) if info.status not in ("idle", "failed") else _ended(info.status, last)


def _ended(status: str, last: Ending) -> SessionStatus:
    ended = outcome(last)
    if ended.status == "done":
        return SessionStatus(status=status, reason=ended.reason)
    return SessionStatus(status="failed" if ended.status == "error" else ended.status, reason=ended.reason)


def _of_task(info: SessionInfo, end: TaskEnd) -> SessionStatus:
    if end.cancelled:
        return SessionStatus(status="cancelled", reason=end.error)
    return SessionStatus(status=info.status, reason=end.error)


async def _last_run(log: EventLog, info: SessionInfo, *, after: int) -> Ending | TaskEnd | None:
    """Fold the facts after a seq, of a session that is idle.

    Returns: how the last task ended, or what the last run came to; None when neither can be said from there.
    """
    last, answered = Ending(), False
    found: Ending | TaskEnd | None = None
    while page := await log.read(info.id, after=after, upto=info.head, limit=_PAGE, updates=False):
        for recorded in page:
            event = recorded.event
            last = ending(last, event)
            answered = answered or isinstance(event, AgentStart | MessageEnd)
            if isinstance(event, TaskEnd):
                found = event
            elif isinstance(event, AgentEnd) and answered:
                found = last
        after = page[-1].seq
    return found
