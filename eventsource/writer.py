"""The runner's hand on a session: it folds what it is about to append, appends in batches, and settles conflicts."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Generic, TypeVar

import msgspec

from .codec import canonical
from .errors import ConflictError, OutcomeUnknownError, RefoldError
from .events import UPDATE_TYPES, Event, MessageEnd, MessageStart, Place
from .fold import ContextFold
from .guards import find_call
from .loading import evolve_in, load, read_all
from .messages import AssistantMessage
from .ports import EventLog, Lease, Recorded
from .redaction import Redact, redact_event
from .state import State

V = TypeVar("V")
T = TypeVar("T")

_NEWS = 500
_TRIES = 20
"""How often an append is tried; each conflict means that somebody else got on."""


class _Pending(msgspec.Struct, frozen=True):
    at_us: int
    event: Event
    outcome: bool


class Writer(Generic[V]):
    """Appends for one runner of one session.

    Decisions and outcomes are folded at once and appended together by `flush`. When outside input came first, the
    outcomes are appended again behind it (an outcome is never dropped) and the decisions are forgotten, so that the
    machine is asked anew. `on_commit` sees every event of the session in order, once, after its commit.
    """

    def __init__(
        self,
        log: EventLog,
        session: str,
        *,
        context: ContextFold[V],
        clock: Callable[[], int],
        on_commit: Callable[[Sequence[Recorded]], None],
        redact: Redact | None = None,
    ) -> None:
        self.session = session
        self.head = 0
        self.lease: Lease | None = None
        self._log, self._context, self._clock, self._on_commit = log, context, clock, on_commit
        self._redact = redact
        self._stored: tuple[State, V] = (State(), context.initial)
        self._now: tuple[State, V] = self._stored
        self._pending: list[_Pending] = []
        self._lock = asyncio.Lock()

    @property
    def state(self) -> State:
        """The state, with what is not appended yet."""
        return self._now[0]

    @property
    def view(self) -> V:
        """The context, with what is not appended yet."""
        return self._now[1]

    def now_us(self) -> int:
        """Read the clock."""
        return self._clock()

    @property
    def next_seq(self) -> int:
        """The seq that the next event will get, if nothing comes between."""
        return self.head + len(self._pending) + 1

    async def load(self) -> None:
        """Fold the log up to its head."""
        self.head, state, view = await load(self._log, self.session, context=self._context)
        self._stored = self._now = (state, view)

    def decide(self, *events: Event) -> None:
        """Take what the machine or a hook decided; forgotten if outside input comes first."""
        self._take(events, outcome=False)

    def outcome(self, *events: Event) -> None:
        """Take what came of an effect; it will be appended, whatever comes between."""
        self._take(events, outcome=True)

    async def flush(self) -> bool:
        """Append what was taken; durable as soon as it holds more than updates.

        Returns: False when outside input came first, so that the machine must be asked again.
        """
        return await finish(self._flush())

    def forget_decisions(self) -> None:
        """Drop what was decided and not appended; outcomes stay."""
        outcomes = [place for place, pending in enumerate(self._pending) if pending.outcome]
        del self._pending[outcomes[-1] + 1 if outcomes else 0 :]
        self._now = self._stored
        for place, pending in enumerate(self._pending, start=1):
            self._now = self._evolve(self._now, Recorded(self.head + place, pending.at_us, pending.event))

    async def open_updates(self) -> tuple[Recorded, ...]:
        """Read what was streamed of the message that is open."""
        await self.flush()
        stream = self.state.stream
        if stream is None:
            return ()
        return tuple([r async for r in read_all(self._log, self.session, after=stream.start_seq - 1, upto=self.head)])

    async def answer_at(self, seq: int) -> AssistantMessage | None:
        """Find an answer by its name, whatever the context shows of it, and also if it is not appended yet."""
        if seq > self.head:
            event: Event = self._pending[seq - self.head - 1].event
        else:
            page = await self._log.read(self.session, after=seq - 1, upto=seq, limit=1)
            event = page[0].event if page else MessageEnd()
        return event.message if isinstance(event, MessageEnd) else None

    async def recorder_of(self, place: Place) -> str:
        """Name the session that recorded a call's first start: this one, or the ancestor it was forked from."""
        info = await self._log.info(self.session)
        while info.parent is not None and self._start_seq(place) <= info.fork_seq:
            info = await self._log.info(info.parent)
        return info.id

    def _start_seq(self, place: Place) -> int:
        call = find_call(self.state, place.message_seq, place.content_index)
        return call.start_seq if call is not None else self.head

    async def catch_up(self, still: Callable[[], bool]) -> None:
        """Fold what others appended, if no decision of ours is under way, which would then be made on an older state.

        `still` is asked once the news are read: whether an effect is still under way, and so nothing is being decided.
        """
        async with self._lock:
            news = await self._log.read(self.session, after=self.head, limit=_NEWS)
            if news and still() and all(pending.outcome for pending in self._pending):
                self._take_in(news)
                self.forget_decisions()

    def _take(self, events: Sequence[Event], *, outcome: bool) -> None:
        for event in map(canonical, events):
            if self._redact is not None:
                event = redact_event(event, self._redact)
            now_us = self._clock()
            self._now = self._evolve(self._now, Recorded(self.next_seq, now_us, event))
            self._pending.append(_Pending(now_us, event, outcome))

    def _evolve(self, folded: tuple[State, V], recorded: Recorded) -> tuple[State, V]:
        return evolve_in(self.session, folded[0], recorded), self._context.step(folded[1], recorded)

    async def _flush(self) -> bool:
        async with self._lock:
            undisturbed, failure = True, RefoldError()
            for _ in range(_TRIES):
                if not self._pending:
                    return undisturbed
                batch, now = tuple(self._pending), self._now
                try:
                    await self._append(batch)
                except ConflictError as error:
                    undisturbed, failure = False, error
                    await self._rebase()
                except OutcomeUnknownError as error:
                    failure = error
                    if not await self._was_stored(batch):
                        undisturbed = False
                        await self._rebase()
                        continue
                    self._commit(batch, now)
                else:
                    self._commit(batch, now)
            raise failure

    async def _append(self, batch: Sequence[_Pending]) -> None:
        await self._log.append(
            self.session,
            [(pending.at_us, pending.event) for pending in batch],
            expected=self.head,
            epoch=self.lease.epoch if self.lease is not None else None,
            durable=not all(_may_vanish(pending.event) for pending in batch),
        )

    async def _was_stored(self, batch: Sequence[_Pending]) -> bool:
        found = await self._log.read(self.session, after=self.head, limit=len(batch))
        return [(r.at_us, r.event) for r in found] == [(p.at_us, p.event) for p in batch]

    def _commit(self, batch: Sequence[_Pending], now: tuple[State, V]) -> None:
        recorded = [Recorded(self.head + place, p.at_us, p.event) for place, p in enumerate(batch, start=1)]
        del self._pending[: len(batch)]
        self.head += len(batch)
        self._stored = now
        self._on_commit(recorded)

    async def _rebase(self) -> None:
        """Fold what others appended in front of what is pending."""
        while news := await self._log.read(self.session, after=self.head, limit=_NEWS):
            self._take_in(news)
        self.forget_decisions()

    def _take_in(self, news: Sequence[Recorded]) -> None:
        for recorded in news:
            self._stored = self._evolve(self._stored, recorded)
        self.head = news[-1].seq
        self._on_commit(news)


def _may_vanish(event: Event) -> bool:
    return isinstance(event, UPDATE_TYPES) or (isinstance(event, MessageStart) and event.role == "assistant")


async def finish(work: Awaitable[T]) -> T:
    """Await something to its end, also when the caller is cancelled meanwhile; the cancellation follows it."""
    task = asyncio.ensure_future(work)
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        if task.cancelled():
            raise
        await asyncio.wait([task])
        if not task.cancelled():
            task.exception()
        raise
