"""The sessions' rows: making, forking, finding and listing them."""

from __future__ import annotations

import sys
from collections.abc import Collection, Iterator, Mapping, Sequence
from functools import lru_cache
from typing import Any, NamedTuple

import msgspec

from ...admission import admit
from ...envelope import Figure, Removed, SessionInfo, SessionSort
from ...errors import SessionExistsError, StoreError, UnknownSeqError, UnknownSessionError
from ...events import Fork
from ...messages import Usage
from ..digest import ZERO, row_crc
from ..encode import LIMIT_BYTES, encode_append
from ..lineage import MAX_SEQ
from ..names import choose, choose_whole
from ..row import UNDER_WAY, shown_status, used_by
from .append import SNAPSHOT_FACTS, append
from .called_tools import calling
from .connection import Sql
from .packs import dropped_times
from .reading import LINK, digest_at, folds_at, head_of, lineage
from .tails import Tail, Tails

_MAX_NUMBER = 2**31 - 1
_MODELS = msgspec.json.Decoder(tuple[str, ...])
_TEXTS = (
    "id", "title", "task", "queue", "model", "last", "agent", "folder", "branch", "first_words", "started_by",
)  # fmt: skip
_MAYBE_TEXTS = ("source", "owner")
_NUMBERS = (
    "fork_seq", "created_at_us", "updated_at_us", "messages", "input_tokens", "output_tokens", "cache_read_tokens",
    "cache_write_tokens", "cache_write_1h_tokens", "reasoning_tokens", "inherited_input_tokens",
    "inherited_output_tokens", "turns", "errors", "labels", "epoch", "expires_at_us", "removals", "number",
)  # fmt: skip
_MAYBE_NUMBERS = ("wake_at_us", "due_at_us", "cost_microusd", "inherited_cost_microusd", "archived_at_us")
_ALL_TEXTS = (*_TEXTS, *_MAYBE_TEXTS)
_NAMES = (*_ALL_TEXTS, *_NUMBERS, *_MAYBE_NUMBERS)
_NOTHING = type(None)
_TYPES: tuple[tuple[type, ...], ...] = (
    *((bytes,) for _ in _TEXTS),
    *((bytes, _NOTHING) for _ in _MAYBE_TEXTS),
    *((int,) for _ in _NUMBERS),
    *((int, _NOTHING) for _ in _MAYBE_NUMBERS),
    *((bytes,), (bytes, _NOTHING), (int,), (bytes,), (bytes,), (int,), (int,), (int, _NOTHING)),
)
"""Of each column that `_INFO` gives, the types that it may have."""
_INFO = f"""
SELECT {", ".join(f"s.{name}" for name in _NAMES)}, s.models, p.id, s.head, {LINK}, s.status, s.open, s.unfinished, (
        SELECT u.id FROM updates u WHERE u.id > (s.number << 32) AND u.id <= (s.number << 32 | 4294967295)
        ORDER BY u.id DESC LIMIT 1)
FROM sessions s LEFT JOIN sessions p ON p.number = s.parent
"""
_HEAD = f"""coalesce((
    SELECT u.id & {MAX_SEQ} FROM updates u
    WHERE u.id > (s.number << 32 | s.head) AND u.id <= (s.number << 32 | {MAX_SEQ})
    ORDER BY u.id DESC LIMIT 1), s.head)"""
_FIGURES: Mapping[str, str] = {
    "updated_at_us": "s.updated_at_us",
    "created_at_us": "s.created_at_us",
    "cost_microusd": "coalesce(s.cost_microusd, 0)",
    "turns": "s.turns",
    "head": _HEAD,
    "errors": "s.errors",
}
_SORTS: Mapping[SessionSort, str] = {
    "updated": "updated_at_us",
    "created": "created_at_us",
    "cost": "cost_microusd",
    "turns": "turns",
    "events": "head",
    "errors": "errors",
}
_MARKS = f"""
SELECT s.id, s.number, {_HEAD}, s.epoch, s.owner, s.expires_at_us, s.due_at_us, s.removals, s.archived_at_us
FROM sessions s ORDER BY s.updated_at_us DESC, s.number DESC LIMIT ?"""
_INSERT = """
INSERT INTO sessions (number, id, parent, fork_seq, root, started_by, source, given, created_at_us, crc, head, link,
    title, title_folded, updated_at_us) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"""


