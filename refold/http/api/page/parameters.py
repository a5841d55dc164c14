"""What the page's routes take alike: windows, seqs in paths, and a session at a seq."""

from __future__ import annotations

from typing import Annotated, TypeAlias

import msgspec

from ....views.index import At, Indexed, NotIndexedError
from ..problems import ProblemError
from ..routes import B, Call, Q
from ..v1.parameters import session_of

MOST = 500
"""Rows, messages or parts of a window."""
WindowSize: TypeAlias = Annotated[int, msgspec.Meta(ge=1, le=MOST)]
Place: TypeAlias = Annotated[int, msgspec.Meta(ge=0, le=2**32 - 1)]
_SOON_S = 1
_PARTIAL_S = 0.1
"""How long an answer that may be partial waits for all of it."""
_MOST_DIGITS = 10


class WindowQuery(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename={"start": "from"}):
    """A window: so many from one place on, counted from 0."""

    start: Place = 0
    limit: WindowSize = 100


def seq_in(call: Call[Q, B], name: str = "seq") -> int:
    """Read a seq in a path. Raises: ProblemError."""
    text = call.path[name]
    if not (text.isascii() and text.isdecimal() and len(text) <= _MOST_DIGITS):
        raise ProblemError(422, f"the path: expected a seq, found {text[:100]!r}")
    return int(text)


async def at_of(call: Call[Q, B], seq: int | None) -> At:
    """Return the session of a path as it is at a seq.

    Raises: UnknownSessionError; UnknownSeqError; ProblemError when it is not indexed so far yet.
    """
    return await at_in(call, (await session_of(call)).id, seq)


async def at_in(call: Call[Q, B], session: str, seq: int | None) -> At:
    """Return a session as it is at a seq; see `at_of`."""
    try:
        return await call.served.index.at(session, seq)
    except NotIndexedError as error:
        raise ProblemError(503, str(error), error="NotIndexedError", retry_after_s=_SOON_S) from error


class PartialQuery(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`partial`: what is indexed by now is answered, as of `indexed_to`, where the index has not come to the head."""

    partial: bool = False


async def as_indexed(call: Call[Q, B]) -> tuple[At, Indexed]:
    """Return the session of a path at its head; else, soon, at the seq up to which it is indexed by now."""
    session, index = (await session_of(call)).id, call.served.index
    try:
        at = await index.at(session, None, patience_s=_PARTIAL_S)
    except NotIndexedError as error:
        at = await at_in(call, session, error.indexed_to)
    return at, at.whole


async def whole_of(call: Call[Q, B]) -> tuple[At, Indexed]:
    """Return the session of a path at its head, and the index of the whole."""
    at = await at_of(call, None)
    return at, at.whole
