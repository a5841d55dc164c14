"""The log in a database: what is the same in each. How it is connected, committed and locked is the store's own."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Callable, Collection, Mapping, Sequence
from functools import partial
from typing import TypeVar

from ...envelope import (
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
)
from ...errors import UnknownSessionError
from ...events import Event, EventBase, Fork, RepeatedTools
from ...messages import Usage
from ...user_code.argument_checks import checked
from ..digest import read_base
from ..encode import Updates, encode_append, encode_restored
from ..follow import Notifier, follow, wait_for_events
from ..lineage import MAX_SEQ
from ..load import kept_by_fork
from ..names import check_id, check_title
from ..warm import WarmFolds
from . import archive, called_tools, leases, removal, sessions as rows
from .append import append
from .connection import Sql
from .jobs import Job
from .last_facts import last_facts
from .queues import count_queues
from .reading import Page, check_seq, digest_at, heads_of
from .tails import Tails
from .verify import verify

T = TypeVar("T")


class SqlLog(ABC):
    """A log in a database; see `EventLog` for what each method promises."""

    clock: Callable[[], int]

    _read_only = False
    _take_due = staticmethod(leases.take_due)
    """Claims what is due, in the transaction that finds it."""

    def __init__(self, *, new_id: Callable[[], str], limit_bytes: int, tails: Tails | None = None) -> None:
        self._new_id, self._limit_bytes = new_id, limit_bytes
        self._notifier = Notifier(self._begin_watching)
        self._tails = Tails() if tails is None else tails
        self.folds = WarmFolds()

    @abstractmethod
    async def search(
        self, text: str, *, session: str | None = None, after: FoundText | None = None, limit: int = 100
    ) -> tuple[FoundText, ...]:
        """Find a text in what was said."""

    @abstractmethod
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

    @abstractmethod
    async def _catch_up(self) -> None:
        """Take into what the search uses whatever it lacks of all sessions."""

    @abstractmethod
    async def rebuild(self) -> int:
        """Compute again what follows from the events."""

    @abstractmethod
    async def vacuum(self) -> None:
        """Give back the room of what is there no more."""

    @abstractmethod
    async def backup(self, path: str) -> None:
        """Write a consistent copy to a new file."""

    @abstractmethod
    async def close(self) -> None:
        """Release every lease, and the store."""

    @abstractmethod
    def _check_usable(self) -> None:
        """Raises: StoreError when the log was closed, or belongs to another process."""

    @abstractmethod
    async def _write(self, job: Job[T]) -> T:
        """Make a change in a transaction. Raises: OutcomeUnknownError, StoreError."""

    @abstractmethod
    async def _read_with(self, work: Callable[[Sql], T]) -> T:
        """Read within one transaction that has ended when the answer is given. Raises: StoreError."""

    @abstractmethod
    async def _beside(self, work: Callable[[Sql], T]) -> T:
        """Do long reading beside whatever else goes on. Raises: StoreError."""

    @abstractmethod
    async def _owner_name(self) -> str:
        """Name the owner of leases that this opened log is, which others then see to live. Raises: StoreError."""

    @abstractmethod
    def _begin_watching(self) -> None:
        """Begin to tell the notifier what others append, as long as somebody waits."""

    @abstractmethod
    def _appended(self, session: str) -> None:
        """Note that a session has something new."""

    @abstractmethod
    def _removing(self) -> None:
        """Note that something is removed for ever with the next change."""

    @abstractmethod
    async def _removed(self) -> None:
        """Note that something was removed for ever, so that nothing is kept of it."""

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
        name = check_id(self._new_id() if session is None else session)
        row = rows.NewRow(name, check_title(title), created_at_us, started_by, check_title(source))
        made = partial(rows.create, tails=self._tails, row=row)
        await self._write(Job(made, session=name, durable=True))
        return await self.info(name)

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
        size = sum(len(part.lines) if isinstance(part, Updates) else len(part.body) for part in parts)

        def work(connection: Sql) -> int:
            return append(
                connection, self._tails, session, parts, expected=expected, epoch=epoch, key=key, behind=behind
            )

        job = Job(
            work, session=session, durable=durable, after=expected or 0, size_bytes=size, gives_head=key is None
        )  # a repeated key gives the first answer
        head = await self._write(job)
        if durable:
            self._appended(session)
        return head

    @checked()
    async def restore(self, session: str, events: Sequence[Restored]) -> int:
        """Append what another log held."""
        parts = encode_restored(session, events, limit_bytes=self._limit_bytes)

        def work(connection: Sql) -> int:
            return append(connection, self._tails, session, parts, expected=None, epoch=None, key=None)

        head = await self._write(Job(work, session=session, durable=True))
        self._appended(session)
        return head

    @checked()
    async def read(
        self, session: str, *, after: int = 0, upto: int | None = None, limit: int = 1000, updates: bool = True
    ) -> tuple[Recorded, ...]:
        """Read a page."""
        last = MAX_SEQ if upto is None else upto
        return await self._read_with(
            lambda connection: tuple(Page(connection, session).read(after, last, limit, updates=updates))
        )

    @checked()
    async def last_facts(
        self, sessions: Sequence[str], types: Collection[type[EventBase]], *, limit: int = 64
    ) -> tuple[tuple[Recorded, ...], ...]:
        """Read the ends of many sessions in one transaction."""
        return await self._read_with(lambda connection: last_facts(connection, sessions, types, limit=limit))

    @checked()
    async def dropped(self, session: str) -> tuple[tuple[int, int], ...]:
        """Name the ranges without content."""
        return await self._read_with(lambda connection: rows.dropped(connection, session))

    @checked()
    async def removed(self, session: str) -> Removed:
        """List what was dropped or erased of the session's own events."""
        return await self._read_with(lambda connection: rows.removed(connection, session))

    @checked()
    async def info(self, session: str) -> SessionInfo:
        """Read a session's row."""
        return await self._read_with(lambda connection: rows.info(connection, session))

    @checked()
    async def inherited_usage(self, sessions: Sequence[str]) -> tuple[Usage, ...]:
        """Read what histories had used where forks began."""
        return await self._read_with(
            lambda connection: tuple([rows.inherited_usage(connection, name) for name in sessions])
        )

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
        if tool is not None:
            await self._note_called_tools()
        listed = partial(
            rows.sessions,
            is_open=open,
            status=status,
            parent=parent,
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
            figures=figures,
            last=last,
            among=among,
            sort=sort,
            after=after,
            limit=limit,
        )
        return await self._read_with(listed)

    @checked()
    async def due(self, *, limit: int = 100, queues: Collection[str] | None = None) -> tuple[str, ...]:
        """Name sessions that a worker should look at."""
        return await self._read_with(lambda connection: rows.due(connection, limit, queues))

    @checked()
    async def due_since(
        self, *, limit: int = 100, queues: Collection[str] | None = None
    ) -> tuple[tuple[str, int], ...]:
        """Name them with the time."""
        return await self._read_with(lambda connection: rows.due_since(connection, limit, queues))

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
        if self._read_only or not await self._read_with(lambda connection: rows.due(connection, 1, queues)):
            return ()
        taken = partial(self._take_due, tails=self._tails, owner=await self._owner_name())
        work = partial(taken, limit=limit, ttl_us=ttl_us, tasks=tasks, queues=queues, but=but, limits=limits or {})
        return await self._write(Job(work, session="", durable=False))

    @checked()
    async def queues(self) -> tuple[QueueInfo, ...]:
        """Count what is due and what runs."""
        return await self._read_with(count_queues)

    @checked()
    async def resolve(self, name: str, *, prefix: bool = True) -> str:
        """Find a session by id, title or unique prefix."""
        return await self._read_with(lambda connection: rows.resolve(connection, name, prefix=prefix))

    @checked()
    async def named(self, name: str) -> str:
        """Find a session by its whole name, or create it."""
        try:
            return await self.resolve(name, prefix=False)
        except UnknownSessionError as error:
            if error.candidates:
                raise
        session, title = check_id(self._new_id()), check_title(name)
        made = partial(rows.named, tails=self._tails, name=title, session=session)
        return await self._write(Job(made, session=session, durable=True))

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
        name = check_id(self._new_id() if session is None else session)
        row = rows.NewRow(name, check_title(title), created_at_us, source=check_title(source), base=read_base(base))
        said = Fork(repeated_tools=repeated_tools)

        def work(connection: Sql) -> SessionInfo | None:
            begun = rows.fork(connection, self._tails, parent, at, at_us=at_us, row=row, keeps=keeps, said=said)
            return rows.info(connection, name) if begun else None

        while (info := await self._write(Job(work, session=name, durable=True))) is None:
            keeps = await kept_by_fork(self, parent, at)  # outside the transaction, since it may read the whole session
        return info

    @checked()
    async def cursor(self, session: str, seq: int | None = None) -> Cursor:
        """Return a place with its digest."""

        def work(connection: Sql) -> Cursor:
            head = check_seq(connection, session, seq or 0)
            at = head if seq is None else seq
            return Cursor(at, digest_at(connection, session, at).hex())

        return await self._read_with(work)

    @checked()
    def follow(self, session: str, after: Cursor | int = 0) -> AsyncIterator[Recorded]:
        """Yield every event after a place, for ever."""
        return follow(self, self._notifier, session, after)

    @checked()
    async def wait(self, session: str, after: int, timeout_s: float | None = None) -> bool:
        """Wait until a session goes on after a seq."""
        self._check_usable()
        return await wait_for_events(self._head, self._notifier, session, after, timeout_s)

    @checked()
    async def wait_any(self, seen: int = -1, timeout_s: float | None = None) -> int:
        """Wait until any session may have changed."""
        self._check_usable()
        found = await self._notifier.wait_any(seen, timeout_s)
        self._check_usable()
        return found

    @checked()
    async def row_marks(self, *, limit: int = 1000) -> dict[str, object]:
        """Read what differs when a row does."""
        return await self._read_with(lambda connection: rows.marks(connection, limit))

    @checked()
    async def claim(self, session: str, *, ttl_us: int = 30_000_000) -> Lease:
        """Take the right to run a session."""
        self._check_usable()
        owner = await self._owner_name()
        claimed = partial(leases.claim, tails=self._tails, session=session, owner=owner, ttl_us=ttl_us)
        return await self._write(Job(claimed, session=session, durable=False, appends=False))

    @checked()
    async def renew(self, lease: Lease, *, ttl_us: int = 30_000_000) -> Lease:
        """Prolong a lease, under the name that the owner has now: what others see of it may have gone meanwhile."""
        self._check_usable()
        owner = await self._owner_name()
        renewed = partial(leases.renew, tails=self._tails, lease=lease, owner=owner, ttl_us=ttl_us)
        return await self._write(Job(renewed, session=lease.session, durable=False, appends=False))

    @checked()
    async def release(self, lease: Lease, *, head: int | None = None) -> None:
        """Release a lease."""
        work = partial(leases.release, tails=self._tails, lease=lease, head=head)
        await self._write(Job(work, session=lease.session, durable=False, appends=False))

    @checked()
    async def verify(self, session: str | None = None, *, progress: TellVerified | None = None) -> VerifyReport:
        """Read everything again, beside whatever else goes on."""
        return await self._beside(lambda connection: verify(connection, session, progress))

    @checked()
    async def drop_updates(self, session: str) -> int:
        """Drop the updates of closed messages that no fork begins in."""

        def work(connection: Sql) -> int:
            return removal.drop_updates(connection, self._tails, session)

        return await self._write(Job(work, session=session, durable=True))

    @checked()
    async def erase(self, session: str, seq: int, *, at_us: int, reason: str = "") -> int:
        """Remove the content of an event for ever."""
        self._removing()

        def work(connection: Sql) -> int:
            return removal.erase(connection, self._tails, session, seq, at_us=at_us, reason=reason)

        head = await self._write(Job(work, session=session, durable=True))
        await self._removed()
        self._notifier.notify_all()
        return head

    @checked()
    async def delete(self, session: str) -> None:
        """Delete a session for ever."""
        self._removing()

        def work(connection: Sql) -> None:
            removal.delete(connection, self._tails, session)

        await self._write(Job(work, session=session, durable=True))
        await self._removed()

    @checked()
    async def archive(self, session: str, *, at_us: int) -> int:
        """Compress a closed session; what is packed is read beside whatever else goes on."""
        size_bytes: int | None = None
        while size_bytes is None:  # again, when the session has changed meanwhile
            packed = await self._beside(partial(archive.pack_session, session=session))
            put = partial(archive.put_away, tails=self._tails, session=session, packed=packed, at_us=at_us)
            size_bytes = await self._write(Job(put, session=session, durable=True, size_bytes=packed.size))
        return size_bytes

    async def beside(self, work: Callable[[Sql], T]) -> T:
        """Do long reading of rows in one transaction, beside whatever else goes on. Raises: StoreError."""
        return await self._beside(work)

    async def _note_called_tools(self) -> None:
        """Note which tools sessions call, if much of it is not noted; the rest is read by whoever asks."""
        if self._read_only or not await self._read_with(called_tools.is_behind):
            return
        await self._catch_up()
        number: int | None = 0
        while number is not None:
            work = partial(called_tools.take_archived, number=number)
            number = await self._write(Job(work, session="", durable=False, appends=False))

    async def _heads(self, sessions: Sequence[str]) -> dict[str, int]:
        return await self._read_with(lambda connection: heads_of(connection, sessions))

    async def _head(self, session: str) -> int:
        heads = await self._heads([session])
        if session not in heads:
            raise UnknownSessionError(session)
        return heads[session]
