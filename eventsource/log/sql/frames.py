"""Frames: the rows of an archived session, packed and compressed, in pieces.

A frame's body is raw LZMA2 (see `_FILTERS`) of a msgpack array of eight: the seqs of facts, their times, bodies, `u`,
`link` and `b`; the rows of `updates` as [last seq, kind, count, body]; and what these facts refer to in `bodies`, as
[SHA-256, seqs, body or nil when an earlier frame of the session has it]. Seqs and times are the first one, then
differences. `letters`, in a session's first frame, is a filter of which three letters in a row its texts have.
"""

from __future__ import annotations

import lzma
from collections.abc import Iterator, Sequence
from hashlib import sha256
from itertools import accumulate, pairwise
from typing import NamedTuple

import msgspec

from ...errors import CorruptLogError
from ...message_text import TOLD_BY, said_in
from ..letters import letter_filter, letters_of
from ..lineage import MAX_SEQ
from .connection import Sql
from .reading import load_fact, span_of
from .removal import forget_bodies

LZMA = 1
_PIECE_BYTES = 4 * 2**20
_PRESET = 9 | lzma.PRESET_EXTREME
_FILTERS = [
    {"id": lzma.FILTER_LZMA2, "preset": _PRESET, "dict_size": _PIECE_BYTES, "lc": 4, "lp": 0, "pb": 0, "nice_len": 273}
]
_FACTS = "SELECT id, at_us, body, u, link, b FROM events WHERE id > ? AND id <= ? ORDER BY id"
_UPDATES = "SELECT id, kind, count, body FROM updates WHERE id > ? AND id <= ? ORDER BY id"
_REFS = "SELECT sha256, id FROM refs WHERE id > ? AND id <= ? ORDER BY sha256, id"
_FRAMES = "SELECT id, kind, rows, size, sha256, body FROM frames WHERE id BETWEEN ? AND ? ORDER BY id"
_PUT_FACT = "INSERT INTO {}events (id, at_us, body, u, link, b) VALUES (?, ?, ?, ?, ?, ?)"
_PUT_UPDATES = "INSERT INTO {}updates (id, kind, count, body) VALUES (?, ?, ?, ?)"
_PUT_BODY = "INSERT INTO {}bodies (sha256, body) VALUES (?, ?) ON CONFLICT DO NOTHING"
PUT_REF = "INSERT INTO {}refs (sha256, id) VALUES (?, ?)"
_FactRow = tuple[int, int, bytes, bytes | None, bytes | None, bytes | None]


class Frame(NamedTuple):
    """One piece as it is stored; `size` and `sha256` are those of what was compressed."""

    rows: int
    size: int
    sha256: bytes
    body: bytes


class Piece(msgspec.Struct, array_like=True, frozen=True):
    """What a frame holds."""

    seqs: list[int]
    times: list[int]
    bodies: list[bytes]
    u: list[bytes | None]
    links: list[bytes | None]
    b: list[bytes | None]
    updates: list[tuple[int, int, int, bytes]]
    aside: list[tuple[bytes, list[int], bytes | None]]


_ENCODER = msgspec.msgpack.Encoder()
_DECODER = msgspec.msgpack.Decoder(Piece)


def pack_rows(connection: Sql, number: int) -> Iterator[Frame]:
    """Pack the rows of a session's own events, some megabytes at a time."""
    base, seen = number << 32, set[bytes]()
    taken, size, after = list[_FactRow](), 0, base
    for row in connection.execute(_FACTS, span_of(number)):
        taken.append(row)
        size += len(row[2])
        if size >= _PIECE_BYTES:
            yield _frame(connection, taken, after, row[0], seen)
            taken, size, after = [], 0, row[0]
    if taken:
        yield _frame(connection, taken, after, base | MAX_SEQ, seen)


