"""A log that a server has, read over HTTP as one that is here; what may be said to its sessions goes over HTTP too."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from contextlib import aclosing
from typing import Literal, NoReturn

import msgspec

from eventsource.codec import from_json
from eventsource.envelope import (
    Behind,
    Cursor,
    Figure,
    FoundCount,
    FoundText,
    Lease,
    QueueInfo,
    Recorded,
    Removed,
    Restored,
    SessionInfo,
    SessionSort,
    TellVerified,
    VerifyReport,
    so_far,
)
from eventsource.errors import StoreError
from eventsource.events import AbortRequest, Event, EventBase, Label, QueuePush, RepeatedTools, WaitEnd
from eventsource.log.defaults import utc_now_us
from eventsource.log.warm import WarmFolds
from eventsource.messages import Usage
from projections.usage import Spent

from ..http.interface.events import SentEvent
from ..http.interface.overviews import RunList, RunsQuery, UsageEntries, UsageQuery
from ..http.interface.sessions import (
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
from ..http.interface.values import MOST
from ..http.interface.verbs import ForkBody
from ..spending import SpendingEntry, SpentBy, local_day
from ..tasks.run_fields import TaskRunFields, TaskRunStatus
from .connection import Connection, path_of
from .following import follow, recorded_of
from .session import ClientSession

_VERIFY_S = 3600.0
"""For all of a log to be verified."""
_ADVICE = (
    "steer, follow_up, send, abort, cancel, label, decide, complete, fork and edit go over HTTP, and `refold.client` "
    "runs and triggers; for anything else, open the log where it is"
)


class RemoteLog:
    """An `EventLog` on a server: all that reads, and the appends of the verbs that a server takes.

    An append is one of these verbs, done there with the server's clock: messages, an abort, a label, a decision. Who
    claims sessions, writes runs or looks after the file opens the log where it is.
    """

    def __init__(self, connection: Connection) -> None:
        """Take the way to a server; nothing is asked yet."""
        self.folds, self.clock = WarmFolds(), utc_now_us
        self._connection = connection

    async def close(self) -> None:
        """Close what is open."""
        await self._connection.close()

    async def read(
        self, session: str, *, after: int = 0, upto: int | None = None, limit: int = 1000, updates: bool = True
    ) -> tuple[Recorded, ...]:
        """Read a page of events; see `EventLog.read`."""
        return await self._session(session).events(after=after, upto=upto, limit=limit, updates=updates)

    async def last_facts(
        self, sessions: Sequence[str], types: Collection[type[EventBase]], *, limit: int = 64
    ) -> tuple[tuple[Recorded, ...], ...]:
        """Read the ends of many sessions at once; see `EventLog.last_facts`."""
        names = tuple(str(kind.__struct_config__.tag) for kind in types)
        found: list[tuple[Recorded, ...]] = []
        for at in range(0, len(sessions), MOST):
            some = tuple(sessions[at : at + MOST])
            body = FactsBody(some, names, limit)
            page = await self._connection.post("/v1/last-facts", LastFacts, body, may_repeat=True)
            found += (_recorded(name, facts) for name, facts in zip(some, page.facts, strict=True))
        return tuple(found)

    async def dropped(self, session: str) -> tuple[tuple[int, int], ...]:
        """Ranges (first seq, last seq) of updates whose content was dropped or erased."""
        return (await self._connection.get(path_of(session, "dropped"), DroppedRanges)).dropped

    async def removed(self, session: str) -> Removed:
        """List what was dropped or erased of the session's own events."""
        return await self._connection.get(path_of(session, "removed"), Removed)

    async def info(self, session: str) -> SessionInfo:
        """Read a session's row."""
        return await self._connection.get(path_of(session), SessionInfo, RowQuery(stands=False))

    async def inherited_usage(self, sessions: Sequence[str]) -> tuple[Usage, ...]:
        """Read what the histories of forks had used where they began; see `EventLog.inherited_usage`."""
        found: list[Usage] = []
        for at in range(0, len(sessions), MOST):
            body = InheritedBody(tuple(sessions[at : at + MOST]))
            found += (await self._connection.post("/v1/inherited-usage", InheritedUsages, body, may_repeat=True)).usages
        return tuple(found)

    async def sessions(
        self,
        *,
        open: bool | None = None,  # noqa: A002 - the word users know
        status: str | Collection[str] | None = None,
        parent: str | Collection[str] | None = None,
        tree: str | None = None,
        source: str | None = None,
        imported_from: str | None = None,
        title: str | None = None,
        task: str | None = None,
        agent: str | None = None,
        folder: str | None = None,
        branch: str | None = None,
        model: str | None = None,
        tool: str | None = None,
        figures: Sequence[Figure] = (),
        last: Collection[str] | None = None,
        among: Collection[str] | None = None,
        sort: SessionSort = "updated",
        after: str | None = None,
        limit: int = 100,
    ) -> tuple[SessionInfo, ...]:
        """List sessions, latest updated first; see `EventLog.sessions`."""
        found: list[SessionInfo] = []
        while (left := limit - len(found)) > 0:
            query = ListQuery(
                open=open,
                status=status if status is None or isinstance(status, str) else ",".join(status),
                parent=parent if parent is None or isinstance(parent, str) else " ".join(parent),
                tree=tree,
                source=source,
                imported_from=imported_from,
                title=title,
                task=task,
                agent=agent,
                folder=folder,
                branch=branch,
                model=model,
                tool=tool,
                figures=",".join(f"{one.name}{one.sign}{one.value}" for one in figures) or None,
                last=None if last is None else ",".join(last),
                among=None if among is None else " ".join(among),
                sort=sort,
                after=after,
                limit=min(left, MOST),
                stands=False,
            )
            page = await self._connection.get("/v1/sessions", SessionPage, query)
            found += map(_info, page.sessions)
            if page.next is None:
                break
            after = page.next
        return tuple(found)

    async def search(
        self, text: str, *, session: str | None = None, after: FoundText | None = None, limit: int = 100
    ) -> tuple[FoundText, ...]:
        """Find a text, in any case, in what was said; see `EventLog.search`."""
        found: list[FoundText] = []
        place = msgspec.json.encode(after).decode() if after is not None else None
        while (left := limit - len(found)) > 0:
            query = SearchQuery(text, session, place, min(left, MOST))
            page = await self._connection.get("/v1/search", SearchPage, query)
            found += page.found
            if page.next is None:
                break
            place = page.next
        return tuple(found)

    async def count_found(
        self,
        text: str,
        *,
        sessions: Sequence[str] | None = None,
        inherited: bool = False,
        most: int = 1,
        limit: int = MOST,
    ) -> tuple[FoundCount, ...]:
        """Count what `search` finds in each session, 1,000 at most; see `EventLog.count_found`."""
        most, limit, found = min(most, MOST), min(limit, MOST), list[FoundCount]()
        for at in range(0, len(sessions), MOST) if sessions is not None else (0,):
            some = tuple(sessions[at : at + MOST]) if sessions is not None else None
            body = CountBody(text, some, inherited, most, limit)
            found += (await self._connection.post("/v1/count-found", FoundCounts, body, may_repeat=True)).counts
        return tuple(found)

    async def total_spending(self, by: SpentBy, *, since_us: int = 0) -> list[SpendingEntry]:
        """Let the server add up what all sessions spent; see `refold.spending.total_spending`."""
        query = UsageQuery(by, since_us)
        found = await self._connection.get("/v1/usage", UsageEntries, query, wait_s=_VERIFY_S)
        sums: dict[tuple[str, str, str], Spent] = {}
        for one in found.entries:
            key = (one.session, local_day(one.at_us) if one.at_us is not None else "", one.model)
            sums[key] = sums.get(key, Spent()) + one.spent
        return [SpendingEntry(session=key[0], day=key[1], model=key[2], spent=spent) for key, spent in sums.items()]

    async def task_runs(
        self,
        *,
        status: TaskRunStatus | None,
        task: str | None,
        tag: str | None,
        unfinished: bool | None,
        after: str | None,
        limit: int,
    ) -> list[TaskRunFields]:
        """List runs of tasks; see `refold.tasks.runs`."""
        found: list[TaskRunFields] = []
        for start in range(0, limit, MOST):
            query = RunsQuery(status, task, tag, unfinished, after, min(limit - start, MOST))
            page = await self._connection.get("/v1/runs", RunList, query, wait_s=_VERIFY_S)
            found += page.runs
            if page.next is None:
                break
            after = page.next
        return found

    async def due(self, *, limit: int = 100, queues: Collection[str] | None = None) -> tuple[str, ...]:
        """Name sessions that a worker should look at now, by the server's clock; at most 1,000, and of all queues.

        Raises: StoreError when some queues are named.
        """
        if queues is not None:
            self._refuse("queues cannot be told apart")
        return (await self._connection.get("/v1/due", DueSessions, DueQuery(min(limit, MOST)))).due

    async def resolve(self, name: str, *, prefix: bool = True) -> str:
        """Find the id of a session; see `EventLog.resolve`."""
        return (await self._connection.get("/v1/find", Found, FindQuery(name, prefix))).session

    async def cursor(self, session: str, seq: int | None = None) -> Cursor:
        """Return the cursor at a seq (the head by default), with its digest."""
        return await self._connection.get(path_of(session, "cursor"), Cursor, CursorQuery(seq))

    def follow(self, session: str, after: Cursor | int = 0) -> AsyncIterator[Recorded]:
        """Yield every event after a place, for ever, over lost connections too; see `EventLog.follow`."""
        return follow(self._connection, session, after)

    async def wait(self, session: str, after: int, timeout_s: float | None = None) -> bool:
        """Wait until there may be an event after a seq; see `EventLog.wait`."""
        if (await self.info(session)).head > after:
            return True
        try:
            async with asyncio.timeout(timeout_s), aclosing(follow(self._connection, session, after)) as events:
                async for _ in events:
                    break
        except TimeoutError:
            return False
        return True

    async def verify(self, session: str | None = None, *, progress: TellVerified | None = None) -> VerifyReport:
        """Let the server read everything again and find any changed, missing, swapped or added byte, and where.

        `progress` hears of the end alone.
        """
        path = "/v1/verify" if session is None else path_of(session, "verify")
        report = await self._connection.get(path, VerifyReport, wait_s=_VERIFY_S)
        if progress is not None:
            progress(so_far(report.sessions, report.sessions, report.facts, report.updates, report.findings))
        return report

    async def append(
        self,
        session: str,
        events: Sequence[tuple[int, Event]],
        *,
        expected: int | None = None,
        epoch: int | None = None,
        key: str | None = None,
        durable: bool = True,
        behind: Behind | None = None,
    ) -> int:
        """Append what a verb says, by that verb. Raises: StoreError for what goes over HTTP by none."""
        there = self._session(session)
        match [event for _, event in events]:
            case _ if epoch is not None or behind is not None:
                self._refuse("a run cannot be recorded")
            case [QueuePush(queue=queue), *rest] as pushes if queue != "output" and all(
                isinstance(one, QueuePush) and one.queue == queue for one in rest
            ):
                said = [one.message for one in pushes if isinstance(one, QueuePush)]
                return await there.push(queue, said, key=key, expected=expected)
            case [AbortRequest(cause="cancel", error=why)]:
                return await there.cancel(why, expected=expected)
            case [AbortRequest(cause="person") as asked]:
                return await there.abort(asked.reason, error=asked.error, by=asked.by, expected=expected)
            case [Label(text=text, target_seq=seq)]:
                return await there.label(text, seq or None, expected=expected)
            case [WaitEnd(outcome=("completed" | "cancelled") as outcome, push_seq=0) as end]:
                return await self._decide(there, end, outcome, expected)
            case others:
                self._refuse(f"{', '.join(sorted({one.type for one in others})) or 'nothing'} cannot be appended")

    async def fork(
        self,
        parent: str,
        at: int,
        *,
        at_us: int,
        session: str | None = None,
        title: str = "",
        keeps: Sequence[int] | None = None,
        repeated_tools: RepeatedTools | None = None,
        created_at_us: int | None = None,
        source: str = "",
        base: str = "",
    ) -> SessionInfo:
        """Begin a session that shares its parent's events up to `at`; see `EventLog.fork`. Imports are refused."""
        if created_at_us is not None or source or base:
            self._refuse("a session cannot be imported")
        kept = None if keeps is None else tuple(keeps)
        body = ForkBody(at=at, title=title, name=session, keeps=kept, tools=repeated_tools)
        return await self._connection.post(path_of(parent, "forks"), SessionInfo, body)

    async def create(
        self,
        session: str | None = None,
        *,
        title: str = "",
        created_at_us: int | None = None,
        started_by: str = "",
        source: str = "",
    ) -> SessionInfo:
        """Refuse: whoever makes a session here would also have to run it here. Raises: StoreError."""
        self._refuse("a session cannot be made")

    async def named(self, name: str) -> str:
        """Find the id of a session by its whole name, as `resolve(prefix=False)` does; none is made.

        Raises: UnknownSessionError.
        """
        return await self.resolve(name, prefix=False)

    async def restore(self, session: str, events: Sequence[Restored]) -> int:
        """Refuse. Raises: StoreError."""
        self._refuse("a session cannot be imported")

    async def take_due(
        self,
        *,
        limit: int = 1,
        ttl_us: int = 30_000_000,
        tasks: Collection[str] | None = None,
        queues: Collection[str] | None = None,
        but: Collection[str] = (),
        limits: Mapping[str, int] | None = None,
    ) -> tuple[Lease, ...]:
        """Refuse. Raises: StoreError."""
        self._refuse("nothing can be run")

    async def due_since(
        self, *, limit: int = 100, queues: Collection[str] | None = None
    ) -> tuple[tuple[str, int], ...]:
        """Refuse. Raises: StoreError."""
        self._refuse("a server does not say since when sessions are due")

    async def queues(self) -> tuple[QueueInfo, ...]:
        """Refuse. Raises: StoreError."""
        self._refuse("queues cannot be counted")

    async def wait_any(self, seen: int = -1, timeout_s: float | None = None) -> int:
        """Refuse: a server tells of its sessions one by one. Raises: StoreError."""
        self._refuse("all sessions cannot be waited for at once")

    async def row_marks(self, *, limit: int = 1000) -> dict[str, object]:
        """Return the rows. Raises: StoreError."""
        return {info.id: info for info in await self.sessions(limit=limit)}

    async def claim(self, session: str, *, ttl_us: int = 30_000_000) -> Lease:
        """Refuse. Raises: StoreError."""
        self._refuse("nothing can be run")

    async def renew(self, lease: Lease, *, ttl_us: int = 30_000_000) -> Lease:
        """Refuse. Raises: StoreError."""
        self._refuse("nothing can be run")

    async def release(self, lease: Lease, *, head: int | None = None) -> None:
        """Ignore: a lease of this log there is none."""

    async def drop_updates(self, session: str) -> int:
        """Refuse. Raises: StoreError."""
        self._refuse("nothing can be dropped")

    async def erase(self, session: str, seq: int, *, at_us: int, reason: str = "") -> int:
        """Refuse. Raises: StoreError."""
        self._refuse("nothing can be erased")

    async def delete(self, session: str) -> None:
        """Refuse. Raises: StoreError."""
        self._refuse("nothing can be deleted")

    async def archive(self, session: str, *, at_us: int) -> int:
        """Refuse. Raises: StoreError."""
        self._refuse("nothing can be archived")

    async def vacuum(self) -> None:
        """Refuse. Raises: StoreError."""
        self._refuse("its file cannot be looked after")

    async def rebuild(self) -> int:
        """Refuse. Raises: StoreError."""
        self._refuse("its file cannot be looked after")

    async def backup(self, path: str) -> None:
        """Refuse. Raises: StoreError."""
        self._refuse("its file cannot be copied")

    def _session(self, session: str) -> ClientSession:
        return ClientSession(self._connection, session)

    async def _decide(
        self, session: ClientSession, end: WaitEnd, outcome: Literal["completed", "cancelled"], expected: int | None
    ) -> int:
        return await session.decide(
            f"{session.id}:{end.key}",
            from_json(end.value),
            outcome=outcome,
            decided_by=end.decided_by,
            expected=expected,
        )

    def _refuse(self, what: str) -> NoReturn:
        raise StoreError(self._connection.address.shown, f"this log is read over HTTP: {what} from here", _ADVICE)


def _info(row: SessionRow) -> SessionInfo:
    return SessionInfo(**{name: getattr(row, name) for name in SessionInfo.__struct_fields__})


def _recorded(session: str, facts: Sequence[SentEvent]) -> tuple[Recorded, ...]:
    return tuple(recorded_of(one, session) for one in facts)
