"""The log as a whole: where it is, how large, in what, and whether every byte of it is as it was written."""

from __future__ import annotations

import asyncio
import sqlite3
import time
from pathlib import Path
from typing import Literal, Protocol

import msgspec
from msgspec.structs import asdict
from starlette.responses import Response

from eventsource.background import running
from eventsource.envelope import TellVerified, VerifiedSoFar, VerifyReport
from eventsource.log.memory import MemoryLog
from eventsource.log.sqlite.store import SqliteLog

from ...interface.events import EVENT_STREAM
from ..event_stream import EventStream
from ..hub import Reader
from ..routes import Call, Nothing, Route
from .live import NOTICES, frame, pieces

_PROGRESS_S = 0.5
_SAFE_SQLITE = (3, 51, 3)  # docs/decisions/0011-one-turn-for-writers.md


class Verifiable(Protocol):
    """A log that can be read again."""

    async def verify(self, *, progress: TellVerified) -> VerifyReport:
        """Read everything; see `EventLog.verify`."""
        ...


class StoreInfo(msgspec.Struct, frozen=True, kw_only=True):
    """Where a log is: in the memory of a process, in a file of SQLite, or on a server.

    `size_bytes`, `wal_bytes`: of the file and of its write-ahead file. `wal_race`: this SQLite is one in which two
    programs that empty the write-ahead file at the same time may lose a commit; Refold's own take turns, so that only
    others could.
    """

    kind: Literal["memory", "sqlite", "server"]
    path: str = ""
    size_bytes: int | None = None
    wal_bytes: int | None = None
    sqlite_version: str = ""
    wal_race: bool = False


class VerifyProgress(VerifiedSoFar, frozen=True, kw_only=True):
    """How far the log has been read: `sessions` of `sessions_in_all`, in so long."""

    elapsed_s: float


class VerifyEnd(msgspec.Struct, frozen=True, kw_only=True):
    """What was read and found; `ok` when no finding is a defect."""

    ok: bool
    elapsed_s: float
    report: VerifyReport


async def read_store(call: Call[Nothing, Nothing]) -> StoreInfo:
    """Read where the log is and how large."""
    store = call.served.log.store
    if isinstance(store, SqliteLog):
        return await asyncio.to_thread(_of_file, store.path)
    return StoreInfo(kind="memory" if isinstance(store, MemoryLog) else "server")


def _of_file(path: Path) -> StoreInfo:
    return StoreInfo(
        kind="sqlite",
        path=str(path),
        size_bytes=_size(path),
        wal_bytes=_size(path.with_name(f"{path.name}-wal")),
        sqlite_version=sqlite3.sqlite_version,
        wal_race=sqlite3.sqlite_version_info < _SAFE_SQLITE,
    )


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0


async def verify_store(call: Call[Nothing, Nothing]) -> Response:
    """Read the whole log again, and find any changed, missing or added byte.

    A stream: `event: progress` while it is read, twice a second, and `event: report` with what was found. It writes
    nothing, and ends when nobody reads the stream any more.
    """
    store = call.served.log.store
    return EventStream(call.served.hub, lambda reader: pieces(reader, lambda: verify_into(store, reader)))


async def verify_into(store: Verifiable, reader: Reader) -> None:
    """Read a whole log, and hand how far it is, and what was found, to a reader."""
    began = time.monotonic()
    progress = _Progress()
    async with running(store.verify(progress=progress.tell)) as [reading]:
        try:
            while not reading.done():
                reader.put(frame("progress", progress.after(time.monotonic() - began)))
                await asyncio.wait([reading], timeout=_PROGRESS_S)
        finally:
            progress.is_wanted = False  # nobody watches any more: a thread that reads is to end
        report = reading.result()
    took_s = round(time.monotonic() - began, 1)
    reader.put(frame("progress", progress.after(took_s)))
    reader.end(frame("report", VerifyEnd(ok=report.ok, elapsed_s=took_s, report=report)))


class _Progress:
    """How far the log has been read."""

    def __init__(self) -> None:
        self.is_wanted = True
        self._so_far = VerifiedSoFar(sessions=0, sessions_in_all=0)

    def tell(self, so_far: VerifiedSoFar) -> None:
        """Take what was told. Raises: _NotWantedError."""
        self._so_far = so_far
        if not self.is_wanted:
            raise _NotWantedError

    def after(self, elapsed_s: float) -> VerifyProgress:
        """Return what there is to be said."""
        return VerifyProgress(**asdict(self._so_far), elapsed_s=round(elapsed_s, 1))


class _NotWantedError(Exception):
    """Whoever wanted to know what is read has gone."""


STORE = (
    Route(method="GET", path="/api/store", does=read_store, tag="page"),
    Route(
        method="POST",
        path="/api/store/verify",
        does=verify_store,
        tag="page",
        also={200: (EVENT_STREAM,)},
        streams={"progress": VerifyProgress, "report": VerifyEnd, **NOTICES},
        errors=(503,),
        is_marked=True,
    ),
)
