"""The index of what was said: which facts hold which three letters in a row. It follows the appends, and is no fact.

A row of it is a block: some facts of one session that follow each other, about `_BLOCK` characters of text. Only which
blocks hold which three letters is stored (`detail=none`), less than half the size of the text; what is found is
compared with the text itself. `search_blocks` says which facts a block has, `sessions.searched` how far the index goes.
Which tools the facts call is noted with it (`eventsource/log/sql/called_tools.py`).
"""

from __future__ import annotations

import re
import sqlite3
import sys
from collections.abc import Collection, Iterable, Iterator, Sequence
from functools import partial
from typing import NamedTuple

import msgspec

from ...errors import CorruptLogError
from ...events import Event
from ...message_text import TOLD_BY, said_in
from ..lineage import MAX_SEQ
from ..sql import called_tools
from ..sql.connection import Sql
from ..sql.reading import load_fact, span_of
from ..sql.searching import TextSearch

_MAKE = "CREATE VIRTUAL TABLE search USING fts5(text, content='', columnsize=0, detail=none, tokenize='trigram')"
_MAKE_BLOCKS = """
CREATE TABLE search_blocks (
    doc INTEGER PRIMARY KEY, first INTEGER NOT NULL UNIQUE, last INTEGER NOT NULL, top INTEGER NOT NULL,
    odd INTEGER NOT NULL
) STRICT"""
"""A block's number, the keys from which to which it has facts, the highest such key up to this number, and whether a
text may stand otherwise in one of its facts than `_like` says."""
_MAKE_TOOLS = """
CREATE TABLE search_tools (
    name TEXT NOT NULL, number INTEGER NOT NULL, seq INTEGER NOT NULL, PRIMARY KEY (name, number)
) STRICT, WITHOUT ROWID"""
_TABLES = ("search", "search_blocks", "search_tools")
_BLOCKS = "SELECT doc, first, last FROM search_blocks WHERE first BETWEEN ? AND ? ORDER BY first"
_LAST_BLOCK = "SELECT doc, top FROM search_blocks ORDER BY doc DESC LIMIT 1"
_TOP = "SELECT top FROM search_blocks WHERE doc < ? ORDER BY doc DESC LIMIT 1"
_PUT_BLOCK = "INSERT INTO search_blocks (doc, first, last, top, odd) VALUES (?, ?, ?, ?, ?)"
_BLOCK_OF = "SELECT doc, first, last FROM search_blocks WHERE first <= ? ORDER BY first DESC LIMIT 1"
_INSERT = "INSERT INTO search (rowid, text) VALUES (?, ?)"
_REMOVE = "INSERT INTO search (search, rowid, text) VALUES ('delete', ?, ?)"
_FACTS = "SELECT id, body, b FROM events WHERE id > ? AND id <= ? ORDER BY id LIMIT ?"
_BEHIND = "SELECT number, searched, head FROM sessions WHERE number >= ? AND searched < head ORDER BY number LIMIT ?"
_ONE_BEHIND = "SELECT number, searched, head FROM sessions WHERE id = ? AND searched < head"
SESSIONS_AT_ONCE, _AT_ONCE, _BYTES_AT_ONCE = 100, 200, 40_000
"""What is taken in by one call, facts and bytes of text: 10 ms of work, which an append may have to wait for."""
_CALL = b'"type":"tool_call"'
_PLAIN = re.compile("[A-Za-z0-9]+")
_ESCAPE, _ODD = b"\\u", tuple(sign.encode() for sign in "\u017f\u212a\u0130\u0131")
"""What may stand for a letter or figure in a body: an escape, and signs that are `s`, `k` and `i` in any case."""
_BLOCK = 2_000
"""Characters of text in a block: larger ones are a smaller index that names more blocks in vain."""
_COUNT = "SELECT count(*) FROM search WHERE search MATCH ? AND rowid > ?"
_NAMED = """
SELECT s.rowid, e.id, e.body, e.b FROM search s CROSS JOIN search_blocks k ON k.doc = s.rowid
CROSS JOIN main.events e ON e.id BETWEEN max(k.first, ?) AND min(k.last, ?)
WHERE s.search MATCH ? AND s.rowid >= ? AND s.rowid < ? AND (k.odd OR e.body LIKE ? ESCAPE '!')
ORDER BY s.rowid DESC"""
_MOST_LIKE = 1_000  # characters of a pattern; SQLite takes 50,000 bytes
_FEW = 250
"""After so many blocks, then after twice as many, what was found is looked through for what can be yielded."""
_KEYS = "SELECT id FROM main.events WHERE id BETWEEN ? AND ? ORDER BY id DESC"
_ROWS = 20
_MOST_TRIGRAMS, _ASKED, _SAMPLE = 24, 6, 300
"""Of so many three letters of a text those are asked for that the fewest of the latest blocks have: few short lists."""
_END = "\n\n"
"""Indexed behind each text, so that its last letters begin three letters too: so one and two letters are found."""
_NEAR, _MOST_BEGUN = 2_000, 400
"""So few events are read themselves. Of one or two letters so many facts are, and only then what begins with them is
looked up, if it is not more."""
_TERMS = """
CREATE VIRTUAL TABLE IF NOT EXISTS temp.search_terms USING fts5vocab('main', 'search', 'row')"""
_BEGUN = "SELECT term FROM search_terms WHERE term >= ? AND term < ? LIMIT ?"
_SECURE = sqlite3.sqlite_version_info >= (3, 42)
"""Whether this SQLite can take a row out of the index for good without putting all of it together anew."""


