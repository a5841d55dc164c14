"""Refold's own session files, read into a log: forks begin where they began, so an import folds and hashes the same."""

from __future__ import annotations

import asyncio
import hashlib
import os
from collections.abc import AsyncIterator, Iterator, Sequence
from itertools import pairwise
from operator import itemgetter
from pathlib import Path

import msgspec

from eventsource.admission import redact_event
from eventsource.codec import encode
from eventsource.envelope import Restored, SessionInfo
from eventsource.errors import TranscriptError, UnknownSeqError, UnknownSessionError
from eventsource.events import UPDATE_TYPES, Erase, Event, Fork, MessageEnd, StreamUpdate, TaskStart
from eventsource.log.admitted import admitted, append_admitted
from eventsource.log.erased import is_tombstone
from eventsource.log.protocol import EventLog
from eventsource.models.secrets import know_environment, redact_known
from eventsource.values import MARKER

from ..atomic import create_session, roll_back
from ..jsonl import LineNote
from ..report import ImportedBranch, ImportReport
from .absent import fork_problem, lack_problems, named_behind
from .file import GONE, WHOLE, DroppedLine, Export, ExportedSession, RemovedLine, read_export

REFOLD = "refold"
DROPPED = "refold.dropped"
"""Name of the stream whose items stand where content is gone from a file of version 1, so that every seq stays."""
BEFORE = "erased before the export"
"""Reason of the `erase` events that an import adds."""
_BATCH = 5_000


async def import_refold(log: EventLog, path: str, *, session: str | None = None, title: str = "") -> ImportReport:
    """Write an exported session into the log, with what it inherits; all of it, or nothing is left behind.

    Sessions keep their ids where the log does not have them yet. An ancestor that the log does have, equal up to where
    the fork begins, is shared. `title` stands where the file says none.

    Raises: TranscriptError when the file cannot be read or is not what was exported; SessionExistsError.
    """
    try:
        data = await asyncio.to_thread(Path(path).read_bytes)
    except OSError as error:
        raise TranscriptError(path, f"cannot be read: {error.strerror or error}") from error
    export = await asyncio.to_thread(read_export, data, path=path)
    lacks = export.header.version == GONE
    if lacks:
        _check_lacks(export, path)
    _check_secrets(export, path)
    written: list[str] = []
    try:
        branches = await _write(log, export, written, path=path, session=session, title=title)
        if lacks:
            await _compare_all(log, export, branches, path)
            await _name_behind(log, export, branches, written)
        else:
            await _compare_whole(log, export, branches, path)
            await _name_erased(log, export, branches)
    except BaseException:
        await roll_back(log, written)
        raise
    events = [recorded for one in export.sessions for recorded in one.events]
    return ImportReport(
        path=path,
        format=REFOLD,
        version=export.header.version,
        session=branches[0].session,
        title=(await log.info(branches[0].session)).title,
        branches=branches,
        entries=len(events),
        messages=sum(branch.messages for branch in branches),
        lost=tuple([note async for note in _lost(log, export, branches)]),
    )


def _check_secrets(export: Export, path: str) -> None:
    """Refuse what tells a secret: what is imported keeps its bytes and its digest, so nothing in it can be replaced.

    Raises: TranscriptError.
    """
    know_environment(os.environ)
    told = "a secret that this process knows (a key, a variable's value)"
    for one in export.sessions:
        name = one.row.session
        if redact_known(one.row.title) != one.row.title:
            raise TranscriptError(path, f"session {name}: its title tells {told}; title it anew, then export it again")
        if redact_known(one.row.source) != one.row.source:
            raise TranscriptError(path, f"session {name}: what it was imported from tells {told}")
        for seq in (one.seq for one in one.events if redact_event(one.event) != one.event):
            advice = f"where it was recorded, `refold erase {name} {seq}` removes it; then export it again"
            raise TranscriptError(path, f"session {name}, seq {seq}: it tells {told}; {advice}")


def _check_lacks(export: Export, path: str) -> None:
    """Check what is missing from a file of version 2. Raises: TranscriptError."""
    for one in export.sessions:
        for seq, problem in lack_problems(one):
            raise TranscriptError(path, f"session {one.row.session}, seq {seq}: {problem}")
    for parent, fork in pairwise(export.sessions):
        if problem := fork_problem(parent, fork):
            raise TranscriptError(path, problem)


async def _compare_all(log: EventLog, export: Export, branches: Sequence[ImportedBranch], path: str) -> None:
    """Compare each session's digest with the one that was exported. Raises: TranscriptError."""
    for one, branch in zip(export.sessions, reversed(branches), strict=True):
        seq = one.row.last if one.row.digest else _last_fact(one)
        if (await log.cursor(branch.session, seq)).digest != (one.row.digest or one.row.link):
            raise _changed(one, path)


