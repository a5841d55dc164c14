"""Which sessions called which tools: a table beside the index of the search, which follows the appends and is no fact.

A row says at which seq a session's own events call a tool first, the tool by its name in one case. It is filled by
whoever fills the index. A session that is archived, or of which the index lacks something, is looked through itself
for as long as its rows do not say all of it; an empty name is noted of an archived one whose rows do.
"""

from __future__ import annotations

from collections.abc import Iterator

from ...errors import CorruptLogError
from ...events import Event
from ...message_text import tools_called_in
from ..lineage import MAX_SEQ
from .connection import Sql
from .reading import id_of, load_fact, span_of

_PUT = "INSERT INTO search_tools (name, number, seq) VALUES (?, ?, ?) ON CONFLICT DO NOTHING"
_FORGET = "DELETE FROM search_tools WHERE number = ?"
_MARK = ""
_UNMARKED = """
s.archived_at_us IS NOT NULL AND NOT EXISTS (SELECT 1 FROM search_tools t WHERE t.name = '' AND t.number = s.number)"""
_ARCHIVED = f"SELECT s.number FROM sessions s WHERE s.number >= ? AND {_UNMARKED} ORDER BY s.number LIMIT 1"
_SESSION = "SELECT s.number, s.searched, CASE WHEN s.archived_at_us IS NULL THEN 0 ELSE 1 END FROM sessions s"
_UNKNOWN = f"{_SESSION} WHERE s.searched < s.head OR ({_UNMARKED}) ORDER BY s.number"
_ALL = f"{_SESSION} ORDER BY s.number"
_MISSING = """
SELECT coalesce(sum(head - CASE WHEN searched > fork_seq THEN searched ELSE fork_seq END), 0) FROM sessions
WHERE searched < head AND archived_at_us IS NULL"""
MOST_MISSING = 2_000
"""Events of which the index may lack so many in all: to read them with the question is quicker than to take them in."""
_CALLS = """
SELECT id, body, b FROM events WHERE id BETWEEN ? AND ? AND body LIKE '{"type":"message_%'
AND (body LIKE '%"type":"tool_call"%' OR b IS NOT NULL) ORDER BY id"""
_KNOWN = "SELECT number, seq FROM search_tools WHERE name = ?"
_HAVE = """
s.number IN (
    WITH RECURSIVE calling (number, seq) AS (
        {}
        UNION SELECT f.number, c.seq FROM calling c JOIN sessions f ON f.parent = c.number AND f.fork_seq >= c.seq
    )
    SELECT number FROM calling
)"""
"""A fork has its parent's calls up to where it begins; the seqs of what they share are the same."""


def note_calls(connection: Sql, key: int, event: Event) -> None:
    """Note which tools a fact calls."""
    for name in tools_called_in(event):
        connection.execute(_PUT, (_kept(name), key >> 32, key & MAX_SEQ))


def take_archived(connection: Sql, number: int = 0) -> int | None:
    """Look through an archived session of which nothing is known, the first from a number on.

    Returns: from which number on there may be more; None when there is nothing.
    """
    row = connection.execute(_ARCHIVED, (number,)).fetchone()
    if row is None:
        return None
    found = int(row[0])
    connection.hold_line(id_of(connection, found))
    if connection.execute(_ARCHIVED, (found,)).fetchone() != row:
        return found
    connection.unpack([found])
    for key, event in _events(connection, *span_of(found)):
        note_calls(connection, key, event)
    connection.put_back()
    connection.execute(_PUT, (_MARK, found, 0))
    return found + 1


def put_away(connection: Sql, number: int) -> None:
    """Keep what is known of a session that is archived, if that is all of it."""
    behind = connection.execute("SELECT 1 FROM sessions WHERE number = ? AND searched < head", (number,)).fetchone()
    if behind is None:
        connection.execute(_PUT, (_MARK, number, 0))
    else:
        forget_calls(connection, number)


def forget_calls(connection: Sql, number: int) -> None:
    """Forget what is known of a session."""
    connection.execute(_FORGET, (number,))


def calling(connection: Sql, tool: str, *, is_noted: bool) -> tuple[str, list[object]]:
    """Write the condition that a session's history calls a tool of that name, in any case; and its values.

    Args:
        is_noted: there is a table of it; else everything is looked through.
    """
    name = _kept(tool)
    if not name:
        return "false", []
    unknown = connection.execute(_UNKNOWN if is_noted else _ALL).fetchall()
    found = list[tuple[int, int]]()
    for number, searched, is_archived in unknown:
        if is_archived:
            connection.unpack([number])
        known = searched if is_noted and not is_archived else 0
        found += [(number, seq) for seq in _first_call(connection, name, number, known)]
    rows = ", ".join(f"(CAST({number} AS BIGINT), CAST({seq} AS BIGINT))" for number, seq in found)
    parts = [*((_KNOWN,) if is_noted else ()), *((f"SELECT * FROM (VALUES {rows}) AS found",) if found else ())]
    if not parts:
        return "false", []
    return _HAVE.format(" UNION ".join(parts)), [name] if is_noted else []


def is_behind(connection: Sql) -> bool:
    """Return whether so much is missing in the table that it is to be taken in before it is asked."""
    if not connection.has_called_tools():
        return True
    if connection.execute(_ARCHIVED, (0,)).fetchone() is not None:
        return True
    return int((connection.execute(_MISSING).fetchone() or (0,))[0]) > MOST_MISSING


def _first_call(connection: Sql, name: str, number: int, known: int) -> Iterator[int]:
    """Yield the seq of the first call of a tool behind what is known of a session, if there is one."""
    first, last = span_of(number)
    for key, event in _events(connection, first + known, last):
        if any(_kept(one) == name for one in tools_called_in(event)):
            yield key & MAX_SEQ
            return


def _events(connection: Sql, after: int, upto: int) -> Iterator[tuple[int, Event]]:
    """Read the facts that may call tools, with their keys."""
    for key, body, b in connection.execute(_CALLS, (after + 1, upto)).fetchall():
        try:
            yield key, load_fact(connection, "", key & MAX_SEQ, body, b)
        except CorruptLogError:  # `verify` says so
            continue


def _kept(name: str) -> str:
    return name.casefold().encode(errors="replace").decode()
