"""Watching the table of sessions: one look at what changes, for all who watch it, when the log tells of something."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Mapping, Sequence
from itertools import islice
from typing import TypeAlias

import msgspec

from eventsource.background import stop
from eventsource.envelope import SessionInfo
from eventsource.errors import UnknownSessionError
from eventsource.log.protocol import EventLog
from replay.lineage import count_forks

from ...status import find_statuses
from ...views.sessions import TableRow, session_row

SHOWN = 200
"""Rows that whoever begins to watch is told: those that were updated last. No more are told at once later."""
WATCHED = 50_000
"""Sessions that are watched, those that were updated last: of each some 300 bytes are kept while somebody watches."""
LOOK_S = 1.0
"""Between two looks where the log tells of nothing: that a process has ended is written nowhere."""
_PAUSE_S, _SHARE, _MOST_PAUSE_S = 0.05, 10, 2.0
"""Between two looks in any case, and so many times as long as the look took, up to so long."""
Tell: TypeAlias = "Callable[[TableBatch], None]"


class TableBatch(msgspec.Struct, frozen=True, kw_only=True):
    """Rows of the table that are new or have changed, and the ids of sessions that are gone.

    `watched`: how many sessions are watched. `more`: there are others, which were updated before all of these, and of
    which nothing is told until they change places.
    """

    sessions: tuple[TableRow, ...]
    gone: tuple[str, ...]
    watched: int
    more: bool


async def table_rows(store: EventLog, infos: Sequence[SessionInfo]) -> tuple[TableRow, ...]:
    """Make rows of the table."""
    stands = await find_statuses(store, infos)
    forks = await count_forks(store, [info.id for info in infos])
    return tuple([session_row(info, one, forks[info.id]) for info, one in zip(infos, stands, strict=True)])


class TableWatch:
    """Tells all who watch the table which of its rows change."""

    def __init__(self, store: EventLog) -> None:
        """Prepare; nothing is looked at until somebody watches. `looks` counts the looks at the log."""
        self._store = store
        self._joining: list[Tell] = []
        self._told: list[Tell] = []
        self._joined = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self.looks = 0

    async def watch(self, tell: Tell) -> None:
        """Tell of the rows that were updated last, then of those that change, until it is cancelled.

        Raises: StoreError when the log cannot be read any more.
        """
        self._joining.append(tell)
        self._joined.set()
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._look())
        task = self._task
        try:
            await asyncio.wait([task])
            task.result()
        finally:
            for those in (self._joining, self._told):
                if tell in those:
                    those.remove(tell)
            if not (self._joining or self._told) and self._task is task:
                self._task = None
                await stop(task)

    async def close(self) -> None:
        """Look no more."""
        if self._task is not None:
            await stop(self._task)

    async def _look(self) -> None:
        """Look whenever the log tells of something, now and then without, and when somebody comes."""
        loop, seen = asyncio.get_running_loop(), await self._store.wait_any()
        known, held = await self._read()
        while True:
            await self._greet(known)
            began_s = loop.time()
            found, holding = await self._read()
            took_s = loop.time() - began_s
            await self._tell_changes(known, found, held ^ holding)
            known, held = found, holding
            await asyncio.sleep(min(max(_PAUSE_S, _SHARE * took_s), _MOST_PAUSE_S))
            seen = await self._next(seen)

    async def _next(self, seen: int) -> int:
        """Wait for what the log tells, or for somebody who begins to watch."""
        self._joined.clear()
        if self._joining:
            return seen
        waits = [
            asyncio.ensure_future(self._store.wait_any(seen, LOOK_S)),
            asyncio.ensure_future(self._joined.wait()),
        ]
        try:
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
            first = waits[0]
            return int(first.result()) if first.done() else seen
        finally:
            await stop(*waits)

    async def _read(self) -> tuple[Mapping[str, object], frozenset[str]]:
        """Read the marks of the rows that are watched, and of which of them somebody runs the session."""
        self.looks += 1
        found = await self._store.row_marks(limit=WATCHED + 1)
        running = await self._store.sessions(status="running", limit=WATCHED)
        return found, frozenset(info.id for info in running)

    async def _greet(self, known: Mapping[str, object]) -> None:
        """Tell those who have come what there is; what has changed since `known` is told with the next look."""
        joining, self._joining = self._joining, []
        if joining:
            rows = await table_rows(self._store, await self._store.sessions(limit=SHOWN))
            _hand(joining, known, rows, ())
            self._told += joining

    async def _tell_changes(
        self, known: Mapping[str, object], found: Mapping[str, object], moved: Collection[str]
    ) -> None:
        watched = dict(islice(found.items(), WATCHED))
        changed = [name for name, mark in watched.items() if known.get(name) != mark or name in moved]
        away = [name for name in known if name not in found]
        gone = [name for name in away if len(found) <= WATCHED or not await self._is_there(name)]
        for start in range(0, max(len(changed), 1), SHOWN):
            some = changed[start : start + SHOWN]
            infos = list(await self._store.sessions(among=some, limit=SHOWN))
            parents = {info.parent for info in infos if info.parent is not None and info.id not in known}
            if others := parents.difference(some):  # they have a fork more
                infos += await self._store.sessions(among=others, limit=SHOWN)
            rows = await table_rows(self._store, infos)
            if rows or gone:
                _hand(self._told, found, rows, gone)
            gone = []

    async def _is_there(self, session: str) -> bool:
        try:
            await self._store.info(session)
        except UnknownSessionError:
            return False
        return True


def _hand(those: Sequence[Tell], marks: Mapping[str, object], rows: tuple[TableRow, ...], gone: Sequence[str]) -> None:
    batch = TableBatch(sessions=rows, gone=tuple(gone), watched=min(len(marks), WATCHED), more=len(marks) > WATCHED)
    for tell in list(those):
        tell(batch)
