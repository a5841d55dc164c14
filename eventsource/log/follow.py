"""Following a session: what is there, then what comes, without a gap or a duplicate; and waiting for what comes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import suppress
from functools import partial
from typing import Protocol

from ..envelope import Cursor, Recorded, SessionInfo
from ..errors import TailLostError

_PAGE = 1000
_MOST_KNOWN = 10_000  # sessions


class Notifier:
    """Wakes those who wait for a session's events when there may be some."""

    def __init__(self, begin: Callable[[], None] = lambda: None) -> None:
        """Prepare; `begin` is called when somebody begins to wait."""
        self._begin = begin
        self._waiting: dict[str, dict[asyncio.Future[bool], int]] = {}
        self._notified: dict[str, int] = {}
        self._heads: dict[str, int] = {}
        self._all = 0
        self._changes = 0
        self._for_any: set[asyncio.Future[bool]] = set()

    @property
    def has_waiting(self) -> bool:
        """True while somebody waits."""
        return bool(self._waiting or self._for_any)

    @property
    def waiting(self) -> list[str]:
        """The sessions that somebody waits for."""
        return list(self._waiting)

    def notify(self, session: str, head: int | None = None) -> None:
        """Wake those who wait for one session; `head`: where it ends now, if this log's own append has moved it."""
        if len(self._notified) >= _MOST_KNOWN:
            self._notified.clear()
            self.forget()
        self._notified[session] = self._notified.get(session, 0) + 1
        if head is None:
            self._heads.pop(session, None)
        else:
            self._heads[session] = head
        self._wake(session, head)
        self._wake_for_any()

    def notify_all(self) -> None:
        """Wake everybody."""
        self.forget()
        for session in self.waiting:
            self._wake(session, None)

    def forget(self) -> None:
        """Note that others may have appended to any session: whoever has read before, and waits only now, reads again.

        Those who wait already are woken by `wake_at`.
        """
        self._all += 1
        self._heads.clear()
        self._wake_for_any()

    def wake_at(self, heads: Mapping[str, int]) -> None:
        """Wake those who wait for a session that does not end where they have read to, or is not there any more."""
        for session in self.waiting:
            self._wake(session, heads.get(session))

    def _wake(self, session: str, head: int | None) -> None:
        for future, after in list(self._waiting.get(session, {}).items()):
            if head != after:
                _end(future, found=True)

    def _wake_for_any(self) -> None:
        self._changes += 1
        for future in list(self._for_any):
            _end(future, found=True)

    async def wait_any(self, seen: int, timeout_s: float | None = None) -> int:
        """Wait until any session may have changed; see `EventLog.wait_any`."""
        loop = asyncio.get_running_loop()
        if self._changes == seen and (timeout_s is None or timeout_s > 0):
            future: asyncio.Future[bool] = loop.create_future()
            timer = None if timeout_s is None else loop.call_later(timeout_s, partial(_end, future, found=False))
            self._for_any.add(future)
            self._begin()
            try:
                await future
            finally:
                self._for_any.discard(future)
                if timer is not None:
                    timer.cancel()
        return self._changes

    def mark(self, session: str) -> tuple[int, int]:
        """Return a mark to take before reading; `wait` returns at once if something came after it."""
        return self._notified.get(session, 0), self._all

    def head_of(self, session: str) -> int | None:
        """Return where a session ends, as far as this log knows without asking its store; None: it does not know.

        What others have appended since is noticed after this, and then wakes whoever waits by then.
        """
        return self._heads.get(session)

    async def wait(self, session: str, mark: tuple[int, int], after: int, until_s: float | None = None) -> bool:
        """Wait until there may be something else of the session than what was read, up to a seq.

        `until_s`: a time of the event loop's clock. Returns: False when that has come first.
        """
        if self.mark(session) != mark:
            return True
        loop = asyncio.get_running_loop()
        future: asyncio.Future[bool] = loop.create_future()
        timer = None if until_s is None else loop.call_at(until_s, partial(_end, future, found=False))
        waiting = self._waiting.setdefault(session, {})
        waiting[future] = after
        self._begin()
        try:
            return await future
        finally:
            del waiting[future]
            if not waiting:
                self._waiting.pop(session, None)
            if timer is not None:
                timer.cancel()


def _end(future: asyncio.Future[bool], *, found: bool) -> None:
    """Let somebody wait no more; who appends in another thread than he waits in tells his event loop."""
    loop = future.get_loop()
    if _running_loop() is loop:
        if not future.done():
            future.set_result(found)
    else:
        with suppress(RuntimeError):  # it has ended, nobody waits
            loop.call_soon_threadsafe(partial(_end, future, found=found))


def _running_loop() -> asyncio.AbstractEventLoop | None:
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None


async def wait_for_events(
    head: Callable[[str], Awaitable[int]], notifier: Notifier, session: str, after: int, timeout_s: float | None
) -> bool:
    """Wait until a session goes on after a seq; see `EventLog.wait`. `head` reads where it ends."""
    until_s = None if timeout_s is None else asyncio.get_running_loop().time() + timeout_s
    while True:
        mark = notifier.mark(session)
        known = notifier.head_of(session)
        if (await head(session) if known is None else known) > after:
            return True
        if not await notifier.wait(session, mark, after, until_s):
            return False


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
            await notifier.wait(session, mark, seq)


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
