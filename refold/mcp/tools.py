"""Tools of MCP servers: a program that speaks over stdin and stdout, or a server that speaks HTTP (extra `mcp`).

Source: docs/decisions/0100-an-mcp-connection-has-a-task.md
"""

from __future__ import annotations

import asyncio
import logging
import re
import shlex
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, NoReturn, TypeVar, Unpack

from eventsource.background import outlast, running, stop
from eventsource.errors import RefoldError, ToolDefinitionError, ToolFailure
from eventsource.machine.approvals import ApprovalRule
from eventsource.models.secrets import Secrets, public_url
from eventsource.tools.context import ToolContext
from eventsource.tools.json_schema import dangling_reference
from eventsource.tools.options import ApprovalOptions
from eventsource.tools.results import ToolOutcome, tool_result
from eventsource.tools.tool import Tool, json_tool
from eventsource.user_code.argument_checks import checked

from .results import effect_of, list_digest, names_of, outcome_of, printable

if TYPE_CHECKING:
    import mcp
    from mcp.client import Transport

T = TypeVar("T")
_LEAVE_S = 10.0  # the server gets two seconds to end by itself, then two more; this is beyond both
_PAGES = 100
_TRIES = 3  # connections made again without an answer between them
_log = logging.getLogger(__name__)
_SECRET_VARIABLE = re.compile(r"key|token|secret|password|credential", re.IGNORECASE)


@dataclass(eq=False, repr=False)
class McpServerError(RefoldError):
    """An MCP server cannot be used."""

    server: str
    problem: str
    _TEXT: ClassVar[str] = "MCP server {server}: {problem}"


@checked()
@asynccontextmanager
async def mcp_tools(
    server: str | Sequence[str],
    *,
    env: Mapping[str, str] | None = None,
    cwd: str | Path | None = None,
    headers: Mapping[str, str] | None = None,
    prefix: str = "",
    connect_s: float = 30.0,
    call_s: float = 300.0,
    approval: ApprovalRule | Mapping[str, ApprovalRule] = "never",
    on_finding: Callable[[str], None] = _log.warning,
    **approvals: Unpack[ApprovalOptions],
) -> AsyncIterator[tuple[Tool, ...]]:
    """Connect to an MCP server and give its tools, to be used while this is open.

    What a server reports while it works are partial results; its errors, and a connection that is lost, are error
    results; an abort cancels the call there too. A lost connection is made again at the next call, a few times in a
    row at most. Tools that the server calls read-only or idempotent run again after a crash, others are `once`. Each
    tool's version is the digest of the whole list as it was at the beginning.

    Args:
        server: a command (text as in a shell, or its words), or a URL for streamable HTTP.
        env: variables for the command, beside the few that every program needs; nothing else is inherited.
        cwd: where the command runs.
        headers: for HTTP. Their values, and those of `env` that are named as secrets, are kept out of results.
        prefix: put before each tool's name, where names of several servers would be the same.
        connect_s: how long it may take until the tools are known.
        call_s: each tool's `timeout`: how long a call may take, a connection that is made again included.
        approval: as of `@tool`, for every tool; or for some of them, by the names that the model calls them by.
        on_finding: told of each tool that cannot be used and is left out; by default it is logged.
        approvals: `approval_timeout` and `approval_default`, as of `@tool` (see `ApprovalOptions`).

    Raises: McpServerError, also when `approval` names a tool that is not there; ToolDefinitionError.
    """
    secrets = _secrets(server, env, headers)
    connection = _ServerConnection(server, secrets, env, cwd, headers, connect_s)
    try:
        listed, odd = await connection.listed()
        digest = list_digest(listed)
        tools: list[Tool] = []
        for name, one in names_of(listed, prefix, odd):
            try:
                made = connection.tool(name, one, digest, call_s)
            except ToolDefinitionError as error:
                odd.append(f"{one.name!r}: {error.problem}")
                continue
            rule = approval.get(name, "never") if isinstance(approval, Mapping) else approval
            default = approvals.get("approval_default", "deny")
            tools.append(made.asking(rule, timeout=approvals.get("approval_timeout"), default=default))
        if isinstance(approval, Mapping) and (unknown := {*approval} - {tool.spec.name for tool in tools}):
            known = ", ".join(tool.spec.name for tool in tools) or "none"
            raise McpServerError(connection.name, f"approval names {min(unknown)!r}; its tools are {known}")
        for problem in odd:
            on_finding(printable(secrets.redact(f"MCP server {connection.name}: left out the tool {problem}")))
        yield tuple(tools)
    finally:
        await connection.close()


