"""Streams of events that go on: cut off, they begin again where they were; nothing is missing, nothing comes twice."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping

import msgspec

from eventsource.codec import decode
from eventsource.envelope import Cursor, Recorded
from eventsource.errors import CorruptLogError, TailLostError
from eventsource.models.transport.sse import ServerEvent

from ..http.interface.events import EventsQuery, SentEvent, StreamNotice, TreeQuery, Updates, place_name
from .connection import Connection, path_of
from .errors import ClientError

_MOST_CHARS = 20_000
"""Of the place in a tree, as a header: a server takes 32 kB of these. What is left out is sent again, and not shown."""


def recorded_of(sent: SentEvent, session: str) -> Recorded:
    """Take an event out of its envelope."""
    return Recorded(sent.seq, sent.at_us, decode(bytes(sent.event), session=session, seq=sent.seq))


async def follow(
    connection: Connection, session: str, after: Cursor | int = 0, *, updates: Updates = "all"
) -> AsyncGenerator[Recorded, None]:
    """Yield every event of a session after a place, for ever; see `EventLog.follow`.

    Raises: TailLostError when the place, or what was yielded last, is in the log no more; UnknownSessionError when the
        session is not there, or is deleted.
    """
    start = after if isinstance(after, Cursor) else Cursor(after)
    seq, digest, at_us = start.seq, start.digest, None

    def query() -> tuple[EventsQuery, str]:
        return EventsQuery(after=seq, updates=updates, at_digest=digest or None, at_us=at_us), str(seq)

    stream = connection.stream(path_of(session, "events"), query)
    try:
        while True:
            sent = _sent(connection, await stream.next(), session)
            if sent is not None and sent.seq > seq:
                seq, digest, at_us = sent.seq, "", sent.at_us
                yield recorded_of(sent, session)
    finally:
        await stream.close()


async def follow_tree(
    connection: Connection, session: str, after: int | Mapping[str, int] = 0, *, updates: Updates = "all"
) -> AsyncGenerator[tuple[str, Recorded], None]:
    """Yield every event of a session and of all that it started, each with its session, for ever.

    Raises: as `follow`.
    """
    places = dict(after) if isinstance(after, Mapping) else {session: after}

    def query() -> tuple[TreeQuery, str]:
        return TreeQuery(updates=updates), _tree_place(session, places)

    stream = connection.stream(path_of(session, "tree-events"), query)
    try:
        while True:
            sent = _sent(connection, await stream.next(), session)
            if sent is not None and sent.seq > places.get(sent.session, 0):
                places[sent.session] = sent.seq
                yield sent.session, recorded_of(sent, sent.session)
    finally:
        await stream.close()


def _tree_place(session: str, places: Mapping[str, int]) -> str:
    """Write how far a tree was seen, without the shortest of its sessions if there are too many."""
    told = {session: places.get(session, 0), **places}
    while len(name := place_name(session, told)) > _MOST_CHARS:
        shortest = sorted((one for one in told if one != session), key=lambda one: told[one])
        for one in shortest[: len(shortest) // 4 + 1]:
            del told[one]
    return name


def _sent(connection: Connection, event: ServerEvent, session: str) -> SentEvent | None:
    """Read what a stream sent; None when it only says that it ends. Raises: what it says that will not change."""
    shown = connection.address.shown
    try:
        if event.event not in ("end", "reset"):
            return msgspec.json.decode(event.data, type=SentEvent)
        said = msgspec.json.decode(event.data, type=StreamNotice)
    except msgspec.DecodeError as error:
        raise ClientError(shown, 200, f"expected an event, found another thing: {error}") from error
    if event.event == "reset":
        raise TailLostError(said.session or session, said.seen, said.head)
    if said.error == CorruptLogError.__name__:
        raise ClientError(shown, 200, said.reason, said.error)
    return None
