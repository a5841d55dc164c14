"""The log in memory: the same promises as on disk, for as long as the process lives."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Collection, Mapping, Sequence
from hashlib import sha256
from itertools import islice

from ..codec import encode
from ..envelope import (
    Behind,
    Cursor,
    Figure,
    Finding,
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
from ..errors import (
    ConflictError,
    FencedError,
    HasForksError,
    SessionExistsError,
    StoreError,
    UnknownSeqError,
    UnknownSessionError,
)
from ..events import Erase, Event, EventBase, Fork, RepeatedTools
from ..messages import Usage
from ..user_code.argument_checks import checked
from .digest import read_base
from .encode import LIMIT_BYTES, UPDATES, encode_append, encode_restored
from .erased import erasable_updates, tombstone
from .follow import Notifier, follow, wait_for_events
from .lineage import MAX_SEQ, Segment, closed_messages, fork_points, segments
from .load import kept_by_fork
from .memory_queues import claimable, count_queues, due
from .memory_rows import Wanted, in_order
from .memory_search import Part, count, find, last
from .memory_session import MemorySession
from .names import check_id, check_title, choose, choose_whole
from .row import words_of
from .warm import WarmFolds

_OWNER = "this process"


class MemoryLog:
    """Sessions in a dict; see `EventLog` for what each method promises."""

    def __init__(self, *, clock: Callable[[], int], new_id: Callable[[], str], limit_bytes: int = LIMIT_BYTES) -> None:
        self.clock = self._clock = clock
        self._new_id = new_id
        self._limit_bytes = limit_bytes
        self._sessions: dict[str, MemorySession] = {}
        self._notifier = Notifier()
        self._made = self._updated = 0
        self.folds = WarmFolds()
        self._closed = False

    @checked()
    async def create(
        self,
        session: str | None = None,
        *,
        title: str = "",
        created_at_us: int | None = None,
        started_by: str = "",
        source: str = "",
    ) -> SessionInfo:
        """Create an empty session."""
        await self._turn()
        made = self._make(session, title, created_at_us, source)
        made.started_by = started_by
        if started_by in self._sessions:
            made.root = self._sessions[started_by].root
        return made.info(self._clock())

    @checked("events")
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
        """Append all or none."""
        parts = encode_append(session, events, durable=durable, limit_bytes=self._limit_bytes)
        await self._turn()
        found = self._get(session)
        if key is not None and key in found.keys:
            return found.keys[key]
        if epoch is not None and epoch != found.epoch:
            raise FencedError(session, epoch, found.epoch)
        if expected is not None and expected != found.head and not found.follows(expected, behind):
            raise ConflictError(session, expected, found.head)
        if found.head + len(events) > MAX_SEQ:
            raise StoreError(session, f"a session holds at most {MAX_SEQ} events", "go on in a fork")
        found.append(parts, outside=epoch is None)
        self._touch(found)
        if key is not None:
            found.keys[key] = found.head
        return found.head

    @checked()
    async def restore(self, session: str, events: Sequence[Restored]) -> int:
        """Append what another log held."""
        parts = encode_restored(session, events, limit_bytes=self._limit_bytes)
        await self._turn()
        found = self._get(session)
        found.append(parts)
        self._touch(found)
        return found.head

    @checked()
    async def read(
        self, session: str, *, after: int = 0, upto: int | None = None, limit: int = 1000, updates: bool = True
    ) -> tuple[Recorded, ...]:
        """Read a page."""
        await self._turn()
        page: list[Recorded] = []
        for segment in self._segments(session, after=after, upto=MAX_SEQ if upto is None else upto):
            own = self._sessions[segment.session]
            for seq in range(segment.first, min(segment.last, own.head) + 1):
                if len(page) >= limit:
                    return tuple(page)
                event = own.event(seq)
                if event is not None and (updates or type(event) not in UPDATES):
                    page.append(Recorded(seq, own.at_us(seq), event))
        return tuple(page)

    @checked()
    async def last_facts(
        self, sessions: Sequence[str], types: Collection[type[EventBase]], *, limit: int = 64
    ) -> tuple[tuple[Recorded, ...], ...]:
        """Read the ends of many sessions."""
        await self._turn()
        parts = ([] if name not in self._sessions else self._where(name) for name in sessions)
        return tuple(tuple(one for one in last(where, limit) if type(one.event) in types) for where in parts)

    @checked()
    async def dropped(self, session: str) -> tuple[tuple[int, int], ...]:
        """Name the ranges without content."""
        await self._turn()
        ranges: list[tuple[int, int]] = []
        for segment in self._segments(session):
            own = self._sessions[segment.session]
            for seq in range(segment.first, min(segment.last, own.head) + 1):
                if own.event(seq) is not None:
                    continue
                if ranges and ranges[-1][1] == seq - 1:
                    ranges[-1] = (ranges[-1][0], seq)
                else:
                    ranges.append((seq, seq))
        return tuple(ranges)

    @checked()
    async def removed(self, session: str) -> Removed:
        """List what was dropped or erased of the session's own events."""
        await self._turn()
        own = self._get(session)
        is_kept = own.parent is not None and not self._digest(own.parent, own.fork_seq)
        return own.removed(own.base_digest + own.base_updates if is_kept else b"")

    @checked()
    async def info(self, session: str) -> SessionInfo:
        """Read a session's row."""
        await self._turn()
        return self._get(session).info(self._clock())

    @checked()
    async def inherited_usage(self, sessions: Sequence[str]) -> tuple[Usage, ...]:
        """Read what histories had used where forks began."""
        await self._turn()
        return tuple(self._sessions[name].inherited if name in self._sessions else Usage() for name in sessions)

    @checked()
    async def sessions(
        self,
        *,
        open: bool | None = None,  # noqa: A002 - the protocol's word
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
        """List sessions, latest updated first."""
        await self._turn()
        ordered = in_order(self._sessions.values(), sort)
        if after is not None:
            ordered = ordered[ordered.index(self._get(after)) + 1 :]
        if tree is not None:
            root = self._sessions[tree].root if tree in self._sessions else None
            ordered = [one for one in ordered if one.root == root]
        if tool is not None:
            ordered = [one for one in ordered if self._calls(one.id, tool.casefold())]
        wanted = Wanted(
            open, status, parent, source, imported_from, title, task, agent, folder, branch, model, figures, last, among
        )
        infos = (one.info(self._clock()) for one in ordered)
        return tuple(islice(filter(wanted.has, infos), max(limit, 0)))

    def _calls(self, session: str, tool: str) -> bool:
        """Return whether a history has a call of a tool, named in one case."""
        return any(own.called.get(tool, MAX_SEQ + 1) <= last for own, _, last in self._where(session))

    @checked()
    async def search(
        self, text: str, *, session: str | None = None, after: FoundText | None = None, limit: int = 100
    ) -> tuple[FoundText, ...]:
        """Find a text in what was said."""
        await self._turn()
        return find(self._where(session), text, after, limit)

    @checked()
    async def count_found(
        self,
        text: str,
        *,
        sessions: Sequence[str] | None = None,
        inherited: bool = False,
        most: int = 1,
        limit: int = 1000,
    ) -> tuple[FoundCount, ...]:
        """Count what the search finds in each session."""
        await self._turn()
        names = reversed(self._sessions) if sessions is None else [name for name in sessions if name in self._sessions]
        within = ((name, self._where(name)) for name in names)
        found = count(within if inherited else ((name, parts[:1]) for name, parts in within), text, most)
        return tuple(found if sessions is not None else islice(found, max(limit, 0)))

    def _where(self, session: str | None) -> list[Part]:
        """List where to look for a text, the latest first."""
        if session is None:
            return [(own, 1, MAX_SEQ) for own in reversed(self._sessions.values())]
        return [(self._get(name), first, last) for name, first, last in reversed(self._segments(session))]

    @checked()
    async def due(self, *, limit: int = 100, queues: Collection[str] | None = None) -> tuple[str, ...]:
        """Name sessions that a worker should look at."""
        return tuple(name for name, _ in await self.due_since(limit=limit, queues=queues))

    @checked()
    async def due_since(
        self, *, limit: int = 100, queues: Collection[str] | None = None
    ) -> tuple[tuple[str, int], ...]:
        """Name them with the time."""
        await self._turn()
        found = due(self._sessions, self._clock(), queues)[:limit]
        return tuple((one.id, one.due_at_us or 0) for one in found)

    @checked()
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
        """Claim sessions that are due."""
        await self._turn()
        found = claimable(
            self._sessions, self._clock(), limit=limit, tasks=tasks, queues=queues, but=but, limits=limits or {}
        )
        return tuple(self._claim(one, ttl_us) for one in found)

    @checked()
    async def queues(self) -> tuple[QueueInfo, ...]:
        """Count what is due and what runs."""
        await self._turn()
        return count_queues(self._sessions, self._clock())

    @checked()
    async def resolve(self, name: str, *, prefix: bool = True) -> str:
        """Find a session by id, title or unique prefix."""
        await self._turn()
        return self._resolve(name, prefix=prefix)

    @checked()
    async def named(self, name: str) -> str:
        """Find a session by its whole name, or create it."""
        await self._turn()
        try:
            return self._resolve(name, prefix=False)
        except UnknownSessionError as error:
            if error.candidates:
                raise
        return self._make(None, name).id

    def _resolve(self, name: str, *, prefix: bool) -> str:
        if name in self._sessions and prefix:
            return name
        titled = [one.id for one in self._sessions.values() if one.folds.title == name]
        if not prefix:
            return choose_whole(name, titled, is_id=name in self._sessions)
        prefixed = [one for one in self._sessions if one.startswith(name)]
        return choose(name, titled, prefixed or [one.id for one in self._sessions.values() if one.given == name])

    @checked()
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
        """Begin a session at a seq of another."""
        await self._turn()
        head = self._get(parent).head
        if not 0 <= at <= head:
            raise UnknownSeqError(parent, at, head)
        folds = self._owner_of(parent, at).folds_at(at) if at else MemorySession.no_folds()
        if keeps is None:
            keeps = await kept_by_fork(self, parent, at) if folds.has_messages else ()
        digest = self._digest(parent, at)
        updates = self._owner_of(parent, at).updates_at(at) if at else b""
        if not digest:
            if not base:
                raise UnknownSeqError(parent, at, head, "no fork can begin among updates that were dropped")
            digest, updates = read_base(base)[:32], read_base(base)[32:]
        made = self._make(session, title, created_at_us, source)
        made.begin(parent, at, digest, updates, folds)
        made.root = self._sessions[parent].root
        made.first_words = self._sessions[parent].first_words if folds.first_seq else ""
        begins = [(at_us, Fork(keeps=tuple(keeps), repeated_tools=repeated_tools))]
        made.append(encode_append(made.id, begins, durable=True, limit_bytes=self._limit_bytes))
        self._touch(made)
        return made.info(self._clock())

    @checked()
    async def cursor(self, session: str, seq: int | None = None) -> Cursor:
        """Return a place with its digest."""
        await self._turn()
        head = self._get(session).head
        seq = head if seq is None else seq
        if not 0 <= seq <= head:
            raise UnknownSeqError(session, seq, head)
        return Cursor(seq, self._digest(session, seq).hex())

    @checked()
    def follow(self, session: str, after: Cursor | int = 0) -> AsyncIterator[Recorded]:
        """Yield every event after a place, for ever."""
        return follow(self, self._notifier, session, after)

    @checked()
    async def wait(self, session: str, after: int, timeout_s: float | None = None) -> bool:
        """Wait until a session goes on after a seq."""
        return await wait_for_events(self._head, self._notifier, session, after, timeout_s)

    async def _head(self, session: str) -> int:
        await self._turn()
        return self._get(session).head

    @checked()
    async def wait_any(self, seen: int = -1, timeout_s: float | None = None) -> int:
        """Wait until any session may have changed."""
        await self._turn()
        found = await self._notifier.wait_any(seen, timeout_s)
        await self._turn()
        return found

    @checked()
    async def row_marks(self, *, limit: int = 1000) -> dict[str, object]:
        """Read what differs when a row does."""
        return {info.id: info for info in await self.sessions(limit=limit)}

    @checked()
    async def claim(self, session: str, *, ttl_us: int = 30_000_000) -> Lease:
        """Take the right to run a session."""
        await self._turn()
        found = self._get(session)
        found.check_free(self._clock())
        return self._claim(found, ttl_us)

    def _claim(self, found: MemorySession, ttl_us: int) -> Lease:
        found.epoch += 1
        found.lease(_OWNER, self._clock() + ttl_us)
        return Lease(found.id, _OWNER, found.epoch, found.expires_at_us)

    @checked()
    async def renew(self, lease: Lease, *, ttl_us: int = 30_000_000) -> Lease:
        """Prolong a lease."""
        await self._turn()
        found = self._get(lease.session)
        if found.epoch != lease.epoch or found.owner != lease.owner:
            raise FencedError(lease.session, lease.epoch, found.epoch)
        found.lease(lease.owner, self._clock() + ttl_us)
        return Lease(lease.session, lease.owner, lease.epoch, found.expires_at_us)

    @checked()
    async def release(self, lease: Lease, *, head: int | None = None) -> None:
        """Release a lease."""
        await self._turn()
        found = self._sessions.get(lease.session)
        if found is not None and (found.epoch, found.owner) == (lease.epoch, lease.owner):
            found.free(head, self._clock())

    @checked()
    async def verify(self, session: str | None = None, *, progress: TellVerified | None = None) -> VerifyReport:
        """Compute every digest again."""
        await self._turn()
        names = list(self._sessions) if session is None else [one.session for one in self._segments(session)]
        findings: list[Finding] = []
        facts = updates = 0
        tell = progress or (lambda heard: None)
        for done, name in enumerate(names):
            tell(so_far(done, len(names), facts, updates, findings))
            own = self._sessions[name]
            findings += own.verify(self._limit_bytes)
            if own.parent is not None and self._digest(own.parent, own.fork_seq) not in (b"", own.base_digest):
                findings.append(Finding(session=name, seq=own.fork_seq, problem="what the fork inherits was changed"))
            facts += own.facts
            updates += own.head - own.fork_seq - own.facts
        tell(so_far(len(names), len(names), facts, updates, findings))
        return VerifyReport(sessions=len(names), facts=facts, updates=updates, findings=tuple(findings))

    @checked()
    async def drop_updates(self, session: str) -> int:
        """Drop the updates of closed messages that no fork begins in."""
        await self._turn()
        own = self._get(session)
        own.archived_at_us = None
        points = fork_points({one.id: (one.parent, one.fork_seq) for one in self._sessions.values()}, session)
        count = sum(
            own.drop(erasable_updates(own.recorded(), end))
            for start, end in closed_messages(own.recorded())
            if not any(start <= point < end for point in points)
        )
        if count:
            self._note_removal(own, own.fork_seq + 1)
        return count

    def _note_removal(self, own: MemorySession, seq: int) -> None:
        """Count a removal in each session that sees a session's own seq; first words that were there are gone."""
        for one in self._sessions.values():
            segments = self._segments(one.id, after=seq - 1, upto=seq)
            if segments and segments[0].session == own.id:
                one.removals += 1
                event = own.event(seq)
                if one.folds.first_seq == seq and event is not None:
                    one.first_words = words_of(event)

    @checked()
    async def erase(self, session: str, seq: int, *, at_us: int, reason: str = "") -> int:
        """Remove the content of an event for ever."""
        await self._turn()
        head = self._get(session).head
        if not 1 <= seq <= head:
            raise UnknownSeqError(session, seq, head)
        own = self._owner_of(session, seq)
        event = own.event(seq)
        if event is None or type(event) in UPDATES:
            raise UnknownSeqError(session, seq, head, "an update is erased with its message or call, not alone")
        shape = tombstone(event)
        if shape == event:
            raise UnknownSeqError(session, seq, head, "the event holds nothing to erase")
        left = sha256(encode(shape)).hexdigest()
        fact = [(at_us, Erase(target_seq=seq, reason=reason, shape_sha256=left))]
        parts = encode_append(own.id, fact, durable=True, limit_bytes=self._limit_bytes)
        own.drop(erasable_updates(own.recorded(), seq))
        own.replace(seq, shape)
        own.append(parts)
        self._touch(own)
        for one in self._sessions.values():
            one.refold()
        self._note_removal(own, seq)
        return own.head

    @checked()
    async def delete(self, session: str) -> None:
        """Delete a session for ever."""
        await self._turn()
        found = self._get(session)
        forks = tuple(one.id for one in self._sessions.values() if one.parent == session)
        if forks:
            raise HasForksError(session, forks)
        found.check_free(self._clock())
        del self._sessions[session]
        self._notifier.notify(session)

    @checked()
    async def archive(self, session: str, *, at_us: int) -> int:
        """Note that a closed session is archived: nothing here takes room on a disk."""
        await self._turn()
        found = self._get(session)
        found.check_free(self._clock())
        found.archive(at_us)
        return 0

    async def vacuum(self) -> None:
        """Do nothing: what is removed here takes no room."""
        await self._turn()

    async def rebuild(self) -> int:
        """Compute the folds again."""
        return sum(1 for one in self._sessions.values() if one.refold())

    @checked()
    async def backup(self, path: str) -> None:
        """Refuse: there is no file to copy."""
        raise StoreError(path, "a log in memory has no file to copy", "open the log with a path")

    async def close(self) -> None:
        """Release every lease."""
        self._closed = True
        self._notifier.notify_all()
        for session in self._sessions.values():
            if session.owner:
                session.free(None, self._clock())

    async def _turn(self) -> None:
        """Let other tasks run; the only place at which a call can be cancelled, and nothing has happened yet."""
        if self._closed:
            raise StoreError("the log in memory", "it was closed", "open a new one")
        await asyncio.sleep(0)

    def _get(self, session: str) -> MemorySession:
        found = self._sessions.get(session)
        if found is None:
            raise UnknownSessionError(session)
        return found

    def _make(
        self, session: str | None, title: str, created_at_us: int | None = None, source: str = ""
    ) -> MemorySession:
        name = check_id(self._new_id() if session is None else session)
        check_title(source)
        of_source = (one.id for one in self._sessions.values() if source and one.source == source)
        there = name if name in self._sessions else next(of_source, "")
        if there:
            raise SessionExistsError(there)
        made = self._sessions[name] = MemorySession(
            name, check_title(title), self._clock() if created_at_us is None else created_at_us
        )
        made.source = source
        self._made += 1
        made.number = self._made
        self._touch(made)
        return made

    def _touch(self, session: MemorySession) -> None:
        self._updated += 1
        session.touched = self._updated
        self._notifier.notify(session.id)

    def _segments(self, session: str, *, after: int = 0, upto: int = MAX_SEQ) -> list[Segment[str]]:
        chain: list[tuple[str, int]] = []
        at: str | None = session
        while at is not None:
            own = self._get(at)
            chain.append((at, own.fork_seq))
            at = own.parent
        return segments(chain, after=after, upto=upto)

    def _owner_of(self, session: str, seq: int) -> MemorySession:
        return self._sessions[self._segments(session, after=seq - 1, upto=seq)[0].session]

    def _digest(self, session: str, seq: int) -> bytes:
        if seq == 0:
            return MemorySession.no_digest()
        return self._owner_of(session, seq).digest_at(seq)
