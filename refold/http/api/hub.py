"""Live streams: one follower for each session that is watched, however many watch it, and what each of them is sent."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator, Sequence
from contextlib import aclosing, contextmanager
from typing import Generic, TypeVar

from eventsource.background import stop
from eventsource.envelope import Cursor, Recorded
from eventsource.errors import RefoldError, TailLostError, UnknownSessionError
from eventsource.log.protocol import EventLog
from eventsource.runner.operator_log import logger
from eventsource.user_code.error_words import words

from ..interface.events import StreamNotice, Updates
from .frames import PING, RETRY, Joined, event_frame, notice_frame, select
from .problems import ProblemError

T = TypeVar("T")
LOGGER = logger(__name__)
MOST_STREAMS = 1_000
"""Streams that a server keeps open at once; one more is answered 503."""
WAITING_BYTES = 1_000_000
"""What may wait for a reader that does not read; then its stream is cut off, and it comes back by itself."""
JOIN_S = 0.05
"""For how long deltas are held back, to be joined with those that follow; the first one after a pause is not."""
PING_S = 15.0
"""After so long without an event, a comment is sent: whoever stands between knows that the stream is alive."""
_PAGE = 1_000
_PIECE_BYTES = 1 << 16


class Reader:
    """One who watches: what is ready to be sent to it. `cut` is set when it did not read for too long."""

    def __init__(self) -> None:
        self.cut = asyncio.Event()
        self._ready: list[bytes] = []
        self._waiting = 0
        self._is_last = False
        self._wake, self._room = asyncio.Event(), asyncio.Event()

    async def room(self) -> None:
        """Wait until what was handed over is being sent."""
        while self._waiting >= WAITING_BYTES // 2 and not self.cut.is_set():
            self._room.clear()
            await self._room.wait()

    def put(self, frames: bytes) -> None:
        """Hand over what is to be sent."""
        if self._is_last or self.cut.is_set():
            return
        if self._waiting + len(frames) > WAITING_BYTES and self._waiting:
            self.cut.set()
        self._ready.append(frames)
        self._waiting += len(frames)
        self._wake.set()

    def end(self, frame: bytes) -> None:
        """Hand over the last thing to be sent."""
        self.put(frame)
        self._is_last = True

    async def take(self) -> tuple[bytes, bool]:
        """Wait for what is to be sent, a ping if nothing comes. Returns: it, and whether that was the last."""
        try:
            async with asyncio.timeout(PING_S):
                await self._wake.wait()
        except TimeoutError:
            return PING, False
        self._wake.clear()
        ready, self._ready, self._waiting = b"".join(self._ready), [], 0
        self._room.set()
        return ready, self._is_last


class Holder(Generic[T]):
    """Holds events back for a moment, so that deltas can be joined, and what is there already goes out together."""

    def __init__(self, updates: Updates, write: Callable[[list[T]], None]) -> None:
        self._joins, self._write = updates == "joined", write
        self._held: list[T] = []
        self._timer: asyncio.TimerHandle | None = None
        self._flushed_s = 0.0

    def hold(self, item: T, *, is_delta: bool) -> None:
        """Take one; a delta waits for `JOIN_S` after what was sent last, anything else takes all with it at once."""
        self._held.append(item)
        loop = asyncio.get_running_loop()
        at_s = max(loop.time(), self._flushed_s + JOIN_S if is_delta and self._joins else 0.0)
        if self._timer is not None:
            if self._timer.when() <= at_s:
                return
            self._timer.cancel()
        self._timer = loop.call_at(at_s, self.flush)

    def flush(self) -> None:
        """Write what is held."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        held, self._held = self._held, []
        if held:
            self._flushed_s = asyncio.get_running_loop().time()
            self._write(held)


class Channel:
    """A session as it is sent in one form: it is followed once, and each event is written once for all its readers.

    `last`: the seq up to which everything has been handed to the readers.
    """

    def __init__(self, log: EventLog, session: str, updates: Updates) -> None:
        self.session, self.updates = session, updates
        self.readers: set[Reader] = set()
        self.users = 0
        self.last = -1
        self.failed: Exception | None = None
        self._log = log
        self._holder = Holder(updates, self._write)
        self._moved = asyncio.Event()
        self.task = asyncio.create_task(self._follow())

    async def past(self, seq: int) -> None:
        """Wait until everything up to a seq has been handed over. Raises: what ended the following."""
        while self.last < seq and self.failed is None:
            self._moved.clear()
            await self._moved.wait()
        if self.failed is not None:
            raise self.failed

    async def _follow(self) -> None:
        try:
            start = await self._log.cursor(self.session)
            self._move(start.seq)
            async for recorded in self._log.follow(self.session, start):
                self._holder.hold(recorded, is_delta=recorded.event.type == "message_update")
        except Exception as error:  # whoever watches is told
            self.failed = error
            self._holder.flush()
            for reader in self.readers:
                reader.end(ending_frame(error))
            self._move(self.last)

    def _write(self, held: list[Recorded]) -> None:
        frames = b"".join(
            event_frame(self.session, one.recorded, first_seq=one.first_seq) for one in select(held, self.updates)
        )
        for reader in list(self.readers) if frames else ():
            reader.put(frames)
        self._move(held[-1].seq)

    def _move(self, seq: int) -> None:
        self.last = seq
        self._moved.set()


