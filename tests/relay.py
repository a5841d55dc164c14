"""A wire between two programs that can be cut: what is sent then goes nowhere, and nobody is told."""

from __future__ import annotations

import asyncio
import socket
from contextlib import suppress
from types import TracebackType
from urllib.parse import parse_qs, parse_qsl, quote, urlencode, urlsplit


class Relay:
    """Passes on what comes to where a URL leads; `url` leads here. It may be cut, and mended."""

    def __init__(self, url: str, *, at: socket.socket | None = None) -> None:
        """Prepare. `at`: what it listens on, if not on a port of this machine; it is closed with it."""
        self._given, self._at = urlsplit(url), at
        self._open, self._tasks = asyncio.Event(), set[asyncio.Task[None]]()
        self._open.set()
        self.url = ""

    async def __aenter__(self) -> Relay:
        listening = self._at or socket.create_server(("127.0.0.1", 0))
        self._server = await asyncio.start_server(self._pass_on, sock=listening)
        (host, port), given = listening.getsockname(), self._given
        user = f"{given.username}{f':{given.password}' if given.password else ''}@" if given.username else ""
        options = [(name, value) for name, value in parse_qsl(given.query) if name != "host"]
        query = urlencode(options, quote_via=quote)
        self.url = f"{given.scheme}://{user}{host}:{port}{given.path}{f'?{query}' if query else ''}"
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        self._server.close()
        for task in tuple(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def cut(self) -> None:
        """Pass nothing on."""
        self._open.clear()

    def mend(self) -> None:
        """Pass on what was held back, and what comes."""
        self._open.set()

    async def _pass_on(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        folder = parse_qs(self._given.query).get("host", [""])[0]
        port = self._given.port
        if folder.startswith("/"):
            to_reader, to_writer = await asyncio.open_unix_connection(f"{folder}/.s.PGSQL.{port or 5432}")
        else:
            to_reader, to_writer = await asyncio.open_connection(self._given.hostname, port)
        for source, target in ((reader, to_writer), (to_reader, writer)):
            task = asyncio.create_task(self._copy(source, target))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _copy(self, source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
        try:
            with suppress(OSError):
                while said := await source.read(65_536):
                    await self._open.wait()
                    target.write(said)
                    await target.drain()
        finally:
            target.close()