async def _compare_whole(log: EventLog, export: Export, branches: Sequence[ImportedBranch], path: str) -> None:
    """Compare the digests of a file of version 1; 0.1 wrote such files also where content was gone.

    Raises: TranscriptError.
    """
    for one, branch in zip(export.sessions, reversed(branches), strict=True):
        if (await log.cursor(branch.session, one.row.last)).digest == one.row.digest:
            continue
        if export.header.whole or not _may_lack(one, is_last=one is export.sessions[-1]):
            raise _changed(one, path)
        return  # nor can any session be compared that goes on from here


def _changed(one: ExportedSession, path: str) -> TranscriptError:
    row = one.row
    return TranscriptError(
        path,
        f"session {row.session} was changed: its events have another digest (the seqs {row.fork_seq + 1} to {row.last},"
        " or what they go on from)",
    )


def _may_lack(one: ExportedSession, *, is_last: bool) -> bool:
    """Return whether content may be gone from a session of a file that 0.1 wrote.

    An `erase` that names an event may lie behind the seq at which a fork begins.
    """
    named = {recorded.event.target_seq for recorded in one.events if isinstance(recorded.event, Erase)}
    erased = [recorded.seq for recorded in one.events if _is_erased(recorded.event)]
    return bool(one.dropped or named.intersection(erased) or (erased and not is_last))


async def _name_behind(
    log: EventLog, export: Export, branches: Sequence[ImportedBranch], written: Sequence[str]
) -> None:
    """Append an `erase` for each thing that was erased by one behind the exported seqs."""
    for place, (one, branch) in enumerate(zip(export.sessions, reversed(branches), strict=True)):
        behind = named_behind(one)
        if not behind or branch.session not in written:
            continue
        events = {recorded.seq: recorded.event for recorded in one.events}
        base = export.sessions[place + 1].row.base if not one.row.digest else ""
        updates = (base[64:] or "00" * 32) if base else ""  # of a digest that 0.1 kept, U is not known
        is_told = len(base) != 64
        shapes = [_sha256(events[seq]) if is_told else "" for seq in behind]
        erases = [
            Erase(target_seq=seq, reason=BEFORE, shape_sha256=sha) for seq, sha in zip(behind, shapes, strict=True)
        ]
        at_us = one.events[-1].at_us
        restored = [Restored(at_us=at_us, event=erase) for erase in erases]
        restored[0] = Restored(at_us=at_us, event=erases[0], updates_sha256=updates)
        await log.restore(branch.session, restored)


def _last_fact(one: ExportedSession) -> int:
    return next((r.seq for r in reversed(one.events) if not isinstance(r.event, UPDATE_TYPES)), one.row.fork_seq)


async def _name_erased(log: EventLog, export: Export, branches: Sequence[ImportedBranch]) -> None:
    """Append the `erase` events that the file does not hold, for what was erased by one behind the exported seqs."""
    named = {one.event.target_seq for one in export.history if isinstance(one.event, Erase)}
    for one, branch in zip(export.sessions, reversed(branches), strict=True):
        gone = [one for one in one.events if one.seq not in named and _is_erased(one.event)]
        digest = (await log.cursor(branch.session, one.row.last)).digest
        if not gone or digest == one.row.digest:
            continue
        at_us = one.events[-1].at_us
        erases = [(at_us, Erase(target_seq=r.seq, reason=BEFORE, shape_sha256=_sha256(r.event))) for r in gone]
        await append_admitted(log, branch.session, admitted(erases))


def _sha256(event: Event) -> str:
    return hashlib.sha256(encode(event)).hexdigest()


def _is_erased(event: Event) -> bool:
    return MARKER.encode() in encode(event) and is_tombstone(event)


async def _lost(log: EventLog, export: Export, branches: Sequence[ImportedBranch]) -> AsyncIterator[LineNote]:
    """List what the file could not bring with it."""
    lacks = export.header.version == GONE
    for one, branch in zip(export.sessions, reversed(branches), strict=True):
        name = one.row.session
        if one.dropped:
            count = sum(gap.last - gap.first + 1 for gap in one.dropped)
            instead = "" if lacks else f"; items of a stream {DROPPED} stand there"
            yield LineNote(0, f"session {name}: {count} updates were dropped before the export{instead}")
        if lacks and one.row.behind:
            problem = f"session {name}: {one.row.behind} things were erased behind what was exported; no digest says so"
            yield LineNote(0, problem)
        if not lacks and (await log.cursor(branch.session, one.row.last)).digest != one.row.digest:
            yield LineNote(0, f"session {name}: content was gone before the export, so its digest here is another")


