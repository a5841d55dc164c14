"""Links that open the page once: what a browser is started with can be read by others, and a token must not be.

Every user of a machine may list the programs that run on it, with their arguments.
"""

from __future__ import annotations

import secrets
from collections.abc import Sequence

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from .credentials import page_address
from .link_page import missing_page

PATH = "/open/"
_USED = (
    "this link opens the page once, and was used; if not by you, then somebody here reads what you run: end the "
    "server, and remove its token"
)


class Openings:
    """The links of a server that were not used yet."""

    def __init__(self, token: str) -> None:
        self._token = token
        self._paths: dict[str, str] = {}

    def make(self, path: str) -> str:
        """Make a link that leads the first who asks to a path of the page, with the token. Returns: its own path."""
        code = secrets.token_urlsafe(32)
        self._paths[code] = path
        return f"{PATH}{code}"

    def routes(self) -> Sequence[Route]:
        """Make the route of the links."""

        async def opened(request: Request) -> Response:
            path = self._paths.pop(request.path_params["code"], None) if request.method == "GET" else None
            if path is None:
                return missing_page(404, _USED)
            return Response(status_code=303, headers={"location": page_address(path, self._token)})

        return [Route(f"{PATH}{{code}}", opened, methods=["GET"])]
