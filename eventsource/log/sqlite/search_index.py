"""The index of what was said: which facts hold which three letters in a row. It follows the appends, and is no fact.

A row is that of the fact whose text it has. Only which rows hold which three letters is stored (`detail=none`), about
half the size of the text; what is found is compared with the text itself. `sessions.searched` says how far it goes.
"""

from __future__ import annotations

import re
import sqlite3
import sys
from collections.abc import Collection, Iterable, Iterator, Sequence

from ...envelope import FoundText, Recorded
from ...errors import CorruptLogError
from ...found_text import find_in, pattern_of
from ...message_text import TOLD_BY, said_in
from ..letters import letters_of, may_have
from ..lineage import MAX_SEQ, segments
from ..sql.connection import Sql
from ..sql.reading import id_of, lineage, load_fact

_MAKE = "CREATE VIRTUAL TABLE search USING fts5(text, content='', columnsize=0, detail=none, tokenize='trigram')"
_INSERT = "INSERT INTO search (rowid, text) VALUES (?, ?)"
_REMOVE = "INSERT INTO search (search, rowid, text) VALUES ('delete', ?, ?)"
_FACTS = "SELECT id, body, b FROM events WHERE id > ? AND id <= ? ORDER BY id LIMIT ?"
_BEHIND = "SELECT number, searched, head FROM sessions WHERE number >= ? AND searched < head ORDER BY number LIMIT ?"
_ONE_BEHIND = "SELECT number, searched, head FROM sessions WHERE id = ? AND searched < head"
SESSIONS_AT_ONCE, _AT_ONCE, _BYTES_AT_ONCE = 100, 200, 40_000
"""What is taken in by one call, facts and bytes of text: 10 ms of work, which an append may have to wait for."""
_PLAIN = re.compile("[A-Za-z0-9]+")
_ODD = (b"\\u", *(sign.encode() for sign in "\u017f\u212a\u0130\u0131"))
"""What may stand for a letter or figure in a body: an escape, and signs that are `s`, `k` and `i` in any case."""
_KEYS = "SELECT id FROM main.events WHERE id BETWEEN ? AND ? ORDER BY id DESC"
_ROWS = 20
_MOST_TRIGRAMS = 40
_END = "\n\n"
"""Indexed behind each text, so that its last letters begin three letters too: so one and two letters are found."""
_NEAR, _MOST_BEGUN = 2_000, 400
"""Of one or two letters so many facts are read, and only then what begins with them is looked up, if it is not more."""
_TERMS = """
CREATE VIRTUAL TABLE IF NOT EXISTS temp.search_terms USING fts5vocab('main', 'search', 'row')"""
_BEGUN = "SELECT term FROM search_terms WHERE term >= ? AND term < ? LIMIT ?"
_SECURE = sqlite3.sqlite_version_info >= (3, 42)
"""Whether this SQLite can take a row out of the index for good without putting all of it together anew."""


def has_index(connection: Sql) -> bool:
    """Return whether there is an index."""
    return connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'search'").fetchone() is not None


def make_index(connection: Sql) -> bool:
    """Make the index if there is none. Returns: False where this SQLite has no full-text search."""
    if not has_index(connection):
        try:
            connection.execute(_MAKE)
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
        base, reached = number << 32, searched
        while reached < head and left > 0 and left_bytes > 0:
            rows = connection.execute(_FACTS, (base | reached, base | head, min(left, _ROWS))).fetchall()
            for key, body, b in rows:
                left, left_bytes = left - 1, left_bytes - _add(connection, key, body, b)
            reached = rows[-1][0] & MAX_SEQ if rows else head
        if reached > searched:
            _set_reached(connection, number, reached)
        if reached < head:
            return number
    return None


def _set_reached(connection: Sql, number: int, seq: int) -> None:
    connection.execute("UPDATE sessions SET searched = ? WHERE number = ?", (seq, number))


