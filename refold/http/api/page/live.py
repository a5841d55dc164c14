"""Streams for the page: of a session the rows that changed and what is being said; of the table, its rows."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from typing import Annotated

import msgspec
from starlette.responses import Response

from eventsource.background import running
from eventsource.envelope import Cursor, Recorded
from eventsource.events import MessageUpdate
from eventsource.log.protocol import EventLog

from ....views.index import SessionIndex
from ....views.jump import open_message_seq
from ....views.live import LiveBatch, LiveText, OpenText, live_batch
from ...interface.events import EVENT_STREAM, StreamNotice
from ...interface.values import Seq
from ..event_stream import EventStream
from ..frames import RETRY, notice_frame, select
from ..hub import JOIN_S, Reader, check_place, ending_frame
from ..routes import Call, Nothing, Route
from ..table_watch import TableBatch
from ..v1.events import last_event_id
from ..v1.parameters import session_of

MOST_EVENTS = 5_000
"""Events whose texts a batch tells; where more have come, the page reads what was said anew."""
NOTICES: Mapping[str, type[msgspec.Struct]] = {"end": StreamNotice, "reset": StreamNotice}
"""What every stream may tell beside its own."""


class LiveQuery(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`after`: the seq that was seen last. `at_digest`: the digest there; see the events of a session."""

    after: Seq = 0
    at_digest: Annotated[str, msgspec.Meta(pattern="^[0-9a-f]{64}$")] | None = None


async def watch_session(call: Call[LiveQuery, Nothing]) -> Response:
    """Stream what happens in a session: `event: rows`, each with the rows that changed and what is being said.

    It begins behind `Last-Event-ID`, else `after`. Deltas are held for 50 ms at the most. `event: reset` tells that
    what was seen is in the log no more, `event: end` that the stream ends, and why.
    """
    session = await session_of(call)
    asked, last = call.query, last_event_id(call.headers)
    is_same = last is None or last == asked.after
    place = Cursor(asked.after, asked.at_digest or "") if is_same or last is None else Cursor(last)
    watch = _Watch(call.served.log.store, call.served.index, session.id)
    return EventStream(call.served.hub, lambda reader: pieces(reader, lambda: watch.run(reader, place)))


async def watch_table(call: Call[Nothing, Nothing]) -> Response:
    """Stream the rows of the table: `event: sessions`, those that were updated last first, then those that change.

    200 rows are told first. Then any of the 50,000 sessions that were updated last, as soon as the log tells that
    something was appended: `watched` says how many they are, and `more` whether there are others.
    """
    table = call.served.table

    async def work(reader: Reader) -> None:
        await table.watch(lambda batch: reader.put(frame("sessions", batch)))

    return EventStream(call.served.hub, lambda reader: pieces(reader, lambda: work(reader)))


async def pieces(reader: Reader, work: Callable[[], Awaitable[None]]) -> AsyncIterator[bytes]:
    """Yield what some work hands to a reader, until the last of it."""
    yield RETRY

    async def told() -> None:
        try:
            await work()
        except Exception as error:  # whoever watches is told
            reader.end(ending_frame(error))

    async with running(told()):
        is_last = False
        while not is_last:
            ready, is_last = await reader.take()
            if ready:
                yield ready


def frame(name: str, data: msgspec.Struct, seq: int | None = None) -> bytes:
    """Write a batch."""
    place = b"" if seq is None else b"id: %d\n" % seq
    return b"%bevent: %b\ndata: %b\n\n" % (place, name.encode(), msgspec.json.encode(data))


class _Watch:
    """Tells one reader what happens in a session."""

    def __init__(self, store: EventLog, index: SessionIndex, session: str) -> None:
        self._store, self._index, self._session = store, index, session
        self._open = OpenText()

    async def run(self, reader: Reader, place: Cursor) -> None:
        """Tell first what is there, then what comes; ends only when what was seen is in the log no more."""
        await check_place(self._store, self._session, place)
        seen, is_first = place.seq, True
        while True:
            await reader.room()
            info, whole = await self._index.whole(self._session, patience_s=None)
            if info.head < seen:
                lost = StreamNotice(
                    "what was seen is in the log no more", session=self._session, seen=seen, head=info.head
                )
                return reader.end(notice_frame("reset", lost))
            if is_first and seen:
                start = open_message_seq(await self._index.at(self._session, seen, patience_s=None))
                self._open.take(await self._events(start - 1, seen) if start else ())
            if info.head > seen or is_first:
                page = await self._events(seen, info.head)
                is_told = not page or page[-1].seq == info.head or len(page) < MOST_EVENTS
                self._open.take(page)
                batch = live_batch(info, whole, seen, _texts(page), self._open.tail, reload=not is_told)
                reader.put(frame("rows", batch, info.head))
                seen, is_first = info.head, False
                await asyncio.sleep(JOIN_S)
            await self._store.wait(self._session, seen)

    async def _events(self, after: int, upto: int) -> Sequence[Recorded]:
        return await self._store.read(self._session, after=after, upto=upto, limit=MOST_EVENTS)


def _texts(page: Sequence[Recorded]) -> list[LiveText]:
    """Join what was said of the message that is open at the end of a page."""
    ends = [n for n, one in enumerate(page, start=1) if one.event.type == "message_end"]
    texts = []
    for one in select(page[ends[-1] if ends else 0 :], "joined"):
        event = one.recorded.event
        if isinstance(event, MessageUpdate):
            texts.append(
                LiveText(
                    first_seq=one.first_seq or one.recorded.seq,
                    seq=one.recorded.seq,
                    kind=event.kind,
                    content_index=event.content_index,
                    name=event.name,
                    text=event.delta,
                )
            )
    return texts


LIVE = (
    Route(
        method="GET",
        path="/api/sessions/{session}/live",
        does=watch_session,
        tag="page",
        also={200: (EVENT_STREAM,)},
        streams={"rows": LiveBatch, **NOTICES},
        errors=(404, 503),
    ),
    Route(
        method="GET",
        path="/api/live",
        does=watch_table,
        tag="page",
        also={200: (EVENT_STREAM,)},
        streams={"sessions": TableBatch, **NOTICES},
        errors=(503,),
    ),
)
