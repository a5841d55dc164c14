"""A server that stands before a provider: bytes pass through as they are, and what they say goes on record."""

from __future__ import annotations

import asyncio
import hashlib
import sys
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager

import httpx
from msgspec.structs import replace

from eventsource.background import running
from eventsource.models.prices import load_prices
from eventsource.models.secrets import Secrets, public_url, redact_known

from ..guard import RefusedError, unpacked
from ..script_server.recorded import RecordedAnswer, Replaying, replay_answer
from ..server import Answering, CutError, Exchange
from ..wires.answers import refuse
from ..wires.client_name import read_client_name
from ..wires.protocol import Wire, read_body
from ..wires.routes import family, find_wire
from .answer_buffer import AnswerBuffer
from .recorder import Call, ProxyRecorder
from .upstreams import Upstreams, model_ref

CONNECT_S = 30.0
_HOP = frozenset(
    {
        b"connection",
        b"keep-alive",
        b"proxy-authenticate",
        b"proxy-authorization",
        b"proxy-connection",
        b"te",
        b"trailer",
        b"transfer-encoding",
        b"upgrade",
    }
)
"""Headers that belong to one connection, RFC 9110 section 7.6.1."""
_OWN = _HOP | {b"host", b"content-length", b"expect"}
_UNREACHABLE, _NOT_RECORDED, _UNREADABLE = 502, 409, 415


class Proxy:
    """Forwards every exchange, and records those that ask a model.

    `replaying`: answers come from a recording; with `live`, what it has no answer for is forwarded, else refused.
    """

    def __init__(
        self,
        recorder: ProxyRecorder,
        upstreams: Upstreams,
        client: httpx.AsyncClient,
        *,
        replaying: Replaying | None = None,
        live: bool = False,
    ) -> None:
        self._recorder, self._upstreams, self._client = recorder, upstreams, client
        self._replaying, self._live = replaying, live
        self._readable = {word.strip() for word in client.headers.get("accept-encoding", "").split(",")} | {"identity"}

    async def __call__(self, exchange: Exchange) -> None:
        """Answer one exchange."""
        body = await exchange.body()
        wire = find_wire(exchange.path) if exchange.method == "POST" else None
        plain = _plain(exchange, body) if wire is not None else body
        if self._replaying is not None and await self._replayed(exchange, wire, plain, self._replaying):
            return
        url = self._upstreams.url(family(exchange), exchange.target)
        buffer = self._begin_recording(exchange, wire, plain, url) if wire is not None else None
        forwarding = self._forward(exchange, wire, body, url, buffer)
        try:
            async with running(forwarding) as (work,), running(exchange.gone.wait()) as gone:
                await asyncio.wait([work, *gone], return_when=asyncio.FIRST_COMPLETED)
        finally:
            if buffer is not None:
                buffer.end(aborted=True)  # unless it has ended
        if not work.cancelled():
            work.result()

    async def _replayed(self, exchange: Exchange, wire: Wire | None, body: bytes | None, replaying: Replaying) -> bool:
        """Answer from the recording; False when the exchange is to be forwarded."""
        given = None
        if wire is not None and body is not None:  # what is on record has no keys in it
            secrets = _secrets(exchange, self._upstreams.url(family(exchange), exchange.target))
            given = read_body(redact_known(secrets.redact(body.decode("utf-8", "replace"))).encode())
        if wire is None or given is None:
            problem = f"{exchange.method} {exchange.path} is not in the recording {replaying.session}"
        else:
            asked = wire.read(exchange.target, given, "")
            found = replaying.answer(asked)
            if isinstance(found, RecordedAnswer):
                await replay_answer(exchange, wire, asked, found)
                return True
            problem = found
        if not self._live:
            await refuse(exchange, wire, _NOT_RECORDED, problem, final=True)
        return not self._live

    def _begin_recording(self, exchange: Exchange, wire: Wire, body: bytes | None, url: str) -> AnswerBuffer:
        whose = family(exchange)

        def read() -> Call:
            secrets = _secrets(exchange, url)
            if body is None:
                raise ValueError(f"the request's encoding {exchange.header('content-encoding')[:40]!r} cannot be read")
            given = read_body(secrets.redact(body.decode("utf-8", "replace")).encode())
            if given is None:
                raise ValueError("the request is no JSON object")
            asked = wire.read(exchange.target, given, "")
            ref = model_ref(wire, whose, url, asked.request.model.model)
            asked = replace(asked, request=replace(asked.request, model=ref))
            named = ((name.decode("latin-1"), value.decode("latin-1")) for name, value in exchange.headers)
            headers = {name: value for name, value in named if secrets.redact(value) == value}
            return Call(
                asked=asked,
                ref=ref,
                body_sha256=hashlib.sha256(body).hexdigest(),
                secrets=secrets,
                client=read_client_name(headers, given),
            )

        return self._recorder.begin(read, f"{exchange.method} {exchange.path}")

    async def _forward(
        self, exchange: Exchange, wire: Wire | None, body: bytes, url: str, buffer: AnswerBuffer | None
    ) -> None:
        begun = False
        try:
            request = httpx.Request(exchange.method, url, headers=self._sent(exchange), content=body or None)
            response = await self._client.send(request, stream=True)
            try:
                if buffer is not None:
                    buffer.begin(response.status_code, response.headers.get("content-encoding", ""))
                begun = True
                await exchange.begin(response.status_code, _without(response.headers.raw, _HOP))
                async for piece in response.aiter_raw():
                    if buffer is not None:
                        buffer.piece(piece)
                    await exchange.send(piece)
            finally:
                await response.aclose()
            if buffer is not None:
                buffer.end()
            await exchange.end()
        except (httpx.HTTPError, httpx.InvalidURL, httpx.StreamError) as error:
            problem = _secrets(exchange, url).redact(f"{type(error).__name__}: {error}".rstrip(": "))
            if buffer is not None:
                buffer.end(problem)
            if begun:
                raise CutError from error
            await refuse(exchange, wire, _UNREACHABLE, f"refold proxy cannot reach {public_url(url)}: {problem}")

    def _sent(self, exchange: Exchange) -> list[tuple[bytes, bytes]]:
        """Return the request's headers as they go on; of encodings only those that can be read for the log."""
        headers = _without(exchange.headers, _OWN)
        return [(name, self._encodings(value) if name == b"accept-encoding" else value) for name, value in headers]

    def _encodings(self, value: bytes) -> bytes:
        named = [word.strip() for word in value.decode("latin-1").split(",")]
        known = [word for word in named if word.partition(";")[0].strip() in self._readable]
        return value if known == named else ", ".join(known or ["identity"]).encode()


