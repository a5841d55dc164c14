"""A proxy between a client and a server that cuts connections at random places, also within a line."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from random import Random
from urllib.parse import urlsplit

_PIECE = 4_096


class CuttingProxy:
    """Passes bytes on, and cuts a connection after a random number of bytes of the answers, until it has cut enough."""

    def __init__(self, server: str, *, cuts: int = 0, seed: int = 0, most_bytes: int = 3_000) -> None:
        parts = urlsplit(server)
        self._host, self._port = parts.hostname or "", parts.port or 0
        self._random, self._most = Random(seed), most_bytes
        self.left, self.made = cuts, 0
        self.done = asyncio.Event()
        self._open: set[asyncio.StreamWriter] = set()
        if not cuts:
            self.done.set()

    @asynccontextmanager
    async def listening(self) -> AsyncIterator[str]:
        """Listen until the block ends; give the address."""
        server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        try:
            yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        finally:
            server.close()
            self.cut()
            await server.wait_closed()

    def cut(self) -> None:
        """Cut whatever is open."""
        for writer in list(self._open):
            writer.transport.abort()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.made += 1
        try:
            there, onwards = await asyncio.open_connection(self._host, self._port)
        except OSError:
            writer.transport.abort()
            return
        self._open |= {writer, onwards}
        room = self._random.randint(1, self._most) if self.left else None
        back = asyncio.create_task(_pass(reader, onwards))
        try:
            await self._back(there, writer, room)
        finally:
            back.cancel()
            for one in (writer, onwards):
                one.transport.abort()
                self._open.discard(one)

    async def _back(self, there: asyncio.StreamReader, writer: asyncio.StreamWriter, room: int | None) -> None:
        while piece := await _read(there):
            if room is not None and self.left:
                piece, rest = piece[:room], len(piece) > room
                room -= len(piece)
                if rest or not room:
                    await _write(writer, piece)
                    self.left -= 1
                    if not self.left:
                        self.done.set()
                    return
            if not await _write(writer, piece):
                return


async def _pass(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while piece := await _read(reader):
        if not await _write(writer, piece):
            return


async def _read(reader: asyncio.StreamReader) -> bytes:
    try:
        return await reader.read(_PIECE)
    except OSError:
        return b""


async def _write(writer: asyncio.StreamWriter, piece: bytes) -> bool:
    try:
        writer.write(piece)
        await writer.drain()
    except OSError:
        return False
    return True
