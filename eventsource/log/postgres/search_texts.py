"""What the search looks through: what each fact says, in one case, in a table that follows the appends.

An index of three letters (pg_trgm) finds in it what holds a text, where the server has one; without it the server reads
the table. What is found is compared with the fact itself, so both come to the same.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

from ...errors import CorruptLogError
from ...events import Event
from ...message_text import TOLD_BY, said_in
from ..letters import in_one_case
from ..lineage import MAX_SEQ
from ..sql import called_tools
from ..sql.connection import Sql
from ..sql.reading import load_fact
from ..sql.searching import TextSearch

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


def text_search(connection: Sql, text: str) -> TextSearch:
    """Prepare to look for a text."""
    like = "".join(f"!{sign}" if sign in "!%_" else sign for sign in _kept(text))
    return TextSearch(connection, text, partial(_keys, connection, f"%{like}%"), lambda body, b: True)


def _keys(connection: Sql, like: str, low: int, high: int) -> Iterator[int]:
    while rows := connection.execute(_FIND, (low, high, like, _PAGE)).fetchall():
        yield from (key for (key,) in rows)
        if len(rows) < _PAGE:
            return
        high = rows[-1][0] - 1
