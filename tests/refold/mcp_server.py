"""A real MCP server for the tests: `python mcp_server.py stdio`, or `http`, which prints where it is."""

from __future__ import annotations

import asyncio
import os
import socket
import sys

import uvicorn
from mcp.server.mcpserver import Context, Image, MCPServer
from mcp.server.mcpserver.exceptions import ToolError
from mcp.types import EmbeddedResource, TextResourceContents, ToolAnnotations

server = MCPServer("weather station")


@server.tool(annotations=ToolAnnotations(read_only_hint=True))
def weather(city: str, days: int = 1) -> str:
    """Say the weather in a city."""
    return f"rain in {city} for {days}"


@server.tool()
async def forecast(city: str, ctx: Context) -> str:
    """Say what the weather will be, day by day."""
    await ctx.report_progress(1, 2, f"looked at {city}")
    await ctx.report_progress(2, 2)
    return "more rain"


@server.tool()
def measure() -> dict[str, float]:
    """Measure."""
    return {"celsius": 12.5, "millimetres": 3.0}


@server.tool(annotations=ToolAnnotations(idempotent_hint=True))
def fail(why: str) -> str:
    """Fail."""
    raise ToolError(why)


@server.tool(name="station.look", structured_output=False)
def look() -> list[Image | EmbeddedResource]:
    """Look out of the window."""
    text = TextResourceContents(uri="weather://note", text="wet", mime_type="text/plain")
    return [Image(data=b"\x89PNG\r\n\x1a\n", format="png"), EmbeddedResource(resource=text)]


@server.tool()
async def wait(note: str, ctx: Context) -> str:
    """Wait for ever; leave a note when it is cancelled."""
    await ctx.report_progress(0, None, "waiting")
    try:
        await asyncio.Event().wait()
    finally:
        os.close(os.open(note, os.O_CREAT))
    return "never"


@server.tool()
def environment(name: str) -> str:
    """Give a variable."""
    return os.environ.get(name, "(not set)")


@server.tool()
def die() -> str:
    """End the server."""
    os._exit(3)


def serve_http() -> None:
    listening = socket.create_server(("127.0.0.1", 0))
    sys.stdout.write(f"http://127.0.0.1:{listening.getsockname()[1]}/mcp\n")
    sys.stdout.flush()
    app = server.streamable_http_app()
    uvicorn.Server(uvicorn.Config(app, log_level="warning")).run(sockets=[listening])


if __name__ == "__main__":
    if sys.argv[1:] == ["http"]:
        serve_http()
    elif sys.argv[1:] == ["stdio"]:
        server.run("stdio")
    else:
        sys.exit(f"no such way to serve: {sys.argv[1:]}, and the token is planted-0123456789")
