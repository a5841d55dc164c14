"""Reading a session's state from its log, at its head or where a fork begins."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import suppress
from typing import Protocol, TypeVar

from ..envelope import Recorded, SessionInfo
from ..errors import IllegalEventError, UnknownSeqError, UnknownSessionError
from ..events import MessageStart
from ..machine.evolve import evolve
from ..machine.state import Phase, State
from ..machine.steps import turn_messages
from .protocol import EventLog
from .warm import WarmFold, WarmFolds, estimate_bytes

V = TypeVar("V")


class Foldable(Protocol[V]):
    """Something folded beside the state."""

    @property
    def initial(self) -> V:
        """The value before the first event."""
        ...

    @property
    def step(self) -> Callable[[V, Recorded], V]:
        """The value after one more event."""
        ...


PAGE = 2000
"""Events read at a time."""


async def load(
    log: EventLog,
    session: str,
    *,
    context: Foldable[V],
    upto: int | None = None,
    info: SessionInfo | None = None,
    folds: WarmFolds | None = None,
) -> tuple[int, State, V]:
    """Fold a session up to its head, or up to a seq, from where the opened log keeps it folded.

    Reads facts only; the updates of a message that is still open there are read too, since only they still matter. The
    step of `context` must be the same function each time, and the values that it makes must never change. `info`: the
    session's row, if it was just read. `folds`: other ones to begin with, and to keep nothing in.

    Returns: the seq reached, the state, the context.
    Raises: UnknownSeqError when the session has no such seq; IllegalEventError for a log that cannot have come about.
    """
    info, upto = await _place(log, session, upto, info)
    warm = log.folds if folds is None else folds
    found = warm.find(info, context.step, context.initial, upto)
    state, fold = await _fold(log, session, info, upto, context.step, found, folds)
    if folds is None:
        warm.keep(info, context.step, fold)
    return upto, state, fold.value


async def load_state(
    log: EventLog, session: str, *, upto: int | None = None, info: SessionInfo | None = None
) -> tuple[int, State]:
    """Fold a session's state up to its head, or up to a seq; see `load`. Returns: the seq reached, the state."""
    info, upto = await _place(log, session, upto, info)
    state, _ = await _fold(log, session, info, upto, _no_view, WarmFold(upto, None))
    return upto, state


async def load_view(log: EventLog, session: str, view: Foldable[V], *, upto: int | None = None) -> V:
    """Fold something of a session without its state; see `load`."""
    info, upto = await _place(log, session, upto, None)
    seq, value, size_bytes = log.folds.find(info, view.step, view.initial, upto)
    async for page in read_pages(log, session, after=seq, upto=upto, updates=False):
        for part in _parts(page, log.folds.apart):
            for recorded in part:
                value = view.step(value, recorded)
                size_bytes += estimate_bytes(recorded.event)
            log.folds.keep(info, view.step, WarmFold(part[-1].seq, value, size_bytes))
    log.folds.keep(info, view.step, WarmFold(upto, value, size_bytes))
    return value


async def _fold(
    log: EventLog,
    session: str,
    info: SessionInfo,
    upto: int,
    step: Callable[[V, Recorded], V],
    found: WarmFold[V],
    folds: WarmFolds | None = None,
) -> tuple[State, WarmFold[V]]:
    """Fold the state up to a seq, from where it is kept, and a view from where it was found; see `load`."""
    warm, keeps = (log.folds, True) if folds is None else (folds, False)
    state_seq, state, _ = warm.find(info, evolve, State(), upto)
    view_seq, view, size_bytes = found
    before = (state_seq, state) if state.phase is Phase.STREAMING else None
    async for page in read_pages(log, session, after=min(state_seq, view_seq), upto=upto, updates=False):
        for part in _parts(page, log.folds.apart):
            try:
                for recorded in part:
                    seq, event = recorded.seq, recorded.event
                    if seq > state_seq:
                        starts = type(event) is MessageStart and event.role == "assistant"
                        if starts and state.phase is not Phase.STREAMING:
                            before = (seq - 1, state)
                        state = evolve(state, recorded)
                    if seq > view_seq:
                        view = step(view, recorded)
                        size_bytes += estimate_bytes(event)
            except IllegalEventError as error:
                raise IllegalEventError(session, *error.args[1:]) from error
            if keeps and seq > state_seq and state.phase is not Phase.STREAMING:  # while streaming it lacks the updates
                log.folds.keep(info, evolve, WarmFold(seq, state))
            if keeps and seq > view_seq:
                log.folds.keep(info, step, WarmFold(seq, view, size_bytes))
    if before is not None and state.phase is Phase.STREAMING:
        start, state = before
        async for recorded in read_all(log, session, after=start, upto=upto):
            state = evolve_in(session, state, recorded)
    if keeps:
        log.folds.keep(info, evolve, WarmFold(upto, state))
    return state, WarmFold(upto, view, size_bytes)


def _parts(page: tuple[Recorded, ...], most: int) -> Iterator[tuple[Recorded, ...]]:
    """Cut a page where what is folded is kept on the way."""
    return (page[at : at + most] for at in range(0, len(page), most))


def _no_view(view: None, recorded: Recorded) -> None:
    """Fold nothing."""


async def _place(log: EventLog, session: str, upto: int | None, info: SessionInfo | None) -> tuple[SessionInfo, int]:
    """Return a session's row, and the seq to fold up to. Raises: UnknownSeqError when the session has no such seq."""
    info = await log.info(session) if info is None else info
    if upto is not None and not 0 <= upto <= info.head:
        raise UnknownSeqError(session, upto, info.head)
    if info.parent is not None and log.folds.has(info.parent) and not log.folds.has(session):
        with suppress(UnknownSessionError):  # it was deleted meanwhile
            log.folds.begin_fork(info, await log.info(info.parent))
    return info, max(info.head, log.folds.reached(info)) if upto is None else upto


async def read_all(
    log: EventLog, session: str, *, after: int = 0, upto: int | None = None, updates: bool = True
) -> AsyncIterator[Recorded]:
    """Read a session page by page; nothing of the store stays open between two pages."""
    async for page in read_pages(log, session, after=after, upto=upto, updates=updates):
        for recorded in page:
            yield recorded


async def read_pages(
    log: EventLog, session: str, *, after: int = 0, upto: int | None = None, updates: bool = True
) -> AsyncIterator[tuple[Recorded, ...]]:
    """Read a session as its pages, of up to `PAGE` events."""
    while (upto is None or after < upto) and (
        page := await log.read(session, after=after, upto=upto, limit=PAGE, updates=updates)
    ):
        yield page
        after = page[-1].seq
        if len(page) < PAGE:
            return


def evolve_in(session: str, state: State, recorded: Recorded) -> State:
    """Fold one event; an illegal one names its session."""
    try:
        return evolve(state, recorded)
    except IllegalEventError as error:
        raise IllegalEventError(session, *error.args[1:]) from error


async def kept_by_fork(log: EventLog, session: str, at: int) -> tuple[int, ...]:
    """Return the queued pushes that a fork at a seq keeps: those that the turn begun there is to deliver.

    Folds the session, so a store asks only where messages are queued at that seq (`Folds.has_messages`).
    """
    try:
        return turn_messages((await load_state(log, session, upto=at))[1])
    except (IllegalEventError, UnknownSeqError):  # no machine's log, or no such place: the fork itself will say so
        return ()
