"""What requests and answers have in common: places in a session, pages, texts, any JSON."""

from __future__ import annotations

from typing import Annotated, TypeAlias

import msgspec

MOST = 1_000
"""Rows or events of a page."""
NAMES_HEADER, IDS = "x-refold-names", "ids"
"""A header, and its value for who means sessions by their whole ids alone, and never by a title."""

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
