"""An MCP server that speaks HTTP: the package's client, with a bound on what one answer may hold.

Source: docs/decisions/0105-a-transport-with-bounds.md
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

import httpx2
from mcp.client._transport import TransportStreams  # public in no other place
from mcp.client.streamable_http import streamable_http_client

from .stdio import MESSAGE_BYTES, TOO_LONG


@asynccontextmanager
async def endpoint(url: str, headers: Mapping[str, str] | None) -> AsyncIterator[TransportStreams]:
    """Connect to a server's address. An answer that is compressed is not read: nobody asks for one."""
    # A tool may be silent for long; its time limit and an abort close the connection.
    client = httpx2.AsyncClient(
        headers={"accept-encoding": "identity", **(headers or {})},
        timeout=httpx2.Timeout(30.0, read=None),
        event_hooks={"response": [_bound]},
    )
    async with (
        client,
        streamable_http_client(url, http_client=client, max_sse_event_size=MESSAGE_BYTES) as streams,
    ):
        yield streams


async def _bound(response: httpx2.Response) -> None:
    """Limit the body of an answer; the client limits the events of a stream itself."""
    response.headers.pop("content-encoding", None)
    streamed = response.headers.get("content-type", "").lower().startswith("text/event-stream")
    if not streamed and isinstance(response.stream, httpx2.AsyncByteStream):
        response.stream = _Bounded(response.stream)


class _Bounded(httpx2.AsyncByteStream):
    """The body of an answer, up to a bound."""

    def __init__(self, body: httpx2.AsyncByteStream) -> None:
        self._body = body

    async def __aiter__(self) -> AsyncIterator[bytes]:
        size = 0
        async for piece in self._body:
            size += len(piece)
            if size > MESSAGE_BYTES:
                raise httpx2.StreamError(TOO_LONG)
            yield piece

    async def aclose(self) -> None:
        await self._body.aclose()
