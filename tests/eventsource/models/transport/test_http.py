"""The transport turns whatever a server does into a stream that ends well or with the server's words."""

from __future__ import annotations

import asyncio
import gzip
import json
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from email.utils import formatdate

import httpx
import msgspec
import pytest

from eventsource.events import MessageUpdate, ModelRef
from eventsource.messages import AssistantMessage, ImageContent, UserMessage
from eventsource.models.adapt.images import NO_IMAGE
from eventsource.models.anthropic import AnthropicMessages
from eventsource.models.anthropic_reader import AnthropicReader
from eventsource.models.catalog import model
from eventsource.models.options import ModelOptions
from eventsource.models.protocol import CallOptions, StreamEnd, StreamEvent, StreamRetry, StreamStart, StreamUsage
from eventsource.models.secrets import MARK
from eventsource.models.transport.http import ABORTED, CUT, Access, HttpModel
from eventsource.models.transport.sse import ServerEvent
from eventsource.models.wire import Reader
from eventsource.request import Request

KEY = "sk-planted-secret-1234"
NOW_US = 1_700_000_000_000_000
START = {
    "type": "message_start",
    "message": {"id": "m", "model": "claude", "content": [], "usage": {"input_tokens": 3}},
}
HELLO = [
    {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
    {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "Hello"}},
]
END = [
    {"type": "content_block_stop", "index": 0},
    {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 1}},
    {"type": "message_stop"},
]


def sse(*events: object) -> bytes:
    return b"".join(b"data: %s\n\n" % json.dumps(event).encode() for event in events)


WHOLE = sse(START, *HELLO, *END)
Handler = Callable[[httpx.Request], Awaitable[httpx.Response]]


def answering(
    handler: Handler | httpx.Response, options: ModelOptions | None = None, /, **access: object
) -> tuple[HttpModel, httpx.AsyncClient]:
    async def handle(request: httpx.Request) -> httpx.Response:
        return handler if isinstance(handler, httpx.Response) else await handler(request)

    client = httpx.AsyncClient(transport=httpx.MockTransport(handle))
    ref = ModelRef(api="anthropic-messages", provider="anthropic", model="claude")
    reached = Access(base_url="https://api.anthropic.com", api_key=KEY, **access)  # type: ignore[arg-type]  # as given
    return HttpModel(
        AnthropicMessages(), ref, reached, options=options, client=client, now_us=lambda: NOW_US, jitter_ppm=lambda: 0
    ), client


def request_of(asked: HttpModel, text: str = "hi") -> Request:
    return Request(model=asked.ref, messages=(UserMessage(content=text),))


async def ask(asked: HttpModel, options: CallOptions | None = None) -> list[StreamEvent]:
    """Ask, and give what is said; what was used so far stands between, and has tests of its own."""
    said = asked.stream(request_of(asked), options or CallOptions())
    return [event async for event in said if not isinstance(event, StreamUsage)]


async def ended(handler: Handler | httpx.Response, **access: object) -> AssistantMessage:
    asked, client = answering(handler, None, **{"max_attempts": 1, **access})
    async with client:
        last = (await ask(asked))[-1]
    assert isinstance(last, StreamEnd)
    return last.message


async def retried(handler: Handler | httpx.Response, attempt: int = 1) -> StreamRetry:
    asked, client = answering(handler)
    async with client:
        (only,) = await ask(asked, CallOptions(attempt=attempt))
    assert isinstance(only, StreamRetry)
    return only


class Pieces(httpx.AsyncByteStream):
    """A body that comes in pieces and then does something."""

    def __init__(self, *pieces: bytes, then: Callable[[], Awaitable[None]] | None = None) -> None:
        self.pieces, self.then, self.closed = pieces, then, False

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for piece in self.pieces:
            yield piece
        if self.then is not None:
            await self.then()

    async def aclose(self) -> None:
        self.closed = True


async def break_off() -> None:
    raise httpx.RemoteProtocolError(
        "peer closed connection without sending complete message body (incomplete chunked read)"
    )


