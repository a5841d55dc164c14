"""What a log has of a session file already, read from the lists that earlier imports left beside the entries."""

from __future__ import annotations

from array import array
from base64 import b64decode
from collections.abc import AsyncIterator

from eventsource.codec import read_object
from eventsource.envelope import SessionInfo
from eventsource.events import Compaction, ConfigChange, Custom, Event, MessageAdopt, ModelRef
from eventsource.log.protocol import EventLog

from ..lineage import forks_of
from .jsonl import Fields
from .plan import Kinds, Known, KnownBranch, KnownEntries, KnownEntry

_PAGE = 1_000


async def find_known(log: EventLog, source: str, kinds: Kinds, *, fork: str = "") -> Known | None:
    """Find the session that was imported from a source, and the forks that imports made of it.

    Args:
        source: the format, and what the source itself calls the session.
        fork: what the source calls the session that it is about, if that was forked from this one.

    Returns: None when there is none.
    """
    found = await log.sessions(source=source, limit=1)
    if not found:
        return None
    branches: list[KnownBranch] = []
    entries = KnownEntries()
    files: dict[str, str] = {}
    wanted = f"{source.partition(':')[0]}:{fork}" if fork else source
    async for info in _family(log, found[0], kinds):
        files[info.id] = info.source or files[info.parent or ""]
        tip, last, spoken = info.fork_seq + 1, 0, 0
        model: ModelRef | None = None
        async for seq, event in _facts(log, info):
            if isinstance(event, MessageAdopt | Compaction):
                spoken = seq
            elif isinstance(event, ConfigChange) and event.model is not None:
                model = event.model
            if not isinstance(event, Custom) or event.kind != kinds.lines:
                continue
            tip = seq
            for digest, entry in _entries(read_object(event.data), len(branches)):
                entries.add(digest, entry)
                last = entry.last if entry.first <= spoken else last
        own = files[info.id] == wanted
        branches.append(KnownBranch(session=info.id, head=info.head, tip=tip, last=last, own=own, model=model))
    main = next((number for number, one in enumerate(branches) if one.own), len(branches))
    return Known(branches=tuple(branches), entries=entries, main=main, fork=fork)


async def _family(log: EventLog, main: SessionInfo, kinds: Kinds) -> AsyncIterator[SessionInfo]:
    """Give the session, and each fork that an import began: one that somebody made here says nothing of a file."""
    yield main
    waiting = [main]
    while waiting:
        for fork in await forks_of(log, waiting.pop().id):
            first = await log.read(fork.id, after=fork.fork_seq + 1, limit=1)
            if first and isinstance(first[0].event, Custom) and first[0].event.kind == kinds.branch:
                yield fork
                waiting.append(fork)


async def _facts(log: EventLog, info: SessionInfo) -> AsyncIterator[tuple[int, Event]]:
    """Give a session's own events, and where each stands."""
    after = info.fork_seq
    while page := await log.read(info.id, after=after, limit=_PAGE, updates=False):
        for recorded in page:
            yield recorded.seq, recorded.event
        after = page[-1].seq


def _entries(said: Fields, branch: int) -> list[tuple[int, KnownEntry]]:
    """Read a list of entries; what is none, since it was erased, names nothing."""
    match said:
        case {"first": int(first), "events": list(counts), "entries": str(text)}:
            digests = array("Q")
            digests.frombytes(b64decode(text))
        case _:
            return []
    found = []
    for number, digest in enumerate(digests):
        count, naming = counts[2 * number : 2 * number + 2]
        found.append((digest, KnownEntry(branch, first, first + naming, first + count - 1)))
        first += count
    return found
