"""Reading sessions from the database: histories through the lineage, rows, digests and folds at any seq."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from hashlib import sha256
from operator import attrgetter

import msgspec

from ...codec import decode
from ...envelope import Recorded
from ...errors import CorruptLogError, UnknownSeqError, UnknownSessionError
from ...events import Event, MessageEnd
from ...messages import AssistantContent, ImageContent
from ...values import MARKER
from ..digest import ZERO, link, link_at_update, update_lines
from ..encode import IMAGE_HOLDERS, has_images, map_images
from ..lineage import MAX_SEQ, Segment, segments
from ..row import Folds, step
from .connection import Sql
from .folded_row import FOLDS
from .packs import DROPPED, MAX_COUNT, from_row, unpack

_LINE = """
WITH RECURSIVE line (number, parent, fork_seq, archived_at_us, depth) AS (
    SELECT number, parent, fork_seq, archived_at_us, 0 FROM sessions WHERE {}
    UNION ALL
    SELECT s.number, s.parent, s.fork_seq, s.archived_at_us, depth + 1
    FROM sessions s JOIN line l ON s.number = l.parent AND s.number < l.number
) SELECT number, fork_seq, archived_at_us FROM line ORDER BY depth"""
_LINE_OF_ID = _LINE.format("id = ?")
_LINE_OF_NUMBER = _LINE.format("number = ?")
_FACTS = "SELECT id, at_us, body, b FROM events WHERE id > ? AND id <= ? ORDER BY id LIMIT ?"
_UPDATES = "SELECT id, kind, count, body FROM updates WHERE id > ? AND id <= ? ORDER BY id"
_LAST_UPDATE = "SELECT id FROM updates WHERE id > ? AND id <= ? ORDER BY id DESC LIMIT 1"
_HEAD = f"""
SELECT s.head, (
    SELECT u.id FROM updates u WHERE u.id > (s.number << 32 | s.head) AND u.id <= (s.number << 32 | {MAX_SEQ})
    ORDER BY u.id DESC LIMIT 1
) FROM sessions s WHERE s.id = ?"""
_decode: Callable[[bytes | str], Event] = msgspec.json.Decoder(Event).decode
LINK = "coalesce(s.link, (SELECT e.link FROM events e WHERE e.id = (s.number << 32 | s.fork_seq + 1)))"


def lineage(connection: Sql, session: str | int) -> list[tuple[int, int]]:
    """Return (number, fork seq) from a session (by id or number) to its root, all of which can then be read.

    Raises: UnknownSessionError, CorruptLogError.
    """
    sql = _LINE_OF_ID if isinstance(session, str) else _LINE_OF_NUMBER
    chain = connection.execute(sql, (session,)).fetchall()
    if not chain:
        raise UnknownSessionError(str(session))
    archived = [number for number, _, archived_at_us in chain if archived_at_us is not None]
    if archived:
        connection.unpack(archived)
    return [(number, fork_seq) for number, fork_seq, _ in chain]


def span_of(number: int) -> tuple[int, int]:
    """Return the keys between which a session's own events lie."""
    return number << 32, number << 32 | MAX_SEQ


def head_of(connection: Sql, number: int) -> int:
    """Seq of a session's last event."""
    (head,) = connection.execute("SELECT head FROM sessions WHERE number = ?", (number,)).fetchone()
    last = connection.execute(_LAST_UPDATE, (number << 32 | head, number << 32 | MAX_SEQ)).fetchone()
    return int(last[0]) & MAX_SEQ if last else int(head)


def heads_of(connection: Sql, sessions: Iterable[str]) -> dict[str, int]:
    """Return the seq of the last event of each session that is there."""
    heads = {}
    for session in sessions:
        row = connection.execute(_HEAD, (session,)).fetchone()
        if row is not None:
            heads[session] = max(row[0], (row[1] or 0) & MAX_SEQ)
    return heads


def load_fact(connection: Sql, session: str, seq: int, body: bytes, b: bytes | None) -> Event:
    """Decode a stored fact; what lies in `bodies` is put back. Raises: CorruptLogError."""
    if b is not None and len(b) == 32:
        body = _body(connection, session, seq, b)
    try:
        event = _decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError):  # an older shape, or damaged: the codec knows
        event = decode(body, session=session, seq=seq)
    if type(event) in IMAGE_HOLDERS and has_images(event, body):
        return map_images(event, lambda image: _image(connection, session, seq, image))
    return event


