"""The runner's hand on a session: it folds what it is about to append, appends in batches, and settles conflicts."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Sequence
from functools import partial
from typing import Generic, TypeVar

import msgspec

from ..admission import Admitted, Redact, admit
from ..background import finish
from ..context_fold import ContextFold, RequestBuilder
from ..envelope import Lease, Recorded, SessionInfo
from ..errors import ConflictError, FencedError, IllegalEventError, OutcomeUnknownError, RefoldError
from ..events import (
    UPDATE_TYPES,
    AbortRequest,
    Erase,
    Event,
    MessageEnd,
    MessageStart,
    MessageUpdate,
    Place,
    ToolExecutionEnd,
)
from ..log.load import load, read_all
from ..log.protocol import EventLog
from ..log.warm import WarmFold, estimate_bytes
from ..machine.evolve import continues, evolve
from ..machine.guards import find_call, legal
from ..machine.rebase import Pending, may_follow
from ..machine.state import State
from ..messages import AssistantMessage
from ..models.secrets import know_environment
from ..request import PartHashes
from .operator_log import log_events, logger

V = TypeVar("V")

LOGGER = logger(__name__)
_NEWS = 500
_OWN_S = 0.1
"""After an append of ours, before others' are waited for again: an append that follows finds those itself."""
_UPDATES = frozenset(UPDATE_TYPES)
PATIENCE_S = 30.0
"""Seconds (of the event loop's clock, which is monotonic) for which an append that is refused is tried again."""
_LONGEST_PAUSE_S = 0.25
"""Between two tries of an append whose commit failed."""


class _Pending(msgspec.Struct, gc=False):
    pair: Admitted
    outcome: bool
    stored: bool = False

    @property
    def event(self) -> Event:
        return self.pair[1]


class _Refusals:
    """How long an append has been refused; one that succeeds ends the count."""

    def __init__(self, patience_s: float) -> None:
        self._patience_s, self._until_s, self.count = patience_s, 0.0, 0

    def add(self, error: RefoldError) -> None:
        """Count a refusal. Raises: the error, when the appends were refused for too long."""
        now_s = asyncio.get_running_loop().time()
        if not self.count:
            self._until_s = now_s + self._patience_s
        self.count += 1
        if now_s >= self._until_s:
            self.count = 0
            raise error

    async def pause(self) -> None:
        """Wait before a failing disk is tried again, longer after each failure."""
        await asyncio.sleep(min(_LONGEST_PAUSE_S, 0.001 * 2 ** min(self.count, 10)))


