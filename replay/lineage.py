"""The lineage of sessions: a history's ancestors and forks, and up to which seq two histories are the same."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection

from eventsource.envelope import Recorded, SessionInfo
from eventsource.events import Erase
from eventsource.log.load import load_view
from eventsource.log.protocol import EventLog
from projections.projection import Projection

_PAGE = 1_000


async def lineage(log: EventLog, session: str) -> tuple[tuple[str, int], ...]:
    """List the sessions whose events a history is made of, itself first: (session, last seq taken from it).

    Raises: UnknownSessionError.
    """
    info = await log.info(session)
    last = info.head
    chain = [(info.id, last)]
    while info.parent is not None:
        last = min(last, info.fork_seq)
        info = await log.info(info.parent)
        chain.append((info.id, last))
    return tuple(chain)


async def forks_of(log: EventLog, session: str) -> list[SessionInfo]:
    """List the rows of the sessions that begin as forks of one."""
    forks: list[SessionInfo] = []
    while page := await log.sessions(parent=session, after=forks[-1].id if forks else None):
        forks += page
    return forks


async def count_forks(log: EventLog, sessions: Collection[str]) -> Counter[str]:
    """Count the sessions that begin as forks of some."""
    found, after = Counter[str](), None
    while page := await log.sessions(parent=sessions, after=after, limit=_PAGE):
        found.update([info.parent for info in page if info.parent is not None])
        after = page[-1].id
        if len(page) < _PAGE:
            break
    return found


async def erased_seqs(log: EventLog, session: str) -> frozenset[int]:
    """List the seqs of a history that an `erase` names, wherever it stands.

    An `erase` stands in the session that recorded what it names, so often behind the seq at which a fork begins.

    Raises: UnknownSessionError.
    """
    found: set[int] = set()
    for name, last in reversed(await lineage(log, session)):  # a fork goes on from what is kept of its parent
        first = (await log.info(name)).fork_seq
        found.update(seq for seq in await load_view(log, name, _ERASED) if first < seq <= last)
    return frozenset(found)


def _step(erased: frozenset[int], recorded: Recorded) -> frozenset[int]:
    return erased | {recorded.event.target_seq} if isinstance(recorded.event, Erase) else erased


_ERASED = Projection(name="erased", version=1, initial=frozenset[int](), step=_step)


async def shared_seq(log: EventLog, one: str, other: str) -> int:
    """Return the last seq that two histories share; 0 when they have no common ancestor."""
    taken = dict(await lineage(log, one))
    return max(
        (min(last, taken[session]) for session, last in await lineage(log, other) if session in taken), default=0
    )
