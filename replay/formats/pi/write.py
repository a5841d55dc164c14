"""Sessions written as pi session files; what came from such a file is written as it was read."""

from __future__ import annotations

import json
from bisect import bisect_left
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from typing import Literal

import msgspec

from eventsource.codec import read_object
from eventsource.control_characters import escaped_json
from eventsource.envelope import Recorded, SessionInfo
from eventsource.events import Compaction, Custom, MessageAdopt
from eventsource.log.protocol import EventLog
from projections import CONTEXT, ContextView
from projections.context import with_model

from ...lineage import forks_of
from ..differences import restore
from ..plan import Kinds
from ..times import write_time
from .entries import write_entry
from .messages import SOURCE, write_message

_EntryFields = dict[str, object]
_KINDS = Kinds(SOURCE)
_PREFIX = f"{SOURCE}."


class ExportBranch(msgspec.Struct, frozen=True, kw_only=True):
    """A session with its own events, and the place in the list of the one it was forked from, after which seq."""

    session: str
    events: tuple[Recorded, ...]
    parent: int | None = None
    fork_seq: int = 0


class _Written(msgspec.Struct):
    """An entry as it will stand in the file: where (line 0: after all others), and the seq and id that name it."""

    line: int
    seq: int
    id: object
    fields: _EntryFields
    event: MessageAdopt | Compaction | None


async def export_pi(log: EventLog, session: str, *, version: Literal[3] | None = None) -> bytes:
    """Write a session, what it was forked from and all forks of that, as one pi session file.

    Messages and compactions are written, and every entry that came from such a file.
    """
    return b"".join([part async for part in pi_parts(log, session, version=version)])


async def pi_parts(log: EventLog, session: str, *, version: Literal[3] | None = None) -> AsyncIterator[bytes]:
    """Write what `export_pi` writes, line by line.

    The facts of all branches are held meanwhile: entries stand where they stood in the file that was imported, and name
    each other.
    """
    info = await log.info(session)
    while info.parent is not None:
        info = await log.info(info.parent)
    branches = [ExportBranch(session=info.id, events=await _own(log, info))]
    for number, branch in enumerate(branches):  # grows while it is read
        for fork in await forks_of(log, branch.session):
            own = await _own(log, fork)
            branches.append(ExportBranch(session=fork.id, events=own, parent=number, fork_seq=fork.fork_seq))
    for entry in write_pi(branches, version=version):
        yield escaped_json(json.dumps(entry, ensure_ascii=False)).encode() + b"\n"


def write_pi(branches: Sequence[ExportBranch], *, version: Literal[3] | None = None) -> Iterator[_EntryFields]:
    """Build the lines of a file: the header, then every entry.

    The version is that of the file which was imported, if that version can say what was added since; else 3.
    """
    walks: list[_Walk] = []
    for branch in branches:
        parent = walks[branch.parent] if branch.parent is not None else None
        walks.append(_Walk(len(walks), branch, parent))
    header = walks[0].header
    given = walks[0].version
    added = any(one.line == 0 for walk in walks for one in walk.own)
    wanted = version or (3 if given < 2 and (added or len(walks) > 1) else given)
    if not header:
        first = branches[0].events[0].at_us if branches[0].events else 0
        header = {"type": "session", "id": branches[0].session, "timestamp": write_time(first), "cwd": ""}
    header = header if wanted == given and walks[0].header else {**header, "version": wanted}
    lines = sorted((one.line or 1 << 62, walk.number, one.seq) for walk in walks for one in walk.own)
    found = {(walk.number, one.seq): one for walk in walks for one in walk.own}
    yield dict(header)
    for _, number, seq in lines:
        yield walks[number].entry(found[number, seq], given, wanted)