def _image(connection: Sql, session: str, seq: int, image: ImageContent) -> ImageContent:
    if image.data == MARKER:
        return image
    try:
        name = bytes.fromhex(image.data)
    except ValueError as error:
        raise CorruptLogError(session, seq, "an image's SHA-256", image.data[:80]) from error
    return msgspec.structs.replace(image, data=_body(connection, session, seq, name).decode("utf-8", "replace"))


def _body(connection: Sql, session: str, seq: int, name: bytes) -> bytes:
    row = connection.execute("SELECT body FROM bodies WHERE sha256 = ?", (name,)).fetchone()
    if row is None:
        raise CorruptLogError(session, seq, f"body {name.hex()[:12]}", "no such row in bodies")
    return bytes(row[0])


class Page:
    """Reads events of one session through its lineage, within one transaction."""

    def __init__(self, connection: Sql, session: str) -> None:
        self._connection, self.session = connection, session
        self.chain = lineage(connection, session)
        self._content: dict[int, Sequence[AssistantContent]] = {}

    def read(self, after: int, upto: int, limit: int, *, updates: bool) -> list[Recorded]:
        """Read at most `limit` events with `after < seq <= upto`."""
        found: list[Recorded] = []
        for segment in segments(self.chain, after=after, upto=upto):
            if len(found) >= limit:
                break
            if updates:
                self._all(found, segment, limit)
            else:
                found += self._facts(segment, limit - len(found))
        return found

    def _facts(self, segment: Segment[int], limit: int) -> list[Recorded]:
        base = segment.session << 32
        rows = self._connection.execute(_FACTS, (base | segment.first - 1, base | segment.last, limit))
        connection, session, found = self._connection, self.session, list[Recorded]()
        for key, at_us, body, b in rows:
            seq = key & MAX_SEQ
            try:
                event = _decode(body) if b is None else None
            except msgspec.DecodeError:  # an older shape, or damaged: the codec knows
                event = None
            if event is None or (type(event) in IMAGE_HOLDERS and has_images(event, body)):
                event = load_fact(connection, session, seq, body, b)
            found.append(Recorded(seq, at_us, event))
        return found

    def _all(self, found: list[Recorded], segment: Segment[int], limit: int) -> None:
        """Add facts and updates, as many seqs at a time as are missing: seqs are dense but for what was dropped."""
        first, end = segment.first, min(segment.last, head_of(self._connection, segment.session))
        while first <= end and len(found) < limit:
            last = min(end, first + limit - len(found) - 1)
            part = Segment(segment.session, first, last)
            facts = self._facts(part, limit)
            if len(facts) < last - first + 1:
                self._keep_contents(segment.session << 32, facts)
                facts += self.updates(part)
                facts.sort(key=attrgetter("seq"))
            found += facts
            first = last + 1

    def _keep_contents(self, base: int, facts: Iterable[Recorded]) -> None:
        """Keep what messages said whose facts were read: their sealed updates are made of it."""
        for one in facts:
            event = one.event
            if type(event) is MessageEnd and event.message is not None:
                self._content[base | one.seq] = event.message.content

    def updates(self, segment: Segment[int]) -> list[Recorded]:
        """Read the updates of a segment, whatever row they lie in."""
        found: list[Recorded] = []
        base = segment.session << 32
        for key, kind, count, body in self._connection.execute(
            _UPDATES, (base | segment.first - 1, base | min(segment.last + MAX_COUNT, MAX_SEQ))
        ):
            last = key & MAX_SEQ
            if last - count >= segment.last:
                break
            if kind == DROPPED:
                continue
            row = from_row(self.session, last, kind, count, body)
            content = self.content(base | row.end) if row.end else ()
            found += unpack(row, content, after=segment.first - 1, upto=segment.last)
        return found

    def content(self, key: int) -> Sequence[AssistantContent]:
        """Read the content of the message that ended at a key."""
        known = self._content.get(key)
        if known is None:
            row = self._connection.execute("SELECT body, b FROM events WHERE id = ?", (key,)).fetchone()
            event = load_fact(self._connection, self.session, key & MAX_SEQ, *row) if row else None
            if not isinstance(event, MessageEnd) or event.message is None:
                raise CorruptLogError(
                    self.session, key & MAX_SEQ, "the message_end of sealed updates", "something else"
                )
            known = self._content[key] = event.message.content
        return known


