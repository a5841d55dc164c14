"""A response that is a stream of events: pieces as they come, cut off when nobody reads them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from eventsource.background import running

from .hub import Hub, Reader

SEND_S = 30.0
"""For a piece to be taken by the reader's connection; then it is cut off."""
_HEADERS = {"cache-control": "no-store", "x-accel-buffering": "no"}


class EventStream(Response):
    """A stream of server-sent events. A reader that is cut off comes back by itself, to where it was."""

    media_type = "text/event-stream"

    def __init__(self, hub: Hub, pieces: Callable[[Reader], AsyncIterator[bytes]]) -> None:
        """Prepare. Raises: ProblemError when no more streams are kept open."""
        hub.check_room()
        super().__init__(headers=_HEADERS)
        del self.headers["content-length"]
        self._hub, self._pieces = hub, pieces

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the pieces until they end, the client leaves, or it does not read."""
        with self._hub.reading() as reader:
            await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
            async with running(self._send(reader, send), _left(receive), _cut(reader)) as tasks:
                await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
                if tasks[0].done():
                    tasks[0].result()

    async def _send(self, reader: Reader, send: Send) -> None:
        async for piece in self._pieces(reader):
            try:
                async with asyncio.timeout(SEND_S):
                    await send({"type": "http.response.body", "body": piece, "more_body": True})
            except TimeoutError:
                return  # without an end: the connection is cut
        await send({"type": "http.response.body", "body": b"", "more_body": False})


async def _left(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


async def _cut(reader: Reader) -> None:
    await reader.cut.wait()
