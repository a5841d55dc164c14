"""What routes take alike: places in a session, pages, and which session is meant."""

from __future__ import annotations

from typing import Annotated, TypeAlias

import msgspec

from eventsource import session as core

from ....session import Session
from ..routes import B, Call, Q

MOST = 1_000
"""Rows or events of a page."""

Seq: TypeAlias = Annotated[int, msgspec.Meta(ge=0, le=2**32 - 1, description="A seq: the 1-based place of an event.")]
PageSize: TypeAlias = Annotated[int, msgspec.Meta(ge=1, le=MOST)]
Text: TypeAlias = Annotated[str, msgspec.Meta(max_length=10_000)]
Anything: TypeAlias = Annotated[msgspec.Raw, msgspec.Meta(extra_json_schema={"description": "Any JSON."})]


class AtQuery(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`at`: as it was at this seq; the head by default."""

    at: Seq | None = None


class Head(msgspec.Struct, frozen=True):
    """The session, and the seq of its last event now."""

    session: str
    head: int


async def session_of(call: Call[Q, B]) -> Session:
    """Find the session that a path names, by its whole id or title. Raises: UnknownSessionError."""
    store = call.served.log.store
    name = await store.resolve(call.path["session"], prefix=False)
    return Session(core.SessionHandle(store, name, clock=call.served.log.clock, expected=call.expected))