class _OpenConnection:
    """One connection while it lasts, held by a task of its own: what breaks in it cancels nobody else."""

    def __init__(self) -> None:
        self.leave, self.ready, self.closed = asyncio.Event(), asyncio.Event(), asyncio.Event()
        self.found: tuple[mcp.Client, list[mcp.Tool]] | None = None
        self.odd: list[str] = []
        self.said, self.faults = bytearray(), list[str]()
        self.task: asyncio.Task[None] | None = None

    @property
    def lost(self) -> bool:
        """True when nothing more comes."""
        return self.closed.is_set() or self.leave.is_set() or self.task is None or self.task.done()

    async def end(self) -> None:
        """Close the connection, and wait until the program has ended."""
        if self.task is None:
            return
        self.leave.set()
        if self.found is None:
            self.task.cancel()
        try:
            await outlast(self.task, timeout_s=_LEAVE_S)
        finally:
            await stop(self.task)
            if not self.task.cancelled() and (error := self.task.exception()) is not None:
                _log.debug("an MCP connection ended by an error", exc_info=error)  # else it is the server's own affair


class _ServerConnection:
    """The connection to one server; a new one where it was lost."""

    def __init__(
        self,
        server: str | Sequence[str],
        secrets: Secrets,
        env: Mapping[str, str] | None,
        cwd: str | Path | None,
        headers: Mapping[str, str] | None,
        connect_s: float,
    ) -> None:
        self._secrets, self._env, self._cwd, self._headers = secrets, env, cwd, headers
        self._connect_s = connect_s
        self.url = server if isinstance(server, str) and re.match(r"https?://", server) else ""
        self.words = [] if self.url else _words_of(server)
        self.name = public_url(self.url) if self.url else Path(self.words[0]).name if self.words else "(no command)"
        self._held = _OpenConnection()
        self._lock = asyncio.Lock()
        self._again, self._rests_until_s = 0, 0.0

    async def listed(self) -> tuple[list[mcp.Tool], list[str]]:
        """Connect. Returns: the tools, and what is wrong with those that are none. Raises: McpServerError."""
        await self._connect()
        assert self._held.found is not None  # else it was raised
        return self._held.found[1], self._held.odd

    async def close(self) -> None:
        """Close the connection."""
        await self._held.end()

    async def _client(self) -> mcp.Client:
        """Return the client, connected again if the connection was lost. Raises: McpServerError."""
        async with self._lock:
            if self._held.lost:
                await self._connect_again()
        if self._held.found is None:
            raise McpServerError(self.name, "the connection was lost")
        return self._held.found[0]

    async def _connect_again(self) -> None:
        """Make the connection new, unless that was of no use a few times in a row just now. Raises: McpServerError."""
        now_s = asyncio.get_running_loop().time()
        if self._again >= _TRIES and now_s < self._rests_until_s:
            problem = f"was lost, and {_TRIES} new connections in a row were of no use"
            raise McpServerError(self.name, f"{problem}; the next is made in {self._rests_until_s - now_s:.0f} s")
        await self._held.end()
        self._again += 1
        self._rests_until_s = now_s + self._connect_s
        try:
            await self._connect()
        except asyncio.CancelledError:
            self._again -= 1  # whoever asked has left: that says nothing about the server
            raise

    async def _connect(self) -> None:
        held = self._held = _OpenConnection()
        held.task = asyncio.create_task(self._hold(held))
        try:
            async with running(held.ready.wait()) as ready:
                await asyncio.wait([held.task, *ready], timeout=self._connect_s, return_when=asyncio.FIRST_COMPLETED)
            if held.found is None:
                self._explain(held, held.task)
        except BaseException:
            await held.end()
            raise

    def _explain(self, held: _OpenConnection, task: asyncio.Task[None]) -> NoReturn:
        """Raise McpServerError with the reason why there is no connection."""
        lines = self._secrets.redact(held.said.decode("utf-8", "replace")).split("\n")
        said = next((printable(line.strip()) for line in reversed(lines) if line.strip()), "")
        last = f"; the last thing it said: {said}" if said else ""
        if not task.done():
            raise McpServerError(self.name, f"did not answer within {self._connect_s:g} s{last}")
        error = _first(task.exception())
        if isinstance(error, RefoldError):
            raise error
        if held.faults:
            raise McpServerError(self.name, held.faults[0]) from error
        raise McpServerError(self.name, self._secrets.redact(_words(error)) + last) from error

    async def _hold(self, held: _OpenConnection) -> None:
        """Connect, list the tools, and stay until it is left, or lost."""
        try:
            from mcp import Client
        except ModuleNotFoundError as error:
            raise McpServerError(self.name, "the package mcp is not there; install refold[mcp]") from error
        from .filter import filtered

        quiet()
        async with AsyncExitStack() as stack:
            client = await stack.enter_async_context(Client(filtered(self._transport(held), held.odd, held.closed)))
            held.found = client, await _all_tools(client, held.odd)
            held.ready.set()
            async with running(held.leave.wait(), held.closed.wait()) as ends:
                await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)

    def tool(self, name: str, listed: mcp.Tool, digest: str, call_s: float) -> Tool:
        """Make a tool of one that the server has. Raises: ToolDefinitionError."""

        async def call(arguments: dict[str, object], context: ToolContext) -> ToolOutcome:
            return await _unless(context.signal, self._call(listed.name, arguments, context))

        if reference := dangling_reference(listed.input_schema):
            raise ToolDefinitionError(name, f"its schema refers to {reference!r}, which is not in it")
        return json_tool(
            name,
            listed.input_schema,
            call,
            description=listed.description or listed.title or "",
            effect=effect_of(listed),
            version=digest,
            timeout=call_s,
        )

    async def _call(self, name: str, arguments: dict[str, object], context: ToolContext) -> ToolOutcome:
        """Call a tool there. Raises: ToolFailure."""
        from mcp.types import CallToolRequest, CallToolRequestParams, CallToolResult

        async def report(progress: float, total: float | None, message: str | None) -> None:
            context.update(self._progress(progress, total, message))

        held = self._held
        request = CallToolRequest(params=CallToolRequestParams(name=name, arguments=arguments))
        try:
            client = await self._client()
            held = self._held
            # Not `call_tool`: it drops a result that the tool's output schema does not fit, after the tool has run.
            try:
                result = await client.session.send_request(request, CallToolResult, progress_callback=report)
            except Exception as error:
                if not _is_unknown(error):
                    raise
                held.leave.set()  # the server has begun anew, and has not made the call
                client = await self._client()
                held = self._held
                result = await client.session.send_request(request, CallToolResult, progress_callback=report)
            self._again = 0
            return outcome_of(result, self._secrets.redact)
        except ToolFailure:
            raise
        except Exception as error:
            first = _first(error)
            if _is_lost(first):
                held.leave.set()
            said = held.faults[0] if held.faults and held.lost else _words(first)
            words = str(first) if isinstance(first, McpServerError) else f"{self.name}: {said}"
            raise ToolFailure(printable(self._secrets.redact(words))) from error

    def _progress(self, done: float, total: float | None, message: str | None) -> object:
        said = self._secrets.redact(message or "") or f"{done:g}{'' if total is None else f' of {total:g}'}"
        return tool_result(said, details={"progress": done, **({} if total is None else {"total": total})})

    def _transport(self, held: _OpenConnection) -> Transport:
        """Make what brings messages there and back. Raises: McpServerError."""
        if self.url:
            from .http import endpoint

            return endpoint(self.url, self._headers)
        from .stdio import program

        if not self.words:
            raise McpServerError(self.name, "expected a command or a URL, found nothing")
        return program(self.words, self._env, self._cwd, held.said, held.faults)


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


