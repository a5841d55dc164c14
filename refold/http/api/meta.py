"""The document of the interface, and whether the server is there."""

from __future__ import annotations

from typing import Literal

import msgspec
from starlette.responses import Response

from .routes import Call, Nothing, Route


class Health(msgspec.Struct, frozen=True):
    """The server is there."""

    status: Literal["ok"] = "ok"


async def health(call: Call[Nothing, Nothing]) -> Health:
    """Say that the server is there, and its log can be read."""
    await call.served.log.store.sessions(limit=1)
    return Health()


async def read_document(call: Call[Nothing, Nothing]) -> Response:
    """Read this document."""
    return Response(msgspec.json.encode(call.served.describe()), media_type="application/json")


META = (
    Route(method="GET", path="/healthz", does=health, tag="server", is_open=True),
    Route(method="GET", path="/openapi.json", does=read_document, tag="server", also={200: ("application/json",)}),
)
