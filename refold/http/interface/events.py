"""Events as they are sent: in an envelope, page by page or as a stream, and how far a stream of a tree was sent."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal, TypeAlias
from urllib.parse import quote, unquote

import msgspec

from .values import PageSize, Seq, Text

_MOST_PLACES = 10_000
EVENT_STREAM = "text/event-stream"
Updates: TypeAlias = Literal["joined", "all", "none"]
"""Deltas as they came, none of them, or those of one block that came close together as one."""


class SentEvent(msgspec.Struct, frozen=True, omit_defaults=True):
    """An event in its envelope: its session, its seq and its time (UTC microseconds), and the event as it is stored.

    `first_seq`: of joined deltas, the seq of the first; `seq` is that of the last.
    """

    session: str
    seq: int
    at_us: int
    event: Annotated[msgspec.Raw, msgspec.Meta(extra_json_schema={"$ref": "#/components/schemas/Event"})]
    first_seq: int = 0


class StreamNotice(msgspec.Struct, frozen=True, omit_defaults=True):
    """What a stream sends that is no event: it ends (`end`), or what was seen is in the log no more (`reset`).

    `error`: the class of the error that ends it. Of a `reset`: whose events up to which seq were seen, and the head.
    """

    reason: str
    error: str = ""
    session: str = ""
    seen: int = 0
    head: int = 0


class EventsQuery(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Which events: those with `after < seq <= upto`.

    `updates`: deltas as they came (`all`), none of them, or (`joined`) those of one block that follow each other as
    one; by default `all` of a page, `joined` of a stream. `at_digest`: the digest at `after`, of a cursor, and `at_us`:
    the time of the event there; if it is another one now, the tail that was seen is in the log no more, and a stream
    says so.
    """

    after: Seq = 0
    upto: Seq | None = None
    limit: PageSize = 1000
    updates: Updates | None = None
    at_digest: Annotated[str, msgspec.Meta(pattern="^[0-9a-f]{64}$")] | None = None
    at_us: int | None = None


class EventPage(msgspec.Struct, frozen=True):
    """A page of events; `next`: the `after` of the page behind it, if there may be one."""

    events: tuple[SentEvent, ...]
    next: int | None = None


class TreeQuery(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`after`: the id of the last event that was seen, or a seq of the session itself."""

    after: Text = "0"
    updates: Updates = "joined"


def place_name(session: str, places: Mapping[str, int]) -> str:
    """Write how far a tree was sent: `session:seq` of the event itself, then those of the others."""
    others = (name for name in places if name != session)
    return ",".join(f"{quote(name, safe='')}:{places[name]}" for name in (session, *others))


def read_place(session: str, name: str) -> Mapping[str, int]:
    """Read what `place_name` wrote; a number alone is the seq of the session itself. Raises: ValueError."""
    if _is_seq(name):
        return {session: int(name)}
    parts = name.split(",")
    if len(parts) > _MOST_PLACES:
        raise ValueError(f"more than {_MOST_PLACES} sessions")
    places: dict[str, int] = {}
    for part in parts:
        named, colon, seq = part.rpartition(":")
        if not colon or not named or not _is_seq(seq):
            raise ValueError(f"expected SESSION:SEQ, or several with commas between them, found {part[:100]!r}")
        places[unquote(named)] = int(seq)
    return places


def _is_seq(text: str) -> bool:
    return text.isascii() and text.isdecimal() and len(text) < 12
