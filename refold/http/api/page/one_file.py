"""A session as the page in one file, to be saved: what is answered here, put together once."""

from __future__ import annotations

from urllib.parse import quote

import msgspec
from starlette.responses import Response

from replay.omitting import OMITTED, Omitted

from ...interface.values import Text
from ..problems import ProblemError
from ..routes import Call, Nothing, Route
from ..v1.parameters import session_of


class FileQuery(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`family`: with the session's branches, and the other sessions of its tree.

    `omit`: what is left out of the file: `results`, `images`, `thinking`, with commas between them.
    """

    family: bool = False
    omit: Text = ""


async def read_file(call: Call[FileQuery, Nothing]) -> Response:
    """Read the session as the page in one file, which works without a server."""
    from ...page_file.file import served_file  # it is put together of what is answered here

    omit, session = _omitted(call.query.omit), await session_of(call)
    headers = {"content-disposition": f"attachment; filename*=UTF-8''{quote(session.id, safe='')}.html"}
    return Response(
        await served_file(call.served, session.id, family=call.query.family, omit=omit),
        headers=headers,
        media_type="text/html",
    )


def _omitted(text: str) -> tuple[Omitted, ...]:
    """Read what is to be left out. Raises: ProblemError."""
    asked = [one for one in text.split(",") if one]
    if unknown := [one for one in asked if one not in OMITTED]:
        raise ProblemError(422, f"the query: omit: expected {', '.join(OMITTED)}, found {unknown[0][:100]!r}")
    return tuple(one for one in OMITTED if one in asked)


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
