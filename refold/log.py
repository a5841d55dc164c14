"""The log a program opens: sessions by name, and what concerns all of them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

from eventsource import session as core
from eventsource.errors import UnknownSessionError
from eventsource.log import open_store, utc_now_us
from eventsource.ports import EventLog, SessionInfo, VerifyReport
from eventsource.recorder import Recorder
from projections.context import ContextView

from .context import CONTEXT
from .models import chunk_feed, recorded_ref
from .session import Session

Recording = Recorder[ContextView]


class Log:
    """An opened log. `store` is the protocol underneath, for what has no shorter form here."""

    def __init__(self, store: EventLog, *, clock: Callable[[], int] = utc_now_us) -> None:
        self.store, self.clock = store, clock

    async def session(self, name: str | None = None) -> Session:
        """Open a session by id, unique prefix of an id, or title; create one of that title when there is none.

        Raises: UnknownSessionError when the name fits several.
        """
        if name is None:
            return self._wrap((await self.store.create()).id)
        try:
            return self._wrap(await self.store.resolve(name))
        except UnknownSessionError as error:
            if error.candidates:
                raise
        return self._wrap((await self.store.create(title=name)).id)

    async def find(self, name: str) -> Session:
        """Open a session that exists. Raises: UnknownSessionError."""
        return self._wrap(await self.store.resolve(name))

    async def list(
        self,
        *,
        unfinished: bool | None = None,
        status: str | None = None,
        title: str | None = None,
        after: str | None = None,
        limit: int = 100,
    ) -> tuple[SessionInfo, ...]:
        """List sessions' rows, latest updated first; `after` is the id of the last one of the page before."""
        return await self.store.sessions(open=unfinished, status=status, title=title, after=after, limit=limit)

    async def sessions(self, *, open: bool | None = None, limit: int = 100) -> tuple[Session, ...]:  # noqa: A002 - the word users know
        """Open sessions, latest updated first; `open=True`: those whose run is unfinished, as after a crash."""
        return tuple(self._wrap(info.id) for info in await self.store.sessions(open=open, limit=limit))

    async def complete(self, token: str, value: object = None, *, decided_by: str = "") -> int:
        """Complete a token, named `session:key` as `str(token)` does; the first completion counts.

        Raises: UnknownSessionError; WaitOverError; TokenValueError when it expects another value.
        """
        session, _, key = token.partition(":")
        return await (await self.find(session)).decide(key, value, decided_by=decided_by)

    async def verify(self) -> VerifyReport:
        """Verify every session."""
        return await self.store.verify()

    async def delete(self, name: str) -> None:
        """Delete a session for ever. Raises: HasForksError when others begin in it."""
        await self.store.delete(await self.store.resolve(name))

    async def backup(self, path: str | Path) -> None:
        """Write a consistent copy of the whole log to a new file, while it is in use."""
        await self.store.backup(str(path))

    @asynccontextmanager
    async def record(self, name: str | None = None, *, model: str = "caller:unknown") -> AsyncIterator[Recording]:
        """Record a loop of your own in a session, opened or created by name.

        `model`: `vendor:model`; a vendor that Refold knows also says how `reply.feed` reads chunks.

        Raises: LeaseHeldError when somebody else runs the session.
        """
        session = await self.session(name)
        recorder = Recorder(
            self.store, session.id, model=recorded_ref(model), feed=chunk_feed, context=CONTEXT, clock=self.clock
        )
        async with recorder:
            yield recorder

    def _wrap(self, session: str) -> Session:
        return Session(core.Session(self.store, session, clock=self.clock))


@asynccontextmanager
async def open_log(path: str | Path | None = None, *, clock: Callable[[], int] = utc_now_us) -> AsyncIterator[Log]:
    """Open a log, and close it at the end; without a path it lives in memory.

    Raises: StoreError when the file is no log, is of a newer format, or cannot be opened.
    """
    async with open_store(str(path) if path is not None else None, clock=clock) as store:
        yield Log(store, clock=clock)
