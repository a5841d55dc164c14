"""The ends of sessions as the writer knows them, so that an append need not read what it follows."""

from __future__ import annotations

from hashlib import sha256
from typing import TYPE_CHECKING

from ...errors import UnknownSessionError
from ..digest import ZERO, update_lines
from ..lineage import MAX_SEQ, Segment
from ..row import Folds
from .connection import Sql
from .folded_row import folds_of, stored_folds
from .reading import LINK, Page, head_of

if TYPE_CHECKING:
    from hashlib import _Hash

_MAX_KNOWN = 10_000
"""Of as many sessions as stream at once in a process, and some kB of memory each; one that is not known is read."""
_ROW = f"""
SELECT number, parent, fork_seq, head, {LINK}, epoch, removals, given, archived_at_us FROM sessions s WHERE id = ?"""
_CHECK = f"SELECT number, head, {LINK}, epoch, removals, archived_at_us FROM sessions s WHERE id = ?"


class Tail:
    """Where a session ends: its head, its last link, U so far, and what the next append needs.

    `message_seq`: where the updates that the next `message_end` seals begin at the earliest (None: must be looked up).
    `flushed`: there may be rows of them. `since`: facts since the last snapshot of the folds.
    """

    __slots__ = (
        "epoch", "flushed", "folds", "fork_seq", "given", "head", "lines", "link", "message_seq", "number", "parent",
        "removals", "row_head", "since", "valid",
    )  # fmt: skip

    def __init__(self, number: int, parent: int | None, fork_seq: int, given: str) -> None:
        self.number, self.parent, self.fork_seq, self.given = number, parent, fork_seq, given
        self.head = self.row_head = fork_seq
        self.link = ZERO
        self.epoch = 0
        self.folds = Folds(title=given)
        self.lines: _Hash | None = None
        self.message_seq: int | None = fork_seq
        self.flushed = False
        self.since = self.removals = 0
        self.valid = True


class Tails:
    """Known tails by session id; after another connection wrote, each is checked before it is used again.

    Whoever asks for one is about to change the session, so it is taken out of the archive.
    """

    def __init__(self) -> None:
        self._known: dict[str, Tail] = {}

    def forget(self) -> None:
        """Forget every session's tail."""
        self._known.clear()

    def forget_one(self, session: str) -> None:
        """Forget one session's tail."""
        self._known.pop(session, None)

    def invalidate(self) -> None:
        """Be sure of nothing: another connection has written."""
        for tail in self._known.values():
            tail.valid = False

    def put(self, session: str, tail: Tail) -> None:
        """Remember a tail."""
        self._known.pop(session, None)
        while len(self._known) >= _MAX_KNOWN:
            del self._known[next(iter(self._known))]
        self._known[session] = tail

    def known(self, session: str) -> Tail | None:
        """Return a session's tail as it was when it was used last."""
        return self._known.get(session)

    def get(self, connection: Sql, session: str) -> Tail:
        """Return a session's tail, read from the database if need be. Raises: UnknownSessionError."""
        connection.hold(session)
        tail = self._known.get(session)
        if tail is not None and (tail.valid or _is_current(connection, session, tail)):
            tail.valid = True
            return tail
        tail = _load(connection, session)
        self.put(session, tail)
        return tail


def _is_current(connection: Sql, session: str, tail: Tail) -> bool:
    row = connection.execute(_CHECK, (session,)).fetchone()
    if row != (tail.number, tail.row_head, tail.link, tail.epoch, tail.removals, None):
        return False
    return head_of(connection, tail.number) == tail.head


def _load(connection: Sql, session: str) -> Tail:
    row = connection.execute(_ROW, (session,)).fetchone()
    if row is None:
        raise UnknownSessionError(session)
    number, parent, fork_seq, head, link, epoch, removals, given, archived_at_us = row
    if archived_at_us is not None:
        connection.unarchive(number)
    tail = Tail(number, parent, fork_seq, given.decode())
    tail.row_head, tail.link, tail.epoch, tail.head = head, link, epoch, head_of(connection, number)
    tail.removals, tail.folds = removals, folds_of(stored_folds(connection, number))
    base = number << 32
    sql = "SELECT id FROM events WHERE id > ? AND id <= ? ORDER BY id DESC LIMIT 1"
    last = connection.execute(sql, (base | fork_seq, base | MAX_SEQ)).fetchone()
    last_fact = last[0] & MAX_SEQ if last else fork_seq
    if last_fact < tail.head:
        updates = Page(connection, session).updates(Segment(number, last_fact + 1, tail.head))
        tail.lines = sha256(update_lines((one.at_us, one.event) for one in updates))
    tail.message_seq, tail.flushed = None, True
    tail.since = _facts_since_snapshot(connection, number, fork_seq)
    return tail


def _facts_since_snapshot(connection: Sql, number: int, fork_seq: int) -> int:
    """Count own facts after the last own snapshot; a fork without one takes a snapshot soon enough."""
    base = number << 32
    sql = "SELECT max(id) FROM snapshots WHERE id > ? AND id <= ?"
    (last,) = connection.execute(sql, (base | fork_seq, base | MAX_SEQ)).fetchone()
    sql = "SELECT count(*) FROM events WHERE id > ? AND id <= ?"
    return int(connection.execute(sql, (last or base, base | MAX_SEQ)).fetchone()[0])
