"""Sessions written as Refold's own files, with everything an import needs to fold and hash the same."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence

from msgspec.structs import replace

from eventsource.envelope import Recorded, Removed, SessionInfo
from eventsource.errors import StoreError, UnknownSeqError
from eventsource.events import (
    Erase,
    Fork,
    Label,
    MessageEnd,
    MessageStart,
    ToolExecutionEnd,
    ToolExecutionStart,
)
from eventsource.log.load import read_all, read_pages
from eventsource.log.protocol import EventLog
from eventsource.log.row import Folds, step

from .absent import named_behind
from .file import (
    GONE,
    WHOLE,
    DroppedLine,
    ExportedSession,
    ExportHeader,
    ExportWriter,
    RemovedLine,
    SessionLine,
)


async def export_session(log: EventLog, session: str, *, upto: int | None = None) -> bytes:
    """Write a session, up to its head or a seq, with what it inherits, as one file.

    Where content was dropped or erased before, its digests and times are written in its place. Not in the file, because
    no fold depends on it: leases, callers' keys, the session's other forks.

    Raises: UnknownSessionError; UnknownSeqError, also when updates that the digest at `upto` is made of were dropped.
    """
    return b"".join([part async for part in export_parts(log, session, upto=upto)])


async def export_parts(log: EventLog, session: str, *, upto: int | None = None) -> AsyncIterator[bytes]:
    """Write what `export_session` writes, part by part, each of whole lines: a session need not fit into memory.

    Raises: as `export_session`, before the first part; StoreError when content was removed before the last one.
    """
    cursor = await log.cursor(session, upto)
    last = cursor.seq
    if not cursor.digest:
        head = (await log.info(session)).head
        raise UnknownSeqError(session, last, head, "no export can end among updates that were dropped")
    sessions: list[ExportedSession] = []
    removals: dict[str, int] = {}
    at: str | None = session
    while at is not None:
        info = await log.info(at)
        if info.fork_seq < last or info.parent is None:
            removals[info.id] = info.removals
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
    writer = ExportWriter()
    yield writer.header(
        ExportHeader(
            version=GONE if lacks else WHOLE, session=row.session, head=row.last, digest=cursor.digest, whole=not lacks
        )
    )
    for one in sessions:
        yield writer.session(one.row, one.dropped, one.gone)
        async for page in read_pages(log, one.row.session, after=one.row.fork_seq, upto=one.row.last):
            yield writer.events(page)
        yield writer.session_end()
    for name, number in removals.items():
        if (await log.info(name)).removals != number:
            raise StoreError(name, "content was removed while the session was exported", "export it again")
    yield writer.end()


async def _own(log: EventLog, info: SessionInfo, last: int) -> ExportedSession:
    """Read what an export says of a session before its events, up to a seq; these are not kept."""
    gone = await log.removed(info.id)
    row = SessionLine(
        session=info.id,
        fork_seq=info.fork_seq,
        title=info.title,
        source=info.source or "",
        created_at_us=info.created_at_us,
        last=last,
        digest=(await log.cursor(info.id, last)).digest,
    )
    is_gone = bool(gone.dropped or gone.erased or gone.updates)
    if last == info.head and not is_gone and row.digest:
        return ExportedSession(row=replace(row, base=gone.base), events=())
    folds, fact = Folds(title=info.title), 0
    shapes: list[Recorded] = []
    async for recorded in read_all(log, info.id, after=info.fork_seq, upto=last, updates=False):
        fact, event = recorded.seq, recorded.event
        if isinstance(event, Label):
            folds = step(folds, fact, event)  # the title that the events result in, else the session's own
        elif is_gone and (shape := _shape(recorded)) is not None:
            shapes.append(shape)
    exported = await _with_removed(
        log, ExportedSession(row=replace(row, title=folds.title), events=()), shapes, gone, fact
    )
    return replace(exported, events=())


_MESSAGE_END = MessageEnd()


def _shape(recorded: Recorded) -> Recorded | None:
    """Return what of an event says why content may be gone: nothing of what was said."""
    match recorded.event:
        case Erase() | Fork() | MessageStart():
            return recorded
        case MessageEnd():
            return Recorded(recorded.seq, recorded.at_us, _MESSAGE_END)
        case ToolExecutionStart(message_seq=of, content_index=index, name=name):
            return replace(recorded, event=ToolExecutionStart(message_seq=of, content_index=index, name=name))
        case ToolExecutionEnd(message_seq=of, content_index=index):
            return replace(recorded, event=ToolExecutionEnd(message_seq=of, content_index=index))
        case _:
            return None


async def _with_removed(
    log: EventLog, one: ExportedSession, shapes: Sequence[Recorded], gone: Removed, fact: int
) -> ExportedSession:
    """Add what is gone up to the session's last exported seq, and what stands for it. `fact`: the last one's seq."""
    last = one.row.last
    dropped = tuple(_dropped(first, times[: last - first + 1]) for first, times in gone.dropped if first <= last)
    erases = {r.event.target_seq: r.seq for r in shapes if isinstance(r.event, Erase)}
    lines = {seq: RemovedLine(seq=seq, u=u) for seq, u in gone.updates if seq <= last}
    for seq, b in gone.erased:
        if seq <= last:
            lines[seq] = replace(lines.get(seq, RemovedLine(seq=seq)), b=b, erase=erases.get(seq, 0))
    row = replace(one.row, base=gone.base)
    if dropped and dropped[-1].last > fact:
        lines[last] = RemovedLine(seq=last)
    if not row.digest:
        row = replace(row, link=(await log.cursor(row.session, fact)).digest)
    exported = ExportedSession(
        row=row, events=tuple(shapes), dropped=dropped, gone=tuple(lines[seq] for seq in sorted(lines))
    )
    return replace(exported, row=replace(row, behind=len(named_behind(exported))))


def _dropped(first: int, times: tuple[int, ...]) -> DroppedLine:
    offsets = tuple(at_us - before for before, at_us in zip((times[0], *times), times, strict=False))
    return DroppedLine(first=first, last=first + len(times) - 1, at_us=times[0], offsets=offsets)
