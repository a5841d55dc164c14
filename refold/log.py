"""The log a program opens: sessions by name, and what concerns all of them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import ClassVar, NoReturn, TypeAlias

import eventsource
from eventsource import session as core
from eventsource.envelope import SessionInfo, VerifyReport
from eventsource.errors import StoreError, UnknownSessionError
from eventsource.log import start_store, utc_now_us
from eventsource.log.place import is_http, shown
from eventsource.log.protocol import EventLog
from eventsource.user_code.argument_checks import checked
from projections.context import ContextView

from .context_fold import CONTEXT
from .models import chunk_feed, recorded_ref
from .session import Session

LAST = "last"
"""The name of the session that was updated last, a fork or a child as much as any other: the first one of a list."""

SessionRecorder: TypeAlias = "eventsource.Recorder[ContextView]"


class Log:
    """An opened log. `store` is the protocol underneath, for what has no shorter form here."""

    HOW_TO_GET: ClassVar[str] = "`async with open_log(path) as log` gives one"

    @checked()
    def __init__(
        self,
        store: EventLog | None = None,
        *,
        path: str | Path | None = None,
        clock: Callable[[], int] = utc_now_us,
    ) -> None:
        """Wrap an open store, or name the file or server that `open` opens; `open_log` is shorter."""
        self._clock = clock
        self._store, self._path = store, path
        self._opening = asyncio.Lock()

    @property
    def clock(self) -> Callable[[], int]:
        """What gives the time: the clock that was given, else that of the store, a server's where one has it."""
        return self._clock if self._store is None or self._clock is not utc_now_us else self._store.clock

    @property
    def store(self) -> EventLog:
        """The store underneath. Raises: StoreError before `open`, and after `close`."""
        if self._store is None:
            name = "the log in memory" if self._path is None else shown(self._path)
            raise StoreError(
                name, "this log is not open", "use `async with open_log(...) as log`, or `await log.open()`"
            )
        return self._store

    async def open(self) -> Log:
        """Open the log for as long as the program wants; `close` it at the end. An open one stays as it is.

        Raises: StoreError when the file is no log, is of a newer format, or cannot be opened.
        """
        async with self._opening:
            if self._store is None:
                self._store = await _start(self._path, self._clock)
        return self

    async def close(self) -> None:
        """Release every lease and close the file; a closed log may be closed again."""
        async with self._opening:
            store, self._store = self._store, None
            if store is not None:
                await store.close()

    def __enter__(self) -> NoReturn:
        raise TypeError(
            "a log is opened by `async with open_log(...) as log`, in an async function; `with` cannot wait"
        )

    def __exit__(self, *_: object) -> None: ...

    async def __aenter__(self) -> Log:
        return await self.open()

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    @checked()
    async def session(self, name: str | None = None) -> Session:
        """Open a session by its title or its whole id; create one of that title when there is none.

        Raises: UnknownSessionError when the name fits several: two of that title, or one's title and another's id.
        """
        if name is None:
            return self._wrap((await self.store.create()).id)
        return self._wrap(await self.store.named(name))

    @checked()
    async def find(self, name: str) -> Session:
        """Look a session up by id, by title, or by the beginning of an id; `last` is the one that was updated last.

        A session whose id or title is `last` keeps its name. Raises: UnknownSessionError.
        """
        if name == LAST:
            try:
                return self._wrap(await self.store.resolve(name, prefix=False))
            except UnknownSessionError as error:
                newest = await self.store.sessions(limit=1)
                if error.candidates or not newest:
                    raise
                return self._wrap(newest[0].id)
        return self._wrap(await self.store.resolve(name))

    @checked()
    async def list(
        self,
        *,
        unfinished: bool | None = None,
        status: str | None = None,
        title: str | None = None,
        agent: str | None = None,
        folder: str | None = None,
        branch: str | None = None,
        model: str | None = None,
        after: str | None = None,
        limit: int = 100,
    ) -> tuple[SessionInfo, ...]:
        """List sessions' rows, latest updated first; `after` is the id of the last one of the page before.

        `title` and `model` match a part; `folder` is where an agent worked, or a folder above.
        """
        return await self.store.sessions(
            open=unfinished,
            status=status,
            title=title,
            agent=agent,
            folder=folder,
            branch=branch,
            model=model,
            after=after,
            limit=limit,
        )

    @checked()
    async def sessions(self, *, open: bool | None = None, limit: int = 100) -> tuple[Session, ...]:  # noqa: A002 - the word users know
        """Open sessions, latest updated first; `open=True`: those whose run is unfinished, as after a crash."""
        return tuple(self._wrap(info.id) for info in await self.store.sessions(open=open, limit=limit))

    @checked()
    async def complete(self, token: str, value: object = None, *, decided_by: str = "") -> int:
        """Complete a token, named `session:key` as `str(token)` does; the first completion counts.

        Raises: UnknownSessionError; WaitOverError; TokenValueError when it expects another value.
        """
        session, _, key = token.partition(":")
        return await self._wrap(await self.store.resolve(session, prefix=False)).decide(
            key, value, decided_by=decided_by
        )

    async def verify(self) -> VerifyReport:
        """Read every session again, and find any changed, missing or added byte, and where."""
        return await self.store.verify()

    @checked()
    async def delete(self, name: str) -> None:
        """Delete a session for ever, by its title or whole id. Raises: HasForksError when others begin in it."""
        await self.store.delete(await self.store.resolve(name, prefix=False))

    @checked()
    async def archive(self, name: str) -> int:
        """Compress a closed session where it lies, by its title or whole id; what changes it takes it out again.

        Returns: how many bytes it takes.

        Raises: SessionOpenError while a run, task, wait or queued message is open; LeaseHeldError; CorruptLogError.
        """
        return await self.store.archive(await self.store.resolve(name, prefix=False), at_us=self.clock())

    async def vacuum(self) -> None:
        """Give back the room that archived, deleted and erased content took, by writing the log's file again."""
        await self.store.vacuum()

    @checked()
    async def backup(self, path: str | Path) -> None:
        """Write a consistent copy of the whole log to a new file, while it is in use."""
        await self.store.backup(str(path))

    @checked()
    @asynccontextmanager
    async def record(self, name: str | None = None, *, model: str = "caller:unknown") -> AsyncIterator[SessionRecorder]:
        """Record a loop of your own in a session, opened or created by name.

        `model`: `vendor:model`; a vendor that Refold knows also says how `reply.feed` reads chunks.

        Raises: LeaseHeldError when somebody else runs the session.
        """
        session = await self.session(name)
        recorder = eventsource.Recorder(
            self.store, session.id, model=recorded_ref(model), feed=chunk_feed, context=CONTEXT, clock=self.clock
        )
        async with recorder:
            yield recorder

    def _wrap(self, session: str) -> Session:
        return Session(core.SessionHandle(self.store, session, clock=self.clock))


async def _start(path: str | Path | None, clock: Callable[[], int]) -> EventLog:
    """Open the store in a file or in memory, or the one that a server has."""
    if not is_http(path):
        return await start_store(path, clock=clock)
    from .client.address import read_address  # with httpx, which a file needs nothing of
    from .client.connection import Connection
    from .client.remote_log import RemoteLog

    return RemoteLog(Connection(read_address(path, where="open_log")))


@checked()
def open_log(path: str | Path | None = None, *, clock: Callable[[], int] = utc_now_us) -> Log:
    """Return a log, not open yet: open it by `async with`, or by `await log.open()` and `await log.close()`.

    `path`: a file, or `postgresql://...` where the extra `postgres` is installed. Without one it lives in memory and
    ends with being closed. Opening raises StoreError when there is no log, when it is of a newer format, or when it
    cannot be opened.
    """
    return Log(path=path, clock=clock)