async def _all_tools(client: mcp.Client, odd: list[str]) -> list[mcp.Tool]:
    """List the tools, page by page. A list that does not end is cut; `odd` is told."""
    page = await client.list_tools()
    listed = list(page.tools)
    for _ in range(_PAGES):
        if page.next_cursor is None:
            return listed
        page = await client.list_tools(cursor=page.next_cursor)
        listed += page.tools
    odd.append(f"list behind its first {_PAGES} pages: it does not end")
    return listed


async def _unless(aborted: asyncio.Event, answer: Coroutine[Any, Any, T]) -> T:
    """Wait for an answer; when it is to stop, the call is cancelled. Raises: ToolFailure then."""
    async with running(answer) as (calling,), running(aborted.wait()) as stopping:
        await asyncio.wait([calling, *stopping], return_when=asyncio.FIRST_COMPLETED)
        if not calling.done():
            raise ToolFailure("Tool execution was aborted")
        return calling.result()


def _first(error: BaseException | None) -> BaseException | None:
    """Find the error in a group of them: a connection's tasks fail together."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error


def _words(error: BaseException | None) -> str:
    if isinstance(error, OSError) and error.strerror:
        return f"{error.filename or ''}: {error.strerror.lower()}".lstrip(": ")
    return str(error) or type(error).__name__


def _is_lost(error: BaseException | None) -> bool:
    """Return whether a connection is unusable after an error."""
    from mcp import MCPError
    from mcp.types import CONNECTION_CLOSED

    if isinstance(error, MCPError):
        return error.error.code == CONNECTION_CLOSED or _is_unknown(error)
    return isinstance(error, OSError) or type(error).__module__.partition(".")[0] in ("anyio", "httpx2", "httpcore2")


def _is_unknown(error: Exception) -> bool:
    """Return whether a server that speaks HTTP does not know the session, and so has made no call in it."""
    from mcp import MCPError

    return isinstance(error, MCPError) and error.error.message == "Session terminated"


def quiet() -> None:
    """Keep what the package mcp logs off stderr where nobody has asked for logs: it repeats what a server writes."""
    logger = logging.getLogger("mcp")
    if not logger.handlers:
        logger.addHandler(logging.NullHandler())
