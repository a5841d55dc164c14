"""Refold's own session file: JSON Lines with a session's whole lineage, so that an import folds and hashes the same.

    {"type":"refold_export","version":1,"session":"…","head":9,"digest":"…","whole":true}   which session, up to where
    {"type":"refold_session","session":"…","last":4,"digest":"…",…}        a session of the lineage, root first
    [1,1700000000000000,{"type":"queue_push",…}]                                    its own events: seq, time, event
    {"type":"refold_end","sha256":"…"}                                              SHA-256 of every byte before

An event whose JSON, kept as received, holds a line break, or signs that would steer a terminal, stands as a string of
that JSON, with these escaped. Lines end at LF.

Version 2 is written where content was dropped or erased before. It has, beside these,

    {"type":"refold_dropped","first":7,"last":40,"at_us":…,"offsets":[0,…]}         updates without content, and times
    {"type":"refold_gone","seq":41,"lines":"…","u":"…","b":"…","erase":52}          behind the fact of that seq

where `lines` is SHA-256 of the lines since the fact before, up to the fact's own, so that what no digest covers is
not changed unseen; `u` and `b` are U and B (docs/log-format.md) where updates before the fact, or its own content, are
gone; `erase` is the seq of the last event that erased it, left out if that lies behind what is exported. In a
session's row stand `base` (a fork began among updates that are gone: the digest there, and U so far), `link` (the last
fact's digest, where updates behind it are gone), and `behind` (how many erased things no event in the file names).
Files of version 1 that 0.1 wrote may hold `refold_dropped` without times, and erased events; they are not `whole`.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from hashlib import sha256
from itertools import accumulate
from typing import Annotated, TypeAlias

import msgspec
from msgspec.structs import replace

from eventsource.codec import decode, encode
from eventsource.control_characters import escaped_json, has_control_characters
from eventsource.envelope import Recorded
from eventsource.errors import CorruptLogError, TranscriptError
from eventsource.events import UPDATE_TYPES

WHOLE, GONE = 1, 2
"""Versions: of a file to which nothing is missing, and of one from which content is gone. No other is written."""


Sha256: TypeAlias = Annotated[str, msgspec.Meta(pattern="^([0-9a-f]{64})?$")]
Base: TypeAlias = Annotated[str, msgspec.Meta(pattern="^([0-9a-f]{64}){0,2}$")]


class _Line(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, tag_field="type"):
    """A line that is an object."""


class ExportHeader(_Line, frozen=True, kw_only=True, tag="refold_export"):
    """The first line: which session the file is of, and the digest at its head."""

    version: int
    session: str
    head: int
    digest: str
    whole: bool = False


class SessionLine(_Line, frozen=True, kw_only=True, tag="refold_session"):
    """Begins the own events of one session, `fork_seq` + 1 to `last`; `digest` is the one at `last`.

    `source`: what it was imported from, of one that was; by that an import of the same file finds it again.
    """

    session: str
    last: int
    digest: str
    parent: str | None = None
    fork_seq: int = 0
    title: str = ""
    source: str = ""
    created_at_us: int = 0
    base: Base = ""
    link: Sha256 = ""
    behind: int = 0


class DroppedLine(_Line, frozen=True, kw_only=True, tag="refold_dropped"):
    """Seqs of updates whose content was dropped or erased before the export; offsets as in the rows of a log."""

    first: int
    last: int
    at_us: int = 0
    offsets: tuple[int, ...] = ()

    @property
    def times(self) -> list[int]:
        """When each was."""
        return list(accumulate(self.offsets, initial=self.at_us))[1:]


class RemovedLine(_Line, frozen=True, kw_only=True, tag="refold_gone"):
    """What stands for content that is gone: of the fact before this line, or of the updates between it and the last.

    Behind a session's last line, with nothing but `lines`, it speaks of updates that no fact follows.
    """

    seq: int
    lines: Sha256 = ""
    u: Sha256 = ""
    b: Sha256 = ""
    erase: int = 0


class EndLine(_Line, frozen=True, kw_only=True, tag="refold_end"):
    """The last line: SHA-256 of every byte before it, so that a cut or edited file is noticed."""

    sha256: str


class ExportedSession(msgspec.Struct, frozen=True, kw_only=True):
    """One session of a lineage: its row, its own events, and what is gone of them."""

    row: SessionLine
    events: tuple[Recorded, ...]
    dropped: tuple[DroppedLine, ...] = ()
    gone: tuple[RemovedLine, ...] = ()


class Export(msgspec.Struct, frozen=True, kw_only=True):
    """A file's content: the lineage from its root to the session itself."""

    header: ExportHeader
    sessions: tuple[ExportedSession, ...]

    @property
    def history(self) -> tuple[Recorded, ...]:
        """The session's events from the first one on, inherited ones included."""
        return tuple(recorded for session in self.sessions for recorded in session.events)