async def stall() -> None:
    await asyncio.Event().wait()


async def test_an_answer_streams_and_ends() -> None:
    asked, client = answering(httpx.Response(200, content=WHOLE))
    async with client:
        start, opened, delta, closed, end = await ask(asked)
    assert isinstance(start, StreamStart)
    assert [update.kind for update in (opened, delta, closed) if isinstance(update, MessageUpdate)] == [
        "text_start",
        "text_delta",
        "text_end",
    ]
    assert isinstance(end, StreamEnd)
    assert (end.message.text, end.message.stop_reason) == ("Hello", "stop")


async def test_the_key_and_the_protocols_headers_are_sent() -> None:
    seen: list[httpx.Request] = []

    async def handle(request: httpx.Request) -> httpx.Response:
        seen.append(request)
        return httpx.Response(200, content=WHOLE)

    await ended(handle, headers={"X-Mine": "1", "anthropic-version": "2099"})
    (request,) = seen
    assert str(request.url) == "https://api.anthropic.com/v1/messages"
    sent = [request.headers[name] for name in ("x-api-key", "x-mine", "anthropic-version", "content-type")]
    assert sent == [KEY, "1", "2099", "application/json"]


async def test_the_body_sent_is_the_body_whose_digest_is_kept() -> None:
    seen: list[bytes] = []

    async def handle(request: httpx.Request) -> httpx.Response:
        seen.append(request.content)
        return httpx.Response(200, content=WHOLE)

    asked, client = answering(handle, ModelOptions(temperature=0.5))
    async with client:
        request = request_of(asked)
        wire = asked.encode(request)
        _ = [event async for event in asked.stream(request, CallOptions())]
    assert (wire.codec, seen) == ("anthropic-messages/2", [wire.body])
    assert json.loads(wire.body)["temperature"] == 0.5


async def test_a_requests_options_come_before_the_models() -> None:
    asked, client = answering(httpx.Response(200), ModelOptions(temperature=0.5, max_tokens=9))
    request = msgspec.structs.replace(request_of(asked), options=msgspec.Raw(b'{"temperature":1}'))
    body = json.loads(asked.encode(request).body)
    assert (body["temperature"], body["max_tokens"]) == (1, 9)
    await client.aclose()


async def test_a_model_that_takes_no_images_gets_none() -> None:
    asked, client = answering(httpx.Response(200), ModelOptions(images=False))
    image = UserMessage(content=(ImageContent(data="AA==", media_type="image/png"),))
    request = msgspec.structs.replace(request_of(asked), messages=(image,))
    assert NO_IMAGE in asked.encode(request).body.decode()
    await client.aclose()


async def test_a_compressed_stream_is_read() -> None:
    packed = httpx.Response(200, headers={"content-encoding": "gzip"}, stream=Pieces(gzip.compress(WHOLE)))
    assert (await ended(packed)).text == "Hello"


@pytest.mark.parametrize("status", [408, 409, 429, 500, 502, 503, 529])
async def test_a_passing_failure_is_offered_for_a_retry(status: int) -> None:
    assert str(status) in (await retried(httpx.Response(status, text="busy"))).cause


@pytest.mark.parametrize("status", [400, 401, 403, 404, 413, 422, 301])
async def test_a_lasting_failure_is_not(status: int) -> None:
    said = await ended(httpx.Response(status, json={"error": {"type": "t", "message": "no"}}))
    assert said.stop_reason == "error"
    assert str(status) in said.error


async def test_the_server_may_decide_about_the_retry() -> None:
    never = await ended(httpx.Response(529, headers={"x-should-retry": "false"}))
    assert never.stop_reason == "error"
    once_more = await retried(httpx.Response(400, headers={"x-should-retry": "true"}))
    assert once_more.cause.startswith("400")