class Writer(Generic[V]):
    """Appends for one runner of one session.

    Decisions and outcomes are folded at once and appended together by `flush`. When outside input came first, the
    outcomes are appended again behind it (an outcome is never dropped) and the decisions are forgotten, so that the
    machine is asked anew. From the second try on, the store itself puts behind the input what may follow it, so
    whoever appends without a pause delays a runner by one try and no more. `on_commit` sees every event of the
    session in order, once, after its commit.
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
        patience_s: float = PATIENCE_S,
    ) -> None:
        self.session = session
        self.head = 0
        self.lease: Lease | None = None
        self.disturbed = 0
        """How often others came between, and what was decided may be void."""
        self.log = self._log = log
        self._context, self._clock, self._on_commit = context, clock, on_commit
        self.redact = redact
        know_environment(os.environ)
        self.state: State = State()
        """The state, with what is not appended yet."""
        self.view: V = context.initial
        """The context, with what is not appended yet."""
        self._stored: tuple[State, V] = (self.state, self.view)
        self._row = SessionInfo(id=session)
        self._size_bytes = 0
        self._is_erased = False
        self._pending: list[_Pending] = []
        self.on_pending: Callable[[], None] | None = None
        """Called when there is something to append that was not appended at once."""
        self._refused = _Refusals(patience_s)
        self._lock = asyncio.Lock()

    def now_us(self) -> int:
        """Read the clock."""
        return self._clock()

    @property
    def has_pending(self) -> bool:
        """True while something is to be appended."""
        return bool(self._pending)

    @property
    def next_seq(self) -> int:
        """The seq that the next event will get, if nothing comes between."""
        return self.head + len(self._pending) + 1

    async def load(self) -> None:
        """Fold the log up to its head."""
        self._row = row = await self._log.info(self.session)
        self.head, self.state, self.view = await load(self._log, self.session, context=self._context, info=row)
        self._stored = (self.state, self.view)
        self._size_bytes = self._log.folds.find(row, self._context.step, self.view, self.head).size_bytes

    async def reload_removed(self) -> None:
        """Fold the log anew if content that is folded was dropped or erased since, here or by another process.

        What is erased of the session's own events leaves an `erase` behind it, in front of which nothing is decided; of
        an ancestor's nothing is seen here, so a fork's row is looked at each time.
        """
        if self._row.parent is None and not self._is_erased:
            return
        self._is_erased = False
        row = await self._log.info(self.session)
        if row.removals == self._row.removals:
            return
        async with self._lock:
            self._row = row
            _, state, view = await load(self._log, self.session, context=self._context, upto=self.head, info=row)
            self._stored = now = (state, view)
            for seq, pending in enumerate(self._pending, self.head + 1):
                now = self._evolve(now, Recorded(seq, *pending.pair))
            self.state, self.view = now

    def builders(self) -> tuple[RequestBuilder[V], PartHashes]:
        """Return what builds and hashes this session's requests."""
        return self._log.folds.builders(self._row, self._context)

    def admit(self, event: Event) -> Admitted:
        """Admit an event now, to be decided or to come as an outcome later."""
        return admit(self._clock(), event, self.redact)

    def decide(self, *events: Event | Admitted) -> None:
        """Take what the machine or a hook decided; forgotten if outside input comes first."""
        self._take(events, outcome=False)

    def outcome(self, *events: Event | Admitted) -> list[Event]:
        """Take what came of an effect; it will be appended, whatever comes between.

        Returns: the events as they are kept.
        Raises: IllegalEventError, and of that event nothing is taken.
        """
        return self._take(events, outcome=True)

    def delta(self, update: MessageUpdate) -> bool:
        """Take a delta of an open block, as `outcome` does. Returns: False for any other update: nothing is taken.

        One test of whether it is legal, one encoding: of nothing there are more.
        """
        if not continues(self.state, update):
            return False
        self._pending.append(_Pending(admit(self._clock(), update, self.redact), outcome=True))
        if self.on_pending is not None:
            self.on_pending()
        return True

    async def flush(self) -> bool:
        """Append what was taken so far; durable as soon as it holds more than updates.

        Returns: False when outside input came between, so that the machine must be asked again.
        Raises: ConflictError, OutcomeUnknownError when appends were refused for longer than the writer's patience (what
            was taken is kept, for another flush); FencedError; StoreError.
        """
        disturbed = self.disturbed
        if self._pending or self._lock.locked():
            await finish(self._flush())
        return self.disturbed == disturbed

    async def intend(self, *events: Event) -> bool:
        """Put a decision on record before the effect that it announces.

        Returns: False when input that came first made it void: nothing of it is recorded, and the machine must be asked
        again.
        """
        self.decide(*events)
        taken = self._pending[len(self._pending) - len(events) :]
        await finish(self._flush())
        return all(pending.stored for pending in taken)

    def forget_decisions(self) -> None:
        """Drop what was decided and not appended; outcomes stay, and what they follow if it may still be there.

        What a task begins and ends at once, such as a look at the clock, is dropped once the task was cancelled.
        """
        outcomes = [place for place, pending in enumerate(self._pending) if pending.outcome]
        now, kept = self._stored, list[_Pending]()
        for pending in self._pending[: outcomes[-1] + 1 if outcomes else 0]:
            if (pending.outcome and not now[0].closing) or legal(now[0], pending.event) is None:
                now = self._evolve(now, Recorded(self.head + len(kept) + 1, *pending.pair))
                kept.append(pending)
        self.state, self.view = now
        self._pending[:] = kept

    async def open_updates(self) -> tuple[Recorded, ...]:
        """Read what was streamed of the message that is open."""
        await self.flush()
        stream = self.state.stream
        if stream is None:
            return ()
        return tuple([r async for r in read_all(self._log, self.session, after=stream.start_seq - 1, upto=self.head)])

    async def answer_at(self, seq: int) -> AssistantMessage | None:
        """Find an answer by its name, whatever the context shows of it, and also if it is not appended yet."""
        _, event = await self._pair_at(seq)
        return event.message if isinstance(event, MessageEnd) else None

    async def time_of(self, seq: int) -> int:
        """Return when an event of this session was recorded (microseconds), also if it is not appended yet."""
        return (await self._pair_at(seq))[0]

    async def _pair_at(self, seq: int) -> tuple[int, Event]:
        if seq > self.head:
            at_us, event = self._pending[seq - self.head - 1].pair[:2]
            return at_us, event
        page = await self._log.read(self.session, after=seq - 1, upto=seq)
        return (page[0].at_us, page[0].event) if page else (0, MessageEnd())

    async def recorder_of(self, place: Place) -> str:
        """Name the session that recorded a call's first start: this one, or the ancestor it was forked from."""
        info = self._row  # where a session begins never changes
        while info.parent is not None and self._start_seq(place) <= info.fork_seq:
            info = await self._log.info(info.parent)
        return info.id

    def _start_seq(self, place: Place) -> int:
        call = find_call(self.state, place.message_seq, place.content_index)
        return call.start_seq if call is not None else self.head

    async def wait_for_news(self) -> None:
        """Wait until others have appended something that is not folded yet."""
        while True:
            after = self.head
            await self._log.wait(self.session, after)
            async with self._lock:  # what came may be an append of ours that is under way
                if self.head == after:
                    return
            await asyncio.sleep(_OWN_S)

    async def catch_up(self, still: Callable[[], bool]) -> None:
        """Fold what others appended, if no decision of ours is under way, which would then be made on an older state.

        `still` is asked once the news are read: whether an effect is still under way, and so nothing is being decided.
        """
        async with self._lock:
            news = await self._log.read(self.session, after=self.head, limit=_NEWS)
            if news and still() and all(pending.outcome for pending in self._pending):
                self._take_in(news)
                self.forget_decisions()

    async def finds_abort(self) -> bool:
        """Return whether others asked the run to end in what is not folded yet."""
        news = await self._log.read(self.session, after=self.head, limit=_NEWS, updates=False)
        return any(isinstance(recorded.event, AbortRequest) for recorded in news)

    def _take(self, events: Sequence[Event | Admitted], *, outcome: bool) -> list[Event]:
        """The one door: an event is admitted and folded, which checks that it is legal, and waits for its append."""
        taken = list[Event]()
        for event in events:
            pair = event if type(event) is Admitted else admit(self._clock(), event, self.redact)
            recorded = Recorded(self.head + len(self._pending) + 1, pair[0], pair[1])
            self.state, self.view = self._evolve((self.state, self.view), recorded)
            self._pending.append(_Pending(pair, outcome))
            taken.append(pair[1])
        if taken and self.on_pending is not None:
            self.on_pending()
        return taken

    def _evolve(self, folded: tuple[State, V], recorded: Recorded) -> tuple[State, V]:
        try:
            state = evolve(folded[0], recorded)
        except IllegalEventError as error:
            raise IllegalEventError(self.session, *error.args[1:]) from error
        return state, folded[1] if type(recorded.event) in _UPDATES else self._context.step(folded[1], recorded)

    async def _flush(self) -> None:
        async with self._lock:
            left = len(self._pending)
            while left > 0 and self._pending:
                batch, now = tuple(self._pending), (self.state, self.view)
                try:
                    head = await self._append(batch)
                except ConflictError as error:
                    self._refused.add(error)
                    await self._rebase()
                    await asyncio.sleep(0)
                    continue
                except FencedError as error:
                    LOGGER.warning("%s: the lease was lost", error, extra={"session": self.session, "seq": self.head})
                    raise
                except OutcomeUnknownError as error:
                    self._refused.add(error)
                    await self._refused.pause()
                    stored = await self._stored_upto(batch)
                    if stored is None:
                        await self._rebase()
                        continue
                    head = stored
                self._refused.count = 0
                left -= len(batch)
                if head - len(batch) == self.head:
                    self._commit(batch, now)
                else:
                    await self._commit_behind(batch, head - len(batch))

    async def _append(self, batch: Sequence[_Pending]) -> int:
        """Append a batch; once it was refused, behind whatever it may follow. Returns: the new head."""
        append = self._log.append
        if self._refused.count:
            state, pending = self._stored[0], [Pending(one.event, one.outcome) for one in batch]
            append = partial(append, behind=lambda news: may_follow(state, news, pending))
        return await append(
            self.session,
            [one.pair for one in batch],
            expected=self.head,
            epoch=self.lease.epoch if self.lease is not None else None,
            durable=any(type(one.pair[1]) not in _UPDATES and not _may_vanish(one.pair[1]) for one in batch),
        )

    def _tool_name(self, end: ToolExecutionEnd) -> str:
        call = find_call(self._stored[0], end.message_seq, end.content_index)
        return call.name if call is not None else ""

    async def _stored_upto(self, batch: Sequence[_Pending]) -> int | None:
        """Find a batch, also behind what others appended. Returns: the seq of its last event, or None: not stored."""
        wanted, found = [one.pair for one in batch], list[Recorded]()
        while page := await self._log.read(self.session, after=found[-1].seq if found else self.head, limit=_NEWS):
            found += page
        for place in range(len(found) - len(wanted) + 1):
            if all((r.at_us, r.event) == one for r, one in zip(found[place:], wanted, strict=False)):
                return found[place].seq + len(wanted) - 1
        return None

    def _commit(self, batch: Sequence[_Pending], now: tuple[State, V]) -> None:
        recorded = [Recorded(self.head + place, *one.pair) for place, one in enumerate(batch, start=1)]
        for pending in batch:
            pending.stored = True
        facts = [one for one in recorded if type(one.event) not in _UPDATES]
        if facts:
            log_events(self.session, facts, self._tool_name)
        del self._pending[: len(batch)]
        self.head += len(batch)
        self._stored = now
        self._keep(facts)
        self._on_commit(recorded)

    async def _commit_behind(self, batch: Sequence[_Pending], upto: int) -> None:
        """Note that a batch was stored behind what others appended, up to a seq."""
        while self.head < upto:
            self._take_in(await self._log.read(self.session, after=self.head, upto=upto, limit=_NEWS))
        now = self._stored
        for place, one in enumerate(batch, start=1):
            now = self._evolve(now, Recorded(self.head + place, *one.pair))
        self._commit(batch, now)
        self.forget_decisions()

    async def _rebase(self) -> None:
        """Fold what others appended in front of what is pending."""
        self.disturbed += 1
        while news := await self._log.read(self.session, after=self.head, limit=_NEWS):
            self._take_in(news)
        self.forget_decisions()

    def _take_in(self, news: Sequence[Recorded]) -> None:
        self.disturbed += 1
        for recorded in news:
            self._stored = self._evolve(self._stored, recorded)
            self._is_erased = self._is_erased or type(recorded.event) is Erase
        self.head = news[-1].seq
        self._keep(news)
        self._on_commit(news)

    def _keep(self, stored: Sequence[Recorded]) -> None:
        """Keep warm what is on record, for the next run and whoever reads meanwhile. `stored`: the facts, at least."""
        self._size_bytes += sum([estimate_bytes(one.event) for one in stored])
        state, view = self._stored
        self._log.folds.keep(self._row, evolve, WarmFold(self.head, state))
        self._log.folds.keep(self._row, self._context.step, WarmFold(self.head, view, self._size_bytes))


def _may_vanish(fact: Event) -> bool:
    return isinstance(fact, MessageStart) and fact.role == "assistant"
