"""The events of a session: a page of them, or a stream that goes on; and of a session with all that it started."""

from __future__ import annotations

from starlette.datastructures import Headers
from starlette.responses import Response

from eventsource.envelope import Cursor

from ...interface.events import EVENT_STREAM, EventPage, EventsQuery, TreeQuery, read_place
from ..event_stream import EventStream
from ..frames import select, sent_event
from ..problems import ProblemError
from ..routes import Call, Nothing, Route, json_response
from ..tree_stream import tree_stream
from .parameters import session_of


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
    after, digest, at_us = asked.after, asked.at_digest or "", asked.at_us
    if (last := last_event_id(call.headers)) is not None and last != asked.after:
        after, digest, at_us = last, "", None
    hub, updates = call.served.hub, asked.updates or "joined"
    return EventStream(hub, lambda reader: hub.stream(reader, session.id, Cursor(after, digest), updates, at_us))


def last_event_id(headers: Headers) -> int | None:
    """Read the seq that a stream which was cut off had come to. Raises: ProblemError."""
    last = headers.get("last-event-id")
    if last is None:
        return None
    if not (last.isascii() and last.isdecimal() and len(last) < 12):
        raise ProblemError(422, f"Last-Event-ID: expected a seq, found {last[:100]!r}")
    return int(last)


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