async def _write(
    log: EventLog, export: Export, written: list[str], *, path: str, session: str | None, title: str
) -> tuple[ImportedBranch, ...]:
    """Write the sessions, oldest first. Returns: what they became, the main one first."""
    branches: list[ImportedBranch] = []
    parent: str | None = None
    for place, one in enumerate(export.sessions):
        main = place == len(export.sessions) - 1
        found = None if main else await _same(log, one)
        if found is None:
            _first(one, path)
            name = session if main and session is not None else await _free(log, one.row.session)
            named = one.row.title or (title if main else "")
            found = await create_session(_create(log, one, parent, name, named), written)
            await (_fill if export.header.version == WHOLE else _restore)(log, found, one, path)
        messages = sum(isinstance(recorded.event, MessageEnd) for recorded in one.events)
        branches.append(
            ImportedBranch(session=found, leaf="", parent=parent, fork_seq=one.row.fork_seq, messages=messages)
        )
        parent = found
    return tuple(reversed(branches))


async def _same(log: EventLog, one: ExportedSession) -> str | None:
    """Find the session itself in the log, if it is there and equal as far as it was exported."""
    try:
        known = (await log.cursor(one.row.session, one.row.last)).digest
    except (UnknownSessionError, UnknownSeqError):
        return None
    return one.row.session if known and known == one.row.digest else None


async def _free(log: EventLog, name: str) -> str | None:
    """Return the name if no session has it, else None, with which the log makes one."""
    try:
        await log.info(name)
    except UnknownSessionError:
        return name
    return None


async def _free_source(log: EventLog, source: str) -> str:
    """Return what a session was imported from, if no other one here was; else nothing: a file goes on with that one."""
    return source if source and not await log.sessions(source=source, limit=1) else ""


async def _create(log: EventLog, one: ExportedSession, parent: str | None, name: str | None, title: str) -> SessionInfo:
    created = one.row.created_at_us or None
    source = await _free_source(log, one.row.source)
    if parent is None:
        starts = (one.event.parent for one in one.events[:1] if isinstance(one.event, TaskStart))
        return await log.create(name, title=title, created_at_us=created, source=source, started_by=next(starts, ""))
    first, row = one.events[0], one.row
    fork = first.event if isinstance(first.event, Fork) else Fork()
    return await log.fork(
        parent,
        row.fork_seq,
        at_us=first.at_us,
        session=name,
        title=title,
        keeps=fork.keeps,
        repeated_tools=fork.repeated_tools,
        created_at_us=created,
        source=source,
        base=row.base,
    )


async def _fill(log: EventLog, session: str, one: ExportedSession, path: str) -> None:
    """Append a session's own events; a fork's first is there already."""
    events = [Restored(at_us=at_us, event=event) for at_us, event in _with_gaps(one)][_first(one, path) :]
    for first in range(0, len(events), _BATCH):
        await log.restore(session, events[first : first + _BATCH])


async def _restore(log: EventLog, session: str, one: ExportedSession, path: str) -> None:
    """Append a session's own events, and what stands for content that is gone; a fork's first is there already."""
    events = _restored(one)[_first(one, path) :]
    for first in range(0, len(events), _BATCH):
        await log.restore(session, events[first : first + _BATCH])


def _first(one: ExportedSession, path: str) -> int:
    """Count the events that are there when a session was made. Raises: TranscriptError."""
    if one.row.parent is None:
        return 0
    if not one.events or not isinstance(one.events[0].event, Fork):
        raise TranscriptError(path, f"session {one.row.session} is a fork and does not begin with the event `fork`")
    return 1


def _restored(one: ExportedSession) -> list[Restored]:
    gone = {line.seq: line for line in one.gone}
    found: list[tuple[int, Restored]] = []
    for seq, at_us, event in ((r.seq, r.at_us, r.event) for r in one.events):
        line = gone.get(seq) or RemovedLine(seq=seq)
        found.append((seq, Restored(at_us=at_us, event=event, updates_sha256=line.u, body_sha256=line.b)))
    for gap in one.dropped:
        found += [(gap.first + n, Restored(at_us=at_us, event=None)) for n, at_us in enumerate(gap.times)]
    return [restored for _, restored in sorted(found, key=itemgetter(0))]


def _with_gaps(one: ExportedSession) -> Iterator[tuple[int, Event]]:
    """Yield a session's own events, with events that change nothing where content is gone."""
    gaps = list(reversed(one.dropped))
    for recorded in one.events:
        while gaps and gaps[-1].first < recorded.seq:
            yield from _stand_ins(gaps.pop(), recorded.at_us)
        yield recorded.at_us, recorded.event
    while gaps:
        yield from _stand_ins(gaps.pop(), one.events[-1].at_us if one.events else 0)


def _stand_ins(gap: DroppedLine, at_us: int) -> Sequence[tuple[int, Event]]:
    return [(at_us, StreamUpdate(name=DROPPED, item=msgspec.Raw(b"null")))] * (gap.last - gap.first + 1)
