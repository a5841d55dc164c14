"""What views know of sessions: each is folded once, forward, and then any seq of it costs a few facts."""

from __future__ import annotations

import asyncio
import gc
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar

import msgspec
from msgspec.structs import replace

from eventsource.background import stop
from eventsource.envelope import Recorded, SessionInfo
from eventsource.errors import ErrorFields, IllegalEventError, UnknownSeqError
from eventsource.log.load import load, read_pages
from eventsource.log.protocol import EventLog
from eventsource.log.warm import WarmFold, WarmFolds, estimate_bytes
from eventsource.machine.evolve import evolve
from eventsource.machine.state import Phase, State
from eventsource.request import PartHashes
from projections.calls import CALLS
from projections.context import ContextView
from projections.projection import AppendOnlyList, Projection
from projections.usage import USAGE, UsageView
from projections.windows import PartWindows
from replay.request_parts import TRACE, Trace

from .columns import Columns

LIMIT_BYTES = 512 * 1024 * 1024
"""What is kept of all sessions, by estimate; that of the session that was looked at last always stays."""
APART = 50
"""Facts between two folds that are kept: a jump reads and folds so many at the most."""
SLICE_S = 0.005
"""How long the index is built before whoever else uses the event loop has a turn."""
NEAR = 2_000
"""Seqs behind the index that are soon taken: an answer that could be given without them waits for them."""
PATIENCE_S = 1.0
"""How long an answer waits for the index before it says how far that is."""


class Seen(msgspec.Struct, frozen=True):
    """What is known of a session at a seq: its context and what that comes from, its tool calls, what it used."""

    trace: Trace = TRACE.initial
    calls: AppendOnlyList[Recorded] = CALLS.initial
    usage: UsageView = USAGE.initial


def _step(seen: Seen, recorded: Recorded) -> Seen:
    return Seen(TRACE.step(seen.trace, recorded), CALLS.step(seen.calls, recorded), USAGE.step(seen.usage, recorded))


SEEN = Projection(name="seen", version=1, initial=Seen(), step=_step)


@dataclass(eq=False, repr=False)
class NotIndexedError(ErrorFields, Exception):
    """The index has not come so far yet; ask again soon."""

    session: str
    indexed_to: int
    wanted: int
    _TEXT: ClassVar[str] = (
        "session {session} is indexed up to seq {indexed_to}, and seq {wanted} was asked for: ask again in a second"
    )


class Indexed:
    """The index of one session: what it is listed by, and how it stands at the last fact that was taken.

    `reached`: the seq up to which its facts were taken.
    """

    def __init__(self) -> None:
        self.reached = 0
        self.columns = Columns()
        self.state, self.seen = State(), SEEN.initial
        self.windows, self.hashes = PartWindows(), PartHashes()
        self.digesting = asyncio.Lock()  # of `hashes`, by which one request at a time is digested, in a thread
        self.size_bytes = 0
        self._changed = -1
        self._waiting: list[tuple[int, asyncio.Future[None]]] = []

    def wait_for(self, seq: int) -> asyncio.Future[None]:
        """Return what is done once it has come to a seq."""
        come: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append((seq, come))
        return come

    def tell(self) -> None:
        """Tell whoever waits how far it has come."""
        for seq, come in self._waiting:
            if seq <= self.reached and not come.done():
                come.set_result(None)
        self._waiting = [one for one in self._waiting if not one[1].done()]

    def take(self, session: str, recorded: Recorded) -> None:
        """Take the next fact."""
        try:
            self.state = evolve(self.state, recorded)
        except IllegalEventError as error:
            raise IllegalEventError(session, *error.args[1:]) from error
        self.seen = SEEN.step(self.seen, recorded)
        self.columns.feed(recorded)
        self.size_bytes += estimate_bytes(recorded.event)
        self.reached = recorded.seq

    def pair(self) -> None:
        """Pair calls and results of what was taken, unless a compaction or an edit has just made it stand otherwise."""
        view = self.seen.trace.view
        if view.changed == self._changed:
            self.windows.tokens(view)
        self._changed = view.changed


class At(msgspec.Struct, frozen=True, kw_only=True):
    """A session at a seq: the state and what is known there, and the index of the whole."""

    info: SessionInfo
    seq: int
    state: State
    seen: Seen
    whole: Indexed

    @property
    def view(self) -> ContextView:
        """The context there."""
        return self.seen.trace.view