def _add(connection: Sql, key: int, body: bytes, b: bytes | None) -> int:
    """Take a fact into the index. Returns: the size of its text."""
    said = _said(connection, key, body, b)
    if said:
        connection.execute(_INSERT, (key, _indexed(said)))
    return len(said)


def _said(connection: Sql, key: int, body: bytes, b: bytes | None) -> str:
    if not body.startswith(TOLD_BY):
        return ""
    try:
        return said_in(load_fact(connection, "", key & MAX_SEQ, body, b))[1]
    except CorruptLogError:  # `verify` says so
        return ""


def _indexed(text: str) -> str:
    """Return a text as it is given to the index."""
    return _without_nul(text) + _END


def _without_nul(text: str) -> str:
    """Put another sign in the place of NUL, behind which the index takes in nothing."""
    return text.replace("\0", "\ufffd")


def change_text(connection: Sql, key: int, before: str, after: str) -> None:
    """Put another text in the place of one, as an erase does, so that nothing of it is left in the index."""
    if before == after or not has_index(connection):
        return
    (searched,) = connection.execute("SELECT searched FROM sessions WHERE number = ?", (key >> 32,)).fetchone()
    if before and key & MAX_SEQ <= searched:
        connection.execute(_REMOVE, (key, _indexed(before)))
    if after and key & MAX_SEQ <= searched:
        connection.execute(_INSERT, (key, _indexed(after)))
    _forget_removed(connection)  # also what left the index when the session was archived


def remove_session(connection: Sql, number: int, *, for_good: bool) -> None:
    """Take a session's own facts out of the index.

    Args:
        for_good: nothing of them may be left in the file.
    """
    if not has_index(connection):
        return
    (searched,) = connection.execute("SELECT searched FROM sessions WHERE number = ?", (number,)).fetchone()
    base = number << 32
    for key, body, b in connection.execute(_FACTS, (base, base | searched, MAX_SEQ)).fetchall():
        said = _said(connection, key, body, b)
        if said:
            connection.execute(_REMOVE, (key, _indexed(said)))
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
    if has_index(connection):
        connection.execute("DROP TABLE search")
    connection.execute("UPDATE sessions SET searched = 0 WHERE searched > 0 AND archived_at_us IS NULL")


def find(
    connection: Sql, text: str, *, session: str | None, after: FoundText | None, limit: int, must_read: bool
) -> tuple[FoundText, ...] | None:
    """Find a text: the session made last first, and in it what was said last.

    Args:
        must_read: where the index lacks something everything is read; otherwise the answer is None.
    """
    wanted, found, lacks = pattern_of(text), list[FoundText](), is_behind(connection)
    if lacks and not must_read:
        return None
    word, letters = _word(text), letters_of(text)
    for low, high in _ranges(connection, session, after):
        candidates = _candidates(connection, "" if lacks else text, low, high)
        for key in _with_archived(connection, candidates, letters, low, high):
            row = connection.execute("SELECT at_us, body, b FROM events WHERE id = ?", (key,)).fetchone()
            if row is None or not row[1].startswith(TOLD_BY) or (row[2] is None and not _may_hold(row[1], word)):
                continue
            name = id_of(connection, key >> 32)
            try:
                one = Recorded(key & MAX_SEQ, row[0], load_fact(connection, name, key & MAX_SEQ, row[1], row[2]))
            except CorruptLogError:
                continue
            hit = find_in(name, one, wanted, _behind(connection, key))
            if hit is not None:
                found.append(hit)
                if len(found) == limit:
                    return tuple(found)
    return tuple(found)


def _word(text: str) -> bytes:
    """Return the longest piece of a text that stands in JSON as it is."""
    return max(_PLAIN.findall(text), key=len, default="").lower().encode()


def _may_hold(body: bytes, word: bytes) -> bool:
    """Return whether a text with a word may stand in a body, without decoding it: False is certain."""
    return word in body.lower() or any(sign in body for sign in _ODD)


