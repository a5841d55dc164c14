"""How a server behaves badly on purpose, request by request."""

from __future__ import annotations

import asyncio
import zlib
from typing import TYPE_CHECKING

import msgspec

from ..server import CutError, Exchange

if TYPE_CHECKING:
    from ..guard import Headers


class Behaviour(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What the server does to one request, whatever the answer is.

    status: refuse with it, in the protocol's words; `message` are the words, `retry_after` the header as it is sent.
    first_byte_ms: nothing comes for so long, not even the headers. gzip: compress the body.
    piece_bytes: send the body in pieces of this size. cut_after_bytes, stall_after_bytes: close the connection, or say
    nothing more, after so much of the body (as it would be without compression).
    """

    status: int = 200
    message: str = ""
    retry_after: str = ""
    first_byte_ms: int = 0
    gzip: bool = False
    piece_bytes: int = 0
    cut_after_bytes: int | None = None
    stall_after_bytes: int | None = None


PLAIN = Behaviour()


class Body:
    """Sends an answer's body as a behaviour has it."""

    def __init__(self, exchange: Exchange, behaviour: Behaviour) -> None:
        self.exchange, self._behaviour = exchange, behaviour
        self._zip = zlib.compressobj(wbits=31) if behaviour.gzip else None
        self._sent = 0

    async def begin(self, status: int, headers: Headers) -> None:
        """Send the headers."""
        zipped = [(b"content-encoding", b"gzip")] if self._zip is not None else []
        await self.exchange.begin(status, [*headers, *zipped])

    async def send(self, piece: bytes) -> None:
        """Send a piece at once. Raises: CutError when the connection is to be closed, or the client has left."""
        behaviour = self._behaviour
        ends = [end for end in (behaviour.cut_after_bytes, behaviour.stall_after_bytes) if end is not None]
        last = bool(ends) and self._sent + len(piece) >= min(ends)
        piece = piece[: min(ends) - self._sent] if last else piece
        size = behaviour.piece_bytes or len(piece) or 1
        for begin in range(0, len(piece), size):
            await self.exchange.send(self._packed(piece[begin : begin + size]))
            if behaviour.piece_bytes:
                await asyncio.sleep(0)  # else the pieces leave as one
        self._sent += len(piece)
        if last:
            await self._stop()

    async def end(self) -> None:
        """Complete the body."""
        if self._zip is not None:
            await self.exchange.send(self._zip.flush())
        await self.exchange.end()

    async def stall(self) -> None:
        """Send nothing more until the client leaves. Raises: CutError, always."""
        await self.exchange.gone.wait()
        raise CutError

    def _packed(self, piece: bytes) -> bytes:
        return piece if self._zip is None else self._zip.compress(piece) + self._zip.flush(zlib.Z_SYNC_FLUSH)

    async def _stop(self) -> None:
        cut = self._behaviour.cut_after_bytes
        if cut is None or self._sent < cut:
            await self.stall()
        raise CutError
