"""A session as the page in one file, to be saved: what is answered here, put together once."""

from __future__ import annotations

from urllib.parse import quote

from starlette.responses import Response

from ..routes import Call, Nothing, Route
from ..v1.parameters import session_of


async def read_file(call: Call[Nothing, Nothing]) -> Response:
    """Read the session as the page in one file, which works without a server."""
    from ...page_file.file import served_file  # it is put together of what is answered here

    session = await session_of(call)
    headers = {"content-disposition": f"attachment; filename*=UTF-8''{quote(session.id, safe='')}.html"}
    return Response(await served_file(call.served, session.id), headers=headers, media_type="text/html")


ONE_FILE = (
    Route(
        method="GET",
        path="/api/sessions/{session}/file",
        does=read_file,
        tag="page",
        also={200: ("text/html",)},
        errors=(404, 503),
    ),
)
