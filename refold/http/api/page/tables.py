"""Views over several sessions: the table of them, families, comparisons, search."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Annotated

import msgspec

from eventsource.envelope import FoundText, SessionInfo, SessionSort
from eventsource.errors import UnknownSessionError
from eventsource.log.protocol import EventLog
from eventsource.session import SessionHandle
from replay.lineage import forks_of

from ....session_tree import session_tree
from ....status import SessionStatus, find_statuses, row_statuses
from ....views.comparing import ComparisonHead, ComparisonPage, comparison_head, comparison_page
from ....views.sessions import (
    Family,
    FilterError,
    Hits,
    SessionFilter,
    TablePage,
    TableRow,
    family,
    hit,
    read_filter,
    session_row,
    tree_rows,
)
from ...interface.values import Seq, Text
from ..problems import ProblemError
from ..routes import Call, Nothing, Q, Route
from ..v1.parameters import session_of
from ..v1.sessions import read_after
from .parameters import WindowSize

_MOST_FOUND = 10_000
"""Messages that are looked at for a word of a filter: behind so many, older ones are left out."""
_PAGE, _ROWS = 500, 2_000
"""Messages, and rows, that are read at a time."""


class TableQuery(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`filter`: such as `status:failed model:opus cost>1 after:2026-11-01 "exact words"`.

    `sort`: what is largest, or latest, comes first. `after`: the `next` of the page before.
    """

    filter: Text = ""
    sort: SessionSort = "updated"
    after: Text | None = None
    limit: WindowSize = 100