_OF_SOURCE = "SELECT id FROM sessions WHERE source = ?"
_OF_TITLE = "SELECT id FROM sessions WHERE title = ? AND title != '' LIMIT 20"
_OF_FIRST_TITLE = "SELECT id FROM sessions WHERE given = ? AND given != '' LIMIT 20"
_BEGINS = "SELECT id FROM sessions WHERE id >= ? AND id < ? ORDER BY id LIMIT 20"
_QUEUES = """
WITH RECURSIVE line (queue) AS (
    SELECT min(queue) FROM sessions WHERE due_at_us IS NOT NULL
    UNION ALL
    SELECT (SELECT min(s.queue) FROM sessions s WHERE s.due_at_us IS NOT NULL AND s.queue > line.queue) FROM line
    WHERE line.queue IS NOT NULL
)
SELECT queue FROM line WHERE queue IS NOT NULL"""
_DUE = "SELECT due_at_us, id FROM sessions WHERE queue = ? AND due_at_us <= ? ORDER BY due_at_us LIMIT ?"
_TAKE_WORDS = """
UPDATE sessions SET first_words = (SELECT p.first_words FROM sessions p WHERE p.number = sessions.parent)
WHERE number = ?"""


class NewRow(NamedTuple):
    """What a session's row is given once and for all, but for its place in a tree.

    `created_at_us`: by the store's clock, where it is not given. `base`: the digest a fork begins with, for an import
    whose parent lacks updates.
    """

    session: str
    title: str
    created_at_us: int | None = None
    started_by: str = ""
    source: str = ""
    base: bytes = b""


def fixed_crc(number: int, fixed: Sequence[object]) -> int:
    """Return the CRC-32 of what never changes in a row.

    Args:
        fixed: id, parent, fork seq, given title, time of making, started_by, source; the last two if one is there.
    """
    *place, started_by, source = fixed
    return row_crc(number, *place, *((started_by, source or "") if started_by or source else ()))


def create(connection: Sql, tails: Tails, row: NewRow) -> None:
    """Insert the row of an empty session. Raises: SessionExistsError."""
    number = _insert(connection, row, None, 0, ZERO, None)
    tails.put(row.session, Tail(number, None, 0, row.title))


def _insert(
    connection: Sql, row: NewRow, parent: int | None, fork_seq: int, link: bytes, updated_at_us: int | None
) -> int:
    """Insert a row. Returns: its number."""
    created_at_us = connection.now_us() if row.created_at_us is None else row.created_at_us
    number = connection.next_number()
    if number > _MAX_NUMBER:
        raise StoreError(row.session, f"a log holds at most {_MAX_NUMBER} sessions", "begin another log")
    source = row.source or None
    for sql, value in (("SELECT id FROM sessions WHERE id = ?", row.session), (_OF_SOURCE, source)):
        there = connection.execute(sql, (value,)).fetchone()
        if there:
            raise SessionExistsError(_text(there[0]))
    above = ("number", parent) if parent is not None else ("id", row.started_by)
    root = connection.execute(f"SELECT root FROM sessions WHERE {above[0]} = ?", above[1:]).fetchone()
    fixed = (row.session, parent, fork_seq, row.title, created_at_us, row.started_by, source)
    place = (number if root is None else root[0], row.started_by, source)
    given = (row.title, created_at_us, fixed_crc(number, fixed))
    begun = (fork_seq, link, row.title, row.title.casefold(), created_at_us if updated_at_us is None else updated_at_us)
    connection.execute(_INSERT, (number, row.session, parent, fork_seq, *place, *given, *begun))
    return number