def digest_at(connection: Sql, session: str | int, seq: int) -> bytes:
    """Digest of everything up to a seq; empty when updates it needs were dropped. Raises: CorruptLogError."""
    if not seq:
        return ZERO
    found, updates = parts_at(connection, session, seq)
    if updates is None:
        return found
    return link_at_update(found, updates) if updates else b""


def last_link(connection: Sql, session: str | int, seq: int) -> bytes:
    """Link of the last fact up to a seq, inherited ones included."""
    return parts_at(connection, session, seq)[0] if seq else ZERO


def parts_at(connection: Sql, session: str | int, seq: int) -> tuple[bytes, bytes | None]:
    """Return what the digest at a seq is made of: the last fact's link, and the SHA-256 of the updates since.

    The second is None where the seq is a fact's, and empty where updates were dropped. Raises: CorruptLogError.
    """
    name = session if isinstance(session, str) else ""
    chain = lineage(connection, session)
    number = segments(chain, after=seq - 1, upto=seq)[0].session
    base = number << 32
    own_first = next(fork_seq for one, fork_seq in chain if one == number) + 1
    sql = "SELECT id, link FROM events WHERE id >= ? AND id <= ? AND link IS NOT NULL ORDER BY id DESC LIMIT 1"
    row = connection.execute(sql, (base | own_first, base | seq)).fetchone()
    if row is None:
        found, at = start_digest(connection, number), base | own_first - 1
    else:
        at, found = row
    last = at & MAX_SEQ
    rows = connection.execute(
        "SELECT id, at_us, body, b, u FROM events WHERE id > ? AND id <= ? ORDER BY id", (at, base | seq)
    )
    for key, at_us, body, b, u in rows:
        found = link(found, u or ZERO, at_us, b[:32] if b else sha256(body).digest())
        last = key & MAX_SEQ
    if last == seq:
        return bytes(found), None
    page = Page(connection, name) if name else Page(connection, id_of(connection, number))
    updates = page.updates(Segment(number, last + 1, seq))
    if len(updates) < seq - last:
        return bytes(found), b""
    return bytes(found), sha256(update_lines((one.at_us, one.event) for one in updates)).digest()


def start_digest(connection: Sql, number: int) -> bytes:
    """Digest that a session's first own fact builds on."""
    parent, fork_seq, base = connection.execute(
        "SELECT parent, fork_seq, base FROM sessions WHERE number = ?", (number,)
    ).fetchone()
    if base is not None:
        return bytes(base[:32])
    return ZERO if parent is None else digest_at(connection, int(parent), int(fork_seq))


def id_of(connection: Sql, number: int) -> str:
    """Return the id of a session by its number."""
    row = connection.execute("SELECT id FROM sessions WHERE number = ?", (number,)).fetchone()
    return str(row[0].decode("utf-8", "replace"))


def folds_at(connection: Sql, session: str, chain: Iterable[tuple[int, int]], seq: int) -> tuple[Folds, int]:
    """Folds after a seq, and how many facts lie after the snapshot they were computed from."""
    folds, start = Folds(), 0
    parts = segments(list(chain), upto=seq)
    for position in range(len(parts) - 1, -1, -1):
        number, first, last = parts[position]
        sql = "SELECT id, folds FROM snapshots WHERE id >= ? AND id <= ? ORDER BY id DESC LIMIT 1"
        row = connection.execute(sql, (number << 32 | first, number << 32 | last)).fetchone()
        if row is not None:
            folds, start = FOLDS.decode(row[1]), position
            parts[position] = Segment(number, (row[0] & MAX_SEQ) + 1, last)
            break
    since = 0
    for number, first, last in parts[start:]:
        base = number << 32
        for key, _, body, b in connection.execute(_FACTS, (base | first - 1, base | last, MAX_SEQ)):
            event = load_fact(connection, session, key & MAX_SEQ, body, b)
            folds = step(folds, key & MAX_SEQ, event)
            since += 1
    return folds, since


def check_seq(connection: Sql, session: str, seq: int) -> int:
    """Return a session's head. Raises: UnknownSeqError when the seq lies beyond it."""
    head = head_of(connection, lineage(connection, session)[0][0])
    if not 0 <= seq <= head:
        raise UnknownSeqError(session, seq, head)
    return head
