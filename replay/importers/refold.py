"""Refold's own session files, read into a log: forks begin where they began, so an import folds and hashes the same."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator, Iterator, Sequence
from pathlib import Path

import msgspec

from eventsource.codec import encode
from eventsource.errors import TranscriptError, UnknownSeqError, UnknownSessionError
from eventsource.events import Erase, Event, Fork, MessageEnd, StreamUpdate
from eventsource.log.mask import is_masked
from eventsource.ports import EventLog, SessionInfo
from eventsource.values import MARKER

from ..export_file import Export, ExportedSession, read_export
from .jsonl import LineNote
from .plan import ImportedBranch, ImportReport
from .whole import make, take_back

FORMAT = "refold"
GONE = "refold.dropped"
"""Name of the stream whose items stand where content was dropped before the export, so that every seq stays."""
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
    written: list[str] = []
    try:
        branches = await _write(log, export, written, path=path, session=session, title=title)
        await _check_digests(log, export, branches, path)
        await _name_erased(log, export, branches)
    except BaseException:
        await take_back(log, written)
        raise
    events = [recorded for one in export.sessions for recorded in one.events]
    return ImportReport(
        path=path,
        format=FORMAT,
        version=export.header.version,
        session=branches[0].session,
        title=(await log.info(branches[0].session)).title,
        branches=branches,
        entries=len(events),
        messages=sum(branch.messages for branch in branches),
        lost=tuple([note async for note in _lost(log, export, branches)]),
    )


async def _check_digests(log: EventLog, export: Export, branches: Sequence[ImportedBranch], path: str) -> None:
    """Compare each session's digest with the one that was exported, as far as nothing was gone before."""
    for one, branch in zip(export.sessions, reversed(branches), strict=True):
        if one.dropped or any(_is_erased(recorded.event) for recorded in one.events):
            return  # nor can any session be compared that goes on from here
        if (await log.cursor(branch.session, one.row.last)).digest != one.row.digest:
            raise TranscriptError(path, f"session {one.row.session} was changed: its events have another digest")


async def _name_erased(log: EventLog, export: Export, branches: Sequence[ImportedBranch]) -> None:
    """Append the `erase` events that the file does not hold, for what was erased by one behind the exported seqs."""
    named = {one.event.target_seq for one in export.history if isinstance(one.event, Erase)}
    for one, branch in zip(export.sessions, reversed(branches), strict=True):
        gone = [one for one in one.events if one.seq not in named and _is_erased(one.event)]
        digest = (await log.cursor(branch.session, one.row.last)).digest
        if not gone or digest == one.row.digest:
            continue
        at_us = one.events[-1].at_us
        told = [(at_us, Erase(target_seq=r.seq, reason=BEFORE, shape_sha256=_sha256(r.event))) for r in gone]
        await log.append(branch.session, told)


def _sha256(event: Event) -> str:
    return hashlib.sha256(encode(event)).hexdigest()


def _is_erased(event: Event) -> bool:
    return MARKER.encode() in encode(event) and is_masked(event)


async def _lost(log: EventLog, export: Export, branches: Sequence[ImportedBranch]) -> AsyncIterator[LineNote]:
    """Say what the file could not bring with it."""
    for one, branch in zip(export.sessions, reversed(branches), strict=True):
        name = one.row.session
        if one.dropped:
            count = sum(last - first + 1 for first, last in one.dropped)
            yield LineNote(
                0,
                f"session {name}: {count} updates were dropped before the export; items of a stream {GONE} stand there",
            )
        if (await log.cursor(branch.session, one.row.last)).digest != one.row.digest:
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
            name = session if main and session is not None else await _free(log, one.row.session)
            named = (one.row.title or title) if main else one.row.title
            found = await make(_create(log, one, parent, name, named), written)
            await _fill(log, found, one, path)
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
    """Give the name if no session has it; None lets the log make one."""
    try:
        await log.info(name)
    except UnknownSessionError:
        return name
    return None


async def _create(log: EventLog, one: ExportedSession, parent: str | None, name: str | None, title: str) -> SessionInfo:
    if parent is None:
        return await log.create(name, title=title)
    first = one.events[0]
    keeps = first.event.keeps if isinstance(first.event, Fork) else ()
    return await log.fork(parent, one.row.fork_seq, at_us=first.at_us, session=name, title=title, keeps=keeps)


async def _fill(log: EventLog, session: str, one: ExportedSession, path: str) -> None:
    """Append a session's own events; a fork's first is there already."""
    begun = one.row.parent is not None
    if begun and not isinstance(one.events[0].event, Fork):
        raise TranscriptError(path, f"session {one.row.session} is a fork and does not begin with the event `fork`")
    events = list(_with_gaps(one))[1 if begun else 0 :]
    for first in range(0, len(events), _BATCH):
        await log.append(session, events[first : first + _BATCH])


def _with_gaps(one: ExportedSession) -> Iterator[tuple[int, Event]]:
    """Give a session's own events with something that changes nothing where content is gone."""
    gaps = list(reversed(one.dropped))
    for recorded in one.events:
        while gaps and gaps[-1][0] < recorded.seq:
            yield from _stand_ins(gaps.pop(), recorded.at_us)
        yield recorded.at_us, recorded.event
    while gaps:
        yield from _stand_ins(gaps.pop(), one.events[-1].at_us if one.events else 0)


def _stand_ins(gap: tuple[int, int], at_us: int) -> Sequence[tuple[int, Event]]:
    return [(at_us, StreamUpdate(name=GONE, item=msgspec.Raw(b"null")))] * (gap[1] - gap[0] + 1)
