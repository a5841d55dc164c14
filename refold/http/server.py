"""A small HTTP server on this machine: uvicorn, and one exchange at a time as something that can be answered."""

from __future__ import annotations

import asyncio
import errno
import json
import os
import signal
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AbstractContextManager, asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, NamedTuple

from eventsource.background import finish, running, stop
from eventsource.errors import RefoldError

from ..signals import on_signal
from .guard import (
    HEAD_S,
    KEEP_ALIVE_S,
    SLOW_BYTES,
    Headers,
    Limits,
    Names,
    RefusedError,
    check_request,
    too_large,
    too_slow,
)

if TYPE_CHECKING:
    from collections.abc import Generator

    import uvicorn
    from uvicorn._types import (
        ASGIReceiveCallable,
        ASGIReceiveEvent,
        ASGISendCallable,
        HTTPScope,
        Scope,
    )

LOOPBACK = "127.0.0.1"
GRACE_S = 5.0
"""Seconds that exchanges under way are given when the server stops."""
BACKLOG = 512
_DRAIN_S = 1.0  # for a client to read why it is refused, before its connection is reset


class CutError(Exception):
    """Raised to close the connection in the middle of an answer."""


@dataclass(eq=False, repr=False)
class ServerUnavailableError(RefoldError):
    """A server cannot be started here."""

    problem: str


Refusal = Callable[[RefusedError], tuple[str, bytes]]
"""Writes why a request is refused: a media type, and the body."""


def plain_refusal(refused: RefusedError) -> tuple[str, bytes]:
    """Write a refusal in the form that clients of providers read."""
    return "application/json", json.dumps({"error": {"message": refused.problem, "type": "refused"}}).encode()


class Exchange:
    """One request and its answer. `target` is the path with its query, as it was sent."""

    def __init__(
        self,
        scope: HTTPScope,
        receive: ASGIReceiveCallable,
        send: ASGISendCallable,
        *,
        limits: Limits = Limits(),  # noqa: B008 - frozen
        refusal: Refusal = plain_refusal,
    ) -> None:
        self.scope, self._limits, self._refusal = scope, limits, refusal
        self.method, self.version = scope["method"], scope["http_version"]
        self.headers: Headers = list(scope["headers"])
        query = scope["query_string"].decode("latin-1")
        self.path = scope["path"]
        self.target = scope["raw_path"].decode("latin-1") + (f"?{query}" if query else "")
        self._receive, self._send = receive, send
        self._watch: asyncio.Task[None] | None = None
        self.gone = asyncio.Event()
        """Set when the client has left."""

    def header(self, name: str) -> str:
        """Read a header; empty when it is not there."""
        wanted = name.encode()
        return next((value.decode("latin-1") for key, value in self.headers if key == wanted), "")

    async def body(self) -> bytes:
        """Read the request's body.

        Raises: CutError when the client left meanwhile; RefusedError when the body is too large, or comes too slowly.
        """
        pieces: list[bytes] = []
        loop = asyncio.get_running_loop()
        began_s, size = loop.time(), 0
        while True:
            left_s = began_s + HEAD_S + size / SLOW_BYTES - loop.time()
            try:
                async with asyncio.timeout(left_s):
                    message = await self._receive()
            except TimeoutError as error:
                raise too_slow() from error
            if message["type"] != "http.request":
                raise CutError
            pieces.append(message.get("body", b""))
            size += len(pieces[-1])
            if size > self._limits.body_bytes:
                raise too_large(self._limits.body_bytes)
            if not message.get("more_body", False):
                break
        self._watch = asyncio.create_task(self._watching())
        return b"".join(pieces)

    async def refuse(self, refused: RefusedError) -> None:
        """Answer that a request is refused, and close the connection: what else it holds is not read."""
        media_type, body = self._refusal(refused)
        headers = [
            (b"content-type", media_type.encode()),
            (b"content-length", str(len(body)).encode()),
            (b"connection", b"close"),
        ]
        await self.begin(refused.status, headers)
        await self._send({"type": "http.response.body", "body": body, "more_body": True})
        with suppress(TimeoutError):
            async with asyncio.timeout(_DRAIN_S):
                while (message := await self._receive())["type"] == "http.request" and message.get("more_body", False):
                    pass
        await self.end()

    async def _watching(self) -> None:
        while (await self._receive())["type"] != "http.disconnect":
            pass
        self.gone.set()

    async def wait(self, seconds: float) -> None:
        """Let time pass. Raises: CutError as soon as the client has left."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self.gone.wait()
            raise CutError

    async def begin(self, status: int, headers: Headers) -> None:
        """Send status and headers."""
        await self._send({"type": "http.response.start", "status": status, "headers": list(headers)})

    async def send(self, piece: bytes) -> None:
        """Send a piece of the body at once. Raises: CutError when the client has left."""
        if self.gone.is_set():
            raise CutError
        await self._send({"type": "http.response.body", "body": piece, "more_body": True})

    async def end(self) -> None:
        """Complete the body."""
        await self._send({"type": "http.response.body", "body": b"", "more_body": False})

    async def answer(self, status: int, headers: Headers, body: bytes) -> None:
        """Send a whole answer."""
        await self.begin(status, [*headers, (b"content-length", str(len(body)).encode())])
        await self._send({"type": "http.response.body", "body": body, "more_body": False})

    async def pass_to(self, app: Callable[..., Awaitable[None]], body: bytes) -> None:
        """Let an ASGI application answer, given the body that was read, and the path as it was sent, escaped.

        Raises: CutError when the client has left.
        """
        left = asyncio.Event()  # the body is given once, what comes next is the client's leaving

        async def receive() -> ASGIReceiveEvent:
            if not left.is_set():
                left.set()
                return {"type": "http.request", "body": body, "more_body": False}
            await self.gone.wait()
            return {"type": "http.disconnect"}

        await app({**self.scope, "path": self.target.partition("?")[0]}, receive, self._send)

    async def __aenter__(self) -> Exchange:
        """Begin."""
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop watching for the client's leaving."""
        if self._watch is not None:
            await stop(self._watch)


