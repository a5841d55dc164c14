"""The events of a session: a page of them, or a stream that goes on; and of a session with all that it started."""

from __future__ import annotations

from typing import Annotated

import msgspec
from starlette.responses import Response

from eventsource.envelope import Cursor

from ..event_stream import EventStream
from ..frames import SentEvent, Updates, select, sent_event
from ..problems import ProblemError
from ..routes import Call, Nothing, Route, json_response
from ..tree_stream import read_place, tree_stream
from .parameters import PageSize, Seq, Text, session_of

EVENT_STREAM = "text/event-stream"


class EventsQuery(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Which events: those with `after < seq <= upto`.

    `updates`: deltas as they came (`all`), none of them, or (`joined`) those of one block that follow each other as
    one; by default `all` of a page, `joined` of a stream. `at_digest`: the digest at `after`, of a cursor; if it is
    another one now, the tail that was seen is in the log no more, and a stream says so.
    """

    after: Seq = 0
    upto: Seq | None = None
    limit: PageSize = 1000
    updates: Updates | None = None
    at_digest: Annotated[str, msgspec.Meta(pattern="^[0-9a-f]{64}$")] | None = None


class EventPage(msgspec.Struct, frozen=True):
    """A page of events; `next`: the `after` of the page behind it, if there may be one."""

    events: tuple[SentEvent, ...]
    next: int | None = None


class TreeQuery(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`after`: the id of the last event that was seen, or a seq of the session itself."""

    after: Text = "0"
    updates: Updates = "joined"


async def read_events(call: Call[EventsQuery, Nothing]) -> Response:
    """Read events: as JSON a page of them, with `Accept: text/event-stream` a stream that goes on.

    A stream begins behind `Last-Event-ID`, else `after`: first what is there, then what comes, from any process, no
    gap and no duplicate. Each has its seq as id. `event: reset` tells that what was seen is in the log no more, `event:
    end` that the stream ends, and why; then it may be asked for again.
    """
    asked, session = call.query, await session_of(call)
    if not call.accepts_events:
        page = await session.events(
            after=asked.after, upto=asked.upto, limit=asked.limit, updates=asked.updates != "none"
        )
        chosen = select(page, asked.updates or "all")
        sent = tuple(sent_event(session.id, one.recorded, one.first_seq) for one in chosen)
        return json_response(EventPage(sent, page[-1].seq if len(page) == asked.limit else None))
    after, digest = asked.after, asked.at_digest or ""
    if (last := call.headers.get("last-event-id")) is not None:
        if not (last.isascii() and last.isdecimal() and len(last) < 12):
            raise ProblemError(422, f"Last-Event-ID: expected a seq, found {last[:100]!r}")
        after, digest = int(last), digest if int(last) == asked.after else ""
    hub, updates = call.served.hub, asked.updates or "joined"
    return EventStream(hub, lambda reader: hub.stream(reader, session.id, Cursor(after, digest), updates))


async def read_tree_events(call: Call[TreeQuery, Nothing]) -> Response:
    """Stream the events of a session and of all sessions that it started, as they come, each with its session.

    An event's id says how far each of these was sent; it is given back as `Last-Event-ID`, or as `after`.
    """
    session = await session_of(call)
    try:
        places = read_place(session.id, call.headers.get("last-event-id") or call.query.after)
    except ValueError as error:
        raise ProblemError(422, f"Last-Event-ID, or after: {error}") from error
    log, updates = call.served.log.store, call.query.updates
    return EventStream(call.served.hub, lambda reader: tree_stream(log, reader, session.id, places, updates))


EVENTS = (
    Route(
        method="GET",
        path="/v1/sessions/{session}/events",
        does=read_events,
        tag="events",
        also={200: (EventPage, EVENT_STREAM)},
        errors=(404, 503),
    ),
    Route(
        method="GET",
        path="/v1/sessions/{session}/tree-events",
        does=read_tree_events,
        tag="events",
        also={200: (EVENT_STREAM,)},
        errors=(404, 503),
    ),
)
