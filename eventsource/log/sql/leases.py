"""Leases in the sessions' rows: owner, epoch and expiry; only a newer epoch takes one away."""

from __future__ import annotations

import sqlite3
from pathlib import Path

from ...envelope import Lease
from ...errors import FencedError, LeaseHeldError, UnknownSessionError
from ..sqlite.locks import owner_lives
from .tails import Tails

_ROW = "SELECT owner, epoch, expires_at_us FROM sessions WHERE id = ?"
_SET = "UPDATE sessions SET owner = ?, epoch = ?, expires_at_us = ?, due_at_us = ? WHERE id = ?"


def _row(connection: sqlite3.Connection, session: str) -> tuple[str, int, int]:
    row = connection.execute(_ROW, (session,)).fetchone()
    if row is None:
        raise UnknownSessionError(session)
    return (row[0] or b"").decode("utf-8", "replace"), row[1], row[2]


def check_free(connection: sqlite3.Connection, path: Path, session: str, now_us: int) -> int:
    """Return a session's epoch. Raises: LeaseHeldError when a living owner holds it and it has not expired."""
    owner, epoch, expires_at_us = _row(connection, session)
    if owner and expires_at_us > now_us and owner_lives(path, owner):
        raise LeaseHeldError(session, owner, expires_at_us)
    return epoch


def claim(
    connection: sqlite3.Connection, tails: Tails, path: Path, *, session: str, owner: str, now_us: int, ttl_us: int
) -> Lease:
    """Take a lease, raising its epoch. Raises: LeaseHeldError."""
    epoch = check_free(connection, path, session, now_us) + 1
    tail = tails.get(connection, session)
    tail.epoch = epoch
    connection.execute(_SET, (owner, epoch, now_us + ttl_us, now_us + ttl_us if tail.folds.working else None, session))
    return Lease(session, owner, epoch, now_us + ttl_us)


def renew(connection: sqlite3.Connection, tails: Tails, *, lease: Lease, now_us: int, ttl_us: int) -> Lease:
    """Prolong a lease. Raises: FencedError."""
    owner, epoch, _ = _row(connection, lease.session)
    if (owner, epoch) != (lease.owner, lease.epoch):
        raise FencedError(lease.session, lease.epoch, epoch)
    due_at_us = now_us + ttl_us if tails.get(connection, lease.session).folds.working else None
    connection.execute(_SET, (owner, epoch, now_us + ttl_us, due_at_us, lease.session))
    return Lease(lease.session, owner, epoch, now_us + ttl_us)


def release(connection: sqlite3.Connection, tails: Tails, *, lease: Lease, head: int | None, now_us: int) -> None:
    """Release a lease, if it still is this owner's; a session whose owner has not seen all of it is due at once."""
    if _row(connection, lease.session)[:2] != (lease.owner, lease.epoch):
        return
    tail = tails.get(connection, lease.session)
    due_at_us = None
    if tail.folds.working:
        due_at_us = tail.folds.wake_at_us if head == tail.head else now_us
    connection.execute(_SET, (None, lease.epoch, 0, due_at_us, lease.session))


def release_all(connection: sqlite3.Connection, owner: str, now_us: int) -> None:
    """Release every lease of an owner; what it ran is due at once."""
    sql = "UPDATE sessions SET owner = NULL, expires_at_us = 0, due_at_us = min(due_at_us, ?) WHERE owner = ?"
    connection.execute(sql, (now_us, owner))