def fork(
    connection: Sql,
    tails: Tails,
    parent: str,
    at: int,
    *,
    at_us: int,
    row: NewRow,
    keeps: Sequence[int] | None,
    said: Fork,
) -> bool:
    """Insert a fork's row and its first event, which is what was said of it and what it keeps.

    Returns: False, and nothing is written, when messages are queued at that seq and `keeps` does not say which stay.
    Raises: UnknownSeqError, SessionExistsError.
    """
    session, base = row.session, row.base
    connection.hold_line(parent)
    chain = lineage(connection, parent)
    head = head_of(connection, chain[0][0])
    if not 0 <= at <= head:
        raise UnknownSeqError(parent, at, head)
    digest = digest_at(connection, parent, at)
    if digest:
        base = b""
    elif not base:
        raise UnknownSeqError(parent, at, head, "no fork can begin among updates that were dropped")
    digest = digest or base[:32]
    folds, since = folds_at(connection, parent, chain, at)
    if keeps is None and folds.has_messages:
        return False
    own = _insert(connection, row, chain[0][0], at, digest, at_us)
    if folds.first_seq:
        connection.execute(_TAKE_WORDS, (own,))
    if base:
        connection.execute("UPDATE sessions SET base = ? WHERE number = ?", (base, own))
    tail = Tail(own, chain[0][0], at, row.title)
    tail.link, tail.folds, tail.since = digest, folds, min(since, SNAPSHOT_FACTS)
    tail.row_head = 0
    tails.put(session, tail)
    begins = admit(at_us, msgspec.structs.replace(said, keeps=tuple(keeps or ())))
    first = encode_append(session, [begins], durable=True, limit_bytes=LIMIT_BYTES)
    append(connection, tails, session, first, expected=at, epoch=None, key=None)
    return True


def info(connection: Sql, session: str) -> SessionInfo:
    """Read a session's row. Raises: UnknownSessionError."""
    row = connection.execute(f"{_INFO} WHERE s.id = ?", (session,)).fetchone()
    if row is None:
        raise UnknownSessionError(session)
    return _info(connection, row, connection.now_us())


def _info(connection: Sql, row: tuple[object, ...], now_us: int) -> SessionInfo:
    if not _are_typed(tuple(map(type, row))):
        raise connection.fault("a session's row is damaged")
    rest: Any = row[len(_NAMES) :]
    models, parent, head, link, status, opened, is_run, last = rest
    texts: Any = row[: len(_ALL_TEXTS)]
    read = [text.decode("utf-8", "replace") if text else "" for text in texts]
    values: dict[str, Any] = dict(zip(_NAMES, (*read, *row[len(_ALL_TEXTS) :]), strict=False))
    held = values["expires_at_us"] > now_us and bool(values["owner"]) and _lives(connection, values["owner"])
    is_due = values["due_at_us"] is not None
    head = max(head, (last or 0) & MAX_SEQ)
    return SessionInfo(
        **values,
        models=_models(connection, models),
        parent=None if parent is None else _text(parent),
        head=head,
        digest=link.hex(),
        status=shown_status(_text(status), head, held=held, is_due=is_due, is_run=bool(is_run)),
        open=bool(opened),
    )


@lru_cache(maxsize=1_000)
def _are_typed(types: tuple[type, ...]) -> bool:
    """Return whether each column holds what it should: a damaged database may hold anything."""
    return all(found in may for found, may in zip(types, _TYPES, strict=True))


def _models(connection: Sql, text: bytes) -> tuple[str, ...]:
    if text == b"[]":
        return ()
    try:
        return _MODELS.decode(text)
    except msgspec.DecodeError as error:
        raise connection.fault("a session's row is damaged") from error


def _text(text: bytes) -> str:
    return text.decode("utf-8", "replace")