def has_index(connection: Sql) -> bool:
    """Return whether there is an index."""
    there = {
        name.decode() for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE name LIKE 'search%'")
    }
    return there.issuperset(_TABLES)


def make_index(connection: Sql) -> bool:
    """Make the index if there is none. Returns: False where this SQLite has no full-text search."""
    if not has_index(connection):
        drop_index(connection)  # one of another shape, which an unreleased version made
        try:
            connection.execute(_MAKE)
            connection.execute(_MAKE_BLOCKS)
            connection.execute(_MAKE_TOOLS)
        except sqlite3.OperationalError as error:
            if "no such module" in str(error) or "no such tokenizer" in str(error):
                return False
            raise
        if _SECURE:
            connection.execute("INSERT INTO search (search, rank) VALUES ('secure-delete', 1)")
    return True


def is_behind(connection: Sql) -> bool:
    """Return whether something was appended that the index does not have."""
    return connection.execute("SELECT 1 FROM sessions WHERE searched < head LIMIT 1").fetchone() is not None


def catch_up(connection: Sql, number: int = 0) -> int | None:
    """Take some of what is missing into the index, of the sessions from a number on.

    Returns: from which number on there may be more to do; None when there is nothing.
    """
    if not make_index(connection):
        return None
    behind = connection.execute(_BEHIND, (number, SESSIONS_AT_ONCE)).fetchall()
    unfinished = _take(connection, behind)
    return behind[-1][0] + 1 if unfinished is None and len(behind) == SESSIONS_AT_ONCE else unfinished


def catch_up_with(connection: Sql, sessions: Collection[str]) -> bool:
    """Take some of what is missing of a few sessions into the index. Returns: whether there is more to do."""
    if not make_index(connection):
        return False
    behind = [row for name in sessions for row in connection.execute(_ONE_BEHIND, (name,))]
    return _take(connection, behind) is not None


def _take(connection: Sql, behind: Sequence[tuple[int, int, int]]) -> int | None:
    """Take as much as one call may. Returns: the number of the first session that was not taken whole."""
    left, left_bytes = _AT_ONCE, _BYTES_AT_ONCE
    for number, searched, head in behind:
        base, reached, first = number << 32, searched, searched + 1
        texts, size, odd = list[str](), 0, False
        while reached < head and left > 0 and left_bytes > 0:
            rows = connection.execute(_FACTS, (base | reached, base | head, min(left, _ROWS))).fetchall()
            for key, body, b in rows:
                event = _told(connection, key, body, b)
                said = "" if event is None else said_in(event)[1]
                if event is not None:
                    called_tools.note_calls(connection, key, event)
                texts.append(said)
                size += len(said)
                odd = odd or _is_odd(body, b)
                if size >= _BLOCK:
                    _put_block(connection, base | first, key, texts, odd=odd)
                    left_bytes -= size
                    texts, size, odd, first = [], 0, False, (key & MAX_SEQ) + 1
            left -= len(rows)
            reached = rows[-1][0] & MAX_SEQ if rows else head
        if size:
            _put_block(connection, base | first, base | reached, texts, odd=odd)
            left_bytes -= size
        if reached > searched:
            _set_reached(connection, number, reached)
        if reached < head:
            return number
    return None


def _set_reached(connection: Sql, number: int, seq: int) -> None:
    connection.execute("UPDATE sessions SET searched = ? WHERE number = ?", (seq, number))


def _put_block(connection: Sql, first: int, last: int, texts: Sequence[str], *, odd: bool) -> None:
    """Take the texts of some facts into the index."""
    doc, top = connection.execute(_LAST_BLOCK).fetchone() or (0, 0)
    connection.execute(_PUT_BLOCK, (doc + 1, first, last, max(top, last), odd))
    connection.execute(_INSERT, (doc + 1, _indexed(texts)))


