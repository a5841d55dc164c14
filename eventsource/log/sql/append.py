"""Writing an append: facts, packed or sealed updates, digests and the session's row, in its batch's transaction."""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import sha256

import msgspec

from ...envelope import Behind
from ...errors import ConflictError, FencedError, StoreError
from ...events import MessageEnd
from ..digest import ZERO, link, row_crc
from ..encode import MOST_NEWS, AppendPart, Dropped, Fact, Updates, size_of
from ..lineage import MAX_SEQ
from ..row import WAKING, Folds, step, words_of
from .connection import Sql
from .folded_row import FOLDS_SET, folds_row
from .packs import MAX_COUNT, PACKED, Pack, dropped_row, from_row, pack, to_row
from .reading import Page
from .seal import seal
from .tails import Tail, Tails

INLINE_BYTES = 32 * 1024
SNAPSHOT_FACTS = 64
INSERT_FACT = "INSERT INTO events (id, at_us, body, u, link, b) VALUES (?, ?, ?, ?, ?, ?)"
INSERT_UPDATES = "INSERT INTO updates (id, kind, count, body) VALUES (?, ?, ?, ?)"
MOVE = "UPDATE sessions SET head = ?, link = ?, updated_at_us = ? WHERE number = ?"
MOVE_AND_FOLD = f"UPDATE sessions SET head = ?, link = ?, updated_at_us = ?, {FOLDS_SET}"
DUE = """
UPDATE sessions SET due_at_us = CASE WHEN owner IS NULL OR expires_at_us <= ? THEN ? ELSE expires_at_us END
WHERE number = ?"""
NOT_DUE = "UPDATE sessions SET due_at_us = NULL WHERE number = ?"
INSERT_KEY = "INSERT INTO keys (number, key, head, crc) VALUES (?, ?, ?, ?)"
INSERT_BODY = "INSERT INTO bodies (sha256, body) VALUES (?, ?) ON CONFLICT DO NOTHING"
INSERT_REF = "INSERT INTO refs (sha256, id) VALUES (?, ?) ON CONFLICT DO NOTHING"
SET_FIRST_WORDS = "UPDATE sessions SET first_words = ? WHERE number = ?"
PUT_SNAPSHOT = "INSERT INTO snapshots (id, folds) VALUES (?, ?) ON CONFLICT (id) DO UPDATE SET folds = excluded.folds"
_ENCODER = msgspec.json.Encoder()
FactRow = tuple[int, int, str, bytes | None, bytes | None, bytes | None]


def append(
    connection: Sql,
    tails: Tails,
    session: str,
    parts: Sequence[AppendPart],
    *,
    expected: int | None,
    epoch: int | None,
    key: str | None,
    behind: Behind | None = None,
) -> int:
    """Append what was prepared. Returns: the new head.

    Raises: UnknownSessionError, ConflictError, FencedError, StoreError, each before anything is written.
    """
    tail = tails.get(connection, session)
    if key is not None:
        sql = "SELECT head FROM keys WHERE number = ? AND key = ?"
        answered = connection.execute(sql, (tail.number, key)).fetchone()
        if answered is not None:
            return int(answered[0])
    if epoch is not None and epoch != tail.epoch:
        raise FencedError(session, epoch, tail.epoch)
    if expected is not None and expected != tail.head and not _follows(connection, session, expected, tail, behind):
        raise ConflictError(session, expected, tail.head)
    if tail.head + sum(map(size_of, parts)) > MAX_SEQ:
        raise StoreError(session, f"a session holds at most {MAX_SEQ} events", "go on in a fork")
    before = tail.folds
    _Append(connection, session, tail).write(parts)
    wakes = epoch is None and any(isinstance(part, Fact) and isinstance(part.event, WAKING) for part in parts)
    if tail.folds.working and (wakes or not before.working):
        at_us = max(part.at_us for part in parts if isinstance(part, Fact))
        connection.execute(DUE, (at_us, at_us, tail.number))
    elif before.working and not tail.folds.working:
        connection.execute(NOT_DUE, (tail.number,))
    if key is not None:
        row = (tail.number, key, tail.head)
        connection.execute(INSERT_KEY, (*row, row_crc(*row)))
    return tail.head


def _follows(connection: Sql, session: str, expected: int, tail: Tail, behind: Behind | None) -> bool:
    """Return whether an append may follow what others appended after the head that it expected."""
    if behind is None or not expected <= tail.head <= expected + MOST_NEWS:
        return False
    return behind(Page(connection, session).read(expected, tail.head, MOST_NEWS, updates=True))