def sessions(
    connection: Sql,
    *,
    is_open: bool | None,
    status: str | Collection[str] | None,
    parent: str | Collection[str] | None,
    tree: str | None,
    source: str | None,
    imported_from: str | None,
    title: str | None,
    task: str | None,
    agent: str | None,
    folder: str | None,
    branch: str | None,
    model: str | None,
    tool: str | None,
    figures: Sequence[Figure],
    last: Collection[str] | None,
    among: Collection[str] | None,
    sort: SessionSort,
    after: str | None,
    limit: int,
) -> tuple[SessionInfo, ...]:
    """List sessions, latest updated first. Raises: UnknownSessionError when `after` is none."""
    where, values = ["true"], list[object]()
    if status is not None:
        parts = [_of_status(connection, one) for one in ([status] if isinstance(status, str) else status)]
        where.append(f"({' OR '.join(['false', *(condition for condition, _ in parts)])})")
        values += [value for _, some in parts for value in some]
    for condition, value in (
        ("s.open = ?", None if is_open is None else int(is_open)),
        ("s.root = (SELECT root FROM sessions WHERE id = ?)", tree),
        ("s.source = ?", source),
        ("s.task = ?", task),
        ("s.agent = ?", agent),
        ("s.branch = ?", branch),
        ("lower(s.models) LIKE ? ESCAPE '!'", None if model is None else f"%{_literally(model.lower())}%"),
        ("s.title_folded LIKE ? ESCAPE '!'", None if title is None else f"%{_literally(title.casefold())}%"),
    ):
        if value is not None:
            where.append(condition)
            values.append(value)
    for condition, some in _chosen(connection, parent, imported_from, folder, tool, figures, last, among):
        where.append(condition)
        values += some
    order = list(dict.fromkeys((_FIGURES[_SORTS[sort]], "s.updated_at_us", "s.number")))
    by = ", ".join(order)
    if after is not None:
        row = connection.execute(f"SELECT {by} FROM sessions s WHERE s.id = ?", (after,)).fetchone()
        if row is None:
            raise UnknownSessionError(after)
        where.append(f"({by}) < ({', '.join('?' * len(row))})")
        values += row
    now_us = connection.now_us()
    latest = f"ORDER BY {', '.join(f'{one} DESC' for one in order)}"
    asked = f"WHERE {' AND '.join(where)} {latest} LIMIT ?"
    if sort != "updated":  # there is no index: all are sorted, so without what is shown of them
        asked = f"WHERE s.number IN (SELECT number FROM (SELECT s.number FROM sessions s {asked}) AS few) {latest}"
    rows = connection.execute(_INFO + asked, (*values, limit))
    return tuple(_info(connection, row, now_us) for row in rows)


def _chosen(
    connection: Sql,
    parent: str | Collection[str] | None,
    imported_from: str | None,
    folder: str | None,
    tool: str | None,
    figures: Sequence[Figure],
    last: Collection[str] | None,
    among: Collection[str] | None,
) -> Iterator[tuple[str, Collection[object]]]:
    """Write what is asked of sessions otherwise than by one value of a column: conditions, each with its values."""
    if parent is not None:
        parents = [parent] if isinstance(parent, str) else parent
        names = ", ".join("?" * len(parents))
        yield (f"s.parent IN (SELECT number FROM sessions WHERE id IN ({names}))" if parents else "false"), parents
    if imported_from == "":
        yield "s.source IS NOT NULL", ()
    elif imported_from is not None and ":" in imported_from:
        yield "false", ()  # no format has one
    elif imported_from is not None:
        begins, behind = f"{imported_from}:", f"{imported_from};"  # what sorts behind all that begin with it
        yield "(s.source = ? OR (s.source >= ? AND s.source < ?))", (imported_from, begins, behind)
    if folder is not None:
        within = f"{folder.rstrip('/')}/"
        yield "s.folder != '' AND substr(s.folder || '/', 1, CAST(? AS INTEGER)) = ?", (len(within), within)
    if tool is not None:
        yield calling(connection, tool, is_noted=connection.has_called_tools())
    for column, allowed in (("last", last), ("id", among)):
        if allowed is not None:
            yield (f"s.{column} IN ({', '.join('?' * len(allowed))})" if allowed else "false"), allowed
    for figure in figures:
        yield f"{_FIGURES[figure.name]} {figure.sign} ?", (figure.value,)


