"""A copy of sessions without some of what they hold, in a log of its own: nothing that is read of it can tell more."""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter
from collections.abc import Collection, Iterator, Sequence

from eventsource.envelope import Recorded, Restored, SessionInfo
from eventsource.events import UPDATE_TYPES, Fork
from eventsource.log.load import read_pages
from eventsource.log.memory import MemoryLog
from eventsource.log.protocol import EventLog

from .lineage import lineage
from .omitting import Omitted, Omitting, left_out_words

_NOT_KNOWN = "00" * 32
"""In the place of digests of what is not there any more."""


class OmittedCopy:
    """A log in memory with copies of sessions, under their own ids, and what was left out of each."""

    def __init__(self, log: EventLog, kinds: Collection[Omitted]) -> None:
        self.kinds = tuple(kinds)
        self.store = MemoryLog(clock=log.clock, new_id=lambda: "copy")
        self._log = log
        self._gone: dict[str, tuple[list[int], list[Counter[str]]]] = {}

    async def add(self, *sessions: str) -> None:
        """Copy sessions, and those that they are forks of, with all their own events. Raises: UnknownSessionError."""
        names = {name for session in sessions for name, _ in await lineage(self._log, session)}
        infos = [await self._log.info(name) for name in names - self._gone.keys()]
        for info in sorted(infos, key=lambda info: info.number):  # what begins in another comes behind it
            await self._copy(info)

    async def left_out(self, sessions: Sequence[str]) -> tuple[str, ...]:
        """Say what was left out of the histories of sessions, and how much; what they share counts once."""
        last: dict[str, int] = {}
        for session in sessions:
            for name, seq in await lineage(self.store, session):
                last[name] = max(last.get(name, 0), seq)
        found: Counter[str] = Counter()
        for name, upto in last.items():
            seqs, counts = self._gone[name]
            for one in counts[: bisect_right(seqs, upto)]:
                found.update(one)
        return left_out_words(self.kinds, found)

    async def _copy(self, info: SessionInfo) -> None:
        omitting = Omitting(self.kinds, is_task=bool(info.task))
        seqs, counts = self._gone[info.id] = [], []
        begins = await self._begin(info)
        gaps = _Gaps(begins)
        async for page in read_pages(self._log, info.id, after=begins, upto=info.head):
            restored: list[Restored] = []
            for recorded in page:
                event = omitting.take(recorded.event)
                if omitting.counts:
                    seqs.append(recorded.seq)
                    counts.append(omitting.counts)
                restored += gaps.fill(Recorded(recorded.seq, recorded.at_us, event))
            await self.store.restore(info.id, restored)
        if behind := list(gaps.behind(info.head, info.updated_at_us)):
            await self.store.restore(info.id, behind)
        if info.owner and info.expires_at_us > self._log.clock():
            await self.store.claim(info.id)  # it is being run, and is shown so

    async def _begin(self, info: SessionInfo) -> int:
        """Make the copy of a session. Returns: the last seq that is there."""
        name, title, created, source = info.id, info.title, info.created_at_us, info.source
        if info.parent is None:
            by = info.started_by
            await self.store.create(name, title=title, created_at_us=created, source=source, started_by=by)
            return 0
        first = (await self._log.read(name, after=info.fork_seq, limit=1))[0]
        keeps = first.event.keeps if isinstance(first.event, Fork) else ()
        await self.store.fork(
            info.parent,
            info.fork_seq,
            at_us=first.at_us,
            session=name,
            title=title,
            keeps=keeps,
            created_at_us=created,
            source=source,
            base=_NOT_KNOWN * 2,
        )
        return info.fork_seq + 1


class _Gaps:
    """Puts what stands for content that is gone between events. `seq`: the last one that was put."""

    def __init__(self, seq: int) -> None:
        self._seq, self._lacks = seq, False

    def fill(self, recorded: Recorded) -> Iterator[Restored]:
        """Yield an event, and before it what lies between the last one and it."""
        yield from self.behind(recorded.seq - 1, recorded.at_us)
        is_update = isinstance(recorded.event, UPDATE_TYPES)
        digest = _NOT_KNOWN if self._lacks and not is_update else ""
        self._lacks, self._seq = self._lacks and is_update, recorded.seq
        yield Restored(at_us=recorded.at_us, event=recorded.event, updates_sha256=digest)

    def behind(self, last: int, at_us: int) -> Iterator[Restored]:
        """Yield what lies behind the last event, up to a seq."""
        for _ in range(self._seq, last):
            self._lacks = True
            yield Restored(at_us=at_us, event=None)
        self._seq = max(self._seq, last)
