"""Archiving: a closed session is read and packed beside whatever goes on, then put away if it is still the same."""

from __future__ import annotations

from typing import NamedTuple

from ...errors import CorruptLogError, SessionOpenError, UnknownSessionError
from ..lineage import MAX_SEQ
from ..row import shown_status
from .connection import Sql
from .frames import LZMA, Frame, delete_rows, letters_in, pack_rows
from .leases import check_free
from .reading import LINK, head_of, span_of
from .tails import Tails
from .verify import verify_own

_STATE = f"""
SELECT number, head, {LINK}, removals, archived_at_us, open, status, fork_seq, due_at_us, unfinished FROM sessions s
WHERE id = ?"""
_PUT = "INSERT INTO frames (id, kind, rows, size, sha256, letters, body) VALUES (?, ?, ?, ?, ?, ?, ?)"
_AWAY = "UPDATE sessions SET link = ?, searched = head, archived_at_us = ? WHERE number = ?"
_SIZE = "SELECT coalesce(sum(length(body) + length(letters)), 0) FROM frames WHERE id BETWEEN ? AND ?"


class _State(NamedTuple):
    """What must be as it was when a session is put away."""

    number: int
    head: int
    link: bytes
    removals: int


class Packed(NamedTuple):
    """A session that may be put away; without frames when there is nothing to put away, or it is archived already."""

    state: _State
    letters: bytes = b""
    frames: tuple[Frame, ...] = ()

    @property
    def size(self) -> int:
        """What it will take, in bytes."""
        return len(self.letters) + sum(len(frame.body) for frame in self.frames)


def pack_session(connection: Sql, session: str) -> Packed:
    """Pack a closed session, if it is in order.

    Raises: UnknownSessionError, SessionOpenError, LeaseHeldError, CorruptLogError.
    """
    state, is_packed = _closed(connection, session)
    if is_packed:
        return Packed(state)
    problems = [one for one in verify_own(connection, state.number) if not one.note]
    if problems:
        raise CorruptLogError(session, problems[0].seq, "a session in order", problems[0].problem)
    return Packed(state, letters_in(connection, state.number), tuple(pack_rows(connection, state.number)))


def put_away(connection: Sql, tails: Tails, session: str, packed: Packed, *, at_us: int) -> int | None:
    """Put the frames in the place of the rows.

    Returns: how many bytes they take; None, and nothing is changed, when the session is no longer the same.

    Raises: UnknownSessionError, SessionOpenError, LeaseHeldError.
    """
    connection.hold_line(session)
    state, is_packed = _closed(connection, session)
    number = state.number
    if is_packed:
        return int(connection.execute(_SIZE, span_of(number)).fetchone()[0])
    if state != packed.state:
        return None
    connection.remove_texts(number, for_good=False)
    for place, frame in enumerate(packed.frames):
        letters = b"" if place else packed.letters
        connection.execute(
            _PUT, (number << 32 | place, LZMA, frame.rows, frame.size, frame.sha256, letters, frame.body)
        )
    delete_rows(connection, number)
    connection.execute(_AWAY, (state.link, at_us, number))
    tails.forget_one(session)
    return packed.size


def _closed(connection: Sql, session: str) -> tuple[_State, bool]:
    """Read where a closed session stands, and whether there is nothing to put away."""
    row = connection.execute(_STATE, (session,)).fetchone()
    if row is None:
        raise UnknownSessionError(session)
    number, head, link, removals, archived_at_us, opened, status, fork_seq, due_at_us, unfinished = row
    check_free(connection, session)
    if opened:
        told = status.decode("utf-8", "replace")
        is_due, is_run = due_at_us is not None, bool(unfinished)
        raise SessionOpenError(session, shown_status(told, head, held=False, is_due=is_due, is_run=is_run))
    if archived_at_us is not None or head_of(connection, number) == fork_seq:
        return _State(number, head, link, removals), True
    last = connection.execute("SELECT max(id) FROM events WHERE id > ? AND id <= ?", span_of(number)).fetchone()[0]
    if last is None or last & MAX_SEQ != head_of(connection, number):
        raise SessionOpenError(session, "in the middle of a message")
    return _State(number, head, link, removals), False