def inherited_usage(connection: Sql, session: str) -> Usage:
    """Read what a fork's history had used where it began, from its parent's last snapshot before that on."""
    sql = "SELECT 1 FROM sessions WHERE id = ? AND parent IS NOT NULL"
    if connection.execute(sql, (session,)).fetchone() is None:
        return Usage()
    chain = lineage(connection, session)
    return used_by(folds_at(connection, session, chain[1:], chain[0][1])[0])


def marks(connection: Sql, limit: int) -> dict[str, object]:
    """Read what differs when a session's row does, of those that were updated last first."""
    return {_text(name): tuple(mark) for name, *mark in connection.execute(_MARKS, (limit,))}


def _literally(text: str) -> str:
    """Write a text as a pattern that matches nothing else."""
    return text.replace("!", "!!").replace("%", "!%").replace("_", "!_")


def _lives(connection: Sql, owner: str) -> bool:
    """Return whether an owner's process lives; where nobody can say, its lease is what is known."""
    try:
        return connection.lives(owner)
    except StoreError:
        return True


def _of_status(connection: Sql, status: str) -> tuple[str, Sequence[object]]:
    """Write the condition that a session has a status, and its values."""
    if status not in UNDER_WAY:
        return "s.status = ?", [status]
    held, living = _held(connection)
    among = {
        "running": held,
        "due": f"NOT {held} AND s.due_at_us IS NOT NULL",
        "interrupted": f"NOT {held} AND s.due_at_us IS NULL AND s.unfinished = 1",
        "queued": f"NOT {held} AND s.due_at_us IS NULL AND s.unfinished = 0",
    }[status]
    return f"(s.status = 'running' AND {among})", living


def _held(connection: Sql) -> tuple[str, list[object]]:
    """Write the condition that a living owner holds a session, and its values."""
    now_us = connection.now_us()
    sql = "SELECT DISTINCT owner FROM sessions WHERE expires_at_us > ? AND owner IS NOT NULL"
    owners = [_text(row[0]) for row in connection.execute(sql, (now_us,)).fetchall()]
    living = [owner for owner in owners if _lives(connection, owner)]
    among = f"s.owner IN ({', '.join('?' * len(living))})" if living else "false"
    return f"(s.expires_at_us > ? AND coalesce({among}, false))", [now_us, *living]


def queues_with_due(connection: Sql) -> list[str]:
    """Name the queues of sessions that are due, or will be at a time that is known."""
    return [_text(queue) for (queue,) in connection.execute(_QUEUES).fetchall()]


def due(connection: Sql, limit: int, queues: Collection[str] | None = None, *, lock: str = "") -> tuple[str, ...]:
    """Name sessions that are due, those of dead owners included, the longest due first.

    Args:
        lock: how those that are found are kept for this transaction, passing over what others keep.
    """
    return tuple(name for name, _ in due_since(connection, limit, queues, lock=lock))


def due_since(
    connection: Sql, limit: int, queues: Collection[str] | None = None, *, lock: str = ""
) -> tuple[tuple[str, int], ...]:
    """Name them with the time since when each is; see `due`."""
    found, now_us = list[tuple[int, str]](), connection.now_us()
    if queues is None:
        queues = queues_with_due(connection)
    for queue in queues:
        rows = connection.execute(_DUE + lock, (queue, now_us, limit))
        found += [(due_at_us, _text(name)) for due_at_us, name in rows]
    listed = [(name, due_at_us) for due_at_us, name in sorted(found)[:limit]]
    if len(listed) == limit:
        return tuple(listed)
    among = f"queue IN ({', '.join('?' * len(queues))})" if queues else "false"
    owners = connection.execute("SELECT DISTINCT owner FROM sessions WHERE owner IS NOT NULL").fetchall()
    for owner in (_text(row[0]) for row in owners):
        if len(listed) < limit and not connection.lives(owner):
            sql = f"SELECT id, due_at_us FROM sessions WHERE owner = ? AND due_at_us > ? AND {among} LIMIT ?{lock}"
            values = (owner, now_us, *queues, limit - len(listed))
            listed += [(_text(name), due_at_us) for name, due_at_us in connection.execute(sql, values)]
    return tuple(listed)