_Fields: TypeAlias = ExportHeader | SessionLine | DroppedLine | RemovedLine | EndLine
_FIELDS: msgspec.json.Decoder[_Fields] = msgspec.json.Decoder(_Fields)
_EVENT = msgspec.json.Decoder(tuple[int, int, msgspec.Raw])


class ExportWriter:
    """Writes a file piece by piece, in its order: header, then for each session its row, events and end, then the end.

    Each call returns the bytes that go to the file next. Pure.
    """

    def __init__(self) -> None:
        self._file = sha256()
        self._block = sha256()
        self._gaps: list[DroppedLine] = []
        self._gone: dict[int, RemovedLine] = {}

    def header(self, header: ExportHeader) -> bytes:
        """Write the first line."""
        return self._written(escaped_json(msgspec.json.encode(header).decode()).encode() + b"\n")

    def session(self, row: SessionLine, dropped: Sequence[DroppedLine], gone: Sequence[RemovedLine]) -> bytes:
        """Write a session's row; what is gone of it comes between its events."""
        self._gaps = list(reversed(dropped))
        self._gone = {line.seq: line for line in gone}
        self._block = sha256()
        return self._written(escaped_json(msgspec.json.encode(row).decode()).encode() + b"\n")

    def events(self, events: Iterable[Recorded]) -> bytes:
        """Write the next of its events."""
        lines: list[bytes] = []
        for recorded in events:
            while self._gaps and self._gaps[-1].first < recorded.seq:
                self._line(lines, msgspec.json.encode(self._gaps.pop()))
            body = encode(recorded.event)
            if b"\n" in body or has_control_characters(body.decode()):
                body = escaped_json(json.dumps(body.decode(), ensure_ascii=False)).encode()
            self._line(lines, b"[%d,%d,%b]" % (recorded.seq, recorded.at_us, body))
            if isinstance(recorded.event, UPDATE_TYPES):
                continue
            if (gone := self._gone.pop(recorded.seq, None)) is not None:
                lines.append(self._removed(gone))
            self._block = sha256()
        return self._written(b"".join(lines))

    def session_end(self) -> bytes:
        """Write what is gone behind its last event."""
        lines: list[bytes] = []
        for gap in reversed(self._gaps):
            self._line(lines, msgspec.json.encode(gap))
        lines += map(self._removed, self._gone.values())
        return self._written(b"".join(lines))

    def end(self) -> bytes:
        """Write the last line."""
        return msgspec.json.encode(EndLine(sha256=self._file.hexdigest())) + b"\n"

    def _line(self, lines: list[bytes], line: bytes) -> None:
        """Add a line, which is covered by what is written of the updates since the fact before."""
        lines.append(line + b"\n")
        self._block.update(lines[-1])

    def _removed(self, line: RemovedLine) -> bytes:
        return msgspec.json.encode(replace(line, lines=self._block.hexdigest())) + b"\n"

    def _written(self, data: bytes) -> bytes:
        self._file.update(data)
        return data


def _lines_sha256(lines: Sequence[bytes]) -> str:
    return sha256(b"".join(line + b"\n" for line in lines)).hexdigest()


def read_export(data: bytes, *, path: str = "the export") -> Export:
    """Read a file.

    Raises: TranscriptError with the line, when something in it cannot be read, is missing, or of a newer version.
    """
    lines = [(number, line) for number, line in enumerate(data.split(b"\n"), 1) if line.strip()]
    if not lines:
        raise TranscriptError(path, "is empty")
    header = _fields(path, *lines[0])
    if not isinstance(header, ExportHeader):
        raise TranscriptError(path, "does not begin with the header of an export", lines[0][0])
    if header.version > GONE:
        problem = f"is an export of version {header.version}, this program reads up to version {GONE}; update refold"
        raise TranscriptError(path, problem)
    lines = _checked(path, data, lines)
    sessions: list[_SessionReader] = []
    for number, line in lines[1:]:
        if line.startswith(b"{"):
            fields = _fields(path, number, line)
            if isinstance(fields, SessionLine):
                if header.version != GONE and (fields.base or fields.link or fields.behind):
                    raise TranscriptError(path, f"a row of version {GONE} stands in a file of version 1", number)
                _check_end(path, sessions)
                sessions.append(_SessionReader(fields, number, header.version))
                continue
            if isinstance(fields, DroppedLine) and sessions:
                sessions[-1].drop(path, number, line, fields)
                continue
            if isinstance(fields, RemovedLine) and sessions and header.version == GONE:
                sessions[-1].lack(path, number, fields)
                continue
            raise TranscriptError(path, "expected an event or a session's row", number)
        if not sessions:
            raise TranscriptError(path, "an event stands before any session's row", number)
        sessions[-1].add(path, number, line, _event(path, number, line))
    _check_end(path, sessions)
    _check_lineage(path, header, [session.row for session in sessions])
    return Export(header=header, sessions=tuple(session.done() for session in sessions))


