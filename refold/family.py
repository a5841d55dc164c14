"""A session's whole family: its first ancestor and all that was forked from it, with their bookmarks."""

from __future__ import annotations

from collections.abc import AsyncIterator

from eventsource.loading import load
from eventsource.ports import EventLog, SessionInfo
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


async def family(store: EventLog, session: str) -> list[SessionInfo]:
    """Read the rows of a session's first ancestor and of everything forked from it, parents first."""
    info = await store.info(session)
    while info.parent is not None:
        info = await store.info(info.parent)
    rows = [info]
    for row in rows:  # grows while it is read
        rows += [fork async for fork in rows_of(store, parent=row.id)]
    return rows


async def labels_of(store: EventLog, session: str) -> Labels:
    """Read a session's bookmarks, inherited ones included."""
    _, _, labels = await load(store, session, context=LABELS)
    return labels


async def family_tree(store: EventLog, session: str) -> Branch:
    """Arrange a session's family as a tree, from its first ancestor on."""
    rows = await family(store, session)
    labels = {row.id: await labels_of(store, row.id) for row in rows}
    return fork_tree(rows, labels)[0]
