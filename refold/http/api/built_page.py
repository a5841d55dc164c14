"""The page that people look at, as it was built: one document for all its paths, and the scripts and styles it loads.

It holds nothing of the log, so whoever reaches the server may have it; what it shows it asks for with the token.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from importlib.resources import files
from importlib.resources.abc import Traversable

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from .link_page import missing_page
from .openings import PATH as OPENINGS
from .problems import ProblemError
from .routes import problem_response

PATHS = ("/", "/store", "/s/{session}")
"""Of the page: which of them it shows is read by its script."""
ASSETS = "/assets/"
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; connect-src 'self'; "
    "font-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'"
)
NOT_BUILT = "the page is not built here: `make ui` in a checkout builds it, and an installed Refold has it"
_MEDIA_TYPES: Mapping[str, str] = {
    ".css": "text/css",
    ".js": "text/javascript",
    ".svg": "image/svg+xml",
    ".png": "image/png",
}
_FOR_EVER = "public, max-age=31536000, immutable"  # its name has a hash of what it holds


def built_page() -> Traversable:
    """Return the folder in which the page lies, if it was built."""
    return files("refold.http").joinpath("page")


def is_of_page(path: str) -> bool:
    """Return whether a path is the page's, for which nobody needs a token."""
    return path in PATHS or path.startswith(("/s/", ASSETS, OPENINGS))


def page_routes(folder: Traversable) -> Sequence[Route]:
    """Make the routes of a page that lies in a folder."""

    async def document(request: Request) -> Response:
        index = folder.joinpath("index.html")
        if not index.is_file():
            return missing_page(503, NOT_BUILT)
        headers = {"content-security-policy": POLICY, "cache-control": "no-cache"}
        return Response(index.read_bytes(), headers=headers, media_type="text/html")

    async def asset(request: Request) -> Response:
        name = request.path_params["name"]
        found = folder.joinpath("assets", name)
        media_type = _MEDIA_TYPES.get(f".{name.rpartition('.')[2]}")
        if media_type is None or not re.fullmatch(r"[\w-][\w.-]*", name, re.ASCII) or not found.is_file():
            return problem_response(ProblemError(404, "the page has no such file; it may have been built anew: reload"))
        return Response(found.read_bytes(), headers={"cache-control": _FOR_EVER}, media_type=media_type)

    return [*(Route(path, document) for path in PATHS), Route(f"{ASSETS}{{name}}", asset)]
