"""The queues of tasks in a log in memory: what is due and what runs in each, and with whom."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping

from ..envelope import QueueInfo
from .memory_session import MemorySession

_Sessions = Mapping[str, MemorySession]


def due(sessions: _Sessions, now_us: int, queues: Collection[str] | None = None) -> list[MemorySession]:
    """List the sessions that are due, the longest due first."""
    among = (one for one in sessions.values() if queues is None or one.folds.queue in queues)
    found = [(one.due_at_us, one.id) for one in among if one.due_at_us is not None and one.due_at_us <= now_us]
    return [sessions[name] for _, name in sorted(found)]


def _runner_of(sessions: _Sessions, session: MemorySession) -> MemorySession:
    """Find the session whose runner runs this one: a child's parent does, while it waits for it, in one queue."""
    while session.parent is None and (above := sessions.get(session.started_by)) is not None:
        if above.number >= session.number or not above.folds.working or above.folds.queue != session.folds.queue:
            break
        session = above
    return session


def _running(sessions: _Sessions, now_us: int) -> list[MemorySession]:
    """List the sessions with an open task that somebody holds, but not with their parent."""
    held = [one for one in sessions.values() if one.owner and one.expires_at_us > now_us and one.folds.working]
    above = ((one, sessions.get(one.started_by)) for one in held)
    return [one for one, up in above if up is None or not up.owner or up.folds.queue != one.folds.queue]


def claimable(
    sessions: _Sessions,
    now_us: int,
    *,
    limit: int,
    tasks: Collection[str] | None,
    queues: Collection[str] | None,
    but: Collection[str],
    limits: Mapping[str, int],
) -> list[MemorySession]:
    """List the sessions that `EventLog.take_due` claims."""
    found, runs = list[MemorySession](), Counter(one.folds.queue for one in _running(sessions, now_us))
    for one in due(sessions, now_us, queues):
        runner = _runner_of(sessions, one)
        queue, is_held = runner.folds.queue, runner.owner and runner.expires_at_us > now_us
        if len(found) == limit:
            break
        if is_held or runner in found or runner.id in but or (queue in limits and runs[queue] >= limits[queue]):
            continue
        if tasks is None or runner.folds.task in tasks:
            found.append(runner)
            runs[queue] += 1
    return found


def count_queues(sessions: _Sessions, now_us: int) -> tuple[QueueInfo, ...]:
    """Count what is due and what runs, of each queue."""
    waiting, at_work, found = due(sessions, now_us), _running(sessions, now_us), list[QueueInfo]()
    for queue in sorted({one.folds.queue for one in (*waiting, *at_work)}):
        times = [one.due_at_us for one in waiting if one.folds.queue == queue and one.due_at_us is not None]
        runs = [one for one in at_work if one.folds.queue == queue]
        waited_us = max((now_us - at_us for at_us in times), default=0)
        owners = tuple(sorted({one.owner for one in runs if one.owner}))
        found.append(QueueInfo(queue=queue, due=len(times), waited_us=waited_us, running=len(runs), owners=owners))
    return tuple(found)