def resolve(connection: Sql, name: str, *, prefix: bool) -> str:
    """Find a session by id, title or (`prefix`) the beginning of its id or its first title.

    Raises: UnknownSessionError.
    """
    is_id = connection.execute("SELECT 1 FROM sessions WHERE id = ?", (name,)).fetchone() is not None
    if is_id and prefix:
        return name
    titled = [_text(row[0]) for row in connection.execute(_OF_TITLE, (name,))]
    if not prefix:
        return choose_whole(name, titled, is_id=is_id)
    prefixed = connection.execute(_BEGINS, (name, f"{name}{chr(sys.maxunicode)}")).fetchall()
    if not titled and not prefixed:
        prefixed = connection.execute(_OF_FIRST_TITLE, (name,)).fetchall()
    return choose(name, titled, [_text(row[0]) for row in prefixed])


def named(connection: Sql, tails: Tails, name: str, session: str) -> str:
    """Find a session by its whole name, or insert one of that title. Raises: UnknownSessionError when several fit."""
    connection.hold_title(name)
    try:
        return resolve(connection, name, prefix=False)
    except UnknownSessionError as error:
        if error.candidates:
            raise
    create(connection, tails, NewRow(session, name))
    return session


def dropped(connection: Sql, session: str) -> tuple[tuple[int, int], ...]:
    """Name the ranges of updates without content."""
    ranges: list[tuple[int, int]] = []
    line = lineage(connection, session)
    for (number, fork_seq), upto in zip(reversed(line), reversed(_upto(line)), strict=True):
        sql = "SELECT id, count FROM updates WHERE id > ? AND id <= ? AND kind = 2 ORDER BY id"
        for key, count in connection.execute(sql, (number << 32 | fork_seq, number << 32 | MAX_SEQ)):
            first, last = (key & MAX_SEQ) - count + 1, min(key & MAX_SEQ, upto)
            if first > last:
                continue
            if ranges and ranges[-1][1] == first - 1:
                ranges[-1] = (ranges[-1][0], last)
            else:
                ranges.append((first, last))
    return tuple(ranges)


def removed(connection: Sql, session: str) -> Removed:
    """List what was dropped or erased of a session's own events. Raises: CorruptLogError."""
    number = lineage(connection, session)[0][0]
    span = (number << 32, number << 32 | MAX_SEQ)
    sql = "SELECT id, b FROM events WHERE id BETWEEN ? AND ? AND length(b) = 64 ORDER BY id"
    erased = tuple((key & MAX_SEQ, b[:32].hex()) for key, b in connection.execute(sql, span))
    dropped: list[tuple[int, tuple[int, ...]]] = []
    updates: dict[int, str] = {}
    sql = "SELECT id, count, body FROM updates WHERE id BETWEEN ? AND ? AND kind = 2 ORDER BY id"
    for key, count, body in connection.execute(sql, span):
        last = key & MAX_SEQ
        times = tuple(dropped_times(session, last, count, body))
        if dropped and dropped[-1][0] + len(dropped[-1][1]) == last - count + 1:
            dropped[-1] = (dropped[-1][0], dropped[-1][1] + times)
        else:
            dropped.append((last - count + 1, times))
        sql = "SELECT id, u FROM events WHERE id > ? AND id <= ? ORDER BY id LIMIT 1"
        fact = connection.execute(sql, (key, span[1])).fetchone()
        if fact is not None:
            updates[fact[0] & MAX_SEQ] = (fact[1] or b"").hex()
    (base,) = connection.execute("SELECT base FROM sessions WHERE number = ?", (number,)).fetchone()
    return Removed(erased=erased, dropped=tuple(dropped), updates=tuple(updates.items()), base=(base or b"").hex())


def _upto(line: list[tuple[int, int]]) -> list[int]:
    """Return up to which seq each session of a lineage counts."""
    found, last = list[int](), MAX_SEQ
    for _, fork_seq in line:
        found.append(last)
        last = min(last, fork_seq)
    return found
