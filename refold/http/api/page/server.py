"""The server that the page came from: which release it is, and what it lets the page do."""

from __future__ import annotations

from importlib.metadata import version

import msgspec

from ..routes import Call, Nothing, Route


class ServerInfo(msgspec.Struct, frozen=True, kw_only=True):
    """A server. `writes`: the page may fork, decide and say something; `runs`: it may also have agents run."""

    version: str
    writes: bool
    runs: bool


async def read_server(call: Call[Nothing, Nothing]) -> ServerInfo:
    """Read what the server lets the page do."""
    served = call.served
    return ServerInfo(
        version=version("refold"), writes=served.is_written, runs=served.is_written and served.runs is not None
    )


SERVER = (Route(method="GET", path="/api/server", does=read_server, tag="page"),)
