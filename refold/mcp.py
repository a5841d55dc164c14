"""Tools of MCP servers: a program that speaks over stdin and stdout, or a server that speaks HTTP (extra `mcp`).

Source: docs/decisions/0100-an-mcp-connection-has-a-task.md
"""

from __future__ import annotations

import asyncio
import os
import re
import shlex
from collections.abc import AsyncIterator, Awaitable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from eventsource.errors import RefoldError, ToolFailure
from eventsource.models.redact import Secrets, public_url
from eventsource.tool_context import ToolContext
from eventsource.tool_results import ToolOutcome, tool_result
from eventsource.tools import Tool, json_tool

from .mcp_results import effect_of, list_digest, outcome_of

if TYPE_CHECKING:
    import mcp
    from mcp.client import Transport

T = TypeVar("T")
_LEAVE_S = 10.0  # the server gets two seconds to end by itself, then two more; this is beyond both
_SAID_BYTES = 2_000
_PAGES = 100
_NOT_IN_A_NAME = re.compile(r"[^A-Za-z0-9_-]")
_SECRET_VARIABLE = re.compile(r"key|token|secret|password|credential", re.IGNORECASE)


class McpServerError(RefoldError):
    """An MCP server cannot be used."""

    def __init__(self, server: str, problem: str) -> None:
        super().__init__(server, problem)
        self.server, self.problem = server, problem

    def __str__(self) -> str:
        return f"MCP server {self.server}: {self.problem}"


@asynccontextmanager
async def mcp_tools(
    server: str | Sequence[str],
    *,
    env: Mapping[str, str] | None = None,
    cwd: str | Path | None = None,
    headers: Mapping[str, str] | None = None,
    prefix: str = "",
    connect_s: float = 30.0,
) -> AsyncIterator[tuple[Tool, ...]]:
    """Connect to an MCP server and give its tools, to be used while this is open.

    What a server reports while it works are partial results; its errors, and a connection that is lost, are error
    results; an abort cancels the call there too. Tools that the server calls read-only or idempotent run again after
    a crash, others are `once`. Each tool's version is the digest of the whole list as it was at the beginning.

    Args:
        server: a command (text as in a shell, or its words), or a URL for streamable HTTP.
        env: variables for the command, beside the few that every program needs; nothing else is inherited.
        cwd: where the command runs.
        headers: for HTTP. Their values, and those of `env` that are named as secrets, are kept out of results.
        prefix: put before each tool's name, where names of several servers would be the same.
        connect_s: how long it may take until the tools are known.

    Raises: McpServerError; ToolDefinitionError for a tool that no model could call.
    """
    secrets = _secrets(server, env, headers)
    connection = _Connection(server, secrets)
    task = asyncio.create_task(connection.hold(env, cwd, headers))
    try:
        client, listed = await connection.listed(task, connect_s)
        digest = list_digest(listed)
        yield tuple(connection.tool(client, one, digest, prefix) for one in listed)
    finally:
        connection.leave.set()
        if connection.found is None:
            task.cancel()
        try:
            await asyncio.wait([task], timeout=_LEAVE_S)
        finally:
            task.cancel()
        await asyncio.gather(task, return_exceptions=True)  # how the server takes it is its own affair