Answering = Callable[[Exchange], Awaitable[None]]


@asynccontextmanager
async def serving(
    answering: Answering,
    *,
    host: str = LOOPBACK,
    port: int = 0,
    socket_path: Path | None = None,
    grace_s: float = GRACE_S,
    allow_hosts: Sequence[str] = (),
    limits: Limits = Limits(),  # noqa: B008 - frozen
    refusal: Refusal = plain_refusal,
) -> AsyncIterator[Serving]:
    """Serve until the block ends; `port` 0 takes a free one. What `answering` does not complete is cut off.

    `socket_path`: a Unix socket in place of an address, for its owner alone; one that nobody serves is made anew.

    Requests that name another host than this one (in `Host`, or in a browser's `Origin`) are refused, unless it is one
    of `allow_hosts`; so are those that are too large, too slow, or ambiguous.

    Raises: ServerUnavailableError when the address is taken or cannot be used.
    """
    with listening(host, port, socket_path) as at:
        async with serving_at(
            at, answering, grace_s=grace_s, allow_hosts=allow_hosts, limits=limits, refusal=refusal
        ) as running:
            yield running


@asynccontextmanager
async def serving_at(
    at: Listening,
    answering: Answering,
    *,
    grace_s: float = GRACE_S,
    allow_hosts: Sequence[str] = (),
    limits: Limits = Limits(),  # noqa: B008 - frozen
    refusal: Refusal = plain_refusal,
) -> AsyncIterator[Serving]:
    """Serve at an address that is listened at already; see `serving`."""
    under_way: set[asyncio.Task[None]] = set()
    names = Names(bound=at.bound, allowed=tuple(allow_hosts))
    server = _server(answering, grace_s, under_way, names, limits, refusal)
    task = asyncio.create_task(server.serve([at.socket]))
    try:
        yield Serving(at.url, server)
    finally:
        server.should_exit = True
        try:
            await finish(task)
        finally:
            await stop(*under_way)


class Serving:
    """A server that runs. `url` is where, without a path."""

    def __init__(self, url: str, server: uvicorn.Server) -> None:
        self.url, self._server = url, server

    async def until_interrupted(self) -> None:
        """Wait for Ctrl-C or the end that a supervisor asks for; the second time nothing is waited for any more."""
        stopped = asyncio.Event()

        def stop() -> None:
            if stopped.is_set():
                self._server.force_exit = True
            stopped.set()

        on_signal(signal.SIGINT, signal.SIGTERM, call=stop)
        await stopped.wait()


