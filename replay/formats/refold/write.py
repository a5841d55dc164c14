"""Sessions written as Refold's own files, with everything an import needs to fold and hash the same."""

from __future__ import annotations

from msgspec.structs import replace

from eventsource.envelope import Recorded, Removed, SessionInfo
from eventsource.errors import UnknownSeqError
from eventsource.events import UPDATE_TYPES, Erase, Label
from eventsource.log.load import read_all
from eventsource.log.protocol import EventLog
from eventsource.log.row import Folds, step

from .absent import named_behind
from .file import (
    GONE,
    WHOLE,
    DroppedLine,
    Export,
    ExportedSession,
    ExportHeader,
    RemovedLine,
    SessionLine,
    write_export,
)


async def export_session(log: EventLog, session: str, *, upto: int | None = None) -> bytes:
    """Write a session, up to its head or a seq, with what it inherits, as one file.

    Where content was dropped or erased before, its digests and times are written in its place. Not in the file, because
    no fold depends on it: leases, callers' keys, the session's other forks.

    Raises: UnknownSessionError; UnknownSeqError, also when updates that the digest at `upto` is made of were dropped.
    """
    cursor = await log.cursor(session, upto)
    last = cursor.seq
    if not cursor.digest:
        head = (await log.info(session)).head
        raise UnknownSeqError(session, last, head, "no export can end among updates that were dropped")
    sessions: list[ExportedSession] = []
    at: str | None = session
    while at is not None:
        info = await log.info(at)
        if info.fork_seq < last or info.parent is None:
            sessions.append(await _own(log, info, last))
            last = info.fork_seq
        at = info.parent
    sessions.reverse()
    for place, one in enumerate(sessions):
        # one that is left out, because nothing of its own is inherited, is no parent
        before = sessions[place - 1].row if place else None
        base = one.row.base if before is not None and not before.digest else ""
        row = replace(one.row, parent=before.session if before is not None else None, base=base)
        sessions[place] = replace(one, row=row)
    row = sessions[-1].row
    lacks = any(one.dropped or one.gone for one in sessions)
    header = ExportHeader(
        version=GONE if lacks else WHOLE, session=row.session, head=row.last, digest=cursor.digest, whole=not lacks
    )
    return write_export(Export(header=header, sessions=tuple(sessions)))


async def _own(log: EventLog, info: SessionInfo, last: int) -> ExportedSession:
    """Read what a session recorded itself, up to a seq."""
    events = tuple([recorded async for recorded in read_all(log, info.id, after=info.fork_seq, upto=last)])
    row = SessionLine(
        session=info.id,
        fork_seq=info.fork_seq,
        title=_title(info.title, events),
        created_at_us=info.created_at_us,
        last=last,
        digest=(await log.cursor(info.id, last)).digest,
    )
    return await _with_removed(log, ExportedSession(row=row, events=events), await log.removed(info.id))


def _title(title: str, events: tuple[Recorded, ...]) -> str:
    """Return the title that the events result in, else the session's own."""
    folds = Folds(title=title)
    for seq, event in ((one.seq, one.event) for one in events if isinstance(one.event, Label)):
        folds = step(folds, seq, event)
    return folds.title


async def _with_removed(log: EventLog, one: ExportedSession, gone: Removed) -> ExportedSession:
    """Add what is gone up to the session's last exported seq, and what stands for it."""
    last = one.row.last
    dropped = tuple(_dropped(first, times[: last - first + 1]) for first, times in gone.dropped if first <= last)
    erases = {r.event.target_seq: r.seq for r in one.events if isinstance(r.event, Erase)}
    lines = {seq: RemovedLine(seq=seq, u=u) for seq, u in gone.updates if seq <= last}
    for seq, b in gone.erased:
        if seq <= last:
            lines[seq] = replace(lines.get(seq, RemovedLine(seq=seq)), b=b, erase=erases.get(seq, 0))
    row, fact = replace(one.row, base=gone.base), _last_fact(one.events)
    if dropped and dropped[-1].last > fact:
        lines[last] = RemovedLine(seq=last)
    if not row.digest:
        row = replace(row, link=(await log.cursor(row.session, fact)).digest)
    exported = replace(one, row=row, dropped=dropped, gone=tuple(lines[seq] for seq in sorted(lines)))
    return replace(exported, row=replace(row, behind=len(named_behind(exported))))


def _dropped(first: int, times: tuple[int, ...]) -> DroppedLine:
    offsets = tuple(at_us - before for before, at_us in zip((times[0], *times), times, strict=False))
    return DroppedLine(first=first, last=first + len(times) - 1, at_us=times[0], offsets=offsets)


def _last_fact(events: tuple[Recorded, ...]) -> int:
    return next((one.seq for one in reversed(events) if not isinstance(one.event, UPDATE_TYPES)), 0)