@pytest.mark.parametrize(
    ("headers", "wait_s"),
    [
        ({"retry-after-ms": "1500", "retry-after": "9"}, 1.5),
        ({"retry-after": "2.5"}, 2.5),
        ({"retry-after": formatdate(NOW_US / 1e6 + 7, usegmt=True)}, 7),
        ({"retry-after": str(NOW_US // 1_000_000 + 8)}, 8),
        ({"retry-after": "86400"}, 60),
        ({}, 0.5),
    ],
)
async def test_the_retry_waits_as_the_server_asks_but_not_for_ever(headers: dict[str, str], wait_s: float) -> None:
    offered = await retried(httpx.Response(429, headers=headers))
    assert offered.not_before_us == NOW_US + int(wait_s * 1e6)


async def test_waits_of_our_own_grow_and_end() -> None:
    waits = [(await retried(httpx.Response(500), attempt)).not_before_us - NOW_US for attempt in (1, 2, 3)]
    assert waits == [500_000, 1_000_000, 2_000_000]
    asked, client = answering(httpx.Response(500))
    async with client:
        (last,) = [event for event in await ask(asked, CallOptions(attempt=4)) if isinstance(event, StreamEnd)]
    assert last.message.stop_reason == "error"


async def test_a_delay_in_the_body_counts() -> None:
    body = {"error": {"status": "RESOURCE_EXHAUSTED", "details": [{"retryDelay": "34.4s"}]}}
    assert (await retried(httpx.Response(429, json=body))).not_before_us == NOW_US + 34_400_000


async def test_overloaded_inside_the_stream_is_retried_until_something_was_said() -> None:
    overloaded = sse({"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}})
    assert "Overloaded" in (await retried(httpx.Response(200, content=sse(START) + overloaded))).cause
    said = await ended(httpx.Response(200, content=sse(START, *HELLO) + overloaded))
    assert (said.text, said.stop_reason, said.error) == ("Hello", "error", "overloaded_error: Overloaded")


async def test_a_connection_that_breaks_is_retried_until_something_was_said() -> None:
    early = await retried(httpx.Response(200, stream=Pieces(sse(START), then=break_off)))
    assert "incomplete chunked read" in early.cause
    late = await ended(httpx.Response(200, stream=Pieces(sse(START, *HELLO), then=break_off)))
    assert (late.text, late.stop_reason) == ("Hello", "error")
    after = await ended(httpx.Response(200, stream=Pieces(WHOLE, then=break_off)))
    assert (after.text, after.stop_reason, after.error) == ("Hello", "stop", "")


async def test_the_end_of_the_body_is_no_success() -> None:
    assert (await ended(httpx.Response(200, content=sse(START, *HELLO)))).error == CUT
    assert (await retried(httpx.Response(200, content=b""))).cause == CUT


async def test_a_page_instead_of_a_stream_is_named() -> None:
    page = httpx.Response(200, html="<html><body>Welcome</body></html>")
    said = await ended(page)
    assert "text/html" in said.error
    assert "Welcome" in said.error


async def test_a_line_that_is_not_json_is_quoted() -> None:
    said = await ended(httpx.Response(200, content=sse(START) + b"data: {oops\n\n"))
    assert (said.stop_reason, "{oops" in said.error) == ("error", True)


class Startled(AnthropicReader):
    """A reader with a mistake in it."""

    def feed(self, event: ServerEvent) -> list[StreamEvent]:
        raise KeyError(event.data)


class StartledCodec(AnthropicMessages, frozen=True):
    def reader(self, request: Request) -> Reader:
        return Startled("claude")


async def test_what_a_reader_did_not_expect_is_an_error_not_an_exception() -> None:
    asked, client = answering(httpx.Response(200, content=WHOLE))
    asked = HttpModel(StartledCodec(), asked.ref, Access(base_url="http://host", api_key=KEY), client=client)
    async with client:
        (last,) = await ask(asked)
    assert isinstance(last, StreamEnd)
    assert "unknown shape (KeyError" in last.message.error


@pytest.mark.parametrize(
    "text",
    [
        "prompt is too long: 210000 tokens > 200000 maximum",
        "This model's maximum context length is 128000 tokens. However, you requested 130000 tokens",
        "The input token count (1200000) exceeds the maximum number of tokens allowed (1048576).",
        "Your input exceeds the context window of this model. Please adjust your input and try again.",
        "Please reduce the length of the messages or completion.",
        "the request exceeds the available context size, try increasing it",
        "input length and `max_tokens` exceed context limit: 190000 + 20000 > 200000",
    ],
)
async def test_a_context_overflow_is_named(text: str) -> None:
    said = await ended(httpx.Response(400, json={"error": {"message": text}}))
    assert said.error == f"context overflow: 400: {text}"


async def test_no_secret_reaches_a_message() -> None:
    leaks = f"Incorrect key {KEY}, header Bearer proxy-secret-5678, url https://h/?key={KEY}"
    said = await ended(
        httpx.Response(401, json={"error": {"message": leaks}}),
        headers={"Proxy-Authorization": "Bearer proxy-secret-5678"},
    )
    assert KEY not in said.error
    assert "proxy-secret-5678" not in said.error
    assert said.error.count(MARK) == 3
    assert KEY not in (await retried(httpx.Response(500, text=leaks))).cause


async def test_a_base_url_keeps_its_secrets_to_itself() -> None:
    seen: list[str] = []

    async def handle(request: httpx.Request) -> httpx.Response:
        seen.append(str(request.url))
        raise httpx.ConnectError(f"cannot reach {request.url}")

    client = httpx.AsyncClient(transport=httpx.MockTransport(handle))
    url = "https://user:hidden-password@host/base?key=hidden-parameter"
    asked = model("mine:m", base_url=url, client=client, max_attempts=1)
    async with client:
        (last,) = await ask(asked)
    assert isinstance(last, StreamEnd)
    assert asked.ref.base_url == "https://host/base"
    assert "hidden-parameter" in seen[0]
    assert "hidden" not in last.message.error
    assert last.message.error.endswith("(calling host)")


async def test_a_key_can_be_asked_for_before_each_call() -> None:
    keys = iter(["first-key-0001", "second-key-0002"])
    seen: list[str] = []

    async def handle(request: httpx.Request) -> httpx.Response:
        seen.append(request.headers["x-api-key"])
        return httpx.Response(200, content=WHOLE)

    async def fresh() -> str:
        return next(keys)

    client = httpx.AsyncClient(transport=httpx.MockTransport(handle))
    asked = model("anthropic:claude", client=client, api_key=fresh)
    async with client:
        await ask(asked)
        await ask(asked)
        (failed,) = [event for event in await ask(asked) if isinstance(event, StreamEnd)]
    assert seen == ["first-key-0001", "second-key-0002"]
    assert "api_key callback" in failed.message.error


async def test_a_missing_key_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ANTHROPIC_API_KEY", raising=False)
    (last,) = await ask(model("anthropic:claude"))
    assert isinstance(last, StreamEnd)
    assert "ANTHROPIC_API_KEY" in last.message.error


async def test_a_header_of_your_own_can_be_the_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ANTHROPIC_API_KEY", raising=False)
    client = httpx.AsyncClient(transport=httpx.MockTransport(lambda _: httpx.Response(200, content=WHOLE)))
    async with client:
        last = (await ask(model("anthropic:claude", client=client, headers={"Authorization": "Bearer mine"})))[-1]
    assert isinstance(last, StreamEnd)
    assert last.message.text == "Hello"


async def test_a_proxy_beside_a_client_of_your_own_is_refused() -> None:
    async with httpx.AsyncClient() as client:
        with pytest.raises(ValueError, match="proxy"):
            model("anthropic:claude", client=client, proxy="http://localhost:1")


async def test_an_abort_closes_the_connection_at_once() -> None:
    signal, body = asyncio.Event(), Pieces(sse(START, *HELLO), then=stall)
    asked, client = answering(httpx.Response(200, stream=body))
    events: list[StreamEvent] = []
    async with client:
        async for event in asked.stream(request_of(asked), CallOptions(signal=signal)):
            events.append(event)
            if isinstance(event, MessageUpdate) and event.kind == "text_delta":
                signal.set()
    last = events[-1]
    assert isinstance(last, StreamEnd)
    assert (last.message.stop_reason, last.message.error, last.message.text) == ("aborted", ABORTED, "Hello")
    assert body.closed


async def test_an_abort_ends_the_wait_for_an_answer() -> None:
    signal = asyncio.Event()

    async def handle(request: httpx.Request) -> httpx.Response:
        signal.set()
        await stall()
        raise AssertionError

    asked, client = answering(handle)
    async with client:
        (last,) = await ask(asked, CallOptions(signal=signal))
    assert isinstance(last, StreamEnd)
    assert last.message.stop_reason == "aborted"


async def test_a_reader_that_leaves_closes_the_connection() -> None:
    body = Pieces(sse(START, *HELLO), then=stall)
    asked, client = answering(httpx.Response(200, stream=body))
    async with client:
        stream = asked.stream(request_of(asked), CallOptions())
        await anext(stream)
        await stream.aclose()  # type: ignore[attr-defined]  # an asynchronous generator
    assert body.closed


async def test_silence_ends_the_call() -> None:
    late = await ended(httpx.Response(200, stream=Pieces(sse(START, *HELLO), then=stall)), idle_ms=5)
    assert (late.text, late.error) == ("Hello", "timeout: nothing came for 0.005 seconds (calling api.anthropic.com)")
    never = await ended(httpx.Response(200, stream=Pieces(then=stall)), first_byte_ms=5)
    assert never.error == "timeout: nothing came for 0.005 seconds (calling api.anthropic.com)"


@pytest.mark.slow
async def test_a_complete_answer_does_not_wait_for_the_body_to_end() -> None:
    body = Pieces(WHOLE, then=stall)
    said = await ended(httpx.Response(200, stream=body))
    assert (said.text, said.stop_reason, body.closed) == ("Hello", "stop", True)


@asynccontextmanager
async def serving(answer: bytes) -> AsyncIterator[tuple[str, list[int]]]:
    """Serve one fixed answer over TCP; the list holds the number of requests of each connection."""
    connections: list[int] = []

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        mine = len(connections)
        connections.append(0)
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                await reader.readexactly(int(head.lower().partition(b"content-length:")[2].partition(b"\r\n")[0]))
                connections[mine] += 1
                writer.write(answer)
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(talk, "127.0.0.1", 0)
    async with server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", connections


@contextmanager
def refusing() -> Iterator[str]:
    """Keep a port at which nobody listens, and nobody else may."""
    with socket.socket() as kept:
        kept.bind(("127.0.0.1", 0))
        yield f"http://127.0.0.1:{kept.getsockname()[1]}"


async def test_a_real_connection_is_used_again_and_closed_with_the_loop() -> None:
    body = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n%x\r\n%s\r\n0\r\n\r\n" % (len(WHOLE), WHOLE)
    async with serving(body) as (url, connections):
        asked = model("anthropic:claude", base_url=url, api_key=KEY)
        for _ in range(2):
            last = (await ask(asked))[-1]
            assert isinstance(last, StreamEnd)
            assert last.message.text == "Hello"
        assert connections == [2]
        await asked.aclose()


async def test_a_refused_connection_is_offered_for_a_retry() -> None:
    with refusing() as url:
        asked = model("anthropic:claude", base_url=url, api_key=KEY)
        (offered,) = await ask(asked)
    assert isinstance(offered, StreamRetry)
    assert "ConnectError" in offered.cause
    assert offered.cause.endswith(f"(calling {url.removeprefix('http://')})")
    await asked.aclose()


async def test_a_proxy_that_cannot_be_reached_is_named_without_its_password() -> None:
    with refusing() as url:
        proxy = url.replace("://", "://me:hidden@")
        asked = model("mine:m", base_url="http://host/v1", proxy=proxy, api_key=KEY, max_attempts=1)
        last = (await ask(asked))[-1]
    assert isinstance(last, StreamEnd)
    assert last.message.error.endswith(f"(calling host by the proxy {url.removeprefix('http://')})")
    assert "hidden" not in last.message.error
    await asked.aclose()
