"""The one transport: sends what a codec wrote, reads what the provider streams, and turns failures into data."""

from __future__ import annotations

import asyncio
import inspect
import os
import re
import time
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from random import randint
from typing import Protocol, TypeAlias
from weakref import WeakKeyDictionary

import httpx
import msgspec

from ...errors import ErrorFields
from ...events import MessageUpdate, ModelRef
from ...machine.backoff import JITTER_PPM
from ...messages import Json, Usage
from ...request import Request
from ..adapt.history import without_images
from ..options import ModelOptions, read_options
from ..protocol import CallOptions, StreamEnd, StreamEvent, StreamRetry, StreamUsage, WireBody
from ..secrets import Secrets, public_url, redact_json
from ..wire import Codec, Reader
from .body import BodyParser
from .failures import Failure, body_failure
from .retry import not_before_us, retry_after_us
from .sse import ServerEvent
from .timeouts import AbortedError, StalledError, Timeouts

CUT = "the stream ended before the answer was complete"
ABORTED = "the request was aborted"
_ERROR_BYTES = 65_536  # of an error's body
_QUOTED_BYTES = 300  # of a body that is no stream
_DRAIN_MS = 100  # to read the end of a complete answer's body, so that the connection can be used again

Key: TypeAlias = str | Callable[[], str | Awaitable[str]]
_Kept: TypeAlias = tuple[httpx.AsyncClient, AsyncGenerator[None, None]]


_IS_KEY = re.compile(r"^authorization$|api-?key$", re.IGNORECASE)
_FIELDS = msgspec.json.Decoder(dict[str, msgspec.Raw])


class Access(msgspec.Struct, frozen=True, kw_only=True):
    """How a provider is reached; nothing of it is ever written to a log.

    api_key: the key, or a callback asked before each call; else the first set variable of `env`.
    keyless: True for servers that want no key. headers: sent besides the protocol's own.
    first_byte_ms, idle_ms: how long until the answer begins, and between two pieces of it.
    max_attempts: a call that failed before any output is offered for a retry until this many were made.
    """

    base_url: str
    api_key: Key | None = None
    env: tuple[str, ...] = ()
    keyless: bool = False
    headers: Mapping[str, str] = {}
    proxy: str | None = None
    connect_ms: int = 30_000
    first_byte_ms: int = 600_000
    idle_ms: int = 180_000
    max_attempts: int = 4

    def __repr__(self) -> str:
        return f"Access(base_url={public_url(self.base_url)!r})"


class Price(Protocol):
    """Adds the cost of a call to its usage (see `prices.priced`)."""

    def __call__(self, usage: Usage, model: ModelRef, *, at_us: int, answered_by: str = "") -> Usage:
        """Return the usage with its cost, or as it was."""
        ...


def with_cost(event: StreamEvent, model: ModelRef, price: Price, *, at_us: int) -> StreamEvent:
    """Add to the usage that an event tells what it cost, unless the provider said so."""

    def cost(usage: Usage, answered_by: str = "") -> Usage:
        known = usage.cost_microusd is not None
        return usage if known else price(usage, model, at_us=at_us, answered_by=answered_by)

    if isinstance(event, StreamUsage):
        return StreamUsage(usage=cost(event.usage))
    if isinstance(event, StreamEnd) and event.message.usage is not None:
        said = event.message
        return StreamEnd(message=msgspec.structs.replace(said, usage=cost(event.message.usage, said.model)))
    return event


@dataclass(eq=False, repr=False)
class CallFailedError(ErrorFields, Exception):
    """The call failed in the transport, or with an HTTP status.

    retry: whether to call again; None: as the failure says.
    """

    failure: Failure
    retry: bool | None = None

    @property
    def retryable(self) -> bool:
        """True when the same request may succeed later."""
        return self.failure.retryable if self.retry is None else self.retry