def _told(connection: Sql, key: int, body: bytes, b: bytes | None) -> Event | None:
    """Read a fact that may say something."""
    if not body.startswith(TOLD_BY):
        return None
    try:
        return load_fact(connection, "", key & MAX_SEQ, body, b)
    except CorruptLogError:  # `verify` says so
        return None


def _said(connection: Sql, key: int, body: bytes, b: bytes | None) -> str:
    event = _told(connection, key, body, b)
    return "" if event is None else said_in(event)[1]


def _texts(connection: Sql, first: int, last: int) -> dict[int, str]:
    """Return what the facts between two keys say."""
    rows = connection.execute(_FACTS, (first - 1, last, MAX_SEQ)).fetchall()
    return {key: _said(connection, key, body, b) for key, body, b in rows}


def _indexed(texts: Iterable[str]) -> str:
    """Return the texts of a block as they are given to the index."""
    return "".join(_without_nul(text) + _END for text in texts if text)


def _without_nul(text: str) -> str:
    """Put another sign in the place of NUL, behind which the index takes in nothing."""
    return text.replace("\0", "\ufffd")


def change_text(connection: Sql, key: int, before: str, after: str) -> None:
    """Put another text in the place of one, as an erase does, so that nothing of it is left in the index."""
    if before == after or not has_index(connection):
        return
    doc, first, last = connection.execute(_BLOCK_OF, (key,)).fetchone() or (0, 0, 0)
    if first <= key <= last:
        texts = _texts(connection, first, last)
        connection.execute(_REMOVE, (doc, _indexed((texts | {key: before}).values())))
        connection.execute(_INSERT, (doc, _indexed((texts | {key: after}).values())))
    _forget_removed(connection)  # also what left the index when the session was archived


def remove_session(connection: Sql, number: int, *, for_good: bool) -> None:
    """Take a session's own facts out of the index.

    Args:
        for_good: nothing of them may be left in the file. Otherwise what tools they call is still known.
    """
    if not has_index(connection):
        return
    if for_good:
        called_tools.forget_calls(connection, number)
    else:
        called_tools.put_away(connection, number)
    for doc, first, last in connection.execute(_BLOCKS, span_of(number)).fetchall():
        connection.execute(_REMOVE, (doc, _indexed(_texts(connection, first, last).values())))
        connection.execute("DELETE FROM search_blocks WHERE doc = ?", (doc,))
    if for_good:
        _forget_removed(connection)


def _forget_removed(connection: Sql) -> None:
    if not _SECURE:  # what was removed stays in older parts of the index until they are put together
        put_together(connection)


def put_together(connection: Sql) -> None:
    """Make one part of the index, without what was removed from it."""
    if has_index(connection):
        connection.execute("INSERT INTO search (search) VALUES ('optimize')")


def drop_index(connection: Sql) -> None:
    """Forget the index; whoever catches up makes it anew."""
    for table in _TABLES:
        connection.execute(f"DROP TABLE IF EXISTS {table}")
    connection.execute("UPDATE sessions SET searched = 0 WHERE searched > 0 AND archived_at_us IS NULL")


def text_search(connection: Sql, text: str, *, must_read: bool) -> TextSearch | None:
    """Prepare to look for a text.

    Args:
        must_read: where the index lacks something everything is read; otherwise the answer is None.
    """
    lacks = is_behind(connection)
    if lacks and not must_read:
        return None
    raw, asked = _raw_of(text), "" if lacks else _query(connection, text)
    candidates = partial(_candidates, connection, None if lacks else text, asked, raw)
    return TextSearch(connection, text, candidates, lambda body, b: _may_hold(body, b, raw))


class _Raw(NamedTuple):
    """What must stand in the JSON of a fact that says a text: all of it, and pieces; each may be empty."""

    whole: bytes
    pieces: tuple[bytes, ...]


def _raw_of(text: str) -> _Raw:
    """Return how a text stands in JSON, where there is but one way to write it."""
    whole = b"" if not text.isascii() or set(text) & {"\n", "/"} else msgspec.json.encode(text)[1:-1].lower()
    return _Raw(whole, tuple(dict.fromkeys(piece.lower().encode() for piece in _PLAIN.findall(text))))


def _like(raw: _Raw) -> str:
    """Return the pattern of a body that may hold a text, if its block is not odd."""
    one = (raw.whole or max(raw.pieces, key=len, default=b""))[:_MOST_LIKE].decode()
    return "%" + re.sub("([!%_])", r"!\1", one) + "%"