class _Append:
    """One append on its way into the database."""

    def __init__(self, connection: Sql, session: str, tail: Tail) -> None:
        self._connection, self._session, self._tail = connection, session, tail
        self._base = tail.number << 32
        self._folds = tail.folds
        self._facts: list[FactRow] = []
        self._packs: list[Pack] = []
        self._words = ""

    def write(self, parts: Sequence[AppendPart]) -> None:
        tail = self._tail
        at_us = 0
        for part in parts:
            if isinstance(part, Updates):
                self._packs += pack(tail.head + 1, part.events)
                if tail.lines is None:
                    tail.lines = sha256(part.lines)
                else:
                    tail.lines.update(part.lines)
                tail.head += len(part.events)
            elif isinstance(part, Dropped):
                self._dropped(part)
            else:
                self._fact(part)
                at_us = part.at_us
        if self._packs:
            tail.flushed = True
            self._insert(self._packs)
        if self._facts:
            self._end(at_us)

    def _dropped(self, part: Dropped) -> None:
        tail = self._tail
        for first in range(0, len(part.times), MAX_COUNT):
            times = part.times[first : first + MAX_COUNT]
            tail.head += len(times)
            last, *rest = dropped_row(tail.head, times)
            self._connection.execute(INSERT_UPDATES, (self._base | last, *rest))
        tail.lines = tail.lines or sha256()

    def _fact(self, fact: Fact) -> None:
        tail = self._tail
        tail.head = seq = tail.head + 1
        at_us, event, stored, name, images, u, erased = fact
        if tail.lines is not None:
            u, tail.lines = u or tail.lines.digest(), None
        tail.link = link(tail.link, u or ZERO, at_us, name)
        tail.folds = step(tail.folds, seq, event)
        tail.since += 1
        if tail.folds.first_seq == seq and not erased:
            self._words = words_of(event)
        b = None
        if erased:
            b = name + sha256(stored).digest()
        elif len(stored) > INLINE_BYTES:
            b = name
            self._aside(seq, b, stored)
            stored = stub(stored)
        for image, data in images:
            self._aside(seq, image, data)
        here = None
        if tail.since >= SNAPSHOT_FACTS:
            here, tail.since = tail.link, 0
            snapshot(self._connection, self._base | seq, tail.folds)
        self._facts.append((self._base | seq, at_us, stored.decode(), u, here, b))
        if isinstance(event, MessageEnd):
            self._seal(event, seq)
            tail.message_seq, tail.flushed = seq, False

    def _aside(self, seq: int, name: bytes, body: bytes) -> None:
        self._connection.execute(INSERT_BODY, (name, body))
        self._connection.execute(INSERT_REF, (name, self._base | seq))

    def _seal(self, event: MessageEnd, seq: int) -> None:
        """Seal the message's updates: those of this append, and the rows that earlier flushes left."""
        if event.message is None:
            if self._packs:
                self._insert(self._packs)
                self._packs = []
            return
        packs, self._packs = self._packs, []
        if self._tail.flushed:
            first = self._base | (self._tail.message_seq if self._tail.message_seq is not None else self._last_end())
            span = (first, self._base | MAX_SEQ, PACKED)
            sql = "SELECT id, kind, count, body FROM updates WHERE id > ? AND id <= ? AND kind = ? ORDER BY id"
            rows = self._connection.execute(sql, span).fetchall()
            if rows:
                self._connection.execute("DELETE FROM updates WHERE id > ? AND id <= ? AND kind = ?", span)
            packs = [
                from_row(self._session, key & MAX_SEQ, kind, count, body) for key, kind, count, body in rows
            ] + packs
        if packs:
            self._insert(seal(packs, event.message.content, seq))

    def _last_end(self) -> int:
        """Seq of the message_end before this append, or of the fork, or 0."""
        sql = (
            'SELECT id FROM events WHERE id > ? AND id <= ? AND body LIKE \'{"type":"message_end"%\''
            " ORDER BY id DESC LIMIT 1"
        )
        row = self._connection.execute(sql, (self._base, self._base | MAX_SEQ)).fetchone()
        return int(row[0]) & MAX_SEQ if row else self._tail.fork_seq

    def _insert(self, packs: Sequence[Pack]) -> None:
        base = self._base
        rows = [(base | last, kind, count, body) for last, kind, count, body in map(to_row, packs)]
        self._connection.executemany(INSERT_UPDATES, rows)

    def _end(self, at_us: int) -> None:
        tail = self._tail
        self._facts[-1] = (*self._facts[-1][:4], tail.link, self._facts[-1][5])
        self._connection.executemany(INSERT_FACT, self._facts)
        if tail.parent is not None and self._facts[0][0] == self._base | tail.fork_seq + 1:
            tail.folds = msgspec.structs.replace(tail.folds, title=tail.given)
        here = tail.head > tail.fork_seq + 1 or tail.parent is None  # a fork that has only begun is kept small
        link_kept = tail.link if here else None
        if tail.folds is self._folds and tail.row_head:
            self._connection.execute(MOVE, (tail.head, link_kept, at_us, tail.number))
        else:
            folds = folds_row(tail.folds)
            self._connection.execute(MOVE_AND_FOLD, (tail.head, link_kept, at_us, *folds, tail.number))
        tail.row_head = tail.head
        if self._words:
            self._connection.execute(SET_FIRST_WORDS, (self._words, tail.number))


def stub(body: bytes) -> bytes:
    """What stands in `events` for a body in `bodies`: its type alone."""
    return body[: body.index(b'"', len(b'{"type":"')) + 1] + b"}"


def snapshot(connection: Sql, key: int, folds: Folds) -> None:
    """Keep the folds at a fact; the title stays out, a fork does not inherit it."""
    encoded = _ENCODER.encode(msgspec.structs.replace(folds, title=""))
    connection.execute(PUT_SNAPSHOT, (key, encoded.decode()))