def _frame(connection: Sql, facts: Sequence[_FactRow], after: int, upto: int, seen: set[bytes]) -> Frame:
    ids, times, bodies, u, links, b = (list(column) for column in zip(*facts, strict=True))
    updates = [(key & MAX_SEQ, *rest) for key, *rest in connection.execute(_UPDATES, (after, upto))]
    named: dict[bytes, list[int]] = {}
    for name, key in connection.execute(_REFS, (after, upto)):
        named.setdefault(name, []).append(key & MAX_SEQ)
    aside = [(name, seqs, None if name in seen else _body(connection, name)) for name, seqs in named.items()]
    seen.update(named)
    seqs = _steps([key & MAX_SEQ for key in ids])
    raw = _ENCODER.encode(Piece(seqs, _steps(times), bodies, u, links, b, updates, aside))
    body = lzma.compress(raw, format=lzma.FORMAT_RAW, filters=_FILTERS)
    return Frame(len(facts) + len(updates), len(raw), sha256(raw).digest(), body)


def _body(connection: Sql, name: bytes) -> bytes:
    (body,) = connection.execute("SELECT body FROM bodies WHERE sha256 = ?", (name,)).fetchone()
    return bytes(body)


def _steps(numbers: Sequence[int]) -> list[int]:
    return [numbers[0], *(after - before for before, after in pairwise(numbers))]


def letters_in(connection: Sql, number: int) -> bytes:
    """Make the filter of the three letters in a row that a session's own texts have."""
    letters = set[str]()
    for key, _, body, _, _, b in connection.execute(_FACTS, span_of(number)):
        if body.startswith(TOLD_BY):
            letters |= letters_of(said_in(load_fact(connection, "", key & MAX_SEQ, body, b))[1])
    return letter_filter(letters)


def put_rows(connection: Sql, number: int, into: str = "") -> int:
    """Write the rows of an archived session again, into its tables or into those whose names begin otherwise.

    Returns: their size in bytes.

    Raises: CorruptLogError.
    """
    base, size = number << 32, 0
    for key, kind, rows, expected, digest, body in connection.execute(_FRAMES, span_of(number)):
        piece = _unpack(key, kind, rows, expected, digest, body)
        size += expected
        ids = [base | seq for seq in accumulate(piece.seqs)]
        bodies = [one.decode("utf-8", "replace") for one in piece.bodies]
        facts = zip(ids, accumulate(piece.times), bodies, piece.u, piece.links, piece.b, strict=True)
        connection.executemany(_PUT_FACT.format(into), facts)
        connection.executemany(_PUT_UPDATES.format(into), [(base | last, *rest) for last, *rest in piece.updates])
        for name, seqs, aside in piece.aside:
            if aside is not None:
                connection.execute(_PUT_BODY.format(into), (name, aside))
            connection.executemany(PUT_REF.format(into), [(name, base | seq) for seq in seqs])
    return size


def _unpack(key: int, kind: int, rows: int, size: int, digest: bytes, body: bytes) -> Piece:
    """Read a frame. Raises: CorruptLogError."""
    place, found = key & MAX_SEQ, ""
    raw, piece = b"", None
    try:
        raw = lzma.decompress(body, format=lzma.FORMAT_RAW, filters=_FILTERS)
        piece = _DECODER.decode(raw)
    except (lzma.LZMAError, msgspec.DecodeError, EOFError) as error:
        found = str(error)
    if kind != LZMA:
        found = f"kind {kind}"
    elif not found and (len(raw), sha256(raw).digest()) != (size, digest):
        found = "other bytes"
    elif piece is not None and len(piece.seqs) + len(piece.updates) != rows:
        found = f"{len(piece.seqs) + len(piece.updates)} rows instead of {rows}"
    if found or piece is None:
        raise CorruptLogError("", 0, f"frame {place} of an archived session", found)
    return piece


def delete_rows(connection: Sql, number: int) -> None:
    """Remove the rows that a session's frames hold, so that nothing of them is left in the file."""
    first, last = span_of(number)
    connection.execute("UPDATE sessions SET mark = 'archive' WHERE number = ?", (number,))
    with connection.erasing():
        for table in ("events", "updates", "snapshots"):
            connection.execute(f"DELETE FROM {table} WHERE id BETWEEN ? AND ?", (first, last))
        forget_bodies(connection, first, last)
    connection.execute("UPDATE sessions SET mark = NULL WHERE number = ?", (number,))
