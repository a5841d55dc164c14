"""What the search looks through: what each fact says, in one case, in a table that follows the appends.

An index of three letters (pg_trgm) finds in it what holds a text, where the server has one; without it the server reads
the table. What is found is compared with the fact itself, so both come to the same.
"""

from __future__ import annotations

from collections.abc import Iterator

from ...envelope import FoundText, Recorded
from ...errors import CorruptLogError
from ...events import Event
from ...found_text import find_in, pattern_of
from ...message_text import TOLD_BY, said_in
from ..letters import in_one_case, letters_of
from ..lineage import MAX_SEQ
from ..sql import called_tools
from ..sql.connection import Sql
from ..sql.reading import id_of, load_fact
from ..sql.searching import facts_behind, ranges_of, with_archived

_BEHIND = """
SELECT number FROM sessions WHERE number >= ? AND searched < head AND archived_at_us IS NULL ORDER BY number LIMIT 1"""
_REACHED = "SELECT searched, head FROM sessions WHERE number = ? AND archived_at_us IS NULL FOR NO KEY UPDATE"
_SET_REACHED = "UPDATE sessions SET searched = ? WHERE number = ? AND searched < ?"
_FACTS = "SELECT id, body, b FROM events WHERE id > ? AND id <= ? ORDER BY id LIMIT ?"
_AT_ONCE = 500  # facts in one transaction
_PUT = "INSERT INTO search_texts (id, text) VALUES (?, ?) ON CONFLICT (id) DO UPDATE SET text = excluded.text"
_FIND = "SELECT id FROM search_texts WHERE id BETWEEN ? AND ? AND text LIKE ? ESCAPE '!' ORDER BY id DESC LIMIT ?"
_PAGE = 500


def is_behind(connection: Sql) -> bool:
    """Return whether something was appended that the table does not have."""
    return connection.execute(_BEHIND, (0,)).fetchone() is not None


def catch_up(connection: Sql, number: int) -> int | None:
    """Take in some of what is missing, of the first session from a number on that lacks something.

    Returns: from which number on there may be more to do; None when there is nothing.
    """
    behind = connection.execute(_BEHIND, (number,)).fetchone()
    if behind is None:
        return None
    base = behind[0] << 32
    searched, head = connection.execute(_REACHED, behind).fetchone() or (0, 0)
    rows = connection.execute(_FACTS, (base | searched, base | head, _AT_ONCE)).fetchall()
    for key, body, b in rows:
        event = _told(connection, key, body, b)
        if event is None:
            continue
        if said := said_in(event)[1]:
            connection.execute(_PUT, (key, _kept(said)))
        called_tools.note_calls(connection, key, event)
    reached = head if len(rows) < _AT_ONCE else rows[-1][0] & MAX_SEQ
    connection.execute(_SET_REACHED, (reached, behind[0], reached))
    return int(behind[0])


def forget(connection: Sql, number: int) -> None:
    """Let what a session says be taken in anew."""
    connection.remove_texts(number)
    connection.execute("UPDATE sessions SET searched = 0 WHERE number = ? AND archived_at_us IS NULL", (number,))


def _told(connection: Sql, key: int, body: bytes, b: bytes | None) -> Event | None:
    """Read a fact that may say something."""
    if not body.startswith(TOLD_BY):
        return None
    try:
        return load_fact(connection, "", key & MAX_SEQ, body, b)
    except CorruptLogError:  # `verify` says so
        return None


def _kept(text: str) -> str:
    return in_one_case(text).encode(errors="replace").decode().replace("\0", "\ufffd")


def find(
    connection: Sql, *, text: str, session: str | None, after: FoundText | None, limit: int
) -> tuple[FoundText, ...]:
    """Find a text: the session made last first, and in it what was said last."""
    wanted, letters, found = pattern_of(text), letters_of(text), list[FoundText]()
    like = "".join(f"!{sign}" if sign in "!%_" else sign for sign in _kept(text))
    for low, high in ranges_of(connection, session, after):
        for key in with_archived(connection, _keys(connection, f"%{like}%", low, high), letters, low, high):
            row = connection.execute("SELECT at_us, body, b FROM events WHERE id = ?", (key,)).fetchone()
            if row is None or not row[1].startswith(TOLD_BY):
                continue
            name = id_of(connection, key >> 32)
            try:
                one = Recorded(key & MAX_SEQ, row[0], load_fact(connection, name, key & MAX_SEQ, row[1], row[2]))
            except CorruptLogError:
                continue
            hit = find_in(name, one, wanted, facts_behind(connection, key))
            if hit is not None:
                found.append(hit)
                if len(found) == limit:
                    return tuple(found)
    return tuple(found)


def _keys(connection: Sql, like: str, low: int, high: int) -> Iterator[int]:
    while rows := connection.execute(_FIND, (low, high, like, _PAGE)).fetchall():
        yield from (key for (key,) in rows)
        if len(rows) < _PAGE:
            return
        high = rows[-1][0] - 1
