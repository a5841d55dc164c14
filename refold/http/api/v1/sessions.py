"""Sessions as resources: list, read, find what was said in them."""

from __future__ import annotations

import re

import msgspec

from eventsource.envelope import Cursor, Figure, FoundText, Removed, SessionInfo, VerifyReport
from eventsource.events import EVENT_TYPES

from ....status import SessionStatus, find_status, find_statuses
from ...interface.sessions import (
    CountBody,
    CursorQuery,
    DroppedRanges,
    DueQuery,
    DueSessions,
    FactsBody,
    FindQuery,
    Found,
    FoundCounts,
    InheritedBody,
    InheritedUsages,
    LastFacts,
    ListQuery,
    RowQuery,
    SearchPage,
    SearchQuery,
    SessionPage,
    SessionRow,
)
from ..frames import sent_event
from ..problems import ProblemError
from ..routes import Call, Nothing, Route
from .parameters import session_of

UNASKED = SessionStatus(status="")
_FIGURE = re.compile(r"(?P<name>[a-z_]+)(?P<sign>[<=>])(?P<value>-?[0-9]{1,18})")
_TYPES = {kind.__struct_config__.tag: kind for kind in EVENT_TYPES}


async def list_sessions(call: Call[ListQuery, Nothing]) -> SessionPage:
    """List sessions, latest updated first."""
    asked, store = call.query, call.served.log.store
    chosen = {name: getattr(asked, name) for name in ListQuery.__struct_fields__ if name != "stands"}
    for name, text in (("status", asked.status), ("last", asked.last)):
        if text is not None:
            chosen[name] = text.split(",")
    for name, text in (("among", asked.among), ("parent", asked.parent)):
        if text is not None:
            chosen[name] = text.split(" ") if text else []
    chosen["figures"] = _figures(asked.figures) if asked.figures is not None else ()
    rows = await store.sessions(**chosen)
    stands = await find_statuses(store, rows) if asked.stands else [UNASKED] * len(rows)
    return SessionPage(
        tuple(_row(info, one) for info, one in zip(rows, stands, strict=True)),
        rows[-1].id if len(rows) == asked.limit else None,
    )


def _figures(text: str) -> list[Figure]:
    """Read what is asked of figures. Raises: ProblemError."""
    parts = [_FIGURE.fullmatch(part) for part in text.split(",")]
    try:
        return [msgspec.convert(part.groupdict() if part else {}, Figure, strict=False) for part in parts]
    except msgspec.ValidationError as error:
        expected = "such as cost_microusd>1000000,turns<5"
        raise ProblemError(422, f"the query: figures: expected {expected}, found {text[:200]!r}: {error}") from error


async def read_session(call: Call[RowQuery, Nothing]) -> SessionRow:
    """Read a session's row, and how it stands."""
    info = await (await session_of(call)).info()
    return _row(info, await find_status(call.served.log.store, info) if call.query.stands else UNASKED)


async def find_session(call: Call[FindQuery, Nothing]) -> Found:
    """Find the session that a name means."""
    return Found(await call.served.log.store.resolve(call.query.name, prefix=call.query.prefix))


async def search(call: Call[SearchQuery, Nothing]) -> SearchPage:
    """Find a text in messages, thinking, calls, results and summaries, once for each of these.

    Those of the session that was made last come first, and of one session what was said last. What a fork shares with
    its parent is found in the parent, and in the fork only when `session` names it.
    """
    store, asked = call.served.log.store, call.query
    session = await store.resolve(asked.session, prefix=False) if asked.session is not None else None
    found = await store.search(asked.q, session=session, after=read_after(asked.after), limit=asked.limit)
    last = msgspec.json.encode(found[-1]).decode() if len(found) == asked.limit else None
    return SearchPage(found, last)


async def count_found(call: Call[Nothing, CountBody]) -> FoundCounts:
    """Count in how many messages of each session a text stands: of those made last, or of some.

    It changes nothing; what is asked for is in the body, since it may be long. What a fork shares with its parent
    counts in the parent, unless `inherited` asks for it.
    """
    asked = call.body
    return FoundCounts(
        await call.served.log.store.count_found(
            asked.text, sessions=asked.sessions, inherited=asked.inherited, most=asked.most, limit=asked.limit
        )
    )


