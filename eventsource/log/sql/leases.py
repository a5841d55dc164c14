"""Leases in the sessions' rows: owner, epoch and expiry; only a newer epoch takes one away."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from ...envelope import Lease
from ...errors import FencedError, LeaseHeldError, UnknownSessionError
from .connection import Sql
from .folded_row import folds_of, stored_folds
from .queues import Room
from .sessions import due
from .tails import Tails

_ROW = "SELECT owner, epoch, expires_at_us FROM sessions WHERE id = ?"
_ABOVE = "SELECT task, parent, started_by, number, queue FROM sessions WHERE id = ?"
_SET = "UPDATE sessions SET owner = ?, epoch = ?, expires_at_us = ?, due_at_us = ? WHERE id = ?"


def _row(connection: Sql, session: str) -> tuple[str, int, int]:
    row = connection.execute(_ROW, (session,)).fetchone()
    if row is None:
        raise UnknownSessionError(session)
    return (row[0] or b"").decode("utf-8", "replace"), row[1], row[2]


def check_free(connection: Sql, session: str) -> int:
    """Return a session's epoch. Raises: LeaseHeldError when a living owner holds it and it has not expired."""
    owner, epoch, expires_at_us = _row(connection, session)
    if owner and expires_at_us > connection.now_us() and connection.lives(owner):
        raise LeaseHeldError(session, owner, expires_at_us)
    return epoch


def claim(connection: Sql, tails: Tails, *, session: str, owner: str, ttl_us: int) -> Lease:
    """Take a lease, raising its epoch. Raises: LeaseHeldError."""
    tail = tails.get(connection, session)
    epoch, now_us = check_free(connection, session) + 1, connection.now_us()
    tail.epoch = epoch
    connection.execute(_SET, (owner, epoch, now_us + ttl_us, now_us + ttl_us if tail.folds.working else None, session))
    return Lease(session, owner, epoch, now_us + ttl_us)


def take_due(
    connection: Sql,
    tails: Tails,
    *,
    owner: str,
    limit: int,
    ttl_us: int,
    tasks: Collection[str] | None,
    queues: Collection[str] | None,
    but: Collection[str],
    limits: Mapping[str, int],
) -> tuple[Lease, ...]:
    """Claim what is due, in the transaction that finds it."""
    taken, passed, size = list[Lease](), set[str](), 2 * limit
    room = Room(connection, queues, limits)
    while len(taken) < limit:
        names = due(connection, size, room.queues(connection), lock=connection.lock_found)
        for name in (name for name in names if name not in passed):
            if len(taken) == limit:
                break
            passed.add(name)
            runner, task, queue = _runner(connection, name)
            if any(lease.session == runner for lease in taken):  # its owner may be gone already, and the lease free
                continue
            if runner in but or (tasks is not None and task not in tasks) or not room.has(queue):
                continue
            try:
                taken.append(claim(connection, tails, session=runner, owner=owner, ttl_us=ttl_us))
            except LeaseHeldError:
                continue
            room.take(queue)
        if len(names) < size:
            break
        size *= 4
    return tuple(taken)


def _runner(connection: Sql, session: str) -> tuple[str, str, str]:
    """Find the session whose runner runs this one, its task and its queue.

    A child's parent does, while it waits for it, if both are in one queue.
    """
    (task, parent, started_by, number, queue) = connection.execute(_ABOVE, (session,)).fetchone()
    while parent is None and started_by:
        above = connection.execute(_ABOVE, (started_by.decode("utf-8", "replace"),)).fetchone()
        if above is None or above[3] >= number or above[4] != queue or not _is_working(connection, started_by):
            break  # one that was made later has the id of a deleted one
        session = started_by.decode("utf-8", "replace")
        task, parent, started_by, number, queue = above
    return session, task.decode("utf-8", "replace"), queue.decode("utf-8", "replace")


def _is_working(connection: Sql, session: bytes) -> bool:
    """Return whether a session's task is open."""
    sql = "SELECT number FROM sessions WHERE id = ?"
    (number,) = connection.execute(sql, (session.decode("utf-8", "replace"),)).fetchone()
    return folds_of(stored_folds(connection, number)).working


def renew(connection: Sql, tails: Tails, *, lease: Lease, owner: str, ttl_us: int) -> Lease:
    """Prolong a lease. Raises: FencedError."""
    tail, now_us = tails.get(connection, lease.session), connection.now_us()
    stored, epoch, _ = _row(connection, lease.session)
    if (stored, epoch) != (lease.owner, lease.epoch):
        raise FencedError(lease.session, lease.epoch, epoch)
    due_at_us = now_us + ttl_us if tail.folds.working else None
    connection.execute(_SET, (owner, epoch, now_us + ttl_us, due_at_us, lease.session))
    return Lease(lease.session, owner, epoch, now_us + ttl_us)


def release(connection: Sql, tails: Tails, *, lease: Lease, head: int | None) -> None:
    """Release a lease, if it still is this owner's; a session whose owner has not seen all of it is due at once."""
    tail = tails.get(connection, lease.session)
    if _row(connection, lease.session)[:2] != (lease.owner, lease.epoch):
        return
    due_at_us = None
    if tail.folds.working:
        due_at_us = tail.folds.wake_at_us if head == tail.head else connection.now_us()
    connection.execute(_SET, (None, lease.epoch, 0, due_at_us, lease.session))


def release_all(connection: Sql, owner: str) -> None:
    """Release every lease of an owner; what it ran is due at once."""
    now_us = connection.now_us()
    sql = """UPDATE sessions SET owner = NULL, expires_at_us = 0,
        due_at_us = CASE WHEN due_at_us > ? THEN ? ELSE due_at_us END WHERE owner = ?"""
    connection.execute(sql, (now_us, now_us, owner))
