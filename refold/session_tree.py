"""The tree that a session belongs to: its first ancestor, all forks of it, and all sessions that they started."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from typing import NamedTuple

from eventsource.background import stop
from eventsource.envelope import Recorded, SessionInfo
from eventsource.errors import UnknownSessionError
from eventsource.events import ChildStart, Label
from eventsource.log.load import load_view, read_all
from eventsource.log.protocol import EventLog
from projections.projection import project
from projections.tree import LABELS, Branch, Labels, fork_tree

PAGE = 2_000
"""Rows read at a time."""
_MOST_WAITING = 1_000
"""Events that wait for a reader who follows a tree."""
_LOOK_S, _LONGEST_S = 0.02, 1.0
"""Between two looks for a session that is about to be made; twice as long each time."""


async def session_pages(
    store: EventLog,
    *,
    unfinished: bool | None = None,
    status: str | None = None,
    tree: str | None = None,
    title: str | None = None,
    agent: str | None = None,
    folder: str | None = None,
    branch: str | None = None,
    model: str | None = None,
    limit: int = PAGE,
) -> AsyncIterator[tuple[SessionInfo, ...]]:
    """Read the rows of all sessions, latest updated first, in pages of so many; see `EventLog.sessions`."""
    after: str | None = None
    while page := await store.sessions(
        open=unfinished,
        status=status,
        tree=tree,
        title=title,
        agent=agent,
        folder=folder,
        branch=branch,
        model=model,
        after=after,
        limit=limit,
    ):
        yield page
        after = page[-1].id
        if len(page) < limit:
            return


async def session_rows(store: EventLog, *, tree: str | None = None) -> list[SessionInfo]:
    """Read the rows of all sessions, or of those of a tree, latest updated first."""
    return [info async for page in session_pages(store, tree=tree) for info in page]


def above(info: SessionInfo) -> str:
    """Return the session that stands above one in its tree: its parent, or else the one that started it."""
    return info.parent if info.parent is not None else info.started_by


async def root_starter(store: EventLog, info: SessionInfo) -> SessionInfo:
    """Find the session that started this one, or the one that started that, up to the one that nobody started."""
    while info.parent is None and info.started_by:
        try:
            starter = await store.info(info.started_by)
        except UnknownSessionError:  # it was deleted
            return info
        if starter.number >= info.number:  # it was deleted, and another made under its id
            return info
        info = starter
    return info


class RelatedSessions(NamedTuple):
    """Sessions, parents first; the bookmarks of those that have some.

    `labels`: as each session has them, inherited ones too. `own`: those that it set itself, also on what it inherited.
    """

    rows: list[SessionInfo]
    labels: dict[str, Labels]
    own: dict[str, Labels]


async def related_sessions(store: EventLog, session: str) -> RelatedSessions:
    """Read a session's first ancestor, and all that was forked from it or started by it, and each one's own labels."""
    found = {info.id: info for info in await session_rows(store, tree=session)}
    top = (await store.info(session)) if session not in found else found[session]
    while (upper := found.get(above(top))) is not None and upper.number < top.number:
        top = upper
    below: dict[str, list[SessionInfo]] = {}
    for info in sorted(found.values(), key=lambda info: (info.created_at_us, info.id)):
        below.setdefault(above(info), []).append(info)
    rows, labelled, own = [top], dict[str, list[Recorded]](), dict[str, Labels]()
    for row in rows:  # grows while it is read
        labelled[row.id] = [one for one in labelled.get(row.parent or "", ()) if one.seq <= row.fork_seq]
        if row.labels:
            events = read_all(store, row.id, after=row.fork_seq, updates=False)
            told = [one async for one in events if isinstance(one.event, Label)]
            labelled[row.id] += told
            own[row.id] = project(LABELS, told)
        rows += [one for one in below.get(row.id, ()) if one.number > row.number]
    labels = {name: project(LABELS, found) for name, found in labelled.items() if found}
    return RelatedSessions(rows, labels, {name: found for name, found in own.items() if found})


async def read_labels(store: EventLog, session: str) -> Labels:
    """Read a session's bookmarks, inherited ones included."""
    return await load_view(store, session, LABELS)


async def session_tree(store: EventLog, session: str) -> Branch:
    """Arrange a session's family as a tree, from its first ancestor on."""
    rows, _, own = await related_sessions(store, session)
    return fork_tree(rows, own)[0]


async def follow_tree(
    log: EventLog, session: str, after: int | Mapping[str, int] = 0
) -> AsyncIterator[tuple[str, Recorded]]:
    """Yield each event of a session and of its children, theirs included, with the session it belongs to; never ends.

    The events of one session come in their order, a child's after its `child_start`. `after`: a seq of this session;
    or of each session the last seq that was seen, and then children that were begun before go on too.
    """
    queue: asyncio.Queue[tuple[str, Recorded] | Exception] = asyncio.Queue(_MOST_WAITING)
    following: dict[str, asyncio.Task[None]] = {}
    places = after if isinstance(after, Mapping) else {session: after}

    def begin(name: str) -> None:
        if name not in following:
            following[name] = asyncio.create_task(follow(name, places.get(name, 0)))

    async def follow(name: str, seen: int) -> None:
        try:
            await _exists(log, name)
            if isinstance(after, Mapping) and seen:
                async for recorded in read_all(log, name, upto=seen, updates=False):
                    if isinstance(recorded.event, ChildStart):
                        begin(recorded.event.child)
            async for recorded in log.follow(name, seen):
                await queue.put((name, recorded))
        except Exception as error:  # whoever reads is told
            await queue.put(error)

    begin(session)
    try:
        while True:
            found = await queue.get()
            if isinstance(found, Exception):
                raise found
            yield found
            if isinstance(found[1].event, ChildStart):
                begin(found[1].event.child)
    finally:
        await stop(*following.values())


async def _exists(log: EventLog, session: str) -> None:
    """Wait until a child's session is made: its parent says so first."""
    pause_s = _LOOK_S
    while True:
        try:
            await log.info(session)
        except UnknownSessionError:
            await asyncio.sleep(pause_s)
            pause_s = min(2 * pause_s, _LONGEST_S)
        else:
            return