def _without(headers: Iterable[tuple[bytes, bytes]], names: frozenset[bytes]) -> list[tuple[bytes, bytes]]:
    """Leave out what belongs to one connection, also what its `connection` header names."""
    listed = list(headers)
    own = {
        word.strip().lower() for name, value in listed if name.lower() == b"connection" for word in value.split(b",")
    }
    return [(name, value) for name, value in listed if name.lower() not in names | own]


def _plain(exchange: Exchange, body: bytes) -> bytes | None:
    """Decompress a request's body; None when only the upstream can. Raises: RefusedError."""
    try:
        return unpacked(body, exchange.header("content-encoding"))
    except RefusedError as refused:
        if refused.status == _UNREADABLE:
            return None
        raise


def _secrets(exchange: Exchange, url: str) -> Secrets:
    """Collect what must not reach the log: keys in headers and in the address."""
    secrets = Secrets()
    for name, value in exchange.headers:
        secrets.add_header(name.decode("latin-1"), value.decode("latin-1"))
    secrets.add_url(url)
    return secrets


@asynccontextmanager
async def proxying(
    recorder: ProxyRecorder, upstreams: Upstreams, *, replaying: Replaying | None = None, live: bool = False
) -> AsyncIterator[Answering]:
    """Make a proxy with connections of its own; at the end, what has passed by is on record."""
    limits = httpx.Limits(max_connections=None, max_keepalive_connections=100)
    timeout = httpx.Timeout(None, connect=CONNECT_S)
    if "genai_prices" not in sys.modules:  # it is loaded before anybody waits for an answer
        await asyncio.to_thread(load_prices)
    async with httpx.AsyncClient(limits=limits, timeout=timeout, follow_redirects=False) as client:
        try:
            yield Proxy(recorder, upstreams, client, replaying=replaying, live=live)
        finally:
            await recorder.leave()