def _checked(path: str, data: bytes, lines: list[tuple[int, bytes]]) -> list[tuple[int, bytes]]:
    """Compare the file with its last line, and take that away."""
    number, line = lines[-1]
    end = _fields(path, number, line) if line.startswith(b"{") else None
    if not isinstance(end, EndLine):
        raise TranscriptError(path, "is cut off: it does not end as an export does", number)
    if sha256(data[: data.rindex(line)]).hexdigest() != end.sha256:
        raise TranscriptError(path, "was changed since it was exported: its digest is another; export it again", number)
    return lines[:-1]


class _SessionReader:
    """A session while its lines are read."""

    def __init__(self, row: SessionLine, number: int, version: int) -> None:
        self.row, self.number, self._version = row, number, version
        self.next = row.fork_seq + 1
        self._events: list[Recorded] = []
        self._dropped: list[DroppedLine] = []
        self._gone: list[RemovedLine] = []
        self._block: list[bytes] = []
        self._is_fact = False

    def add(self, path: str, number: int, line: bytes, recorded: Recorded) -> None:
        if recorded.seq != self.next:
            raise TranscriptError(path, f"expected seq {self.next}, found {recorded.seq}", number)
        self._take(line)
        self._is_fact = not isinstance(recorded.event, UPDATE_TYPES)
        self._events.append(recorded)
        self.next += 1

    def drop(self, path: str, number: int, line: bytes, gap: DroppedLine) -> None:
        if gap.first != self.next or gap.last < gap.first:
            raise TranscriptError(path, f"expected seq {self.next}, found {gap.first} to {gap.last}", number)
        if self._version == GONE and len(gap.offsets) != gap.last - gap.first + 1:
            raise TranscriptError(path, f"the times of the updates {gap.first} to {gap.last} are missing", number)
        self._take(line)
        self._dropped.append(gap)
        self.next = gap.last + 1

    def _take(self, line: bytes) -> None:
        if self._is_fact:
            self._block, self._is_fact = [], False
        self._block.append(line)

    def lack(self, path: str, number: int, gone: RemovedLine) -> None:
        if gone.seq != self.next - 1 or (self._gone and self._gone[-1].seq == gone.seq):
            raise TranscriptError(path, f"expected seq {self.next}, found what is gone of seq {gone.seq}", number)
        if gone.lines != _lines_sha256(self._block):
            problem = f"the lines of seq {gone.seq}, or of the updates before it, were changed: their digest is another"
            raise TranscriptError(path, problem, number)
        self._gone.append(gone)

    def done(self) -> ExportedSession:
        return ExportedSession(
            row=self.row, events=tuple(self._events), dropped=tuple(self._dropped), gone=tuple(self._gone)
        )


def _check_end(path: str, sessions: Sequence[_SessionReader]) -> None:
    if sessions and sessions[-1].next != sessions[-1].row.last + 1:
        one = sessions[-1]
        problem = f"session {one.row.session} should end at seq {one.row.last}, it ends at {one.next - 1}"
        raise TranscriptError(path, problem, one.number)


def _check_lineage(path: str, header: ExportHeader, rows: Sequence[SessionLine]) -> None:
    parent: SessionLine | None = None
    for row in rows:
        expected = (parent.session, parent.last) if parent is not None else (None, 0)
        if (row.parent, row.fork_seq) != expected:
            raise TranscriptError(path, f"session {row.session} does not begin where the one before it ends")
        parent = row
    if parent is None or (parent.session, parent.last) != (header.session, header.head):
        raise TranscriptError(path, f"session {header.session} up to seq {header.head} is not in it")


def _fields(path: str, number: int, line: bytes) -> _Fields:
    try:
        return _FIELDS.decode(line)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise TranscriptError(path, f"cannot be read: {error}", number) from error


def _event(path: str, number: int, line: bytes) -> Recorded:
    try:
        seq, at_us, body = _EVENT.decode(line)
        text = bytes(body)
        event = decode(msgspec.json.decode(text, type=str) if text.startswith(b'"') else text, seq=seq)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise TranscriptError(path, f"cannot be read: {error}", number) from error
    except CorruptLogError as error:
        raise TranscriptError(path, f"the event cannot be read: {error.found}", number) from error
    if not -(2**63) <= at_us < 2**63:
        raise TranscriptError(path, f"the time {at_us} is none", number)
    return Recorded(seq, at_us, event)


def is_export(head: bytes) -> bool:
    """Return whether a file with this beginning is an export; one of a newer version counts too."""
    try:
        first = msgspec.json.decode(head.split(b"\n", 1)[0])
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return False
    return isinstance(first, dict) and first.get("type") == "refold_export"