class SessionIndex:
    """The sessions of an opened log as views need them; a cache of what is folded, and dropped at will.

    A session is indexed when it is first asked for, by one fold over its facts, and goes on from what is appended. What
    still holds of it is told by its row, as for everything that an opened log keeps folded (`WarmFolds`). Used by one
    event loop; `clock` gives the seconds by which slices are cut.
    """

    def __init__(
        self,
        log: EventLog,
        *,
        limit_bytes: int = LIMIT_BYTES,
        apart: int = APART,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        self.log = log
        self.folds = WarmFolds(limit_bytes, apart)
        self._apart, self._clock = apart, clock
        self._building: dict[tuple[str, int, int], asyncio.Task[Indexed]] = {}

    async def whole(self, session: str, *, patience_s: float | None = PATIENCE_S) -> tuple[SessionInfo, Indexed]:
        """Return a session's row, and its index up to the row's head at the least.

        Raises: UnknownSessionError; NotIndexedError when that takes longer than `patience_s` (None: wait).
        """
        info = await self.log.info(session)
        return info, await self._upto(info, info.head, patience_s)

    async def at(self, session: str, seq: int | None = None, *, patience_s: float | None = PATIENCE_S) -> At:
        """Return how a session stands at a seq, or at its head; it reads and folds a few facts, wherever that is.

        Of a message that is open at the seq the updates so far are read too.

        Raises: UnknownSessionError; UnknownSeqError; NotIndexedError when the index has not come so far yet.
        """
        info = await self.log.info(session)
        upto = info.head if seq is None else seq
        if not 0 <= upto <= info.head:
            raise UnknownSeqError(session, upto, info.head)
        whole = await self._upto(info, upto, patience_s)
        _, state, seen = await load(self.log, session, context=SEEN, upto=upto, info=info, folds=self.folds)
        return At(info=info, seq=upto, state=state, seen=on_lists(seen, whole.seen), whole=whole)

    def indexed_to(self, info: SessionInfo) -> int:
        """Return up to which seq a session is indexed."""
        return self._kept(info).reached

    async def close(self) -> None:
        """Stop building, and keep nothing."""
        await stop(*self._building.values())
        self.folds = WarmFolds(self.folds.limit_bytes, self.folds.apart)

    def _kept(self, info: SessionInfo) -> Indexed:
        """Find the index of a session; an empty one when there is none yet, or when it does not hold any more."""
        found = self.folds.beside(info, SEEN.step, Indexed)
        if not found.reached:  # nothing may be kept of the session yet, and so nothing beside it
            self.folds.keep(info, SEEN.step, WarmFold(0, SEEN.initial))
            found = self.folds.beside(info, SEEN.step, Indexed)
        return found

    async def _upto(self, info: SessionInfo, upto: int, patience_s: float | None) -> Indexed:
        """Return the index of a session once it has come to a seq; to the head, where that is near."""
        found, key = self._kept(info), (info.id, info.number, info.removals)
        wanted = info.head if info.head - found.reached <= NEAR else upto
        while found.reached < info.head:
            task = self._building.get(key)
            if task is None:
                task = self._building[key] = asyncio.create_task(self._build(info, found))
                task.add_done_callback(partial(self._built, key))
            if found.reached >= wanted:
                break
            come: list[asyncio.Future[Any]] = [task, found.wait_for(wanted)]
            done, _ = await asyncio.wait(come, timeout=patience_s, return_when=asyncio.FIRST_COMPLETED)
            if task.done():
                found = task.result()
            elif not done and found.reached < upto:
                raise NotIndexedError(info.id, found.reached, upto)
            elif not done:
                break
        return found

    def _built(self, key: tuple[str, int, int], task: asyncio.Task[Indexed]) -> None:
        del self._building[key]
        if not task.cancelled():
            task.exception()  # whoever waits is told; the next one who asks builds again

    async def _build(self, info: SessionInfo, found: Indexed) -> Indexed:
        """Take what was appended since, in slices between which others have their turn."""
        with _COLLECTOR.held():
            async for page in read_pages(self.log, info.id, after=found.reached, upto=info.head, updates=False):
                began = self._clock()
                for number, recorded in enumerate(page, start=1):
                    found.take(info.id, recorded)
                    if number % self._apart == 0:
                        self._keep(info, found)
                    if self._clock() - began >= SLICE_S:
                        found.tell()
                        await asyncio.sleep(0)
                        began = self._clock()
                self._keep(info, found)
        found.reached = info.head
        found.tell()
        return found

    def _keep(self, info: SessionInfo, found: Indexed) -> None:
        seq = found.reached
        if found.state.phase is not Phase.STREAMING:  # while streaming it lacks the updates
            self.folds.keep(info, evolve, WarmFold(seq, found.state))
        self.folds.keep(info, SEEN.step, WarmFold(seq, found.seen, found.size_bytes))
        found.pair()


class _Collector:
    """Python's garbage collector, which waits while anything is folded: all of that stays.

    It would go through what was folded so far again and again.
    """

    def __init__(self) -> None:
        self._held, self._was_on = 0, False

    @contextmanager
    def held(self) -> Iterator[None]:
        """Let it wait, until the last of those who hold it has ended."""
        if not self._held:
            self._was_on = gc.isenabled()
            gc.disable()
        self._held += 1
        try:
            yield
        finally:
            self._held -= 1
            if not self._held and self._was_on:
                gc.enable()


_COLLECTOR = _Collector()


def on_lists(seen: Seen, last: Seen) -> Seen:
    """Return what is seen on the lists of what is seen later: then what is equal is the same object."""
    trace = seen.trace
    asked = tuple(replace(one, view=_view_on(one.view, last.trace.view)) for one in trace.asked)
    trail = last.trace.trail.first(len(trace.trail))
    return replace(
        seen,
        trace=replace(trace, view=_view_on(trace.view, last.trace.view), trail=trail, asked=asked),
        calls=last.calls.first(len(seen.calls)),
    )


def _view_on(view: ContextView, last: ContextView) -> ContextView:
    return replace(
        view,
        entries=last.entries.first(len(view.entries)),
        edits=last.edits.first(len(view.edits)),
        pushes=last.pushes.first(len(view.pushes)),
    )
