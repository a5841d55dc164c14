"""Copying a whole log to another place, of whatever kind the two are: rows as they are, then everything is compared."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from ..envelope import SessionInfo
from ..errors import CorruptLogError, StoreError
from .opening import open_store
from .place import file_of, is_server, shown
from .protocol import EventLog
from .sql.connection import Sql
from .sql.log import SqlLog
from .sql.reading import LINK, head_of

_PAGE = 1_000


async def copy_log(source: EventLog, place: str | Path) -> int:
    """Copy a log to a file that is not there yet, or to a server where there is no log or an empty one.

    Returns: how many sessions it has.
    Raises: StoreError; CorruptLogError when the copy does not verify, or ends otherwise than what was copied.
    """
    if not isinstance(source, SqlLog):
        raise StoreError("the log in memory", "only a log in a database is copied", "export its sessions")
    before = await source.beside(partial(_copied, place=place))
    async with open_store(place) as copy:
        report = await copy.verify()
        if not report.ok:
            first = next(one for one in report.findings if not one.note)
            raise CorruptLogError(first.session, first.seq, f"a copy in {shown(place)} that verifies", first.problem)
        after = {info.id: (info.head, info.digest) for info in await _all(copy)}
    for session, end in before.items():
        if after.get(session) != end:
            raise CorruptLogError(session, end[0], f"the same digest in {shown(place)}", str(after.get(session)))
    return len(after)


def _copied(connection: Sql, place: str | Path) -> dict[str, tuple[int, str]]:
    """Copy the rows. Returns: where each session ended, by what was read."""
    if is_server(place):
        from .postgres.receive import receive

        receive(connection, place)
    else:
        from .sqlite.receive import receive as receive_file

        receive_file(connection, file_of(place))
    ends = connection.execute(f"SELECT s.id, s.number, {LINK} FROM sessions s").fetchall()
    return {name.decode(): (head_of(connection, number), link.hex()) for name, number, link in ends}


async def _all(log: EventLog) -> list[SessionInfo]:
    found, after = list[SessionInfo](), None
    while page := await log.sessions(after=after, limit=_PAGE):
        found += page
        after = page[-1].id
    return found
