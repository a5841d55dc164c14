"""What a session that was forked goes on from, as the log would write it back: files of agents do not stay for ever."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable, Iterator
from functools import partial

from eventsource.envelope import SessionInfo
from eventsource.log.protocol import EventLog

from .format import Records
from .jsonl import Findings, Line

_LIMIT = 100  # sessions in one line


async def written_before(
    log: EventLog,
    format_: str,
    session: str,
    parts: Callable[[EventLog, str], AsyncIterator[bytes]],
    joined: Callable[[Records, Records], Records],
) -> Records | None:
    """Write the records that a session goes on from, if it was imported as a fork; None: it was not.

    Args:
        session: what its source calls it.
        parts: writes the file of a session.
        joined: reads the records of a session behind those that it goes on from.
    """
    found = await log.sessions(source=f"{format_}:{session}", limit=1)
    at = found[0] if found else None
    files: list[bytes] = []
    while at is not None and at.parent is not None and len(files) < _LIMIT:
        at = await _with_file(log, at.parent)
        files.append(b"".join([part async for part in parts(log, at.id)]))
    base: Records | None = None
    for data in reversed(files):
        own = partial(_read, data)
        base = own if base is None else joined(own, base)
    return base


async def _with_file(log: EventLog, session: str) -> SessionInfo:
    """Find the session whose file a branch stands in."""
    info = await log.info(session)
    while info.parent is not None and not info.source:
        info = await log.info(info.parent)
    return info


def _read(data: bytes, findings: Findings) -> Iterator[Line]:
    for number, line in enumerate(data.splitlines(), 1):
        yield Line(number, json.loads(line))
