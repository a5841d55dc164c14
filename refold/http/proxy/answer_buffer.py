"""An answer between the proxy, which passes it on, and the recorder, which reads it more slowly."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator

import httpx

HELD_BYTES = 1 << 26
"""64 MiB of an answer may wait to be recorded."""


class OverrunError(Exception):
    """Raised when an answer comes faster than it can be recorded."""


class AnswerBuffer:
    """What of an answer is not recorded yet. Adding to it never waits and never fails; only the first end counts.

    `complete`: its reader needs nothing more. `closed`: it is on record, or lost.
    """

    def __init__(self) -> None:
        self._begun: asyncio.Future[tuple[int, str]] = asyncio.get_running_loop().create_future()
        self._pieces: deque[bytes] = deque()
        self._changed = asyncio.Event()
        self._ended, self._overrun, self._held = False, False, 0
        self.complete = self.closed = False
        self.problem = ""
        self.aborted = False

    def begin(self, status: int, encoding: str) -> None:
        """Note status and content encoding."""
        if not self._begun.done():
            self._begun.set_result((status, encoding))

    def piece(self, piece: bytes) -> None:
        """Note a piece of the body."""
        if self.closed:
            return
        self._pieces.append(piece)
        self._held += len(piece)
        if self._held > HELD_BYTES:
            self._overrun = self.closed = True
            self._pieces.clear()
        self._changed.set()

    def end(self, problem: str = "", *, aborted: bool = False) -> None:
        """Note the end: a problem of the connection, or that the client left."""
        if self._ended:
            return
        self._ended, self.problem, self.aborted = True, problem, aborted
        self.begin(0, "")
        self._changed.set()

    def close(self) -> None:
        """Note that nothing of it is read any more."""
        self.closed = True
        self._changed.set()

    async def response(self) -> httpx.Response:
        """Wait for the beginning; its body can be read as it comes. Status 0: there is none."""
        status, encoding = await self._begun
        headers = {"content-encoding": encoding} if encoding else {}
        return httpx.Response(status, headers=headers, stream=_Pieces(self))

    async def pieces(self) -> AsyncIterator[bytes]:
        """Read the pieces; one counts as read when the next is asked for. Raises: OverrunError."""
        while True:
            while self._pieces:
                piece = self._pieces[0]
                yield piece
                if self._pieces:
                    self._pieces.popleft()
                self._held -= len(piece)
                self._changed.set()
            if self._overrun:
                raise OverrunError(f"more than {HELD_BYTES:,} bytes of its answer waited to be recorded")
            if self._ended:
                return
            await self._change()

    async def caught_up(self) -> None:
        """Wait until everything that its client has seen is on record."""
        while not self.closed and (self._pieces or self._ended or self.complete):
            await self._change()

    async def _change(self) -> None:
        self._changed.clear()
        await self._changed.wait()


class _Pieces(httpx.AsyncByteStream):
    def __init__(self, buffer: AnswerBuffer) -> None:
        self._buffer = buffer

    async def __aiter__(self) -> AsyncIterator[bytes]:
        async for piece in self._buffer.pieces():
            yield piece
