"""Sessions written as Refold's own files, with everything an import needs to fold and hash the same."""

from __future__ import annotations

from msgspec.structs import replace

from eventsource.loading import read_all
from eventsource.ports import EventLog, SessionInfo

from ..export_file import VERSION, Export, ExportedSession, ExportHeader, SessionLine, write_export


async def export_session(log: EventLog, session: str, *, upto: int | None = None) -> bytes:
    """Write a session, up to its head or a seq, with what it inherits, as one file.

    Not in the file, because no fold depends on it: leases, callers' keys, the session's other forks, and whatever was
    dropped or erased before.

    Raises: UnknownSessionError; UnknownSeqError.
    """
    last = (await log.cursor(session, upto)).seq
    cursor = await log.cursor(session, last)
    sessions: list[ExportedSession] = []
    at: str | None = session
    while at is not None:
        info = await log.info(at)
        if info.fork_seq < last or info.parent is None:
            sessions.append(await _own(log, info, last))
            last = info.fork_seq
        at = info.parent
    sessions.reverse()
    for place, one in enumerate(
        sessions
    ):  # one that is left out, because nothing of its own is inherited, is no parent
        parent = sessions[place - 1].row.session if place else None
        sessions[place] = replace(one, row=replace(one.row, parent=parent))
    row = sessions[-1].row
    header = ExportHeader(version=VERSION, session=row.session, head=row.last, digest=cursor.digest)
    return write_export(Export(header=header, sessions=tuple(sessions)))


async def _own(log: EventLog, info: SessionInfo, last: int) -> ExportedSession:
    """Read what a session recorded itself, up to a seq."""
    first = info.fork_seq + 1
    row = SessionLine(
        session=info.id,
        fork_seq=info.fork_seq,
        title=info.title,
        created_at_us=info.created_at_us,
        last=last,
        digest=(await log.cursor(info.id, last)).digest,
    )
    events = tuple([recorded async for recorded in read_all(log, info.id, after=info.fork_seq, upto=last)])
    gone = [(max(a, first), min(b, last)) for a, b in await log.dropped(info.id) if b >= first and a <= last]
    return ExportedSession(row=row, events=events, dropped=tuple(gone))