class _Walk:
    """Goes through one branch and finds its entries, those it shares with its parent included."""

    def __init__(self, number: int, branch: ExportBranch, parent: _Walk | None) -> None:
        self.number = number
        self.header: Mapping[str, object] = parent.header if parent is not None else {}
        shared = [one for one in parent.events if one.seq <= branch.fork_seq] if parent is not None else []
        self.events: list[Recorded] = [*shared, *branch.events]
        self.entries: list[_Written] = (
            [one for one in parent.entries if one.seq <= branch.fork_seq] if parent is not None else []
        )
        self._lines: Iterator[int] = iter(())
        self._unplaced: list[_Written] = []
        self._rest: Mapping[str, object] = {}
        self._view = CONTEXT.initial
        begun = len(self.entries)
        for recorded in self.events:
            before, self._view = self._view, CONTEXT.step(self._view, recorded)
            if recorded.seq > branch.fork_seq and (found := self._read(recorded, before)) is not None:
                self.entries.append(found)
        self.own = self.entries[begun:]

    def _read(self, recorded: Recorded, before: ContextView) -> _Written | None:
        event, seq = recorded.event, recorded.seq
        match event:
            case Custom(kind=kind, data=data) if kind.startswith(_PREFIX):
                return self._read_custom(kind, read_object(data), seq)
            case MessageAdopt(origin=origin) if origin.source == SOURCE:
                return self._imported(origin.entry, event, recorded)
            case Compaction() if self._rest:
                return self._imported(self._rest.get("id"), event, recorded)
        if len(self._view.entries) == len(before.entries):
            return None
        entry = self._view.entries[len(before.entries)]
        if entry.message is None or entry.edits:
            return None
        if isinstance(event, Compaction):
            return _Written(0, seq, f"{seq:08x}", write_entry(event, recorded.at_us), event)
        time = write_time(recorded.at_us)
        fields: _EntryFields = {
            "type": "message",
            "timestamp": time,
            "message": write_message(with_model(entry.message, self._view.config.model), entry.at_us),
        }
        return _Written(0, seq, f"{self.number:02x}{seq:06x}", fields, None)

    def _read_custom(self, kind: str, data: Mapping[str, object], seq: int) -> _Written | None:
        entry, header, lines = data.get("entry"), data.get("header"), data.get("lines")
        if kind == _KINDS.entry and isinstance(entry, dict):
            return self._placed(_Written(next(self._lines, 0), seq, data.get("id"), entry, None))
        if kind == _KINDS.rest:
            self._rest = data
        if isinstance(header, dict):
            self.header = header
        if isinstance(lines, list):
            numbers = [line for first, last in lines for line in range(first, last + 1)]
            if kind == _KINDS.lines:
                for one, line in zip(self._unplaced, numbers, strict=False):
                    one.line = line
                self._unplaced = []
            else:  # release 0.1 said it where the branch begins
                self._lines = iter(numbers)
        return None

    def _placed(self, one: _Written) -> _Written:
        """Remember an entry whose line is told after it."""
        if one.line == 0:
            self._unplaced.append(one)
        return one

    def _imported(self, name: object, event: MessageAdopt | Compaction, recorded: Recorded) -> _Written:
        said, self._rest = self._rest, {}
        fields = write_entry(event, recorded.at_us)
        if self.version > 1:
            fields |= {"id": name, "parentId": self.entries[-1].id if self.entries else None}
        return self._placed(_Written(next(self._lines, 0), recorded.seq, name, restore(fields, said), event))

    @property
    def version(self) -> int:
        """The version of the file that was imported; 3 if none was."""
        given = self.header.get("version", 1) if self.header else 3
        return given if type(given) is int else 1

    def entry(self, one: _Written, given: int, wanted: int) -> _EntryFields:
        """Write an entry in a version of the format."""
        fields = one.fields
        if wanted < 2:
            return fields
        at = bisect_left(self.entries, one.seq, key=_seq)
        before = self.entries[at - 1].id if at else None
        if one.line == 0 or given == 1:
            fields = {**fields, "id": one.id, "parentId": before}
        if isinstance(one.event, Compaction) and "firstKeptEntryId" not in fields:
            kept = bisect_left(self.entries, one.event.first_kept_seq, key=_seq)
            fields = {name: value for name, value in fields.items() if name != "firstKeptEntryIndex"}
            fields |= {"firstKeptEntryId": self.entries[kept].id} if one.event.first_kept_seq else {}
        message = fields.get("message")
        if given != wanted and isinstance(message, dict) and message.get("role") == "hookMessage":
            fields = {**fields, "message": {**message, "role": "custom"}}
        return fields


def _seq(one: _Written) -> int:
    return one.seq


async def _own(log: EventLog, info: SessionInfo) -> tuple[Recorded, ...]:
    """Read the facts that a session recorded itself."""
    own: list[Recorded] = []
    after = info.fork_seq
    while page := await log.read(info.id, after=after, updates=False):
        own += page
        after = page[-1].seq
    return tuple(own)
