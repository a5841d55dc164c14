"""A route: a method and a path, what it takes and answers as types, and the function that does it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Generic, TypeAlias, TypeVar, get_args, get_type_hints
from urllib.parse import parse_qsl, unquote

import msgspec
from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route as StarletteRoute

from ..interface.problems import MEDIA_TYPE
from .problems import ProblemError, problem_of
from .served import Served

_MAX_KEY = 255
MARK, MARKED = "x-refold", "1"
"""A header, and its value, of what the page has done: a browser sends it for no page of another origin."""

Answer: TypeAlias = "msgspec.Struct | Response"


class Nothing(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """No parameters, or an empty body."""


Q = TypeVar("Q", bound=msgspec.Struct, covariant=True)
B = TypeVar("B", bound=msgspec.Struct, covariant=True)


@dataclass(frozen=True)
class Call(Generic[Q, B]):
    """A request to a route: what its path names, its query and its body as types, and two headers.

    `key`: the Idempotency-Key. `expected`: the seq of If-Match.
    """

    served: Served
    path: Mapping[str, str]
    query: Q
    body: B
    headers: Headers = field(repr=False)  # the token is one of them
    key: str | None = None
    expected: int | None = None

    @property
    def accepts_events(self) -> bool:
        """True when the client asks for a stream of events."""
        return "text/event-stream" in self.headers.get("accept", "")


@dataclass(frozen=True, kw_only=True)
class Route:
    """A route: what it takes and answers are the types of its function, and what the document says its docstring.

    `status`: of what the function returns as a struct. `also`: what else it answers, by status: types, or media types
    of another kind than JSON. `streams`: what the data of its stream's events is, by their names. `errors`: the
    problems that it is known for, beside those of every route.
    writes: it appends to the log. runs: it makes this process run an agent. is_open: whoever has the link may ask,
    without the token. takes_key, takes_match: the headers Idempotency-Key and If-Match mean something.
    """

    method: str
    path: str
    does: Callable[..., Awaitable[Answer]]
    tag: str
    status: int = 200
    also: Mapping[int, Sequence[type[msgspec.Struct] | str]] = field(default_factory=dict)
    streams: Mapping[str, type[msgspec.Struct]] = field(default_factory=dict)
    errors: Sequence[int] = ()
    writes: bool = False
    runs: bool = False
    is_open: bool = False
    is_marked: bool = False
    takes_forms: bool = False
    takes_key: bool = False
    takes_match: bool = False

    @cached_property
    def query(self) -> type[msgspec.Struct]:
        """What its query is read as."""
        return self._taken[0]

    @cached_property
    def body(self) -> type[msgspec.Struct]:
        """What its body is read as."""
        return self._taken[1]

    @cached_property
    def answers(self) -> Mapping[int, Sequence[type[msgspec.Struct] | str]]:
        """What it answers, by status."""
        given = get_type_hints(self.does)["return"]
        own = {self.status: (given,)} if isinstance(given, type) and issubclass(given, msgspec.Struct) else {}
        return own | {status: (*own.get(status, ()), *kinds) for status, kinds in self.also.items()}

    @cached_property
    def _taken(self) -> tuple[type[msgspec.Struct], type[msgspec.Struct]]:
        query, body = get_args(get_type_hints(self.does)["call"])
        return query, body


def json_response(answer: msgspec.Struct, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """Answer with JSON."""
    return Response(msgspec.json.encode(answer), status, headers, media_type="application/json")


def problem_response(error: Exception) -> Response:
    """Answer with a problem."""
    said, after_s = problem_of(error), error.retry_after_s if isinstance(error, ProblemError) else None
    headers = {"retry-after": str(after_s)} if after_s is not None else None
    return Response(msgspec.json.encode(said), said.status, headers, media_type=MEDIA_TYPE)


def starlette_route(served: Served, route: Route) -> StarletteRoute:
    """Make a route of Starlette's: read what it takes, do it, write what it gives."""

    async def endpoint(request: Request) -> Response:
        try:
            answer = await route.does(await _call(served, route, request))
            return answer if isinstance(answer, Response) else json_response(answer, route.status)
        except Exception as error:  # whatever it is, it is answered
            said = problem_of(error)
            if said.status == 500:
                served.tell(f"{route.method} {request.url.path}", error)
            return problem_response(error)

    return StarletteRoute(route.path, endpoint, methods=[route.method], name=f"{route.method} {route.path}")


async def _call(served: Served, route: Route, request: Request) -> Call[msgspec.Struct, msgspec.Struct]:
    """Read a request. Raises: ProblemError."""
    if route.is_marked and request.headers.get(MARK) != MARKED:
        raise ProblemError(403, f"expected the header {MARK}: {MARKED}, which a page of this server sends")
    key = request.headers.get("idempotency-key") if route.takes_key else None
    if key is not None and not (0 < len(key) <= _MAX_KEY and key.isascii() and key.isprintable()):
        raise ProblemError(422, f"Idempotency-Key: expected 1 to {_MAX_KEY} printable characters of ASCII")
    return Call(
        served=served,
        path={name: unquote(value) for name, value in request.path_params.items()},
        query=_query(route.query, request),
        body=await _body(route, request),
        headers=request.headers,
        key=key,
        expected=_seq(request.headers.get("if-match")) if route.takes_match else None,
    )


def _query(kind: type[msgspec.Struct], request: Request) -> msgspec.Struct:
    given: dict[str, str] = {}
    for name, value in request.query_params.multi_items():
        if name in given:
            raise ProblemError(400, f"the parameter {name} is there twice")
        given[name] = value
    try:
        return msgspec.convert(given, kind, strict=False)
    except msgspec.ValidationError as error:
        raise ProblemError(422, f"the query: {error}") from error


async def _body(route: Route, request: Request) -> msgspec.Struct:
    body = await request.body()
    media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if route.takes_forms and media_type == "application/x-www-form-urlencoded":
        try:
            given = dict(parse_qsl(body.decode(), keep_blank_values=True, strict_parsing=bool(body), max_num_fields=20))
            return msgspec.convert(given, route.body, strict=False)
        except (ValueError, msgspec.ValidationError) as error:
            raise ProblemError(422, f"the form: {error}") from error
    if body and media_type != "application/json":
        raise ProblemError(415, f"expected a body of application/json, found {media_type[:100] or 'none named'}")
    try:
        return msgspec.json.decode(body or b"{}", type=route.body)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise ProblemError(422, f"the body: {error}") from error


def _seq(header: str | None) -> int | None:
    """Read the seq of If-Match: a number in quotes, or without."""
    if header is None:
        return None
    plain = header.strip().removeprefix('"').removesuffix('"')
    if not (plain.isascii() and plain.isdecimal() and len(plain) < 12):
        raise ProblemError(422, f'If-Match: expected the seq of a head, such as "42", found {header[:100]!r}')
    return int(plain)
