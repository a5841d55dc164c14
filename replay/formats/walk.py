"""Sessions written back as the records of a format: what came from such a file as it was read, the rest as new ones.

Written are either a whole family, for a file that holds all branches, or a copy: one session with what it inherits, in
which each message reads as the model reads it at its head, edits and hidden messages included.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from typing import Protocol

import msgspec
from msgspec.structs import replace

from eventsource.codec import read_object
from eventsource.envelope import Recorded, SessionInfo
from eventsource.events import Compaction, Custom, MessageAdopt, Origin, Place
from eventsource.log.load import load
from eventsource.log.protocol import EventLog
from eventsource.messages import AssistantMessage, CustomMessage, Message, ToolCall, ToolResultMessage
from projections import CONTEXT
from projections.context import ContextView, convert, parts, with_model
from projections.transcript import text_of

from ..lineage import forks_of
from .dialect import Dialect, InContext, PathState
from .differences import carried_over, restore, same
from .jsonl import Fields
from .plan import Kinds

Instead = Mapping[int, tuple[Message, ...]]
"""By the seq of a message, what the model reads in its place: another one, nothing, or a note beside another one."""


class _Copying(msgspec.Struct, frozen=True):
    """What a copy says instead of what is on record, and how what was recorded here is said in it."""

    instead: Instead
    fit: Callable[[Message], Message]


class WritingDialect(Dialect, Protocol):
    """A dialect that can say what was never in a file of its format."""

    header: Fields

    def new_name(self, session: str, seq: int) -> str:
        """Return what an entry is named by that was recorded here."""
        ...

    def write_new(self, event: InContext, at_us: int, name: str, state: PathState) -> list[dict[str, object]]:
        """Write the records of an entry that was recorded here."""
        ...


class CopyingDialect(WritingDialect, Protocol):
    """A dialect whose sessions can be given to an agent."""

    def fit(self, message: Message) -> Message:
        """Return a message that was recorded here as the agent and its provider take it."""
        ...


class WrittenEntry(msgspec.Struct):
    """An entry as it will stand in a file.

    `seq`: its last. `event`: what it comes to first, if it stands in the context. `lines`: of each record (none: after
    all others).
    """

    seq: int
    name: str
    records: list[dict[str, object]]
    event: InContext | None = None
    lines: list[int] = []


class _Own(msgspec.Struct, frozen=True):
    """A session with its own facts, and the place in the list of the one it was forked from."""

    info: SessionInfo
    parent: int | None


async def walk_family(log: EventLog, session: str, dialect: WritingDialect) -> list[Walk]:
    """Go through what stands in one file: a session, what it was forked from and all forks of that.

    Returns: a walk of each, the root's first: that of the session with the file, which may be a fork of another file's.
    """
    line = await _lineage(log, session)
    while len(line) > 1 and not line[-1].info.source:
        line.pop()
    above = len(line) - 1
    family = line.copy()
    for number, one in enumerate(family):  # grows while it is read
        if number >= above:
            forks = await forks_of(log, one.info.id)
            family += [_Own(fork, number) for fork in forks if not fork.source]
    return (await _walks(log, family, dialect, None))[above:]


async def walk_lineage(log: EventLog, session: str, dialect: WritingDialect) -> Walk:
    """Go through a session with what it inherits, as it was recorded."""
    return (await _walks(log, await _lineage(log, session), dialect, None))[-1]


async def walk_copy(log: EventLog, session: str, dialect: CopyingDialect) -> tuple[Walk, ContextView]:
    """Go through a session with what it inherits, as the model reads it at its head. Returns: also what that reads."""
    _, _, view = await load(log, session, context=CONTEXT)
    copying = _Copying(read_instead(view), dialect.fit)
    return (await _walks(log, await _lineage(log, session), dialect, copying))[-1], view


async def _lineage(log: EventLog, session: str) -> list[_Own]:
    line = [await log.info(session)]
    while (parent := line[-1].parent) is not None:
        line.append(await log.info(parent))
    return [_Own(info, number - 1 if number else None) for number, info in enumerate(reversed(line))]


def read_instead(view: ContextView) -> Instead:
    """Find the messages in whose place the model reads something else, and what that is."""
    edits = {entry.edits: entry.message for entry in view.edits}
    if not edits:
        return {}
    sent: dict[int, list[Message]] = {}
    for part in parts(view):
        sent.setdefault(part.seq, []).append(part.message)
    found: dict[int, tuple[Message, ...]] = {}
    for place, entry in enumerate(view.entries):
        compacted = place < view.kept and place != view.summary
        if entry.edits:
            continue
        if entry.seq in edits:
            said = edits[entry.seq]
            own = (said,) if said is not None else ()  # what is compacted is not sent, and a summary is sent in words
            found[entry.seq] = own if compacted or entry.summary else tuple(sent.get(entry.seq, ()))
        elif entry.call is not None and entry.call.message_seq in edits and not compacted and entry.seq not in sent:
            found[entry.seq] = ()  # its call is hidden
    return found


async def _walks(
    log: EventLog, family: Sequence[_Own], dialect: WritingDialect, copying: _Copying | None
) -> list[Walk]:
    points: list[set[int]] = [set() for _ in family]
    for one in family:
        at, seq = one.parent, one.info.fork_seq
        while at is not None and family[at].parent is not None and seq <= family[at].info.fork_seq:
            at = family[at].parent
        if at is not None:
            points[at].add(seq)
    walks: list[Walk] = []
    for one, own in zip(family, points, strict=True):
        parent = walks[one.parent] if one.parent is not None else None
        walk = Walk(one.info, parent, dialect, sorted(own), copying)
        needed = own and copying is not None  # of those that a copy inherits from, no more than that
        async for recorded in _facts(log, one.info):
            walk.step(recorded)
            if needed and walk.is_past_forks:
                break
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
    """Goes through one session's own facts and finds its entries; `entries` has those it inherits too.

    Args:
        points: the seqs, in order, at which forks of it begin.
        copying: how a copy is made; None: it is written as it was recorded.
    """

    def __init__(
        self,
        info: SessionInfo,
        parent: Walk | None,
        dialect: WritingDialect,
        points: list[int],
        copying: _Copying | None = None,
    ) -> None:
        self.info, self._parent, self._dialect, self._points = info, parent, dialect, points
        self._copying = copying
        self._instead = copying.instead if copying is not None else None
        self._kinds = Kinds(dialect.format)
        self._states: dict[int, PathState] = {}
        self._views: dict[int, ContextView] = {}
        self._parted: dict[int, WrittenEntry] = {}  # an entry of which a fork has only the beginning
        self.entries: list[WrittenEntry] = []
        self._state, self._view = PathState(), CONTEXT.initial
        self._ids = _CallIds()
        self.header: Fields = parent.header if parent is not None else {}
        self.branch: Fields = {}  # what is said where it begins
        if parent is not None:
            self._state, self._view = parent.at(info.fork_seq)
            self.entries = parent.before(info.fork_seq)
            self._ids = parent._ids.copy()
        self.inherited = len(self.entries)
        self._group: list[tuple[int, InContext]] = []
        self._name, self._at_us = "", 0
        self._rest: Fields = {}
        self._cuts: list[int] = []
        self._numbers: Iterator[int] = iter(())
        self._unplaced: list[WrittenEntry] = []

    def at(self, seq: int) -> tuple[PathState, ContextView]:
        """Return what holds at a seq where a fork begins."""
        if self._parent is not None and seq <= self.info.fork_seq:
            return self._parent.at(seq)
        return self._states[seq].copy(), self._views[seq]

    def before(self, seq: int) -> list[WrittenEntry]:
        """Return the entries up to a seq where a fork begins."""
        if self._parent is not None and seq <= self.info.fork_seq:
            return self._parent.before(seq)
        found = [one for one in self.entries if one.seq <= seq]
        return [*found, self._parted[seq]] if seq in self._parted else found

    def own(self) -> Iterator[WrittenEntry]:
        """Give the entries that this session recorded itself."""
        yield from self.entries[self.inherited :]

    @property
    def is_past_forks(self) -> bool:
        """Whether all that a fork has of it was read."""
        return not self._points and not self._cuts

    def step(self, recorded: Recorded) -> None:
        """Take the next fact."""
        event = recorded.event
        adopted = event if isinstance(event, MessageAdopt) and event.origin.source == self._dialect.format else None
        goes_on = adopted is not None and bool(self._group) and adopted.origin.entry == self._name
        while self._points and recorded.seq > self._points[0]:
            self._keep(self._points.pop(0), within=goes_on)
        before, self._view = self._view, CONTEXT.step(self._view, recorded)
        if adopted is not None:
            if not goes_on:
                self._flush()
                self._name = adopted.origin.entry
            self._add(adopted, recorded)
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
            self._keep(point, within=False)

    def _keep(self, point: int, *, within: bool) -> None:
        """Remember what holds at a seq where a fork begins, which may be within an entry."""
        self._views[point] = self._view
        if within:
            self._cuts.append(point)
        else:
            self._flush()
            self._states[point] = self._state.copy()

    def _add(self, event: InContext, recorded: Recorded) -> None:
        if not self._group:
            self._at_us = recorded.at_us
        self._group.append((recorded.seq, event))

    def _flush(self) -> None:
        """Write the entry whose events have all come."""
        if not self._group:
            return
        group, self._group = self._group, []
        said, self._rest = self._rest, {}
        events = [event for _, event in group]
        written = self._written(events)
        records = _restored(written, said)
        for point in self._cuts:
            part = group if self._instead is None else [one for one in group if one[0] <= point]
            self._parted[point] = self._entry(point, part, events, written, records)
            state = self._states[point] = self._state.copy()
            self._pass(self._parted[point], state)
        self._cuts = []
        seq, event = group[0]
        if isinstance(event, Compaction) and self._is_hidden(seq) and not event.silent:
            self.entries = self._kept(event, seq)
        else:
            self._leave(self._entry(group[-1][0], group, events, written, records))
        self._name = ""

    def _is_hidden(self, seq: int) -> bool:
        return self._instead is not None and self._instead.get(seq) == ()

    def _kept(self, event: Compaction, seq: int) -> list[WrittenEntry]:
        """Return the entries that a compaction keeps."""
        first = event.first_kept_seq or seq
        return [one for one in self.entries if one.seq >= first and not isinstance(one.event, Compaction)]

    def _written(self, events: Sequence[InContext]) -> list[dict[str, object]]:
        return self._dialect.write(events, self._at_us, self._name, self._state)

    def _entry(
        self,
        seq: int,
        part: Sequence[tuple[int, InContext]],
        events: Sequence[InContext],
        written: list[dict[str, object]],
        records: list[dict[str, object]],
    ) -> WrittenEntry:
        """Make an entry of its events, or a part of them, as they are now: what its records say beside them stays."""
        now = [event for _, event in part]
        if self._instead is not None:
            now = [one for number, event in part for one in _now(event, self._instead.get(number))]
            for number, event in part:
                self._ids.take(number, event)
            if now != events:
                records = self._changed(now, written, records, more=len(now) > len(part))
        return WrittenEntry(seq, self._name, records, now[0] if now else None)

    def _changed(
        self,
        events: Sequence[InContext],
        written: list[dict[str, object]],
        records: list[dict[str, object]],
        *,
        more: bool,
    ) -> list[dict[str, object]]:
        """Write an entry whose events read otherwise, in its records if they say such things. `more`: it has more."""
        if not events:
            return []
        wanted = self._written(events)
        if len(wanted) == len(written) == len(records) and not more:
            three = list(zip(records, written, wanted, strict=True))
            if all(_says(*one) for one in three):
                return [carried_over(*one) for one in three]
        if isinstance(events[0], Compaction):
            return wanted
        new = (self._dialect.write_new(event, self._at_us, self._name, self._state) for event in events)
        return [record for records in new for record in records]

    def _custom(self, kind: str, data: Fields, seq: int) -> None:
        header, lines = data.get("header"), data.get("lines")
        if kind == self._kinds.entry:
            entry, entries = data.get("entry"), data.get("entries")
            records = [entry] if isinstance(entry, dict) else entries if isinstance(entries, list) else []
            kept = [dict(one) for one in records if isinstance(one, dict)]
            self._leave(WrittenEntry(seq, str(data.get("id", "")), kept))
        elif kind == self._kinds.rest:
            self._rest = data
        elif kind == self._kinds.lines:
            self._place(_numbers(lines))
        elif isinstance(lines, list):  # release 0.1 said it where the branch begins
            self._numbers = _numbers(lines)
        if kind == self._kinds.branch:
            self.branch = data
        if kind == self._kinds.session and isinstance(header, dict):
            self.header = self._dialect.header = header

    def _place(self, numbers: Iterator[int]) -> None:
        """Give the entries since the last such list the lines where they stood."""
        for entry in self._unplaced:
            entry.lines = [number for _, number in zip(entry.records, numbers, strict=False)]
        self._unplaced = []

    def _leave(self, entry: WrittenEntry) -> None:
        """Add an entry that came from a file."""
        entry.lines = [number for _, number in zip(entry.records, self._numbers, strict=False)]
        if not entry.lines:
            self._unplaced.append(entry)
        self.entries.append(entry)
        self._pass(entry, self._state)

    def _pass(self, entry: WrittenEntry, state: PathState) -> None:
        if entry.records:
            self._dialect.passed(entry.records, entry.name, state)
            state.name = entry.name

    def _new(self, recorded: Recorded) -> None:
        """Write what was recorded here and stands in the context."""
        entry, seq = self._view.entries[len(self._view.entries) - 1], recorded.seq
        if entry.message is None or entry.edits:
            return
        if isinstance(recorded.event, Compaction):
            self._compaction(recorded, recorded.event)
            return
        found: tuple[Message, ...] = (entry.message,)
        if self._copying is not None:
            sent = self._copying.instead.get(seq, (entry.sent,) if entry.sent is not None else ())
            found = tuple(self._copying.fit(self._ids.named(seq, message, entry.call)) for message in sent)
        for place, one in enumerate(found):
            message = with_model(one, self._view.config.model)
            if self._instead is not None and isinstance(message, AssistantMessage) and not message.content:
                continue
            event = MessageAdopt(message=message, origin=Origin(source="refold"), sent_at_us=entry.at_us)
            self._write_new(recorded, event, f"{self.info.id}/{place}" if place else self.info.id)

    def _write_new(self, recorded: Recorded, event: InContext, within: str) -> None:
        name = self._dialect.new_name(within, recorded.seq)
        records = self._dialect.write_new(event, recorded.at_us, name, self._state)
        new = WrittenEntry(recorded.seq, name, records, event)
        self.entries.append(new)
        self._pass(new, self._state)

    def _compaction(self, recorded: Recorded, event: Compaction) -> None:
        """Write a compaction that was recorded here; of a copy, what it keeps is said again behind it."""
        if self._instead is None:
            self._write_new(recorded, event, self.info.id)
            return
        kept = self._kept(event, recorded.seq)
        if event.silent or self._is_hidden(recorded.seq):  # the whole context is what it keeps and what follows it
            self.entries = kept
            for now in _now(event, self._instead.get(recorded.seq))[1:]:
                self._write_new(recorded, now, self.info.id)
            return
        seqs = {one.seq for one in kept}
        self.entries = [one for one in self.entries if one.seq not in seqs]
        (now,) = _now(event, self._instead.get(recorded.seq))
        self._write_new(recorded, now, self.info.id)
        self.entries += kept


class _CallIds:
    """The ids of calls in a copy: those on record may be empty, or come again."""

    def __init__(self) -> None:
        self._used: set[str] = set()
        self._named: dict[Place, str] = {}
        self._open: dict[str, list[Place]] = {}  # calls without a result, by the id on record

    def copy(self) -> _CallIds:
        """Make another one, to go on with in a fork."""
        other = _CallIds()
        other._used, other._named = self._used.copy(), self._named.copy()
        other._open = {call_id: places.copy() for call_id, places in self._open.items()}
        return other

    def take(self, seq: int, event: InContext) -> None:
        """Take note of the calls of a message that is written as it was read."""
        message = event.message if isinstance(event, MessageAdopt) else None
        if isinstance(message, AssistantMessage):
            for place, block in enumerate(message.content):
                if isinstance(block, ToolCall):
                    self._add(Place(message_seq=seq, content_index=place), block.id, block.id)
        elif isinstance(message, ToolResultMessage) and isinstance(event, MessageAdopt):
            self._answer(message.tool_call_id, event.call)

    def named(self, seq: int, message: Message, call: Place | None) -> Message:
        """Return a message with ids that no other call has."""
        if isinstance(message, ToolResultMessage):
            return replace(message, tool_call_id=self._answer(message.tool_call_id, call))
        if not isinstance(message, AssistantMessage):
            return message
        content = list(message.content)
        for place, block in enumerate(content):
            if isinstance(block, ToolCall):
                own = block.id if block.id and block.id not in self._used else f"{block.id or 'call'}_{seq}_{place}"
                self._add(Place(message_seq=seq, content_index=place), block.id, own)
                content[place] = block if own == block.id else replace(block, id=own)
        return replace(message, content=tuple(content))

    def _add(self, place: Place, call_id: str, own: str) -> None:
        self._used.add(own)
        self._named[place] = own
        self._open.setdefault(call_id, []).append(place)

    def _answer(self, call_id: str, call: Place | None) -> str:
        """Find the id of the call that a result answers: without its place, the first open one of the last message."""
        places = self._open.get(call_id, [])
        if call is None and places:
            last = places[-1].message_seq
            call = next(place for place in places if place.message_seq == last)
        if call in places:
            places.remove(call)
        return self._named.get(call, call_id) if call is not None else call_id


def _now(event: InContext, instead: tuple[Message, ...] | None) -> tuple[InContext, ...]:
    """Return an event as it reads now."""
    if instead is None:
        return (event,)
    if isinstance(event, MessageAdopt):
        return tuple(replace(event, message=message) for message in instead)
    if isinstance(event, Compaction) and event.silent:  # which is sent once it is edited
        sent = [one for message in instead if (one := convert(message)) is not None]
        return (event, *(MessageAdopt(message=one, origin=Origin(source="refold")) for one in sent))
    if isinstance(event, Compaction):
        return (replace(event, summary="\n".join(map(_summary, instead))),)
    return (event,)


def _summary(message: Message) -> str:
    body = read_object(message.body) if isinstance(message, CustomMessage) else {}
    return str(body["summary"]) if "summary" in body else text_of(message)


def _says(record: Fields, written: Fields, wanted: Fields) -> bool:
    """Return whether a record has each field that is to be changed."""
    return all(name in record for name, value in written.items() if not same(value, wanted.get(name)))


def _numbers(ranges: object) -> Iterator[int]:
    pairs = [pair for pair in ranges if isinstance(pair, list)] if isinstance(ranges, list) else []
    return iter([line for first, last in pairs for line in range(first, last + 1)])


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
    return (record for _, _, record in placed_records(walks))


def placed_records(walks: Sequence[Walk]) -> Iterator[tuple[Walk, WrittenEntry, dict[str, object]]]:
    """Give what `in_file_order` gives, each record with its entry and its walk."""
    placed: list[tuple[int, int, int, int, WrittenEntry]] = []
    for number, walk in enumerate(walks):
        for entry in walk.own():
            for place in range(len(entry.records)):
                line = entry.lines[place] if place < len(entry.lines) else 1 << 62
                placed.append((line, number, entry.seq, place, entry))
    placed.sort(key=lambda one: one[:4])
    for _, number, _, place, entry in placed:
        yield walks[number], entry, entry.records[place]