class _Connection:
    """One connection, held by a task of its own: what breaks in it cancels nobody else."""

    def __init__(self, server: str | Sequence[str], secrets: Secrets) -> None:
        self._server, self._secrets = server, secrets
        self.url = server if isinstance(server, str) and re.match(r"https?://", server) else ""
        self.words = [] if self.url else _words_of(server)
        self.name = public_url(self.url) if self.url else Path(self.words[0]).name if self.words else "(no command)"
        self.leave = asyncio.Event()
        self.found: tuple[mcp.Client, list[mcp.Tool]] | None = None
        self._ready = asyncio.Event()
        self._said = bytearray()

    async def hold(
        self, env: Mapping[str, str] | None, cwd: str | Path | None, headers: Mapping[str, str] | None
    ) -> None:
        """Connect, list the tools, and stay until it is left."""
        try:
            from mcp import Client
        except ModuleNotFoundError as error:
            raise McpServerError(self.name, "the package mcp is not there; install refold[mcp]") from error
        async with AsyncExitStack() as stack:
            if self.url:
                transport = await self._http(stack, headers)
            else:
                transport = await self._program(stack, env, cwd)
            client = await stack.enter_async_context(Client(transport))
            self.found = client, await _all_tools(client)
            self._ready.set()
            await self.leave.wait()

    async def listed(self, task: asyncio.Task[None], connect_s: float) -> tuple[mcp.Client, list[mcp.Tool]]:
        """Wait until the tools are known. Raises: McpServerError."""
        waiting = asyncio.create_task(self._ready.wait())
        try:
            await asyncio.wait([waiting, task], timeout=connect_s, return_when=asyncio.FIRST_COMPLETED)
        finally:
            waiting.cancel()
        if self.found is not None:
            return self.found
        lines = self._secrets.redact(self._said.decode("utf-8", "replace")).split("\n")
        said = next((line.strip() for line in reversed(lines) if line.strip()), "")
        last = f"; the last thing it said: {said}" if said else ""
        if not task.done():
            raise McpServerError(self.name, f"did not answer within {connect_s:g} s{last}")
        error = _first(task.exception())
        if isinstance(error, RefoldError):
            raise error
        raise McpServerError(self.name, self._secrets.redact(_words(error)) + last) from error

    def tool(self, client: mcp.Client, listed: mcp.Tool, digest: str, prefix: str) -> Tool:
        """Make a tool of one that the server has."""

        async def call(arguments: dict[str, object], context: ToolContext) -> ToolOutcome:
            async def report(progress: float, total: float | None, message: str | None) -> None:
                context.update(self._progress(progress, total, message))

            answer = client.call_tool(listed.name, arguments, progress_callback=report)
            try:
                return outcome_of(await _unless(context.signal, answer), self._secrets.redact)
            except ToolFailure:
                raise
            except Exception as error:
                raise ToolFailure(f"{self.name}: {self._secrets.redact(_words(_first(error)))}") from error

        return json_tool(
            _NOT_IN_A_NAME.sub("_", prefix + listed.name)[:64],
            listed.input_schema,
            call,
            description=listed.description or listed.title or "",
            effect=effect_of(listed),
            version=digest,
        )

    def _progress(self, done: float, total: float | None, message: str | None) -> object:
        said = self._secrets.redact(message or "") or f"{done:g}{'' if total is None else f' of {total:g}'}"
        return tool_result(said, details={"progress": done, **({} if total is None else {"total": total})})

    async def _http(self, stack: AsyncExitStack, headers: Mapping[str, str] | None) -> Transport:
        import httpx2
        from mcp.client.streamable_http import streamable_http_client

        # A tool may be silent for long; an abort closes the connection.
        client = httpx2.AsyncClient(headers=dict(headers or {}), timeout=httpx2.Timeout(30.0, read=None))
        return streamable_http_client(self.url, http_client=await stack.enter_async_context(client))

    async def _program(self, stack: AsyncExitStack, env: Mapping[str, str] | None, cwd: str | Path | None) -> Transport:
        from mcp.client.stdio import StdioServerParameters, stdio_client

        if not self.words:
            raise McpServerError(self.name, "expected a command or a URL, found nothing")
        parameters = StdioServerParameters(
            command=self.words[0], args=self.words[1:], env=dict(env) if env is not None else None, cwd=cwd
        )
        ours, theirs = os.pipe()
        errors = stack.enter_context(os.fdopen(theirs, "w"))
        reading = asyncio.create_task(self._listen(ours))
        stack.push_async_callback(_end, reading)
        return stdio_client(parameters, errlog=errors)

    async def _listen(self, descriptor: int) -> None:
        """Keep the end of what the program says on stderr: if it does not start, that says why."""
        reader = asyncio.StreamReader()
        with os.fdopen(descriptor, "rb", buffering=0) as pipe:
            transport, _ = await asyncio.get_running_loop().connect_read_pipe(
                lambda: asyncio.StreamReaderProtocol(reader), pipe
            )
            try:
                while data := await reader.read(65536):
                    self._said += data
                    del self._said[:-_SAID_BYTES]
            finally:
                transport.close()


def _words_of(command: str | Sequence[str]) -> list[str]:
    try:
        return shlex.split(command) if isinstance(command, str) else list(command)
    except ValueError as error:
        raise McpServerError(repr(command), f"cannot be read as a command: {str(error).lower()}") from error


def _secrets(server: str | Sequence[str], env: Mapping[str, str] | None, headers: Mapping[str, str] | None) -> Secrets:
    secrets = Secrets()
    for name, value in (headers or {}).items():
        secrets.add_header(name, value)
    for name, value in (env or {}).items():
        if _SECRET_VARIABLE.search(name):
            secrets.add(value)
    if isinstance(server, str) and "://" in server:
        secrets.add_url(server)
    return secrets


async def _all_tools(client: mcp.Client) -> list[mcp.Tool]:
    page = await client.list_tools()
    listed = list(page.tools)
    for _ in range(_PAGES):
        if page.next_cursor is None:
            break
        page = await client.list_tools(cursor=page.next_cursor)
        listed += page.tools
    return listed


async def _unless(stop: asyncio.Event, answer: Awaitable[T]) -> T:
    """Wait for an answer; when it is to stop, the call is cancelled. Raises: ToolFailure then."""
    calling, stopping = asyncio.ensure_future(answer), asyncio.create_task(stop.wait())
    try:
        await asyncio.wait([calling, stopping], return_when=asyncio.FIRST_COMPLETED)
        if not calling.done():
            raise ToolFailure("Tool execution was aborted")
        return calling.result()
    finally:
        await _end(calling, stopping)


async def _end(*tasks: asyncio.Future[T] | asyncio.Task[bool] | asyncio.Task[None]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


def _first(error: BaseException | None) -> BaseException | None:
    """Find the error in a group of them: a connection's tasks fail together."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error


def _words(error: BaseException | None) -> str:
    if isinstance(error, OSError) and error.strerror:
        return f"{error.filename or ''}: {error.strerror.lower()}".lstrip(": ")
    return str(error) or type(error).__name__
