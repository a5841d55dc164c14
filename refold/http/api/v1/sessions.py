"""Sessions as resources: list, read, find what was said in them."""

from __future__ import annotations

from typing import Annotated

import msgspec

from eventsource.envelope import Cursor, FoundText, Removed, SessionInfo

from ....status import SessionStatus, find_status, find_statuses
from ..problems import ProblemError
from ..routes import Call, Nothing, Route
from .parameters import PageSize, Seq, Text, session_of


class SessionRow(SessionInfo, frozen=True, kw_only=True):
    """A session's row as the log keeps it, and how it stands, in words."""

    stands: SessionStatus


class ListQuery(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Which sessions: `title` and `model` match a part, `folder` is where an agent worked, or a folder above.

    `open`: whose run is unfinished, or not. `parent`: forks of this session; `tree`: all of its tree. `after`: the id
    of the last one of the page before.
    """

    open: bool | None = None
    status: Text | None = None
    parent: Text | None = None
    tree: Text | None = None
    source: Text | None = None
    title: Text | None = None
    task: Text | None = None
    agent: Text | None = None
    folder: Text | None = None
    branch: Text | None = None
    model: Text | None = None
    after: Text | None = None
    limit: PageSize = 100


class SessionPage(msgspec.Struct, frozen=True):
    """Sessions, latest updated first; `next`: the `after` of the page behind it, if there may be one."""

    sessions: tuple[SessionRow, ...]
    next: str | None = None


class FindQuery(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`name`: an id, a title, or the beginning of an id (unless `prefix` is false)."""

    name: Text
    prefix: bool = True


class Found(msgspec.Struct, frozen=True):
    """The id of the session that a name means."""

    session: str


class SearchQuery(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`q`: a text, found in any case. `session`: in this one only. `after`: the `next` of the page before."""

    q: Annotated[str, msgspec.Meta(min_length=1, max_length=10_000)]
    session: Text | None = None
    after: Text | None = None
    limit: PageSize = 100


class SearchPage(msgspec.Struct, frozen=True):
    """Messages in which a text stands; `next`: the `after` of the page behind it, if there may be one."""

    found: tuple[FoundText, ...]
    next: str | None = None


class CursorQuery(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`seq`: a place; the head by default."""

    seq: Seq | None = None


async def list_sessions(call: Call[ListQuery, Nothing]) -> SessionPage:
    """List sessions, latest updated first."""
    asked, store = call.query, call.served.log.store
    rows = await store.sessions(**{name: getattr(asked, name) for name in ListQuery.__struct_fields__})
    stands = await find_statuses(store, rows)
    return SessionPage(
        tuple(_row(info, one) for info, one in zip(rows, stands, strict=True)),
        rows[-1].id if len(rows) == asked.limit else None,
    )


async def read_session(call: Call[Nothing, Nothing]) -> SessionRow:
    """Read a session's row, and how it stands."""
    info = await (await session_of(call)).info()
    return _row(info, await find_status(call.served.log.store, info))


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
    after = None
    if asked.after is not None:
        try:
            after = msgspec.json.decode(asked.after, type=FoundText)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise ProblemError(422, f"the query: after: expected the `next` of a page: {error}") from error
    found = await store.search(asked.q, session=session, after=after, limit=asked.limit)
    last = msgspec.json.encode(found[-1]).decode() if len(found) == asked.limit else None
    return SearchPage(found, last)


async def read_cursor(call: Call[CursorQuery, Nothing]) -> Cursor:
    """Read the cursor at a seq: the digest of everything up to it."""
    session = await session_of(call)
    return await call.served.log.store.cursor(session.id, call.query.seq)


async def read_removed(call: Call[Nothing, Nothing]) -> Removed:
    """List what was dropped or erased on purpose of the events that the session recorded itself."""
    return await call.served.log.store.removed((await session_of(call)).id)


def _row(info: SessionInfo, stands: SessionStatus) -> SessionRow:
    fields = {name: getattr(info, name) for name in SessionInfo.__struct_fields__}
    return SessionRow(**fields, stands=stands)


SESSIONS = (
    Route(method="GET", path="/v1/sessions", does=list_sessions, tag="sessions", errors=(404,)),
    Route(method="GET", path="/v1/sessions/{session}", does=read_session, tag="sessions", errors=(404,)),
    Route(method="GET", path="/v1/find", does=find_session, tag="sessions", errors=(404,)),
    Route(method="GET", path="/v1/search", does=search, tag="sessions", errors=(404,)),
    Route(method="GET", path="/v1/sessions/{session}/cursor", does=read_cursor, tag="sessions", errors=(404,)),
    Route(method="GET", path="/v1/sessions/{session}/removed", does=read_removed, tag="sessions", errors=(404,)),
)