class HttpModel:
    """A model behind HTTP.

    `options` hold for every request and are overridden, option by option, by the request's own. `client` is the
    caller's own httpx client (certificates, tunnels, tests), which is never closed here; else one per event loop is
    made, kept for further calls and closed with the loop. `secrets` collects the keys and headers that were used:
    whoever writes what tools say passes it through `secrets.redact`. `price` adds the cost to an answer's usage.
    """

    def __init__(
        self,
        codec: Codec,
        ref: ModelRef,
        access: Access,
        *,
        options: ModelOptions | None = None,
        client: httpx.AsyncClient | None = None,
        secrets: Secrets | None = None,
        price: Price | None = None,
        now_us: Callable[[], int] = lambda: time.time_ns() // 1_000,
        jitter_ppm: Callable[[], int] = lambda: randint(0, JITTER_PPM),
    ) -> None:
        if client is not None and access.proxy is not None:
            raise ValueError("give the proxy to the client that you give: proxy= is for the client that is made here")
        self._codec, self._ref, self._access = codec, ref, access
        self._options = options or ModelOptions()
        self._own = client
        self._clients: WeakKeyDictionary[asyncio.AbstractEventLoop, _Kept] = WeakKeyDictionary()
        self._price, self._now_us, self._jitter_ppm = price, now_us, jitter_ppm
        self._last: tuple[Request, Request, bytes] | None = None
        self.secrets = secrets or Secrets()
        self.secrets.add_url(access.base_url)
        self.secrets.add_url(access.proxy or "")
        for name, value in access.headers.items():
            self.secrets.add_header(name, value)

    @property
    def ref(self) -> ModelRef:
        """Which model this is; a base URL in it holds neither keys nor parameters."""
        return self._ref

    @property
    def options(self) -> Json:
        """The options that hold for every request of this model, as a request carries them."""
        return msgspec.Raw(msgspec.json.encode(self._options))

    def encode(self, request: Request) -> WireBody:
        """Write the wire body, for its digest. Raises: ModelOptionsError."""
        codec = self._codec
        return WireBody(f"{codec.name}/{codec.version}", self._written(request)[1])

    async def stream(self, request: Request, options: CallOptions) -> AsyncIterator[StreamEvent]:
        """Ask the model (see `Model.stream`)."""
        request, body = self._written(request)
        reader = self._codec.reader(request)
        begun: list[StreamEvent] = []  # the start waits for the first update: until then the call can be made again
        handed_on = aborted = False
        failed: CallFailedError | None = None
        try:
            async with (
                Timeouts(options.signal) as waits,
                aclosing(self._events(request, body, options, waits)) as events,
            ):
                async for event in events:
                    for said in [] if reader.done else _read(reader, event):
                        if isinstance(said, StreamUsage):  # what was used counts, also when nothing is said
                            yield self._clean(said)
                            continue
                        begun.append(said)
                        if handed_on or isinstance(said, MessageUpdate):
                            handed_on = True
                            for ready in begun:
                                yield ready
                            begun.clear()
                    if reader.failure is not None:
                        break
                    if reader.done:
                        waits.finish_within(_DRAIN_MS)
        except AbortedError:
            aborted = True
        except CallFailedError as error:
            failed = error
        if reader.failure is not None:
            failed = CallFailedError(reader.failure)
        problem = ABORTED if aborted else failed.failure.text if failed else CUT
        ending = reader.finish(problem, aborted=aborted)
        retry = None if handed_on or aborted else self._retry(ending, failed, options.attempt)
        for said in (*begun, *ending) if retry is None else (retry,):
            yield self._clean(said)

    async def aclose(self) -> None:
        """Close this event loop's connections; the loop's end does so too."""
        kept = self._clients.pop(asyncio.get_running_loop(), None)
        if kept is not None:
            await kept[1].aclose()

    def _written(self, request: Request) -> tuple[Request, bytes]:
        """Put the model's own options under the request's, and encode it, once for the digest and the call."""
        if self._last is None or self._last[0] is not request:
            read_options(request.options)
            own: dict[str, msgspec.Raw] = _FIELDS.decode(msgspec.json.encode(self._options))
            if not isinstance(request.options, msgspec.UnsetType):
                own.update(_FIELDS.decode(request.options))
            whole = msgspec.structs.replace(request, options=msgspec.Raw(msgspec.json.encode(own)))
            if not read_options(whole.options).images:
                whole = msgspec.structs.replace(whole, messages=without_images(whole.messages))
            self._last = (request, whole, self._codec.encode(whole))
        return self._last[1:]

    async def _events(
        self, request: Request, body: bytes, options: CallOptions, waits: Timeouts
    ) -> AsyncGenerator[ServerEvent, None]:
        """Make the call and yield what the body holds. Raises: CallFailedError, AbortedError."""
        access = self._access
        key = await waits.wait(lambda: self._key(options.api_key), limit_ms=access.first_byte_ms)
        try:
            client = await self._client()
            call = self._call(client, request, body, key)
            response = await waits.wait(lambda: client.send(call, stream=True), limit_ms=access.first_byte_ms)
            try:
                if not response.is_success:
                    raise await self._refusal(response, waits)
                async with aclosing(self._body(response, waits)) as events:
                    async for event in events:
                        yield event
            finally:
                await response.aclose()
        except (httpx.HTTPError, httpx.StreamError, httpx.InvalidURL, OSError) as error:
            raise CallFailedError(_connection_failure(error, self._where())) from error
        except StalledError as error:
            raise CallFailedError(Failure(message=f"{error} ({self._where()})", kind="timeout")) from error

    def _where(self) -> str:
        """Name the host that is called, and the proxy's; nothing else of their URLs, which may hold a secret."""
        proxy = f" by the proxy {_host(self._access.proxy)}" if self._access.proxy is not None else ""
        return f"calling {_host(self._access.base_url)}{proxy}"

    async def _body(self, response: httpx.Response, waits: Timeouts) -> AsyncGenerator[ServerEvent, None]:
        parser, pieces = BodyParser(), response.aiter_bytes()
        seen, beginning, limit_ms = False, b"", self._access.first_byte_ms
        while (piece := await waits.wait(lambda: anext(pieces, None), limit_ms=limit_ms)) is not None:
            limit_ms = self._access.idle_ms
            beginning = beginning if seen or len(beginning) > _QUOTED_BYTES else beginning + piece
            for event in parser.feed(piece):
                seen = True
                yield event
        for event in parser.close():
            seen = True
            yield event
        if not seen and beginning.strip():
            said = beginning[:_QUOTED_BYTES].decode("utf-8", "replace")
            kind = response.headers.get("content-type", "no content type")
            raise CallFailedError(Failure(message=f"the answer is no stream ({kind}), check the base URL: {said}"))

    async def _refusal(self, response: httpx.Response, waits: Timeouts) -> CallFailedError:
        """Read an HTTP error: its words from the body, the wait from headers or body."""
        body, pieces = b"", response.aiter_bytes()
        try:
            while len(body) < _ERROR_BYTES:
                piece = await waits.wait(lambda: anext(pieces, None), limit_ms=self._access.idle_ms)
                if piece is None:
                    break
                body += piece
        except (httpx.HTTPError, StalledError):
            pass  # the status and what came say enough
        failure = body_failure(response.status_code, body)
        if response.is_redirect:
            failure = Failure(message="the server redirects; check the base URL", status=response.status_code)
        asked = retry_after_us(response.headers, self._now_us())
        if asked is not None:
            failure = msgspec.structs.replace(failure, wait_us=asked)
        retry = {"true": True, "false": False}.get(response.headers.get("x-should-retry", ""))
        return CallFailedError(failure, retry=retry)

    def _retry(self, ending: Sequence[StreamEvent], failed: CallFailedError | None, attempt: int) -> StreamRetry | None:
        """Offer the call for a retry, if nothing was said, it may succeed later and attempts are left."""
        last = ending[-1]
        if not isinstance(last, StreamEnd) or last.message.stop_reason != "error" or last.message.content:
            return None
        cut = failed is None and last.message.error == CUT
        if attempt >= self._access.max_attempts or not (cut or (failed is not None and failed.retryable)):
            return None
        asked_us = failed.failure.wait_us if failed is not None else None
        at_us = not_before_us(asked_us, attempt=attempt, now_us=self._now_us(), jitter_ppm=self._jitter_ppm())
        return StreamRetry(cause=last.message.error, not_before_us=at_us)

    def _clean(self, event: StreamEvent) -> StreamEvent:
        """Keep secrets that a provider echoes out of causes and error messages; add what the answer cost."""
        redact = self.secrets.redact
        if isinstance(event, StreamRetry):
            return msgspec.structs.replace(event, cause=redact(event.cause))
        if self._price is not None and isinstance(event, StreamUsage | StreamEnd):
            event = with_cost(event, self._ref, self._price, at_us=self._now_us())
        if not isinstance(event, StreamEnd):
            return event
        said = event.message
        if said.error:
            raw = said.raw
            if not isinstance(raw, msgspec.UnsetType):
                raw = msgspec.Raw(redact_json(bytes(raw).decode(), redact).encode())
            said = msgspec.structs.replace(said, error=redact(said.error), raw=raw)
        return StreamEnd(message=said)

    async def _key(self, given: str | None) -> str:
        """Find the key: the call's, the callback's, the given one, the first variable set. Raises: CallFailedError."""
        access = self._access
        if not given and callable(access.api_key):
            try:
                answer = access.api_key()
                given = await answer if inspect.isawaitable(answer) else answer
            except Exception as error:
                raise CallFailedError(Failure(message=f"the api_key callback failed: {error!r}")) from error
        elif not given and isinstance(access.api_key, str):
            given = access.api_key
        found = (given or next((os.environ[name] for name in access.env if os.environ.get(name)), "")).strip()
        self.secrets.add(found)
        if not found and not access.keyless and not any(_IS_KEY.search(name) for name in access.headers):
            names = " or ".join(access.env) or "a variable of the environment"
            raise CallFailedError(Failure(message=f"no key for {self._ref.provider}: set {names}, or give api_key="))
        if not (found.isascii() and found.isprintable()):
            raise CallFailedError(Failure(message=f"the key for {self._ref.provider} holds characters no key can have"))
        return found

    def _call(self, client: httpx.AsyncClient, request: Request, body: bytes, key: str) -> httpx.Request:
        headers = httpx.Headers({"accept": "text/event-stream, application/json", "content-type": "application/json"})
        headers.update(dict(self._codec.headers(request, key)))
        headers.update(dict(self._access.headers))
        base, below = httpx.URL(self._access.base_url), httpx.URL(self._codec.path(request.model))
        raw_path = base.raw_path.partition(b"?")[0].rstrip(b"/") + below.raw_path.partition(b"?")[0]
        url = base.copy_with(raw_path=raw_path, fragment=None).copy_merge_params({**base.params, **below.params})
        timeout = httpx.Timeout(None, connect=self._access.connect_ms / 1000)
        return client.build_request("POST", url, content=body, headers=headers, timeout=timeout)

    async def _client(self) -> httpx.AsyncClient:
        """Return this event loop's client; an asynchronous generator holds it, because a loop's end closes those."""
        if self._own is not None:
            return self._own
        loop = asyncio.get_running_loop()
        if loop not in self._clients:
            client = httpx.AsyncClient(proxy=self._access.proxy)
            keeper = _keep(client)
            await anext(keeper)
            self._clients[loop] = (client, keeper)
        return self._clients[loop][0]


async def _keep(client: httpx.AsyncClient) -> AsyncGenerator[None, None]:
    try:
        yield
    finally:
        await client.aclose()


def _read(reader: Reader, event: ServerEvent) -> list[StreamEvent]:
    try:
        return reader.feed(event)
    except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
        words = f"the stream holds an event of an unknown shape ({error!r}): {event.data[:500]}"
        raise CallFailedError(Failure(message=words, kind="invalid_stream")) from error


def _host(url: str) -> str:
    try:
        parsed = httpx.URL(url)
    except httpx.InvalidURL:
        return "a URL that cannot be read"
    return f"{parsed.host}:{parsed.port}" if parsed.port is not None else parsed.host or "no host"


def _connection_failure(error: Exception, where: str) -> Failure:
    """Describe what happened to the connection; what cannot succeed later is not called a connection error."""
    words = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
    words = f"{words} ({where})"
    final = isinstance(
        error, httpx.InvalidURL | httpx.UnsupportedProtocol | httpx.LocalProtocolError | httpx.DecodingError
    )
    return Failure(message=words, kind="invalid_request" if final else "connection_error")