def _may_hold(body: bytes, b: bytes | None, raw: _Raw) -> bool:
    """Return whether a fact may say a text, without decoding it: False is certain."""
    low = body.lower()
    is_there = (raw.whole in low or _CALL in low) and all(piece in low for piece in raw.pieces)
    return is_there or _is_otherwise(body, b)


def _is_otherwise(body: bytes, b: bytes | None) -> bool:
    """Return whether letters may stand otherwise in a fact than in the JSON that this program writes, or elsewhere."""
    return b is not None or _ESCAPE in body or (not body.isascii() and any(sign in body for sign in _ODD))


def _is_odd(body: bytes, b: bytes | None) -> bool:
    """Return whether a text may not be found as `_like` says: a call's name and arguments are two strings in JSON."""
    return _CALL in body or _is_otherwise(body, b)


def _candidates(connection: Sql, text: str | None, query: str, raw: _Raw, low: int, high: int) -> Iterator[int]:
    """Yield the keys of facts that may say a text and are not in the archive, the last first; of no text, all.

    Args:
        query: what the index is asked; empty where a text is too short for it.
    """
    asked: str | None = query
    if not asked or high - low < _NEAR:
        near = connection.execute(f"{_KEYS} LIMIT ?", (low, high, _NEAR)).fetchall()
        yield from (key for (key,) in near)
        if len(near) < _NEAR:
            return
        high = near[-1][0] - 1
        asked = None if text is None else _begun(connection, text)
        if asked == "":
            return
    if asked is not None and has_index(connection):
        yield from _named(connection, asked, raw, low, high)
        return
    for (key,) in connection.execute(_KEYS, (low, high)):
        yield key


def _named(connection: Sql, asked: str, raw: _Raw, low: int, high: int) -> Iterator[int]:
    """Yield the keys of facts in the blocks that the index names, and that may say the text, the last first.

    Blocks have their numbers in the order in which they were taken in. Those made last are read first, and a key is
    yielded once no block that is left has a higher one; within a session the blocks are in order.
    """
    (begin,), (end,) = connection.execute("SELECT min(doc) FROM search_blocks").fetchone(), (_last(connection) + 1,)
    is_one = low > 0
    if is_one:
        sql = "SELECT min(doc), max(doc) + 1 FROM search_blocks WHERE first BETWEEN ? AND ?"
        begin, end = connection.execute(sql, (low >> 32 << 32, high)).fetchone()
    if begin is None:
        return
    found, count, look_at = list[int](), _FEW, end - _FEW
    for doc, key, body, b in connection.execute(_NAMED, (low, high, asked, begin, end, _like(raw))):
        if doc < look_at:
            (top,) = (None if is_one else connection.execute(_TOP, (doc + 1,)).fetchone()) or (0,)
            found.sort()
            while found and found[-1] > top:
                yield found.pop()
            count *= 2
            look_at = doc - count
        if body.startswith(TOLD_BY) and _may_hold(body, b, raw):
            found.append(key)
    yield from sorted(found, reverse=True)


def _last(connection: Sql) -> int:
    """Return the number of the block that was taken in last."""
    return int((connection.execute(_LAST_BLOCK).fetchone() or (0,))[0])


def _begun(connection: Sql, text: str) -> str | None:
    """Ask for whatever of three letters begins with one or two; empty: nothing does; None: all must be read."""
    begin = _without_nul(text).lower()
    has_one_case = begin == text.upper()
    if not text or not (text.isascii() or has_one_case) or not has_index(connection):
        return None
    connection.execute(_TERMS)
    rows = connection.execute(_BEGUN, (begin, begin + chr(sys.maxunicode), _MOST_BEGUN + 1)).fetchall()
    if len(rows) > _MOST_BEGUN:
        return None
    return " OR ".join(_quoted(row[0].decode("utf-8", "replace")) for row in rows)


def _query(connection: Sql, text: str) -> str:
    """Ask for the rarest of all three letters in a row of a text; empty when it is too short for any."""
    parts = list(dict.fromkeys(_quoted(_without_nul(text[at : at + 3])) for at in range(len(text) - 2)))
    parts = parts[:: -(-len(parts) // _MOST_TRIGRAMS) or 1]
    if len(parts) > _ASKED and has_index(connection):
        after = _last(connection) - _SAMPLE
        counts = {part: connection.execute(_COUNT, (part, after)).fetchone()[0] for part in parts}
        parts = sorted(parts, key=lambda part: int(counts[part]))[:_ASKED]
    return " AND ".join(parts)


def _quoted(term: str) -> str:
    return '"' + term.replace('"', '""') + '"'