def _ranges(connection: Sql, session: str | None, after: FoundText | None) -> Iterator[tuple[int, int]]:
    """Yield the first and last keys of where to look, the latest first."""
    end = None
    if after is not None:
        end = lineage(connection, after.session)[0][0] << 32 | after.text_seq
    if session is None:
        yield 0, 2**63 - 1 if end is None else end - 1
        return
    parts = segments(lineage(connection, session))
    for part in reversed(parts):
        low, high = part.session << 32 | part.first, part.session << 32 | part.last
        if end is not None and end >> 32 == part.session:
            high, end = min(high, end - 1), None
        if end is None:
            yield low, high


def _with_archived(
    connection: Sql, candidates: Iterable[int], letters: Collection[str], low: int, high: int
) -> Iterator[int]:
    """Put the keys of facts between others that lie in the archive, of sessions that may have these letters."""
    numbers = _archived(connection, letters, low, high)
    number = next(numbers, -1)
    for key in candidates:
        while number > key >> 32:
            yield from _unpacked(connection, number, low, high)
            number = next(numbers, -1)
        yield key
    while number >= 0:
        yield from _unpacked(connection, number, low, high)
        number = next(numbers, -1)


def _archived(connection: Sql, letters: Collection[str], low: int, high: int) -> Iterator[int]:
    sql = "SELECT number FROM sessions WHERE archived_at_us IS NOT NULL AND number BETWEEN ? AND ? ORDER BY number DESC"
    for (number,) in connection.execute(sql, (low >> 32, high >> 32)):
        row = connection.execute("SELECT letters FROM frames WHERE id = ?", (number << 32,)).fetchone()
        if row is not None and may_have(row[0], letters):
            yield number


def _unpacked(connection: Sql, number: int, low: int, high: int) -> Iterator[int]:
    connection.unpack([number])
    sql = "SELECT id FROM events WHERE id BETWEEN ? AND ? ORDER BY id DESC"
    span = (max(low, number << 32), min(high, number << 32 | MAX_SEQ))
    yield from [key for (key,) in connection.execute(sql, span)]


def _candidates(connection: Sql, text: str, low: int, high: int) -> Iterator[int]:
    """Yield the keys of facts that may hold a text and are not in the archive: those that the index names, or all."""
    asked: str | None = _query(text)
    if not asked:
        near = connection.execute(f"{_KEYS} LIMIT ?", (low, high, _NEAR)).fetchall()
        yield from (key for (key,) in near)
        if len(near) < _NEAR:
            return
        high = near[-1][0] - 1
        asked = _begun(connection, text)
        if asked == "":
            return
    if asked is not None and has_index(connection):
        sql = "SELECT rowid FROM search WHERE search MATCH ? AND rowid BETWEEN ? AND ? ORDER BY rowid DESC"
        for (key,) in connection.execute(sql, (asked, low, high)):
            yield key
        return
    for (key,) in connection.execute(_KEYS, (low, high)):
        yield key


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


def _query(text: str) -> str:
    """Ask for all three letters in a row of a text; empty when it is too short for any."""
    parts = [_without_nul(text[at : at + 3]) for at in range(len(text) - 2)]
    step = -(-len(parts) // _MOST_TRIGRAMS) or 1
    return " AND ".join(map(_quoted, dict.fromkeys(parts[::step])))


def _quoted(term: str) -> str:
    return '"' + term.replace('"', '""') + '"'


def _behind(connection: Sql, key: int) -> Iterator[Recorded]:
    """Yield the facts behind one, of the same session."""
    sql = "SELECT id, at_us, body, b FROM events WHERE id > ? AND id <= ? ORDER BY id"
    for later, at_us, body, b in connection.execute(sql, (key, key | MAX_SEQ)):
        try:
            event = load_fact(connection, "", later & MAX_SEQ, body, b)
        except CorruptLogError:
            continue
        yield Recorded(later & MAX_SEQ, at_us, event)