async def read_inherited_usage(call: Call[Nothing, InheritedBody]) -> InheritedUsages:
    """Read what the histories of forks had used where they began: of a session that is no fork, nothing.

    It changes nothing; what is asked for is in the body, since it may be long.
    """
    return InheritedUsages(await call.served.log.store.inherited_usage(call.body.sessions))


def read_after(after: str | None) -> FoundText | None:
    """Read the place behind which a search goes on. Raises: ProblemError."""
    if not after:
        return None
    try:
        return msgspec.json.decode(after, type=FoundText)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise ProblemError(422, f"the query: after: expected the `next` of a page: {error}") from error


async def read_cursor(call: Call[CursorQuery, Nothing]) -> Cursor:
    """Read the cursor at a seq: the digest of everything up to it."""
    session = await session_of(call)
    return await call.served.log.store.cursor(session.id, call.query.seq)


async def read_removed(call: Call[Nothing, Nothing]) -> Removed:
    """List what was dropped or erased on purpose of the events that the session recorded itself."""
    return await call.served.log.store.removed((await session_of(call)).id)


async def read_dropped(call: Call[Nothing, Nothing]) -> DroppedRanges:
    """List the ranges of updates whose content was dropped or erased, inherited ones included."""
    session = await session_of(call)
    return DroppedRanges(session.id, await call.served.log.store.dropped(session.id))


async def read_last_facts(call: Call[Nothing, FactsBody]) -> LastFacts:
    """Read the ends of many sessions at once: of each those of some types among its last facts, in order.

    It changes nothing; what is asked for is in the body, since it may be long. A session that is not there has none.
    """
    asked = call.body
    types = [_TYPES[name] for name in asked.types if name in _TYPES]
    if unknown := sorted(set(asked.types) - set(_TYPES)):
        raise ProblemError(422, f"the body: types: there are no events of type {', '.join(unknown)[:200]}")
    found = await call.served.log.store.last_facts(asked.sessions, types, limit=asked.limit)
    return LastFacts(
        tuple(tuple(sent_event(name, one) for one in facts) for name, facts in zip(asked.sessions, found, strict=True))
    )


async def read_due(call: Call[DueQuery, Nothing]) -> DueSessions:
    """Name sessions with an open task that a worker should look at now, the longest due first."""
    return DueSessions(await call.served.log.store.due(limit=call.query.limit))


async def verify_log(call: Call[Nothing, Nothing]) -> VerifyReport:
    """Read every session again and find any changed, missing, swapped or added byte, and where. It takes its time."""
    return await call.served.log.store.verify()


async def verify_session(call: Call[Nothing, Nothing]) -> VerifyReport:
    """Read a session again and find any changed, missing, swapped or added byte, and where."""
    return await call.served.log.store.verify((await session_of(call)).id)


def _row(info: SessionInfo, stands: SessionStatus) -> SessionRow:
    fields = {name: getattr(info, name) for name in SessionInfo.__struct_fields__}
    return SessionRow(**fields, stands=stands)


SESSIONS = (
    Route(method="GET", path="/v1/sessions", does=list_sessions, tag="sessions", errors=(404,)),
    Route(method="GET", path="/v1/sessions/{session}", does=read_session, tag="sessions", errors=(404,)),
    Route(method="GET", path="/v1/find", does=find_session, tag="sessions", errors=(404,)),
    Route(method="GET", path="/v1/search", does=search, tag="sessions", errors=(404,)),
    Route(method="POST", path="/v1/inherited-usage", does=read_inherited_usage, tag="sessions"),
    Route(method="POST", path="/v1/count-found", does=count_found, tag="sessions"),
    Route(method="GET", path="/v1/sessions/{session}/cursor", does=read_cursor, tag="sessions", errors=(404,)),
    Route(method="GET", path="/v1/sessions/{session}/removed", does=read_removed, tag="sessions", errors=(404,)),
    Route(method="GET", path="/v1/sessions/{session}/dropped", does=read_dropped, tag="sessions", errors=(404,)),
    Route(method="GET", path="/v1/sessions/{session}/verify", does=verify_session, tag="sessions", errors=(404,)),
    Route(method="GET", path="/v1/verify", does=verify_log, tag="sessions"),
    Route(method="GET", path="/v1/due", does=read_due, tag="sessions"),
    Route(method="POST", path="/v1/last-facts", does=read_last_facts, tag="sessions"),
)