class CompareQuery(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Two sessions, by their whole ids or titles."""

    left: Text
    right: Text


class PairsQuery(CompareQuery, frozen=True, forbid_unknown_fields=True):
    """`after_left`, `after_right`: the `next` of the page before."""

    after_left: Seq = 0
    after_right: Seq = 0
    limit: WindowSize = 50


class FindTextQuery(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`q`: a text, found in any case. `session`: in this one only. `after`: the `next` of the page before."""

    q: Annotated[str, msgspec.Meta(min_length=1, max_length=10_000)]
    session: Text | None = None
    after: Text | None = None
    limit: WindowSize = 100


async def list_table(call: Call[TableQuery, Nothing]) -> TablePage:
    """List sessions as a table: filtered and sorted."""
    asked, store = call.query, call.served.log.store
    try:
        wanted = read_filter(asked.filter)
    except FilterError as error:
        raise ProblemError(422, str(error)) from error
    rows = _Rows(store, wanted, asked.sort, await _with_words(store, wanted.words))
    found = await rows.read(asked.after, asked.limit + 1)
    shown = found[: asked.limit]
    stands = await find_statuses(store, shown)
    return TablePage(
        sessions=tuple([await table_row(store, info, one) for info, one in zip(shown, stands, strict=True)]),
        next=shown[-1].id if len(found) > len(shown) else "",
        looked_at=rows.looked_at,
    )


async def table_row(store: EventLog, info: SessionInfo, stands: SessionStatus) -> TableRow:
    """Make a row of the table."""
    return session_row(info, stands, len(await forks_of(store, info.id)))


class _Rows:
    """The rows that a filter asks for. `looked_at`: how many were read for them."""

    def __init__(
        self, store: EventLog, wanted: SessionFilter, sort: SessionSort, among: Collection[str] | None
    ) -> None:
        self._store, self._wanted, self._sort, self._among = store, wanted, sort, among
        self.looked_at = 0

    async def read(self, after: str | None, most: int) -> list[SessionInfo]:
        """Read rows in order, behind one and up to so many."""
        wanted, found = self._wanted, list[SessionInfo]()
        size = most
        while len(found) < most:
            page = await self._store.sessions(
                status=row_statuses(wanted.status) if wanted.status is not None else None,
                title=wanted.title,
                agent=wanted.agent,
                folder=wanted.folder,
                branch=wanted.branch,
                model=wanted.model,
                tool=wanted.tool,
                figures=wanted.figures,
                sort=self._sort,
                after=after,
                limit=size,
            )
            self.looked_at += len(page)
            found += [info for info in await self._standing(page) if self._is_among(info)]
            if len(page) < size:
                break
            after, size = page[-1].id, min(2 * size, _ROWS)
        return found[:most]

    async def _standing(self, page: Sequence[SessionInfo]) -> list[SessionInfo]:
        """Choose the sessions that stand as the filter asks: their rows do not say all of it."""
        if self._wanted.status is None:
            return list(page)
        stands = await find_statuses(self._store, page)
        return [info for info, one in zip(page, stands, strict=True) if one.status == self._wanted.status]

    def _is_among(self, info: SessionInfo) -> bool:
        return self._among is None or info.id in self._among


async def _with_words(store: EventLog, words: Sequence[str]) -> Collection[str] | None:
    """Find the sessions that hold all of some texts; None when there are no texts."""
    among: set[str] | None = None
    for text in words:
        found: set[str] = set()
        after: FoundText | None = None
        for _ in range(_MOST_FOUND // _PAGE):
            page = await store.search(text, after=after, limit=_PAGE)
            found |= {one.session for one in page}
            if len(page) < _PAGE:
                break
            after = page[-1]
        among = found if among is None else among & found
    return among


async def read_family(call: Call[Nothing, Nothing]) -> Family:
    """Read the family of a session: its first ancestor, and all that was forked from it or started by it."""
    session = await session_of(call)
    tree = await session_tree(call.served.log.store, session.id)
    return family(session.id, tree, await find_statuses(call.served.log.store, tree_rows(tree)))


async def compare(call: Call[CompareQuery, Nothing]) -> ComparisonHead:
    """Compare two sessions but for their messages, and add up what both came to."""
    return await comparison_head(*await _sides(call, call.query))


async def compare_pairs(call: Call[PairsQuery, Nothing]) -> ComparisonPage:
    """Compare the messages of two sessions, page by page; equal ones are counted."""
    asked = call.query
    return await comparison_page(
        *await _sides(call, asked), after=(asked.after_left, asked.after_right), limit=asked.limit
    )


async def _sides(call: Call[Q, Nothing], asked: CompareQuery) -> tuple[SessionHandle, SessionHandle]:
    store, clock = call.served.log.store, call.served.log.clock
    left, right = [await store.resolve(name, prefix=False) for name in (asked.left, asked.right)]
    return SessionHandle(store, left, clock=clock), SessionHandle(store, right, clock=clock)


async def find_text(call: Call[FindTextQuery, Nothing]) -> Hits:
    """Find a text in what was said; what a fork shares with its parent is found in the parent.

    Those of the session that was made last come first, and of one session what was said last.
    """
    asked, store = call.query, call.served.log.store
    session = await store.resolve(asked.session, prefix=False) if asked.session is not None else None
    after = read_after(asked.after)
    found = await store.search(asked.q, session=session, after=after, limit=asked.limit)
    titles: dict[str, str] = {}
    for name in dict.fromkeys(one.session for one in found):
        try:
            info = await store.info(name)
        except UnknownSessionError:  # it was deleted meanwhile
            continue
        titles[name] = info.title or info.first_words
    last = msgspec.json.encode(found[-1]).decode() if len(found) == asked.limit else ""
    return Hits(hits=tuple(hit(one, titles.get(one.session, ""), asked.q) for one in found), next=last)


TABLES = (
    Route(method="GET", path="/api/sessions", does=list_table, tag="page", errors=(404,)),
    Route(method="GET", path="/api/sessions/{session}/family", does=read_family, tag="page", errors=(404,)),
    Route(method="GET", path="/api/diff", does=compare, tag="page", errors=(404,)),
    Route(method="GET", path="/api/diff/pairs", does=compare_pairs, tag="page", errors=(404,)),
    Route(method="GET", path="/api/search", does=find_text, tag="page", errors=(404,)),
)
