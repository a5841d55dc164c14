"""Reading a session's state from its log, at its head or where a fork begins."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from typing import Protocol, TypeVar

from ..envelope import Recorded
from ..errors import IllegalEventError, UnknownSeqError
from ..events import MessageStart
from ..machine.evolve import evolve
from ..machine.state import Phase, State
from ..machine.steps import turn_messages
from .protocol import EventLog

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


class _Nothing:
    initial = None

    @property
    def step(self) -> Callable[[None, Recorded], None]:
        return lambda view, recorded: None


PAGE = 2000
"""Events read at a time."""


async def load(
    log: EventLog,
    session: str,
    *,
    context: Foldable[V],
    upto: int | None = None,
    show: Callable[[Recorded], object] | None = None,
) -> tuple[int, State, V]:
    """Fold a session up to its head, or up to a seq.

    Reads facts only; the updates of a message that is still open there are read too, since only they still matter.
    `show` is given each fact too.

    Returns: the seq reached, the state, the context.
    Raises: UnknownSeqError when the session has no such seq; IllegalEventError for a log that cannot have come about.
    """
    head = (await log.info(session)).head
    if upto is not None and not 0 <= upto <= head:
        raise UnknownSeqError(session, upto, head)
    upto = head if upto is None else upto
    state, view, step = State(), context.initial, context.step
    before: tuple[int, State] | None = None
    async for page in _pages(log, session, upto=upto, updates=False):
        try:
            for recorded in page:
                event = recorded.event
                if isinstance(event, MessageStart) and event.role == "assistant" and state.phase is not Phase.STREAMING:
                    before = (recorded.seq - 1, state)
                state, view = evolve(state, recorded), step(view, recorded)
                if show is not None:
                    show(recorded)
        except IllegalEventError as error:
            raise IllegalEventError(session, *error.args[1:]) from error
    if before is not None and state.phase is Phase.STREAMING:
        start, state = before
        async for recorded in read_all(log, session, after=start, upto=upto):
            state = evolve_in(session, state, recorded)
    return upto, state, view


async def read_all(
    log: EventLog, session: str, *, after: int = 0, upto: int | None = None, updates: bool = True
) -> AsyncIterator[Recorded]:
    """Read a session page by page; nothing of the store stays open between two pages."""
    async for page in _pages(log, session, after=after, upto=upto, updates=updates):
        for recorded in page:
            yield recorded


async def _pages(
    log: EventLog, session: str, *, after: int = 0, upto: int | None = None, updates: bool = True
) -> AsyncIterator[tuple[Recorded, ...]]:
    while page := await log.read(session, after=after, upto=upto, limit=PAGE, updates=updates):
        yield page
        after = page[-1].seq
        if len(page) < PAGE:
            return


async def load_state(log: EventLog, session: str, *, upto: int | None = None) -> tuple[int, State]:
    """Fold a session's state up to its head, or up to a seq. Returns: the seq reached, the state."""
    seq, state, _ = await load(log, session, context=_Nothing(), upto=upto)
    return seq, state


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
