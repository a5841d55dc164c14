"""The way to a server: requests that are answered or raise, tried again where that does no harm; and its streams."""

from __future__ import annotations

import asyncio
import random
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import TypeVar
from urllib.parse import quote

import httpx
import msgspec

from eventsource.models.transport.sse import ServerEvent, SseParser

from ..http.interface.events import EVENT_STREAM
from ..http.interface.problems import MEDIA_TYPE, Problem
from ..http.interface.values import IDS, NAMES_HEADER
from .address import VARIABLE, Address
from .errors import ClientError, error_of

T = TypeVar("T")

CONNECT_S = 10.0
ANSWER_S = 60.0
"""Without a byte of an answer, or of a stream: a server sends a ping every 15 seconds."""
KEPT_S = 2.0
"""For an idle connection to be used again: less than servers wait before they close one."""
TRIES = 5
"""How often a request is made that may be made again."""
FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.1, 10.0
"""Between two tries, when the second one failed too twice as long, and so on up to the longest."""
_BUSY = (502, 503, 504)
_FINAL = range(400, 500)
_NOT_FINAL = (408, 425, 429)


def pause_s(failed: int, chance: float) -> float:
    """Return how long to wait after so many failures in a row; `chance`, from 0 to 1, takes up to half of it away.

    Else all who watched a server would come back to it at the same moment.
    """
    whole_s: float = min(FIRST_PAUSE_S * 2.0 ** min(failed - 1, 16), LONGEST_PAUSE_S)
    return whole_s * (1 - chance / 2)


class BusyError(Exception):
    """Raised when a stream cannot be opened now."""