class Hub:
    """The live streams of a server."""

    def __init__(self, log: EventLog) -> None:
        self._log = log
        self._channels: dict[tuple[str, Updates], Channel] = {}
        self._readers: set[Reader] = set()
        self._stopping = False

    @property
    def followed(self) -> int:
        """How many followers there are."""
        return len(self._channels)

    def check_room(self) -> None:
        """Check that one more stream may be opened. Raises: ProblemError."""
        if len(self._readers) >= MOST_STREAMS:
            raise ProblemError(503, f"{len(self._readers):,} streams are open; no more are kept open at once")

    @contextmanager
    def reading(self) -> Iterator[Reader]:
        """Give a reader while its stream is open; it is told when the server stops."""
        reader = Reader()
        self._readers.add(reader)
        if self._stopping:
            reader.end(STOPPED)
        try:
            yield reader
        finally:
            self._readers.discard(reader)

    async def stream(
        self, reader: Reader, session: str, after: Cursor, updates: Updates, at_us: int | None = None
    ) -> AsyncIterator[bytes]:
        """Yield what is sent to one who watches a session: first what is there, then what comes; pieces of a stream.

        It ends with a notice when the server stops, when the session is deleted, or when the place to begin at is in
        the log no more.
        """
        yield RETRY
        try:
            await check_place(self._log, session, after, at_us)
            async with aclosing(self._stream(reader, session, after.seq, updates)) as pieces:
                async for piece in pieces:
                    yield piece
        except Exception as error:  # whoever watches is told
            yield ending_frame(error)

    async def _stream(self, reader: Reader, session: str, seq: int, updates: Updates) -> AsyncGenerator[bytes]:
        channel = self._channel(session, updates)
        try:
            await channel.past(max(seq, 0))
            while seq < channel.last:
                upto = channel.last
                page = await self._log.read(session, after=seq, upto=upto, limit=_PAGE, updates=updates != "none")
                for piece in _pieces(session, select(page, updates)):
                    yield piece
                seq = page[-1].seq if len(page) == _PAGE else upto
            channel.readers.add(reader)  # nothing was awaited since it was seen that there is no more
            if channel.failed is not None:
                raise channel.failed
            is_last = False
            while not is_last:
                ready, is_last = await reader.take()
                if ready:
                    yield ready
        finally:
            channel.readers.discard(reader)
            self._leave(channel)

    async def stop(self) -> None:
        """End all streams, and tell who reads them why."""
        self._stopping = True
        for reader in list(self._readers):
            reader.end(STOPPED)
        await stop(*(channel.task for channel in self._channels.values()))

    def _channel(self, session: str, updates: Updates) -> Channel:
        channel = self._channels.get((session, updates))
        if channel is None or channel.failed is not None:
            channel = self._channels[session, updates] = Channel(self._log, session, updates)
        channel.users += 1
        return channel

    def _leave(self, channel: Channel) -> None:
        """End a follower that nobody needs any more."""
        channel.users -= 1
        if channel.users == 0:
            channel.task.cancel()
            if self._channels.get((channel.session, channel.updates)) is channel:
                del self._channels[channel.session, channel.updates]


def _pieces(session: str, page: Sequence[Joined]) -> Iterator[bytes]:
    """Write events, so many at a time that a connection which takes nothing is noticed before much waits for it."""
    frames: list[bytes] = []
    size = 0
    for one in page:
        frames.append(event_frame(session, one.recorded, first_seq=one.first_seq))
        size += len(frames[-1])
        if size > _PIECE_BYTES:
            yield b"".join(frames)
            frames.clear()
            size = 0
    if frames:
        yield b"".join(frames)


STOPPED = notice_frame("end", StreamNotice(reason="the server stops"))


async def check_place(log: EventLog, session: str, after: Cursor, at_us: int | None = None) -> None:
    """Check that a place is in the log; `at_us`: the time of the event there.

    Raises: TailLostError; UnknownSessionError.
    """
    head = (await log.info(session)).head
    if after.seq > head:
        raise TailLostError(session, after.seq, head)
    if after.digest and (await log.cursor(session, after.seq)).digest not in ("", after.digest):
        raise TailLostError(session, after.seq, head)
    if at_us is not None and after.seq and not await _is_there(log, session, after.seq, at_us):
        raise TailLostError(session, after.seq, head)


async def _is_there(log: EventLog, session: str, seq: int, at_us: int) -> bool:
    """Return whether an event of this time is at a seq, or was one, whose content was dropped."""
    page = await log.read(session, after=seq - 1, upto=seq, limit=1)
    if page:
        return page[0].at_us == at_us
    return any(first <= seq <= last for first, last in await log.dropped(session))


def ending_frame(error: Exception) -> bytes:
    """Write why a stream ends."""
    match error:
        case TailLostError(session=session, seen=seen, head=head):
            return notice_frame("reset", StreamNotice(reason=str(error), session=session, seen=seen, head=head))
        case UnknownSessionError():
            return notice_frame("end", StreamNotice(reason="the session was deleted"))
        case RefoldError():
            return notice_frame("end", StreamNotice(reason=str(error), error=type(error).__name__))
        case _:
            LOGGER.error("a stream of events ended: %s", words(error, typed=True), exc_info=error)
            return notice_frame("end", StreamNotice(reason="this should not happen"))
