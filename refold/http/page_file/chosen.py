"""Which sessions stand in a file beside the one that it is of, and which do not, and why."""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection, Iterator, Sequence
from typing import NamedTuple

from eventsource.envelope import SessionInfo
from eventsource.events import ChildStart, Compaction, Event
from eventsource.log.load import read_all
from eventsource.log.protocol import EventLog
from replay.lineage import lineage
from replay.omitting import Omitted

from ...compaction import SUMMARY_KEY
from ...session_tree import related_sessions

MOST_SESSIONS = 100
MOST_EVENTS = 200_000
"""Of the sessions beside the one that a file is of."""


class Chosen(NamedTuple):
    """The sessions of a file, the one that it is of first; and which of its tree it is without, in words."""

    inside: tuple[str, ...]
    without: tuple[str, ...]


async def chosen(store: EventLog, session: str, *, family: bool = False, omit: Collection[Omitted] = ()) -> Chosen:
    """Choose the sessions that stand in a file with one: the agents that it started, theirs too.

    Args:
        family: also its branches, and whatever else belongs to its tree.
        omit: what is left out. Without results of tools, the agents are not there, whose answers are such results;
            without anything, those that wrote summaries, since they were told all of it in words.

    Raises: UnknownSessionError.
    """
    rows = {row.id: row for row in (await related_sessions(store, session)).rows}
    writers = {name async for name in _summary_writers(store, rows.values())}
    wanted = set(rows) if family else await _started(store, session, rows)
    if not family or omit:
        wanted -= writers
    if "results" in omit:
        wanted = {name for name in wanted if _first(rows, name) == _first(rows, session)}
    nearest = [name for name in _nearest(rows, session) if name in wanted and name != session]
    room = [session, *_fitting(rows, nearest)]
    left = [name for name in rows if name not in room]
    return Chosen(tuple(room), tuple(_without(left, wanted, writers, rows, session, omit)))


async def _started(store: EventLog, session: str, rows: dict[str, SessionInfo]) -> set[str]:
    """Name the agents that were started in a session's history, and by them; those of ancestors until it forked."""
    until: dict[str, int | None] = {}
    for name, seq in await lineage(store, session):
        until[name] = None if name == session else await _time(store, session, seq)
    found = {session}
    for row in rows.values():  # parents come before what began in them
        if row.parent is not None or row.started_by not in until:
            continue
        ends = until[row.started_by]
        if ends is None or row.created_at_us <= ends:
            until[row.id] = None
            found.add(row.id)
    return found


async def _time(store: EventLog, session: str, seq: int) -> int | None:
    """Return when a seq was recorded, -1 before the first one; None when its content is gone."""
    page = await store.read(session, after=seq - 1, upto=seq, limit=1) if seq else ()
    return page[0].at_us if page else None if seq else -1


async def _summary_writers(store: EventLog, rows: Collection[SessionInfo]) -> AsyncIterator[str]:
    """Name the sessions in which summaries were written."""
    starters = {row.started_by for row in rows if row.parent is None and row.started_by}
    for row in rows:
        if row.id in starters:
            async for one in read_all(store, row.id, after=row.fork_seq, updates=False):
                if name := _writer(one.event):
                    yield name


def _writer(event: Event) -> str:
    match event:
        case ChildStart(key=key, child=child) if key.startswith(SUMMARY_KEY):
            return child
        case Compaction(child=child):
            return child
        case _:
            return ""


def _first(rows: dict[str, SessionInfo], name: str) -> str:
    """Name the first session of those that one is a fork of."""
    while (parent := rows[name].parent) is not None and parent in rows:
        name = parent
    return name


def _nearest(rows: dict[str, SessionInfo], session: str) -> Iterator[str]:
    """Name the sessions of a tree: those of the same history first, then the others, in their order."""
    first = _first(rows, session)
    yield from sorted(rows, key=lambda name: _first(rows, name) != first)


def _fitting(rows: dict[str, SessionInfo], names: Sequence[str]) -> Iterator[str]:
    """Yield sessions as long as there is room for them."""
    events = 0
    for name in names[: MOST_SESSIONS - 1]:
        events += rows[name].head
        if events > MOST_EVENTS:
            return
        yield name


def _without(
    left: Sequence[str],
    wanted: Collection[str],
    writers: Collection[str],
    rows: dict[str, SessionInfo],
    session: str,
    omit: Collection[Omitted],
) -> Iterator[str]:
    """Say which sessions of a tree are not there."""
    first = _first(rows, session)
    agents = [one for one in left if _first(rows, one) != first and one not in writers] if "results" in omit else []
    summaries = [one for one in left if one in writers and one not in wanted]
    long = [one for one in left if one in wanted]
    rest = len(left) - len(agents) - len(summaries) - len(long)
    if rest:
        yield f"{rest:,} other {_sessions(rest)} of its family"
    if agents:
        yield f"{len(agents):,} {_sessions(len(agents))} of agents, whose answers are results of tools"
    if summaries:
        yield f"{len(summaries):,} {_sessions(len(summaries))} in which summaries were written"
    if long:
        yield f"{len(long):,} {_sessions(len(long))} of its family, with which the file would be too long"


def _sessions(many: int) -> str:
    return "session" if many == 1 else "sessions"
