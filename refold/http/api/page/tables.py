"""Views over several sessions: the table of them, families, comparisons, search."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

import msgspec

from eventsource.envelope import SessionInfo, SessionSort
from eventsource.errors import UnknownSessionError
from eventsource.log.protocol import EventLog
from eventsource.session import SessionHandle

from ....session_tree import session_tree
from ....status import find_statuses, rows_of
from ....views.comparing import ComparisonHead, ComparisonPage, comparison_head, comparison_page
from ....views.sessions import (
    ANY_SOURCE,
    Family,
    FilterError,
    HitCount,
    Hits,
    SessionFilter,
    TablePage,
    family,
    hit,
    read_filter,
    tree_rows,
)
from ...interface.values import Seq, Text
from ..problems import ProblemError
from ..routes import Call, Nothing, Q, Route
from ..table_watch import table_rows
from ..v1.parameters import session_of
from ..v1.sessions import read_after
from .parameters import WindowSize

_FEW, _SOME, _PART, _ALL = 100, 50, 0.3, 2**31
"""What stands in few sessions is looked up. Of what does not it is asked with the rows, until of some too few have it;
then all that do are looked up."""
_AMONG = 10_000
"""Of so many sessions at the most the rows are asked for by their ids."""
_ROWS = 2_000
"""Rows that are read at a time, at the most."""
_MOST_COUNTED = 1_000
"""Hits that are counted in a session."""


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
    words = _Words(store)
    await words.look_up(wanted.words)
    rows = _Rows(store, wanted, asked.sort, words)
    found = await rows.read(asked.after, asked.limit + 1)
    shown = found[: asked.limit]
    return TablePage(
        sessions=await table_rows(store, shown),
        next=shown[-1].id if len(found) > len(shown) else "",
        looked_at=rows.looked_at,
    )


class _Rows:
    """The rows that a filter asks for. `looked_at`: how many were read for them."""

    def __init__(self, store: EventLog, wanted: SessionFilter, sort: SessionSort, words: _Words) -> None:
        self._store, self._wanted, self._sort, self._words = store, wanted, sort, words
        self.looked_at = 0

    async def read(self, after: str | None, most: int) -> list[SessionInfo]:
        """Read rows in order, behind one and up to so many."""
        found = list[SessionInfo]()
        size = most
        while len(found) < most:
            page = await self._page(after, size)
            self.looked_at += len(page)
            found += await self._words.held_by(await self._standing(page))
            if len(page) < size:
                break
            after, size = page[-1].id, min(2 * size, _ROWS)
        return found[:most]

    async def _page(self, after: str | None, size: int) -> Sequence[SessionInfo]:
        """Read the rows that may be asked for, so many behind one."""
        wanted = self._wanted
        source = "" if wanted.source == ANY_SOURCE else wanted.source
        pages = [
            await self._store.sessions(
                status=statuses,
                last=ends,
                imported_from=source,
                title=wanted.title,
                agent=wanted.agent,
                folder=wanted.folder,
                branch=wanted.branch,
                model=wanted.model,
                tool=wanted.tool,
                figures=wanted.figures,
                among=self._words.among,
                sort=self._sort,
                after=after,
                limit=size,
            )
            for statuses, ends in (((None, None),) if wanted.status is None else rows_of(wanted.status))
        ]
        first, *others = [page for page in pages if page] or [()]
        if not others:
            return first
        ids = [info.id for page in pages for info in page]
        return await self._store.sessions(among=ids, sort=self._sort, limit=size)  # in the order of all of them

    async def _standing(self, page: Sequence[SessionInfo]) -> list[SessionInfo]:
        """Choose the sessions that stand as the filter asks: their rows do not say all of it."""
        if self._wanted.status is None:
            return list(page)
        stands = await find_statuses(self._store, page)
        return [info for info, one in zip(page, stands, strict=True) if one.status == self._wanted.status]


class _Words:
    """Texts that sessions must hold: of what stands in few, those few; of others it is asked with their rows."""

    def __init__(self, store: EventLog) -> None:
        """Prepare. `among`: of which sessions the rows are to be asked for; of none too many, or of all."""
        self._store = store
        self._frequent: dict[str, set[str] | None] = {}
        self.among: set[str] | None = None

    async def look_up(self, texts: Sequence[str]) -> None:
        """Find the sessions that hold what stands in few of them."""
        for text in texts:
            found = {one.session for one in await self._store.count_found(text, limit=_FEW)}
            if len(found) == _FEW:
                self._frequent[text] = None
            else:
                self._narrow(found)

    async def held_by(self, rows: Sequence[SessionInfo]) -> list[SessionInfo]:
        """Choose the sessions that hold what stands in many."""
        left = list(rows)
        for text, known in list(self._frequent.items()):
            holding = known
            if holding is None:
                found = await self._store.count_found(text, sessions=[info.id for info in left])
                holding = {one.session for one in found}
                if len(left) >= _SOME and len(holding) < _PART * len(left):
                    everywhere = await self._store.count_found(text, limit=_ALL)
                    self._keep(text, {one.session for one in everywhere})
            left = [info for info in left if info.id in holding]
        return left

    def _keep(self, text: str, found: set[str]) -> None:
        """Keep in which sessions a text stands: the rows of others are not read any more, or are passed over."""
        if len(found) <= _AMONG:
            del self._frequent[text]
            self._narrow(found)
        else:
            self._frequent[text] = found

    def _narrow(self, found: set[str]) -> None:
        self.among = found if self.among is None else self.among & found


async def read_family(call: Call[Nothing, Nothing]) -> Family:
    """Read the family of a session: its first ancestor, and all that was forked from it or started by it."""
    session = await session_of(call)
    store = call.served.log.store
    tree = await session_tree(store, session.id)
    rows = tree_rows(tree)
    inherited = await store.inherited_usage([info.id for info in rows])
    return family(session.id, tree, await find_statuses(store, rows), inherited)


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
    names = [session] if session is not None else list(titles)
    counts = await store.count_found(asked.q, sessions=names, inherited=session is not None, most=_MOST_COUNTED + 1)
    return Hits(
        hits=tuple(hit(one, titles.get(one.session, ""), asked.q) for one in found),
        next=last,
        counts=tuple(HitCount(one.session, min(one.hits, _MOST_COUNTED), one.hits > _MOST_COUNTED) for one in counts),
    )


TABLES = (
    Route(method="GET", path="/api/sessions", does=list_table, tag="page", errors=(404,)),
    Route(method="GET", path="/api/sessions/{session}/family", does=read_family, tag="page", errors=(404,)),
    Route(method="GET", path="/api/diff", does=compare, tag="page", errors=(404,)),
    Route(method="GET", path="/api/diff/pairs", does=compare_pairs, tag="page", errors=(404,)),
    Route(method="GET", path="/api/search", does=find_text, tag="page", errors=(404,)),
)
