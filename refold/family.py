"""A session's whole family: its first ancestor, all that was forked from it and all they started; their bookmarks."""

from __future__ import annotations

from collections.abc import AsyncIterator

from eventsource.envelope import SessionInfo
from eventsource.errors import UnknownSessionError
from eventsource.events import ChildStart, TaskStart
from eventsource.log.load import load, read_all
from eventsource.log.protocol import EventLog
from projections.tree import LABELS, Branch, Labels, fork_tree

PAGE = 500
"""Rows read at a time."""


async def rows_of(
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


async def started_by(store: EventLog, info: SessionInfo) -> str:
    """Name the session that started this one as its child; empty when none did. Reads the first event of a task."""
    if not info.task or info.parent is not None:
        return ""
    first = await store.read(info.id, limit=1, updates=False)
    return first[0].event.parent if first and isinstance(first[0].event, TaskStart) else ""


async def first_starter(store: EventLog, info: SessionInfo) -> SessionInfo:
    """Find the session that started this one, or the one that started that, up to the one that nobody started."""
    while parent := await started_by(store, info):
        try:
            info = await store.info(parent)
        except UnknownSessionError:  # it was deleted
            return info
    return info


async def family(store: EventLog, session: str) -> tuple[list[SessionInfo], dict[str, str]]:
    """Read the rows of a session's first ancestor, and of all that was forked from it or started by it.

    Returns: the rows, parents first; of each child the session that started it.
    """
    info = await first_starter(store, await store.info(session))
    while info.parent is not None:
        info = await first_starter(store, await store.info(info.parent))
    rows, starters = [info], dict[str, str]()
    for row in rows:  # grows while it is read
        async for recorded in read_all(store, row.id, after=row.fork_seq, updates=False):
            if isinstance(recorded.event, ChildStart) and recorded.event.child not in starters:
                try:
                    rows.append(await store.info(recorded.event.child))
                except UnknownSessionError:  # it was to be started when its parent's process ended
                    continue
                starters[recorded.event.child] = row.id
        rows += [fork async for fork in rows_of(store, parent=row.id)]
    return rows, starters


async def labels_of(store: EventLog, session: str) -> Labels:
    """Read a session's bookmarks, inherited ones included."""
    _, _, labels = await load(store, session, context=LABELS)
    return labels


async def family_tree(store: EventLog, session: str) -> Branch:
    """Arrange a session's family as a tree, from its first ancestor on."""
    rows, starters = await family(store, session)
    labels = {row.id: await labels_of(store, row.id) for row in rows}
    return fork_tree(rows, labels, starters)[0]
