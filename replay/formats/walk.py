"""Sessions written back as the records of a format: what came from such a file as it was read, the rest as new ones."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from typing import Protocol

import msgspec

from eventsource.codec import read_object
from eventsource.envelope import Recorded, SessionInfo
from eventsource.events import Compaction, Custom, MessageAdopt, Origin
from eventsource.log.protocol import EventLog
from projections import CONTEXT
from projections.context import ContextView, with_model

from ..lineage import forks_of
from .dialect import Dialect, InContext, PathState
from .differences import restore
from .jsonl import Fields
from .plan import Kinds


class WritingDialect(Dialect, Protocol):
    """A dialect that can say what was never in a file of its format."""

    def new_name(self, session: str, seq: int) -> str:
        """Return what an entry is named by that was recorded here."""
        ...

    def write_new(self, event: InContext, at_us: int, name: str, state: PathState) -> list[dict[str, object]]:
        """Write the records of an entry that was recorded here."""
        ...


class WrittenEntry(msgspec.Struct):
    """An entry as it will stand in a file: its seq, its records, and the line of each (none: after all others)."""

    seq: int
    records: list[dict[str, object]]
    lines: list[int] = []


class _Own(msgspec.Struct, frozen=True):
    """A session with its own facts, and the place in the list of the one it was forked from."""

    info: SessionInfo
    parent: int | None


async def walk_family(log: EventLog, session: str, dialect: WritingDialect) -> list[Walk]:
    """Go through a session, what it was forked from and all forks of that.

    Returns: a walk of each, the root's first.
    """
    info = await log.info(session)
    while info.parent is not None:
        info = await log.info(info.parent)
    family = [_Own(info, None)]
    for number, one in enumerate(family):  # grows while it is read
        family += [_Own(fork, number) for fork in await forks_of(log, one.info.id)]
    return await _walks(log, family, dialect)


async def walk_lineage(log: EventLog, session: str, dialect: WritingDialect) -> Walk:
    """Go through a session and what it inherits."""
    line = [await log.info(session)]
    while (parent := line[-1].parent) is not None:
        line.append(await log.info(parent))
    family = [_Own(info, number - 1 if number else None) for number, info in enumerate(reversed(line))]
    return (await _walks(log, family, dialect))[-1]


async def _walks(log: EventLog, family: Sequence[_Own], dialect: WritingDialect) -> list[Walk]:
    points: list[set[int]] = [set() for _ in family]
    for one in family:
        at, seq = one.parent, one.info.fork_seq
        while at is not None and family[at].parent is not None and seq <= family[at].info.fork_seq:
            at = family[at].parent
        if at is not None:
            points[at].add(seq)
    walks: list[Walk] = []
    for one, own in zip(family, points, strict=True):
        walk = Walk(one.info, walks[one.parent] if one.parent is not None else None, dialect, sorted(own))
        async for recorded in _facts(log, one.info):
            walk.step(recorded)
        walk.end()
        walks.append(walk)
    return walks


async def _facts(log: EventLog, info: SessionInfo) -> AsyncIterator[Recorded]:
    after = info.fork_seq
    while page := await log.read(info.id, after=after, updates=False):
        for recorded in page:
            yield recorded
        after = page[-1].seq


class Walk:
    """Goes through one session's own facts and finds its entries; `entries` has those it inherits too."""

    def __init__(self, info: SessionInfo, parent: Walk | None, dialect: WritingDialect, points: list[int]) -> None:
        self.info, self._parent, self._dialect, self._points = info, parent, dialect, points
        self._kinds = Kinds(dialect.format)
        self._states: dict[int, PathState] = {}
        self._views: dict[int, ContextView] = {}
        self.entries: list[WrittenEntry] = []
        self.header: Fields = {}
        self._state, self._view = PathState(), CONTEXT.initial
        if parent is not None:
            self._state, self._view = parent.at(info.fork_seq)
            self.entries = [one for one in parent.entries if one.seq <= info.fork_seq]
            self.header = parent.header
        self.inherited = len(self.entries)
        self._group: list[InContext] = []
        self._name, self._at_us, self._seq = "", 0, 0
        self._rest: Fields = {}
        self._unplaced: list[WrittenEntry] = []

    def at(self, seq: int) -> tuple[PathState, ContextView]:
        """Return what holds at a seq where a fork begins."""
        if self._parent is not None and seq <= self.info.fork_seq:
            return self._parent.at(seq)
        return self._states[seq].copy(), self._views[seq]

    def own(self) -> Iterator[WrittenEntry]:
        """Give the entries that this session recorded itself."""
        yield from self.entries[self.inherited :]

    def step(self, recorded: Recorded) -> None:
        """Take the next fact."""
        while self._points and recorded.seq > self._points[0]:
            self._keep(self._points.pop(0))
        before, self._view = self._view, CONTEXT.step(self._view, recorded)
        event = recorded.event
        if isinstance(event, MessageAdopt) and event.origin.source == self._dialect.format:
            if event.origin.entry != self._name:
                self._flush()
                self._name = event.origin.entry
            self._add(event, recorded)
            return
        self._flush()
        if isinstance(event, Custom) and event.kind.startswith(f"{self._dialect.format}."):
            self._custom(event.kind, read_object(event.data), recorded.seq)
        elif isinstance(event, Compaction) and self._rest:
            self._name = str(self._rest.get("id", ""))
            self._add(event, recorded)
        elif len(self._view.entries) > len(before.entries):
            self._new(recorded)

    def end(self) -> None:
        """Take note that there are no more facts."""
        self._flush()
        for point in self._points:
            self._keep(point)

    def _keep(self, point: int) -> None:
        self._flush()
        self._states[point], self._views[point] = self._state.copy(), self._view

    def _add(self, event: InContext, recorded: Recorded) -> None:
        if not self._group:
            self._at_us = recorded.at_us
        self._group.append(event)
        self._seq = recorded.seq

    def _flush(self) -> None:
        """Write the entry whose events have all come."""
        if not self._group:
            return
        written = self._dialect.write(self._group, self._at_us, self._name, self._state)
        said, self._rest = self._rest, {}
        self._leave(_restored(written, said), self._seq, self._name)
        self._group, self._name = [], ""

    def _custom(self, kind: str, data: Fields, seq: int) -> None:
        if kind == self._kinds.entry:
            entry, entries = data.get("entry"), data.get("entries")
            records = [entry] if isinstance(entry, dict) else entries if isinstance(entries, list) else []
            self._leave([dict(one) for one in records if isinstance(one, dict)], seq, str(data.get("id", "")))
        elif kind == self._kinds.rest:
            self._rest = data
        elif kind == self._kinds.lines:
            self._place(data.get("lines"))
        elif kind == self._kinds.session and isinstance(data.get("header"), dict):
            self.header = data["header"]  # type: ignore[assignment]  # the line above says what it is

    def _place(self, ranges: object) -> None:
        """Give the entries since the last such list the lines where they stood."""
        pairs = [pair for pair in ranges if isinstance(pair, list)] if isinstance(ranges, list) else []
        numbers = iter([line for first, last in pairs for line in range(first, last + 1)])
        for entry in self._unplaced:
            entry.lines = [number for _, number in zip(entry.records, numbers, strict=False)]
        self._unplaced = []

    def _leave(self, records: list[dict[str, object]], seq: int, name: str) -> None:
        entry = WrittenEntry(seq, records)
        self.entries.append(entry)
        self._unplaced.append(entry)
        if records:
            self._dialect.passed(records, name, self._state)
            self._state.name = name

    def _new(self, recorded: Recorded) -> None:
        """Write what was recorded here and stands in the context."""
        entry = self._view.entries[len(self._view.entries) - 1]
        if entry.message is None or entry.edits:
            return
        event: InContext
        if isinstance(recorded.event, Compaction):
            event = recorded.event
        else:
            message = with_model(entry.message, self._view.config.model)
            event = MessageAdopt(message=message, origin=Origin(source="refold"), sent_at_us=entry.at_us)
        name = self._dialect.new_name(self.info.id, recorded.seq)
        records = self._dialect.write_new(event, recorded.at_us, name, self._state)
        new = WrittenEntry(recorded.seq, records)
        self.entries.append(new)
        if records:
            self._dialect.passed(records, name, self._state)
            self._state.name = name


def _restored(written: list[dict[str, object]], said: Fields) -> list[dict[str, object]]:
    """Make the records what they were."""
    records, each = said.get("records"), said.get("each")
    if isinstance(records, list):
        return [dict(one) for one in records if isinstance(one, dict)]
    differences: Sequence[object] = each if isinstance(each, list) else [said]
    return [
        restore(one, difference if isinstance(difference, Mapping) else {})
        for one, difference in zip(written, [*differences, *[{}] * len(written)], strict=False)
    ]


def in_file_order(walks: Sequence[Walk]) -> Iterator[dict[str, object]]:
    """Give the records of a family as a file holds them: where they stood, and what was recorded here after these."""
    placed: list[tuple[int, int, int, int, dict[str, object]]] = []
    for number, walk in enumerate(walks):
        for entry in walk.own():
            for place, record in enumerate(entry.records):
                line = entry.lines[place] if place < len(entry.lines) else 1 << 62
                placed.append((line, number, entry.seq, place, record))
    placed.sort(key=lambda one: one[:4])
    for *_, record in placed:
        yield record
