"""The status of sessions: under way, waiting for what, or how the last run ended and why."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeAlias

import msgspec

from eventsource.envelope import Recorded, SessionInfo
from eventsource.events import (
    AbortRequest,
    AgentEnd,
    AgentStart,
    EventBase,
    MessageEnd,
    Resume,
    TaskEnd,
    TaskStart,
    TurnStart,
    WaitEnd,
    WaitStart,
)
from eventsource.log.load import load_state
from eventsource.log.protocol import EventLog
from eventsource.machine.outcome import ENDING_TYPES, Ending, ending, outcome
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
_NOT_WELL = ("asked", "error", "aborted", "limit", "refused", "cancelled")
"""What rows say of last runs that were not done."""
_UNFINISHED = "its run is unfinished"
_Telling: TypeAlias = "Callable[[SessionInfo, Sequence[Recorded]], SessionStatus | None]"
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
    return tuple([one for statuses, _ in rows_of(status) for one in statuses])


def rows_of(status: str) -> tuple[tuple[tuple[str, ...], tuple[str, ...] | None], ...]:
    """Return what rows may say of sessions with this status: their own statuses, and how the last run of these ended.

    None: in any way.
    """
    among = {
        "aborted": ((("idle",), _NOT_WELL),),
        "limit": ((("idle",), _NOT_WELL),),
        "cancelled": ((("idle",), _NOT_WELL), (("cancelled",), None)),
        "refused": ((("idle", "failed"), _NOT_WELL),),
    }
    return among.get(status, (((status,), None),))


async def find_statuses(log: EventLog, rows: Sequence[SessionInfo]) -> list[SessionStatus]:
    """Compute the statuses of many sessions, as `find_status` does of each.

    The rows say enough of most; of others a few last facts are read, of all together. Only those that are not told by
    these, and those that wait, are read one by one.
    """
    found = {info.id: stands for info in rows if (stands := _of_row(info)) is not None}
    for among, types, told in _TOLD_BY:
        asked = [info for info in rows if info.id not in found and info.status in among]
        if asked:
            facts = await log.last_facts([info.id for info in asked], types)
            for info, last in zip(asked, facts, strict=True):
                if (stands := told(info, last)) is not None:
                    found[info.id] = stands
    return [found.get(info.id) or await find_status(log, info) for info in rows]


def _of_row(info: SessionInfo) -> SessionStatus | None:
    """Return the status of a session whose row says all of it."""
    has_ended_well = info.last in ("", "done")
    if info.status == "queued" and has_ended_well:
        return _queued(SessionStatus(status="idle"))
    told = info.status not in ("waiting", "interrupted", "stuck", "cancelled", "queued", "failed", "idle")
    return SessionStatus(status=info.status) if told or (info.status == "idle" and has_ended_well) else None


def _of_interrupted(info: SessionInfo, facts: Sequence[Recorded]) -> SessionStatus | None:
    if info.task or not facts or isinstance(facts[-1].event, WaitStart | WaitEnd):
        return None
    return SessionStatus(status="interrupted", reason=f"{_UNFINISHED}, and nobody runs it now")


def _of_asked(info: SessionInfo, facts: Sequence[Recorded]) -> SessionStatus | None:
    """Return the status of a session that is to be cancelled, with the words of whoever asked for it."""
    words: str | None = None
    has_begun = False
    for recorded in facts:
        match recorded.event:
            case TaskStart():
                words, has_begun = None, True
            case AbortRequest(cause="cancel", error=error) if words is None:
                words = error
            case _:
                pass
    return SessionStatus(status=info.status, reason=words) if has_begun and words is not None else None


def _of_stuck(info: SessionInfo, facts: Sequence[Recorded]) -> SessionStatus | None:
    """Return the status of a session that nobody could go on with, and why."""
    last = facts[-1].event if facts else None
    if isinstance(last, Resume) and last.why == "stuck":
        return SessionStatus(status=info.status, reason=last.problem)
    return None


def _of_ended(info: SessionInfo, facts: Sequence[Recorded]) -> SessionStatus | None:
    found = _fold_end(facts)
    if isinstance(found, TaskEnd):
        return _queued(_of_task(info, found)) if info.status == "queued" else _of_task(info, found)
    if found is not None:
        return _queued(_ended("idle", found)) if info.status == "queued" else _status_of(info, found, ())
    return None


_TOLD_BY: tuple[tuple[tuple[str, ...], tuple[type[EventBase], ...], _Telling], ...] = (
    (("interrupted",), (AgentStart, TurnStart, WaitStart, WaitEnd), _of_interrupted),
    (("cancelled",), (TaskStart, AbortRequest), _of_asked),
    (("stuck",), (TaskStart, Resume), _of_stuck),
    (("idle", "failed", "queued"), (*ENDING_TYPES, TaskEnd), _of_ended),
)
"""Which of a session's last facts tell how it stands, and how; None: they do not."""


async def find_status(log: EventLog, info: SessionInfo) -> SessionStatus:
    """Compute a session's status from its row and its last facts."""
    if (stands := _of_row(info)) is not None:
        return stands
    if info.status == "waiting":
        return _status_of(info, Ending(), await load_waiting(log, info.id))
    if info.status in ("stuck", "cancelled"):
        _, state = await load_state(log, info.id)
        why = state.cancelled.error if state.cancelled is not None else state.stuck
        return SessionStatus(status=info.status, reason=why)
    if info.status == "interrupted":
        _, state = await load_state(log, info.id)
        why = "what it waited for has come" if resume_reason(state) == "wait" else _UNFINISHED
        return SessionStatus(status=info.status, reason=f"{why}, and nobody runs it now")
    looks = [look for look in _LOOKS if look < info.head]
    for look in (*looks, info.head):
        stands = _of_ended(info, await _last_facts(log, info, after=info.head - look))
        if stands is not None:
            return stands
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


async def _last_facts(log: EventLog, info: SessionInfo, *, after: int) -> list[Recorded]:
    """Read the facts after a seq."""
    facts = list[Recorded]()
    while page := await log.read(info.id, after=after, upto=info.head, limit=_PAGE, updates=False):
        facts += page
        after = page[-1].seq
    return facts


def _fold_end(facts: Sequence[Recorded]) -> Ending | TaskEnd | None:
    """Fold the last facts of a session that is idle.

    Returns: how the last task ended, or what the last run came to; None when neither can be said from these.
    """
    last, answered = Ending(), False
    found: Ending | TaskEnd | None = None
    for recorded in facts:
        event = recorded.event
        last = ending(last, event)
        answered = answered or isinstance(event, AgentStart | MessageEnd)
        if isinstance(event, TaskEnd):
            found = event
        elif isinstance(event, AgentEnd) and answered:
            found = last
    return found
