"""Following a session: what is there, then what comes, without a gap or a duplicate."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Protocol

from ..envelope import Cursor, Recorded, SessionInfo
from ..errors import TailLostError

_PAGE = 1000


class Notifier:
    """Wakes those who wait for a session's events when there may be some."""

    def __init__(self) -> None:
        self._waiting: dict[str, set[asyncio.Future[None]]] = {}
        self._notified: dict[str, int] = {}
        self._all = 0

    @property
    def has_waiting(self) -> bool:
        """True while somebody waits."""
        return bool(self._waiting)

    def notify(self, session: str) -> None:
        """Wake those who wait for one session."""
        self._notified[session] = self._notified.get(session, 0) + 1
        for future in self._waiting.get(session, ()):
            if not future.done():
                future.set_result(None)

    def notify_all(self) -> None:
        """Wake everybody."""
        self._all += 1
        for session in list(self._waiting):
            self.notify(session)

    def mark(self, session: str) -> tuple[int, int]:
        """Return a mark to take before reading; `wait` returns at once if something came after it."""
        return self._notified.get(session, 0), self._all

    async def wait(self, session: str, mark: tuple[int, int]) -> None:
        """Wait until there may be something new of the session."""
        if self.mark(session) != mark:
            return
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        waiting = self._waiting.setdefault(session, set())
        waiting.add(future)
        try:
            await future
        finally:
            waiting.discard(future)
            if not waiting:
                self._waiting.pop(session, None)


class Readable(Protocol):
    """What following needs of a store."""

    async def read(
        self, session: str, *, after: int = 0, upto: int | None = None, limit: int = 1000, updates: bool = True
    ) -> tuple[Recorded, ...]:
        """Read a page."""
        ...

    async def dropped(self, session: str) -> tuple[tuple[int, int], ...]:
        """Name the ranges without content."""
        ...

    async def cursor(self, session: str, seq: int | None = None) -> Cursor:
        """Return a place with its digest."""
        ...

    async def info(self, session: str) -> SessionInfo:
        """Read the session's row."""
        ...


async def follow(log: Readable, notifier: Notifier, session: str, after: Cursor | int) -> AsyncIterator[Recorded]:
    """Yield every event after a place, for ever.

    Raises: TailLostError when the place, or the event yielded last, is not in the log any more.
    """
    start = after if isinstance(after, Cursor) else Cursor(after)
    await _check_start(log, session, start)
    last: Recorded | None = None
    seq = start.seq
    while True:
        mark = notifier.mark(session)
        page = await log.read(session, after=seq if last is None else seq - 1, limit=_PAGE)
        full = len(page) == _PAGE
        if last is not None:
            page = await _after_last(log, session, last, page)
        for recorded in page:
            last, seq = recorded, recorded.seq
            yield recorded
        if not full:
            await notifier.wait(session, mark)


async def _check_start(log: Readable, session: str, start: Cursor) -> None:
    head = (await log.info(session)).head
    if not start.digest:
        return
    if start.seq > head:
        raise TailLostError(session, start.seq, head)
    there = await log.cursor(session, start.seq)
    if there.digest and there.digest != start.digest:
        raise TailLostError(session, start.seq, head)


async def _after_last(log: Readable, session: str, last: Recorded, page: tuple[Recorded, ...]) -> tuple[Recorded, ...]:
    """Check that the event yielded last is still there, and give those after it."""
    if page and page[0].seq == last.seq:
        if page[0].at_us == last.at_us:
            return page[1:]
    elif any(first <= last.seq <= end for first, end in await log.dropped(session)):
        return page
    raise TailLostError(session, last.seq, (await log.info(session)).head)
