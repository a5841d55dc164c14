"""The protocol every store of events keeps."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Collection, Mapping, Sequence
from typing import Protocol

from ..envelope import (
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
from ..events import Event, EventBase, RepeatedTools
from ..messages import Usage
from .warm import WarmFolds


class EventLog(Protocol):
    """An append-only store of sessions.

    Every method may be cancelled: it has then happened or not, and the log can be used on.
    Every method that names a session takes its exact id (see `resolve`) and raises UnknownSessionError.
    """

    clock: Callable[[], int]
    """Gives the time by which the log says what is due, as it is known here: UTC in microseconds."""

    folds: WarmFolds
    """What whoever reads this opened log keeps folded: made by `WarmFolds()`, and of no concern to the store."""

    async def create(
        self,
        session: str | None = None,
        *,
        title: str = "",
        created_at_us: int | None = None,
        started_by: str = "",
        source: str = "",
    ) -> SessionInfo:
        """Create an empty session; without an id, one is made (random, lower case letters and digits).

        `created_at_us`: when it was, of one that is imported; `source`: what it was imported from, by which it is found
        again. `started_by`: the session whose child it is, to whose tree it then belongs.

        Raises: SessionExistsError, with the session that has this id or this source.
        """
        ...

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
        """Append (at_us, event) pairs, all or none; on disk when it returns, unless `durable=False`.

        `durable=False` is for updates, and for an assistant's `message_start` before them, only (else ValueError).
        `expected=None` appends at the head. `epoch` is the caller's lease's. A repeated `key` (counted per session)
        changes nothing and gets the first answer. A cancelled call has done all or nothing.

        `behind` is asked when others appended after `expected`, with all that they appended, by the store while nobody
        else can append: true, and the events follow that. It is pure, quick, and may be called in another thread. A
        store need not ask when there is a lot of news.

        Returns: the new head.
        Raises: ConflictError when the head is not `expected` and `behind` does not agree; FencedError when `epoch` was
            superseded; OutcomeUnknownError when the store failed at commit; StoreError when nothing was stored;
            EventTooLargeError; InvalidTextError.
        """
        ...

    async def restore(self, session: str, events: Sequence[Restored]) -> int:
        """Append what another log held, where content is gone too: for imports only, all or none.

        U and B are taken as they are given: who imports compares the digest that comes out.

        Returns: the new head.
        Raises: as `append`; ValueError when no U is given after updates whose content is gone.
        """
        ...

    async def read(
        self, session: str, *, after: int = 0, upto: int | None = None, limit: int = 1000, updates: bool = True
    ) -> tuple[Recorded, ...]:
        """Read a page of events with `after < seq <= upto`, in order, inherited ones included.

        `updates=False` reads facts only. Fewer than `limit` events: there are no more. Dropped or erased updates are
        left out, so seqs may skip them; `dropped` says where.
        """
        ...

    async def last_facts(
        self, sessions: Sequence[str], types: Collection[type[EventBase]], *, limit: int = 64
    ) -> tuple[tuple[Recorded, ...], ...]:
        """Read the ends of many sessions at once: of each those of some types among its last `limit` facts, in order.

        Inherited facts count too, `fork` events do not. A session that is not there has none.
        """
        ...

    async def dropped(self, session: str) -> tuple[tuple[int, int], ...]:
        """Ranges (first seq, last seq) of updates whose content was dropped or erased."""
        ...

    async def removed(self, session: str) -> Removed:
        """List what was dropped or erased of the session's own events."""
        ...

    async def info(self, session: str) -> SessionInfo:
        """Read a session's row."""
        ...

    async def inherited_usage(self, sessions: Sequence[str]) -> tuple[Usage, ...]:
        """Read what the histories of forks had used where they began; of any other session, and of none, nothing."""
        ...

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
        """List sessions, latest updated first; `after` is the id of the last one of the page before.

        `status`: one, or any of some. `parent`: what they were forked from, one session, or any of some. `tree`: a
        session; all that belong to its tree, of forks and of children that sessions started. `imported_from`: the
        format of its source, which is what stands before the first colon; empty: any. `title` matches a part of the
        title, in any case, and `model` a part of the name of one that answered, as provider/model; `folder` is where an
        agent worked, or a folder above. `task` is the id of the last task. `tool` is the name, in any case, of one that
        an answer in its history called. `figures`: all of which its row fits. `last`: how its last run ended, one of
        these; `among`: ids, one of these. `sort`: otherwise than by when it was updated.

        Raises: UnknownSessionError when `after` is none.
        """
        ...

    async def search(
        self, text: str, *, session: str | None = None, after: FoundText | None = None, limit: int = 100
    ) -> tuple[FoundText, ...]:
        """Find a text, in any case, in messages, thinking, calls, results and summaries, once for each of these.

        Those of the session that was made last come first, and of one session what was said last; `after` is the last
        one of the page before. What a fork shares with its parent is found in the parent, and in the fork only when
        `session` names it.
        """
        ...

    async def count_found(
        self,
        text: str,
        *,
        sessions: Sequence[str] | None = None,
        inherited: bool = False,
        most: int = 1,
        limit: int = 1000,
    ) -> tuple[FoundCount, ...]:
        """Count what `search` finds in each session, up to `most`; sessions in which nothing is found are left out.

        Without `sessions`, of all, up to `limit` of them, the one that was made last first; else of these, in their
        order, with what they `inherited` too if that is asked for. One that is not there has nothing.
        """
        ...

    async def due(self, *, limit: int = 100, queues: Collection[str] | None = None) -> tuple[str, ...]:
        """Name sessions with an open task that a worker should look at now by the store's clock, the longest due first.

        One is due when something from outside came for its task, when its first wait's deadline has passed, and when
        it is leased but the lease has expired or its owner's process is gone. A lease held by a living owner hides it.
        `queues`: only those whose task is for one of these.
        """
        ...

    async def due_since(
        self, *, limit: int = 100, queues: Collection[str] | None = None
    ) -> tuple[tuple[str, int], ...]:
        """Name sessions as `due` does, each with the time since when it is: another one each time it is due anew."""
        ...

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
        """Claim at most so many of the sessions that `due` names, the longest due first.

        Of any number who ask at the same time, in any process, one gets each. A due child whose parent's task is open
        is run by that parent: the first session above it that nobody waits for is claimed. One whose queue is not its
        parent's is run by itself.

        `tasks`: only sessions whose last task is one of these. `queues`: only due ones whose task is for one of these.
        `but`: sessions that are left alone. `limits`: of a queue named here nothing is claimed that would make more
        than so many run at once, as `queues` counts them, in all opened logs together.
        """
        ...

    async def queues(self) -> tuple[QueueInfo, ...]:
        """Count what is due and what runs, of each queue that has either, in the order of their names."""
        ...

    async def resolve(self, name: str, *, prefix: bool = True) -> str:
        """Find the id of a session named by id, title, unique prefix of an id, or the title it was made with.

        What comes first in this list is taken, before all that follows. `prefix=False` takes ids and titles only, so
        that a title never leads to another's session; a name that is the id of one session and the title of another is
        then refused.

        Raises: UnknownSessionError, with the candidates when there is more than one.
        """
        ...

    async def named(self, name: str) -> str:
        """Find the id of a session by its whole name, as `resolve(prefix=False)` does, or create one of that title.

        Of two that ask at the same time, in any process, both get the same session.

        Raises: UnknownSessionError when the name fits several.
        """
        ...

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
        """Begin a session that shares its parent's events up to `at` and goes on with its own `fork` event at `at + 1`.

        Copies nothing: one row and one event, in one append. `keeps`: seqs of the pushes that stay queued in the fork;
        without it, those that the turn under way was begun to deliver. `repeated_tools`: what becomes of `once` calls
        that the parent made behind `at`, when they are made again. For imports only: `created_at_us`, `source` (see
        `create`), and `base` (see `Removed`), with which alone a fork may begin among updates that were dropped.

        Raises: UnknownSeqError when the parent has no such seq, or updates that its digest is made of were dropped;
        SessionExistsError, as `create`.
        """
        ...

    async def cursor(self, session: str, seq: int | None = None) -> Cursor:
        """Return the cursor at a seq (the head by default), with its digest."""
        ...

    def follow(self, session: str, after: Cursor | int = 0) -> AsyncIterator[Recorded]:
        """Yield every event after a place: first what is there, then what comes, also from other processes.

        No gap, no duplicate; an event is shown only after its commit. Never ends by itself.

        Raises: TailLostError when `after` (a Cursor with digest), or what it has itself yielded, is in the log no more.
        """
        ...

    async def wait(self, session: str, after: int, timeout_s: float | None = None) -> bool:
        """Wait until there may be an event after a seq, appended by any process; costs nothing while nobody appends.

        However many wait, in however many sessions, an opened log looks for all of them together. Returns at once when
        there is one already.

        Returns: True when there may be one; False when `timeout_s` has passed.
        Raises: UnknownSessionError, also when the session is deleted meanwhile; StoreError, also when the log is closed
            meanwhile.
        """
        ...

    async def wait_any(self, seen: int = -1, timeout_s: float | None = None) -> int:
        """Wait until any session may have been appended to, made or removed, by any process, since a number was given.

        Returns: the number to ask with next, the same one when `timeout_s` has passed. At once for a number that this
            opened log has not given last. It also changes when nothing was: whoever waits looks, and waits again.
        Raises: StoreError, also when the log is closed meanwhile.
        """
        ...

    async def row_marks(self, *, limit: int = 1000) -> dict[str, object]:
        """Read of each session, those that were updated last first, something that differs when its row does.

        But for what follows from the time and from who lives: whether somebody runs it. By itself it says nothing.
        """
        ...

    async def claim(self, session: str, *, ttl_us: int = 30_000_000) -> Lease:
        """Take the right to run a session for this opened log, raising its epoch.

        Allowed when the lease is free, released, expired, or its owner's process is gone.

        Raises: LeaseHeldError.
        """
        ...

    async def renew(self, lease: Lease, *, ttl_us: int = 30_000_000) -> Lease:
        """Prolong a lease. Raises: FencedError when another owner has claimed the session."""
        ...

    async def release(self, lease: Lease, *, head: int | None = None) -> None:
        """Release a lease; a superseded one is ignored.

        `head`: how far its owner has seen; with an open task, the session is due when its first wait is, or at once
        if it has grown since (or without a head).
        """
        ...

    async def verify(self, session: str | None = None, *, progress: TellVerified | None = None) -> VerifyReport:
        """Read everything again and find any changed, missing, swapped or added byte, and where.

        `progress` hears how far it is, at last that everything was read: perhaps in another thread, and it must be
        quick. What it raises ends the reading, and is raised here.
        """
        ...

    async def drop_updates(self, session: str) -> int:
        """Drop the updates of closed messages that no fork begins in; counts, times and seqs stay.

        Returns: how many.
        """
        ...

    async def erase(self, session: str, seq: int, *, at_us: int, reason: str = "") -> int:
        """Remove the content of the event at `seq` for ever, in the session that recorded it; its shape stays.

        Its message's or call's updates are removed too. Appends `erase` to that session. Returns: its new head.

        Raises: UnknownSeqError when there is no such event or it holds nothing to erase.
        """
        ...

    async def delete(self, session: str) -> None:
        """Delete a session and its events for ever. Raises: HasForksError, LeaseHeldError."""
        ...

    async def archive(self, session: str, *, at_us: int) -> int:
        """Compress a closed session where it lies. All of it is read as before; what changes it takes it out again.

        Returns: how many bytes it takes; 0 when nothing was appended to it, or where nothing is stored.

        Raises: SessionOpenError while a run, a task, a wait or a queued message is open; LeaseHeldError;
            CorruptLogError, and nothing is changed, when it is damaged.
        """
        ...

    async def vacuum(self) -> None:
        """Give back the room of what was deleted, erased, dropped or archived. It writes the whole log again."""
        ...

    async def rebuild(self) -> int:
        """Compute the folds in every session's row again, and what the search uses.

        Returns: how many rows were wrong.
        """
        ...

    async def backup(self, path: str) -> None:
        """Write a consistent copy of the whole log to a new file while it is in use."""
        ...

    async def close(self) -> None:
        """Release every lease this opened log holds, and the store."""
        ...
