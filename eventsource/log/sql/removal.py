"""Taking things away on purpose: dropped updates, erased content, deleted sessions."""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import sha256

from ...codec import encode
from ...envelope import Recorded
from ...errors import HasForksError, UnknownSeqError
from ...events import Erase, Label, MessageEnd, MetadataSet, ToolExecutionEnd, ToolExecutionStart
from ...message_text import said_in
from ..digest import link_at_update
from ..encode import LIMIT_BYTES, encode_append
from ..erased import erasable_updates, tombstone
from ..lineage import MAX_SEQ, Segment, closed_messages, fork_points
from .append import INSERT_UPDATES, append
from .connection import Sql
from .leases import check_free
from .packs import DROPPED, from_row
from .reading import Page, head_of, id_of, lineage, load_fact, parts_at
from .rebuild import refold
from .seal import redact
from .tails import Tails

_SEEING = """
WITH RECURSIVE seeing (number, last) AS (
    SELECT CAST(? AS BIGINT), 4294967295
    UNION ALL
    SELECT s.number, CASE WHEN s.fork_seq < seeing.last THEN s.fork_seq ELSE seeing.last END
    FROM sessions s JOIN seeing ON s.parent = seeing.number WHERE s.fork_seq >= ? AND seeing.last >= ?
)
SELECT number FROM seeing ORDER BY number"""


def drop_updates(connection: Sql, tails: Tails, session: str) -> int:
    """Drop the updates of closed messages that no fork begins in. Returns: how many."""
    connection.hold_line(session)
    (number, fork_seq), *_ = lineage(connection, session)
    connection.hold_forks(number)
    connection.unarchive(number)
    page = Page(connection, session)
    facts = page.read(fork_seq, MAX_SEQ, MAX_SEQ, updates=False)
    rows = connection.execute("SELECT number, parent, fork_seq FROM sessions")
    points = fork_points({one: (parent, at) for one, parent, at in rows}, number)
    count = 0
    for start, end in closed_messages(facts):
        if any(start <= point < end for point in points):
            continue
        updates = page.updates(Segment(number, start + 1, end - 1))
        ends = [one for one in facts if one.seq in (start, end)]
        count += _drop(connection, page, number, erasable_updates([*ends, *updates], end))
    if count:
        _note_removal(connection, tails, _seeing(connection, number, fork_seq + 1))
    return count


def _seeing(connection: Sql, number: int, seq: int) -> list[int]:
    """List the session and the forks whose history holds its seq, parents first."""
    return [one for (one,) in connection.execute(_SEEING, (number, seq, seq))]


def _note_removal(connection: Sql, tails: Tails, numbers: Sequence[int]) -> None:
    """Count a removal in each session that sees it, so that whoever keeps something of these reads it again."""
    connection.executemany("UPDATE sessions SET removals = removals + 1 WHERE number = ?", [(one,) for one in numbers])
    tails.forget()


def _drop(connection: Sql, page: Page, number: int, gone: set[int]) -> int:
    if not gone:
        return 0
    base = number << 32
    sql = "SELECT id, kind, count, body FROM updates WHERE id >= ? AND id <= ? ORDER BY id"
    for key, kind, count, body in connection.execute(sql, (base | min(gone), base | MAX_SEQ)).fetchall():
        last = key & MAX_SEQ
        if last - count >= max(gone):
            break
        if kind == DROPPED:
            continue
        row = from_row(page.session, last, kind, count, body)
        content = page.content(base | row.end) if row.end else ()
        connection.execute("DELETE FROM updates WHERE id = ?", (key,))
        connection.executemany(INSERT_UPDATES, [(base | seq, *rest) for seq, *rest in redact(row, content, gone)])
    return len(gone)


def erase(connection: Sql, tails: Tails, session: str, seq: int, *, at_us: int, reason: str) -> int:
    """Remove the content of an event where it was recorded. Returns: the new head there. Raises: UnknownSeqError."""
    connection.hold_line(session)
    chain = lineage(connection, session)
    number = next((number for number, fork_seq in chain if fork_seq < seq), 0)
    connection.hold_forks(number)
    head = head_of(connection, chain[0][0])
    if not 1 <= seq <= head:
        raise UnknownSeqError(session, seq, head)
    key = number << 32 | seq
    row = connection.execute("SELECT body, b FROM events WHERE id = ?", (key,)).fetchone()
    if row is None:
        raise UnknownSeqError(session, seq, head, "an update is erased with its message or call, not alone")
    event = load_fact(connection, session, seq, *row)
    shape = tombstone(event)
    if shape == event:
        raise UnknownSeqError(session, seq, head, "the event holds nothing to erase")
    connection.unarchive(number)
    owner = id_of(connection, number)
    left = encode(shape)
    fact = Erase(target_seq=seq, reason=reason, shape_sha256=sha256(left).hexdigest())
    parts = encode_append(owner, [(at_us, fact)], durable=True, limit_bytes=LIMIT_BYTES)
    with connection.erasing():
        _remove(connection, owner, number, Recorded(seq, 0, event))
        _put_shape(connection, key, row[0], row[1], left)
        connection.change_text(key, said_in(event)[1], said_in(shape)[1])
    seeing = _seeing(connection, number, seq)
    if isinstance(event, Label):
        refold(connection, [number])
    elif isinstance(event, MetadataSet):
        refold(connection, seeing)
    sql = "UPDATE sessions SET first_words = '' WHERE number = ? AND first_seq = ?"
    connection.executemany(sql, [(one, seq) for one in seeing])
    _note_removal(connection, tails, seeing)
    return append(connection, tails, owner, parts, expected=None, epoch=None, key=None)


