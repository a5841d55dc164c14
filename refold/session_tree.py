"""The tree that a session belongs to: its first ancestor, all forks of it, and all sessions that they started."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import NamedTuple

from eventsource.background import stop
from eventsource.envelope import Recorded, SessionInfo
from eventsource.errors import UnknownSessionError
from eventsource.events import ChildStart, Label, TaskStart
from eventsource.log.load import read_all
from eventsource.log.protocol import EventLog
from projections.projection import project
from projections.tree import LABELS, Branch, Labels, fork_tree

PAGE = 500
"""Rows read at a time."""
_LOOK_S = 0.05


async def session_rows(
    store: EventLog,
    *,
    unfinished: bool | None = None,
    status: str | None = None,
    parent: str | None = None,
    title: str | None = None,
) -> AsyncIterator[SessionInfo]:
    """Read the rows of all sessions, page by page, latest updated first."""
    after: str | None = None
    while page := await store.sessions(
        open=unfinished, status=status, parent=parent, title=title, after=after, limit=PAGE
    ):
        for info in page:
            yield info
        after = page[-1].id
        if len(page) < PAGE:
            return


async def starter_of(store: EventLog, info: SessionInfo) -> str:
    """Return the session that started this one as its child; empty when none did. Reads the first event of a task."""
    if not info.task or info.parent is not None:
        return ""
    first = await store.read(info.id, limit=1, updates=False)
    return first[0].event.parent if first and isinstance(first[0].event, TaskStart) else ""


async def root_starter(store: EventLog, info: SessionInfo) -> SessionInfo:
    """Find the session that started this one, or the one that started that, up to the one that nobody started."""
    while parent := await starter_of(store, info):
        try:
            info = await store.info(parent)
        except UnknownSessionError:  # it was deleted
            return info
    return info


class RelatedSessions(NamedTuple):
    """Sessions, parents first; of each child the session that started it; each one's bookmarks, inherited ones too."""

    rows: list[SessionInfo]
    starters: dict[str, str]
    labels: dict[str, Labels]


async def related_sessions(store: EventLog, session: str) -> RelatedSessions:
    """Read a session's first ancestor, and all that was forked from it or started by it; each one's own facts once."""
    info = await root_starter(store, await store.info(session))
    while info.parent is not None:
        info = await root_starter(store, await store.info(info.parent))
    rows, starters, labelled = [info], dict[str, str](), dict[str, list[Recorded]]()
    for row in rows:  # grows while it is read
        inherited = labelled.get(row.parent or "")
        if inherited is None and row.parent is not None:  # a child that is a fork of another tree's session
            inherited = [
                one async for one in read_all(store, row.parent, updates=False) if isinstance(one.event, Label)
            ]
        own = labelled[row.id] = [recorded for recorded in inherited or () if recorded.seq <= row.fork_seq]
        async for recorded in read_all(store, row.id, after=row.fork_seq, updates=False):
            if isinstance(recorded.event, Label):
                own.append(recorded)
            elif isinstance(recorded.event, ChildStart) and recorded.event.child not in starters:
                try:
                    rows.append(await store.info(recorded.event.child))
                except UnknownSessionError:  # it was to be started when its parent's process ended
                    continue
                starters[recorded.event.child] = row.id
        rows += [fork async for fork in session_rows(store, parent=row.id)]
    return RelatedSessions(rows, starters, {name: project(LABELS, found) for name, found in labelled.items()})


async def read_labels(store: EventLog, session: str) -> Labels:
    """Read a session's bookmarks, inherited ones included."""
    labels = LABELS.initial
    async for recorded in read_all(store, session, updates=False):
        labels = LABELS.step(labels, recorded)
    return labels


async def session_tree(store: EventLog, session: str) -> Branch:
    """Arrange a session's family as a tree, from its first ancestor on."""
    rows, starters, labels = await related_sessions(store, session)
    return fork_tree(rows, labels, starters)[0]


async def follow_tree(log: EventLog, session: str, after: int = 0) -> AsyncIterator[tuple[str, Recorded]]:
    """Yield each event of a session and of its children, theirs included, with the session it belongs to; never ends.

    The events of one session come in their order, a child's after its `child_start`.
    """
    queue: asyncio.Queue[tuple[str, Recorded] | Exception] = asyncio.Queue()
    following: dict[str, asyncio.Task[None]] = {}

    async def follow(name: str, after: int) -> None:
        try:
            await _exists(log, name)
            async for recorded in log.follow(name, after):
                queue.put_nowait((name, recorded))
        except Exception as error:  # whoever reads is told
            queue.put_nowait(error)

    following[session] = asyncio.create_task(follow(session, after))
    try:
        while True:
            found = await queue.get()
            if isinstance(found, Exception):
                raise found
            yield found
            event = found[1].event
            if isinstance(event, ChildStart) and event.child not in following:
                following[event.child] = asyncio.create_task(follow(event.child, 0))
    finally:
        await stop(*following.values())


async def _exists(log: EventLog, session: str) -> None:
    """Wait until a child's session is made: its parent says so first."""
    while True:
        try:
            await log.info(session)
        except UnknownSessionError:
            await asyncio.sleep(_LOOK_S)
        else:
            return
