"""The contract's fourth part: waiting for what anybody appends."""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager, AsyncExitStack

from ...errors import StoreError, UnknownSessionError
from ...events import Event, Label
from ..protocol import EventLog
from .histories import refused, streamed, timed

_PATIENCE_S = 60.0
_LABEL: list[tuple[int, Event]] = [(1, Label(text="a title"))]


async def _begun(waiting: asyncio.Future[bool]) -> None:
    """Let somebody begin to wait, and see that he does."""
    await asyncio.wait([waiting], timeout=0.05)
    if waiting.done():
        raise AssertionError(f"nothing has come, and the wait ended with {waiting.result()}")


async def _ended(waiting: asyncio.Future[bool]) -> bool:
    """Return how a wait ended."""
    async with asyncio.timeout(_PATIENCE_S):
        return await waiting


class WaitContract(ABC):
    """Promises about waiting for events."""

    @abstractmethod
    def open(self) -> AbstractAsyncContextManager[EventLog]:
        """Open an empty store."""

    def open_again(self, log: EventLog) -> AbstractAsyncContextManager[EventLog] | None:
        """Open an opened store once more, as another process does; None for one that no other can open."""
        return None

    async def test_what_is_there_already_is_not_waited_for(self) -> None:
        """Also without any time, and also updates that are not part of a whole message yet."""
        async with self.open() as log:
            session = (await log.create()).id
            assert not await log.wait(session, 0, 0)
            head = await log.append(session, timed(streamed("some text")[:3]))
            for after in range(head):
                assert await log.wait(session, after, 0)
            assert not await log.wait(session, head, 0)

    async def test_a_wait_ends_with_the_time_and_says_so(self) -> None:
        """What others append elsewhere ends none."""
        async with self.open() as log:
            session, other = (await log.create()).id, (await log.create()).id
            waiting = asyncio.ensure_future(log.wait(session, 0, 0.2))
            await log.append(other, _LABEL)
            assert not await _ended(waiting)

    async def test_an_append_ends_the_wait_of_everybody_who_waits_for_its_session(self) -> None:
        """And of nobody else."""
        async with self.open() as log:
            session, other = (await log.create()).id, (await log.create()).id
            await log.append(session, _LABEL)
            waiting = [asyncio.ensure_future(log.wait(session, 1)) for _ in range(100)]
            longer = [asyncio.ensure_future(log.wait(session, 2)), asyncio.ensure_future(log.wait(other, 0))]
            await _begun(waiting[0])
            await log.append(session, _LABEL)
            assert [await _ended(one) for one in waiting] == [True] * 100
            for one in longer:
                await _begun(one)
            await log.append(session, _LABEL)
            await log.append(other, _LABEL)
            assert [await _ended(one) for one in longer] == [True, True]

    async def test_no_append_is_missed_between_two_waits(self) -> None:
        """However many there are, and whoever makes them."""
        async with self.open() as log:
            session, seen = (await log.create()).id, 0
            appending = asyncio.ensure_future(self._append(log, session, 50))
            while seen < 50:
                assert await log.wait(session, seen, _PATIENCE_S)
                seen = (await log.info(session)).head
            await appending

    async def _append(self, log: EventLog, session: str, count: int) -> None:
        for _ in range(count):
            await log.append(session, _LABEL)

    async def test_an_append_of_another_opened_log_ends_a_wait(self) -> None:
        """Of facts and of updates; none is missed between two waits."""
        async with self.open() as log:
            again = self.open_again(log)
            if again is None:
                return
            session, other = (await log.create()).id, (await log.create()).id
            async with again as elsewhere:
                waiting = asyncio.ensure_future(log.wait(session, 0))
                await _begun(waiting)
                await elsewhere.append(other, _LABEL)
                await _begun(waiting)
                await elsewhere.append(session, timed(streamed("some text")[:1]), durable=False)
                assert await _ended(waiting)
                waiting = asyncio.ensure_future(log.wait(session, 1))
                await _begun(waiting)
                await elsewhere.append(session, timed(streamed("some text")[1:3]), durable=False)
                assert await _ended(waiting)
                appending = asyncio.ensure_future(self._append(elsewhere, other, 50))
                seen = 1
                while seen < 51:
                    assert await log.wait(other, seen, _PATIENCE_S)
                    seen = (await log.info(other)).head
                await appending

    async def test_who_waits_for_a_session_that_is_deleted_is_told(self) -> None:
        """As who waits for one that never was."""
        async with self.open() as log:
            session = (await log.create()).id
            waiting = asyncio.ensure_future(log.wait(session, 0))
            await _begun(waiting)
            await log.delete(session)
            with refused(UnknownSessionError):
                await _ended(waiting)
            with refused(UnknownSessionError):
                await log.wait("never-made", 0)
            again = self.open_again(log)
            if again is None:
                return
            session = (await log.create()).id
            async with again as elsewhere:
                waiting = asyncio.ensure_future(log.wait(session, 0))
                await _begun(waiting)
                await elsewhere.delete(session)
                with refused(UnknownSessionError):
                    await _ended(waiting)

    async def test_a_wait_that_is_cancelled_leaves_the_log_as_it_was(self) -> None:
        """Others wait on, and are told."""
        async with self.open() as log:
            session = (await log.create()).id
            left, waiting = (asyncio.ensure_future(log.wait(session, 0)) for _ in range(2))
            await _begun(left)
            left.cancel()
            await asyncio.wait([left])
            if not left.cancelled():
                raise AssertionError("a wait took its cancellation for something else")
            await log.append(session, _LABEL)
            assert await _ended(waiting)

    async def test_a_log_that_is_closed_ends_every_wait(self) -> None:
        """It says that it was closed."""
        async with self.open() as log:
            session = (await log.create()).id
            waiting = asyncio.ensure_future(log.wait(session, 0))
            await _begun(waiting)
            await log.close()
            with refused(StoreError):
                await _ended(waiting)
            with refused(StoreError):
                await log.wait(session, 0)

    async def test_whoever_waits_for_any_session_is_told_of_each(self) -> None:
        """Of a new one, an append, a fork and a removal, here and from elsewhere; the marks say which it was."""
        async with self.open() as log:
            other = self.open_again(log)
            async with AsyncExitStack() as stack:
                for there in (log, *([await stack.enter_async_context(other)] if other is not None else [])):
                    await self._told_of_all(log, there, "here" if there is log else "elsewhere")
            seen = await log.wait_any()
            async with asyncio.timeout(_PATIENCE_S):
                while (now := await log.wait_any(seen, 0.05)) != seen:
                    seen = now

    async def _told_of_all(self, log: EventLog, there: EventLog, name: str) -> None:
        marks, seen = await log.row_marks(), await log.wait_any()
        changes: list[Callable[[], Awaitable[object]]] = [
            lambda: there.create(name),
            lambda: there.append(name, _LABEL),
            lambda: there.append(name, timed(streamed("text")[:1]), durable=False),
            lambda: there.fork(name, 1, at_us=2, session=f"{name}-fork"),
            lambda: there.erase(name, 1, at_us=3),
            lambda: there.delete(f"{name}-fork"),
        ]
        for number, change in enumerate(changes):
            waiting = asyncio.ensure_future(self._changed(log, marks, seen))
            await change()
            async with asyncio.timeout(_PATIENCE_S):
                found, seen = await waiting
            named = {one for one in {*found, *marks} if found.get(one) != marks.get(one)}
            assert named == {f"{name}-fork"} if number in (3, 5) else name in named, number
            marks = found

    async def _changed(self, log: EventLog, marks: Mapping[str, object], seen: int) -> tuple[dict[str, object], int]:
        """Wait until the marks differ."""
        while True:
            seen = await log.wait_any(seen)
            found = await log.row_marks()
            if found != marks:
                return found, seen
