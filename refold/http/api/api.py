"""The interface of an opened log: who may ask, and what is there to ask for."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from importlib.metadata import version
from importlib.resources.abc import Traversable
from urllib.parse import urlsplit

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from ..guard import Limits, RefusedError, is_navigation
from ..server import Exchange
from .built_page import built_page, is_of_page, page_routes
from .credentials import bears
from .headers import with_headers
from .openapi import document
from .problems import ProblemError
from .routes import Route, problem_response, starlette_route
from .served import Served

LIMITS = Limits(head_bytes=32_768, body_bytes=1_000_000, navigation=True)
_OVERRIDES = ("x-http-method-override", "x-http-method", "x-method-override")
_SITES = ("", "same-origin", "none")


class Api:
    """The interface of a log that is served, and the page that asks it: `answer` answers an exchange.

    read_only: nothing can be changed. page: the folder of the built page, else the one that Refold has.
    """

    def __init__(
        self, served: Served, routes: Sequence[Route], *, read_only: bool = False, page: Traversable | None = None
    ) -> None:
        self.served = served
        self.routes = tuple(
            route
            for route in routes
            if not (read_only and (route.writes or route.runs)) and not (route.runs and served.runs is None)
        )
        served.is_written = not read_only
        served.describe = cache(lambda: document(self.routes, version=version("refold")))
        self._open = tuple(route.path.partition("{")[0] for route in self.routes if route.is_open)
        own = [starlette_route(served, route) for route in self.routes]
        app = Starlette(
            routes=[*own, *page_routes(page or built_page()), *served.openings.routes()],
            exception_handlers={404: _not_there, 405: _not_there},
        )
        self._app = with_headers(app)

    async def answer(self, exchange: Exchange) -> None:
        """Answer one exchange. Raises: RefusedError when it may not ask at all."""
        self._check(exchange)
        body = await exchange.body()
        await exchange.pass_to(self._app, body)

    def _check(self, exchange: Exchange) -> None:
        """Refuse whoever may not ask: pages of other origins, and who does not bear the token."""
        for name in _OVERRIDES:
            if exchange.header(name):
                raise RefusedError(400, f"the header {name} is not taken: ask by the method that is meant")
        leads_here = is_navigation(exchange.method, exchange.header("sec-fetch-mode"))
        if exchange.header("sec-fetch-site") not in _SITES and not leads_here:
            raise RefusedError(403, "a page of another origin may not ask this server")
        if (origin := exchange.header("origin")) and not self._is_own(origin, exchange.header("host")):
            raise RefusedError(403, f"a page of {origin[:100]!r} may not ask this server")
        if sum(name == b"authorization" for name, _ in exchange.headers) > 1:
            raise RefusedError(400, "the header authorization is there twice")
        if exchange.path.startswith(self._open) or is_of_page(exchange.path):
            return
        if not bears(exchange.header("authorization"), self.served.token):
            raise RefusedError(401, "expected the header Authorization: Bearer TOKEN, with this server's token")

    def _is_own(self, origin: str, host: str) -> bool:
        """Return whether a page is this server's own: of the address that it asks by, or of the public one."""
        parts = urlsplit(origin)
        standard = {"http": ":80", "https": ":443"}.get(parts.scheme, "")
        same = {parts.netloc.lower(), parts.netloc.lower().removesuffix(standard)}
        public = urlsplit(self.served.public_url)
        return host.lower().removesuffix(standard) in same or (
            bool(self.served.public_url)
            and (parts.scheme, parts.netloc.lower()) == (public.scheme, public.netloc.lower())
        )


async def _not_there(request: Request, error: Exception) -> Response:
    """Answer for a path or method that is none; what is not allowed here is not there either."""
    status = error.status_code if isinstance(error, HTTPException) else 404
    said = "no such path" if status == 404 else f"{request.method} is not for this path"
    response = problem_response(ProblemError(status, said))
    if isinstance(error, HTTPException) and error.headers:
        response.headers.update(error.headers)
    return response