def _remove(connection: Sql, session: str, number: int, ended: Recorded) -> None:
    """Drop the updates that hold what an event holds; forks that begin among them remember their digest."""
    page = Page(connection, session)
    own = [one for one in page.read(0, ended.seq, MAX_SEQ, updates=False) if one.seq > page.chain[0][1]]
    start = _start_of(own, ended)
    updates = [] if start is None else page.updates(Segment(number, start + 1, ended.seq))
    gone = erasable_updates([*own, *updates], ended.seq)
    if not gone:
        return
    for child in _seeing(connection, number, min(gone))[1:]:
        sql = "SELECT parent, fork_seq FROM sessions WHERE number = ? AND base IS NULL AND fork_seq < ?"
        for parent, at in connection.execute(sql, (child, ended.seq)).fetchall():
            found, lines = parts_at(connection, int(parent), int(at))
            if lines:
                base = link_at_update(found, lines) + lines
                connection.execute("UPDATE sessions SET base = ? WHERE number = ?", (base, child))
    _drop(connection, page, number, gone)


def _start_of(own: list[Recorded], ended: Recorded) -> int | None:
    """Seq after which the updates of a message or call begin; none when the event ends neither."""
    event = ended.event
    if isinstance(event, MessageEnd):
        return next((start for start, end in closed_messages(own) if end == ended.seq), None)
    if isinstance(event, ToolExecutionEnd):
        for one in own:
            match one.event:
                case ToolExecutionStart(message_seq=event.message_seq, content_index=event.content_index):
                    return one.seq
                case _:
                    pass
        return own[0].seq - 1
    return None


def _put_shape(connection: Sql, key: int, body: bytes, b: bytes | None, left: bytes) -> None:
    """Put an erased event's shape in its place, and remove the bodies that nothing refers to any more."""
    kept = (b[:32] if b else sha256(body).digest()) + sha256(left).digest()
    connection.execute("UPDATE sessions SET mark = 'erase' WHERE number = ?", (key >> 32,))
    connection.execute("UPDATE events SET body = ?, b = ? WHERE id = ?", (left.decode(), kept, key))
    connection.execute("UPDATE sessions SET mark = NULL WHERE number = ?", (key >> 32,))
    forget_bodies(connection, key, key)


def forget_bodies(connection: Sql, first: int, last: int) -> None:
    """Remove what a range of events refers to in `bodies`, but for what others refer to, too."""
    names = connection.execute("SELECT DISTINCT sha256 FROM refs WHERE id BETWEEN ? AND ?", (first, last)).fetchall()
    connection.execute("DELETE FROM refs WHERE id BETWEEN ? AND ?", (first, last))
    sql = "DELETE FROM bodies WHERE sha256 = ? AND NOT EXISTS (SELECT 1 FROM refs WHERE refs.sha256 = bodies.sha256)"
    connection.executemany(sql, names)


def delete(connection: Sql, tails: Tails, session: str) -> None:
    """Delete a session and everything of it. Raises: HasForksError, LeaseHeldError, UnknownSessionError."""
    connection.hold_line(session)
    number = lineage(connection, session)[0][0]
    sql = "SELECT id FROM sessions WHERE parent = ? ORDER BY number"
    forks = tuple(row[0].decode("utf-8", "replace") for row in connection.execute(sql, (number,)))
    if forks:
        raise HasForksError(session, forks)
    check_free(connection, session)
    connection.unarchive(number)
    first, last = number << 32, number << 32 | MAX_SEQ
    connection.execute("UPDATE sessions SET mark = 'delete' WHERE number = ?", (number,))
    with connection.erasing():
        connection.remove_texts(number)
        for table in ("events", "updates", "snapshots"):
            connection.execute(f"DELETE FROM {table} WHERE id BETWEEN ? AND ?", (first, last))
        forget_bodies(connection, first, last)
        connection.execute("DELETE FROM keys WHERE number = ?", (number,))
        connection.execute("DELETE FROM sessions WHERE number = ?", (number,))
    tails.forget_one(session)