class Listening(NamedTuple):
    """A socket, the URL that leads to it, and the names that it is bound to."""

    socket: socket.socket
    url: str
    bound: tuple[str, ...]


def listening(
    host: str, port: int, socket_path: Path | None = None, *, others: Sequence[int] = ()
) -> AbstractContextManager[Listening]:
    """Listen from now on: whoever connects waits until somebody serves there; see `serving`.

    `others`: ports that are tried, one after the other, where the first one is taken. Raises: ServerUnavailableError.
    """
    return _listening(host, (port, *others)) if socket_path is None else _listening_on(socket_path)


@contextmanager
def _listening(host: str, ports: Sequence[int]) -> Generator[Listening, None, None]:
    with _bound(host, ports) as found:
        found.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # else a head waits 40 ms for its body's turn
        address, number = found.getsockname()[:2]
        named = f"[{host}]" if ":" in host else host
        yield Listening(found, f"http://{named}:{number}", (host, address))


def _bound(host: str, ports: Sequence[int]) -> socket.socket:
    """Listen on the first port that is free. Raises: ServerUnavailableError, for the last one."""
    port, *others = ports
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        family, _, _, _, address = found[0]
        return socket.create_server(address[:2], family=family, backlog=BACKLOG)
    except (OSError, OverflowError) as error:
        if others and isinstance(error, OSError) and error.errno == errno.EADDRINUSE:
            return _bound(host, others)
        problem = getattr(error, "strerror", "") or str(error)
        raise ServerUnavailableError(
            f"cannot listen on {host}, port {port}: {problem.lower()}; try --port 0"
        ) from error


@contextmanager
def _listening_on(path: Path) -> Generator[Listening, None, None]:
    """Listen on a Unix socket that its owner alone can use; the file goes at the end."""
    found = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as trying:
            if path.is_socket() and trying.connect_ex(str(path)) != 0:
                path.unlink()  # whoever served it is gone
        before = os.umask(0o177)
        try:
            found.bind(str(path))
        finally:
            os.umask(before)
        found.listen(BACKLOG)
    except OSError as error:
        found.close()
        problem = (error.strerror or str(error)).lower()
        raise ServerUnavailableError(f"cannot listen on the socket {path}: {problem}") from error
    with found:
        try:
            yield Listening(found, f"unix://{path.absolute()}", ())
        finally:
            path.unlink(missing_ok=True)


def _server(
    answering: Answering,
    grace_s: float,
    under_way: set[asyncio.Task[None]],
    names: Names,
    limits: Limits,
    refusal: Refusal,
) -> uvicorn.Server:
    import uvicorn  # who only listens does not wait for it

    from .connection import Connection

    class Server(uvicorn.Server):
        @contextmanager
        def capture_signals(self) -> Generator[None, None, None]:
            """Leave signals alone: whoever serves says when it ends."""
            yield

    async def app(scope: Scope, receive: ASGIReceiveCallable, send: ASGISendCallable) -> None:
        if scope["type"] != "http":
            return
        async with Exchange(scope, receive, send, limits=limits, refusal=refusal) as exchange:
            async with running(_answered(exchange, answering, names, limits)) as (task,):
                under_way.add(task)
                task.add_done_callback(under_way.discard)
                await asyncio.wait([task])
            with suppress(CutError):
                task.result()

    config = uvicorn.Config(
        app,
        log_config=None,
        log_level="critical",
        access_log=False,
        lifespan="off",
        ws="none",
        http=Connection,
        interface="asgi3",
        proxy_headers=False,
        server_header=False,
        date_header=False,
        timeout_keep_alive=KEEP_ALIVE_S,
        timeout_graceful_shutdown=max(1, round(grace_s)),
        h11_max_incomplete_event_size=limits.head_bytes,
    )
    return Server(config)


async def _answered(exchange: Exchange, answering: Answering, names: Names, limits: Limits) -> None:
    """Answer a request, or refuse it."""
    try:
        check_request(exchange.method, exchange.target, exchange.version, exchange.headers, names, limits)
        await answering(exchange)
    except RefusedError as refused:
        await exchange.refuse(refused)