class Connection:
    """Requests to one server. `tell` hears in a sentence when something was lost and is asked for again.

    `pause` waits between two tries. `transport` is another way to the server than a network.
    """

    def __init__(
        self,
        address: Address,
        *,
        tell: Callable[[str], None] = lambda what: None,
        pause: Callable[[float], Awaitable[None]] = asyncio.sleep,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        self.address, self._tell, self._pause = address, tell, pause
        if transport is None and address.socket:
            transport = httpx.AsyncHTTPTransport(uds=address.socket)
        self._http = httpx.AsyncClient(
            transport=transport,
            timeout=httpx.Timeout(ANSWER_S, connect=CONNECT_S, pool=None),
            limits=httpx.Limits(max_connections=None, keepalive_expiry=KEPT_S),
            trust_env=not address.is_near,
            headers={"user-agent": "refold"},
        )

    async def close(self) -> None:
        """Close what is open."""
        await self._http.aclose()

    async def get(self, path: str, answer: type[T], query: msgspec.Struct | None = None, *, wait_s: float = 0.0) -> T:
        """Read a resource. `wait_s`: how much longer than others its answer may take."""
        return await self._ask("GET", path, answer, query=query, wait_s=wait_s, may_repeat=True)

    async def post(
        self,
        path: str,
        answer: type[T],
        body: msgspec.Struct | None = None,
        *,
        query: msgspec.Struct | None = None,
        key: str | None = None,
        expected: int | None = None,
        wait_s: float = 0.0,
        may_repeat: bool = False,
        has_token: bool = True,
    ) -> T:
        """Ask for something to be done. It is asked for again only with a key, by which it is done once.

        `may_repeat`: it changes nothing. `has_token`: else the token is kept back.
        """
        headers = {"x-refold": "1"}
        if key is not None:
            headers["idempotency-key"] = key
        if expected is not None:
            headers["if-match"] = f'"{expected}"'
        return await self._ask(
            "POST",
            path,
            answer,
            query=query,
            headers=headers,
            body=body,
            wait_s=wait_s,
            may_repeat=may_repeat or key is not None,
            has_token=has_token,
        )

    async def _ask(
        self,
        method: str,
        path: str,
        answer: type[T],
        *,
        query: msgspec.Struct | None,
        headers: dict[str, str] | None = None,
        body: msgspec.Struct | None = None,
        wait_s: float = 0.0,
        may_repeat: bool,
        has_token: bool = True,
    ) -> T:
        content = None if body is None else msgspec.json.encode(body)
        given = self._headers(has_token=has_token) | (headers or {})
        if content is not None:
            given["content-type"] = "application/json"
        request = self._http.build_request(
            method, self._url(path, query), headers=given, content=content, timeout=self._timeout(wait_s)
        )
        failed = 0
        while True:
            failed += 1
            error: Exception
            try:
                response = await self._http.send(request)
                if response.is_success:
                    return self._read(response.content, answer)
                error = self._refusal(response.status_code, response.headers, response.content)
                is_over = response.status_code not in _BUSY or not isinstance(error, ClientError)
            except httpx.HTTPError as lost:
                error, is_over = self._unreached(lost, changes=not may_repeat), False
            if is_over or not may_repeat or failed == TRIES:
                raise error
            await self.pause(failed)

    def stream(self, path: str, query: Callable[[], tuple[msgspec.Struct, str]]) -> Stream:
        """Return the events of a stream, which is asked for again whenever it ends.

        `query` is asked each time, also for the id of the last event that was seen: a stream begins behind it.
        """
        return Stream(self, path, query)

    async def open_stream(self, path: str, query: msgspec.Struct, last: str) -> httpx.Response:
        """Ask for a stream of events.

        Raises: httpx.HTTPError; BusyError when it may be asked for again; the error of an answer that will be the same
            next time, such as of one who may not ask.
        """
        headers = {**self._headers(), "accept": EVENT_STREAM, "cache-control": "no-store", "last-event-id": last}
        request = self._http.build_request("GET", self._url(path, query), headers=headers, timeout=self._timeout(0.0))
        response = await self._http.send(request, stream=True)
        if response.is_success:
            return response
        try:
            refusal = self._refusal(response.status_code, response.headers, await response.aread())
        finally:
            await response.aclose()
        is_final = response.status_code in _FINAL and response.status_code not in _NOT_FINAL
        raise refusal if is_final else BusyError(str(refusal))

    async def pause(self, failed: int) -> None:
        """Wait before something is tried again that failed so many times."""
        await self._pause(pause_s(failed, random.random()))

    def tell(self, reason: str) -> None:
        """Tell that something is asked for again, and why."""
        self._tell(f"{self.address.shown}: {reason}; it is asked for again")

    def _headers(self, *, has_token: bool = True) -> dict[str, str]:
        token = self.address.token
        return {NAMES_HEADER: IDS} | ({"authorization": f"Bearer {token}"} if token and has_token else {})

    def _url(self, path: str, query: msgspec.Struct | None) -> str:
        said = "" if query is None else str(httpx.QueryParams(_given(query)))
        return f"{self.address.base}{path}{'?' if said else ''}{said}"

    def _timeout(self, wait_s: float) -> httpx.Timeout:
        return httpx.Timeout(ANSWER_S + wait_s, connect=CONNECT_S, pool=None)

    def _read(self, content: bytes, answer: type[T]) -> T:
        try:
            return msgspec.json.decode(content, type=answer)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            problem = f"expected {answer.__name__}, found an answer of another form: {error}"
            raise ClientError(self.address.shown, 200, f"{problem}; is this a server of Refold?") from error

    def _refusal(self, status: int, headers: httpx.Headers, content: bytes) -> Exception:
        """Return what an answer of this status is raised as."""
        shown = self.address.shown
        if status == 401:
            which = "another token than it was given" if self.address.token else "its token"
            problem = f"the server asks for {which}: behind the address, #token=..., or in {VARIABLE}"
            return ClientError(shown, status, problem)
        if headers.get("content-type", "").startswith(MEDIA_TYPE):
            try:
                return error_of(shown, msgspec.json.decode(content, type=Problem))
            except (msgspec.DecodeError, UnicodeDecodeError):
                pass  # not by a server of Refold
        return ClientError(shown, status, f"{httpx.codes.get_reason_phrase(status) or 'refused'}".lower())

    def _unreached(self, lost: httpx.HTTPError, *, changes: bool) -> ClientError:
        is_unknown = changes and not isinstance(lost, httpx.ConnectError | httpx.ConnectTimeout)
        doubt = "; whether it was done is not known: read the session" if is_unknown else ""
        return ClientError(self.address.shown, 0, f"{_words(lost)}{doubt}")


class Stream:
    """The events of a stream that never ends: over lost connections, and restarts of the server."""

    def __init__(self, connection: Connection, path: str, query: Callable[[], tuple[msgspec.Struct, str]]) -> None:
        self._connection, self._path, self._query = connection, path, query
        self._response: httpx.Response | None = None
        self._pieces: AsyncIterator[bytes] | None = None
        self._parser, self._pings = SseParser(), 0
        self._ready: deque[ServerEvent] = deque()
        self._failed, self._told = 0, ""

    async def next(self) -> ServerEvent:
        """Wait for the next event. Raises: the error of an answer that will be the same next time."""
        while not self._ready:
            try:
                reason = await self._read()
            except httpx.HTTPError as lost:
                reason = _words(lost)
            except BusyError as busy:
                reason = str(busy)
            if reason:
                await self.close()
                await self._lost(reason)
        return self._ready.popleft()

    async def close(self) -> None:
        """Close the connection."""
        response, self._response, self._pieces = self._response, None, None
        if response is not None:
            await response.aclose()

    async def _read(self) -> str:
        """Read what has come. Returns: why no more comes by this connection, or nothing."""
        if self._pieces is None:
            query, last = self._query()
            self._response = await self._connection.open_stream(self._path, query, last)
            self._pieces, self._parser, self._pings = self._response.aiter_bytes(), SseParser(), 0
        piece = await anext(self._pieces, None)
        if piece is None:
            return "the stream ended"
        found = self._parser.feed(piece)
        self._ready += found
        if self._parser.comments > self._pings or any(event.event != "end" for event in found):
            self._pings, self._failed, self._told = self._parser.comments, 0, ""
        return ""

    async def _lost(self, reason: str) -> None:
        """Wait before it is asked for again; at once when it had worked."""
        if self._failed:
            if reason != self._told:
                self._connection.tell(reason)
            self._told = reason
            await self._connection.pause(self._failed)
        self._failed += 1


def path_of(session: str, *rest: str) -> str:
    """Return the path of a session, by its id, or of something of it."""
    return "/".join(("/v1/sessions", quote(session, safe=""), *(quote(part, safe="") for part in rest)))


def _given(query: msgspec.Struct) -> dict[str, str]:
    """Return what a query says beside its defaults."""
    found: dict[str, str] = {}
    for field in msgspec.structs.fields(query):
        value = getattr(query, field.name)
        if value is not None and value != field.default:
            found[field.name] = str(value).lower() if isinstance(value, bool) else str(value)
    return found


def _words(lost: httpx.HTTPError) -> str:
    """Say what became of a connection."""
    match lost:
        case httpx.ConnectError() | httpx.ConnectTimeout():
            return f"no server answers there ({_short(lost)})"
        case httpx.TimeoutException():
            return "the answer did not come in time"
        case _:
            return f"the connection was lost ({_short(lost)})"


def _short(lost: httpx.HTTPError) -> str:
    return str(lost).strip()[:200] or type(lost).__name__
