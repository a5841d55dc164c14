"""The stream of a session and all sessions that it started; an event's id says how far each of them was sent."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import aclosing, suppress
from itertools import groupby

from eventsource.background import running
from eventsource.envelope import Cursor, Recorded
from eventsource.errors import UnknownSessionError
from eventsource.log.protocol import EventLog

from ...session_tree import follow_tree
from ..interface.events import Updates, place_name
from .frames import RETRY, event_frame, select
from .hub import Holder, Reader, check_place, ending_frame


async def tree_stream(
    log: EventLog, reader: Reader, session: str, after: Mapping[str, int], updates: Updates
) -> AsyncIterator[bytes]:
    """Yield what is sent to one who watches a tree: first what is there, then what comes; pieces of a stream."""
    yield RETRY
    places = dict(after)

    def write(held: list[tuple[str, Recorded]]) -> None:
        for name, group in groupby(held, key=lambda one: one[0]):
            for one in select((recorded for _, recorded in group), updates):
                places[name] = one.recorded.seq
                reader.put(event_frame(name, one.recorded, name=place_name(name, places), first_seq=one.first_seq))

    async def pump() -> None:
        holder = Holder(updates, write)
        try:
            for name, seq in after.items():
                with suppress(UnknownSessionError):  # a child that is yet to be made, or was deleted
                    await check_place(log, name, Cursor(seq))
            async with aclosing(follow_tree(log, session, after)) as events:  # type: ignore[type-var]  # a generator
                async for name, recorded in events:
                    holder.hold((name, recorded), is_delta=recorded.event.type == "message_update")
                    await reader.room()
        except Exception as error:  # whoever watches is told
            holder.flush()
            reader.end(ending_frame(error))

    async with running(pump()):
        is_last = False
        while not is_last:
            ready, is_last = await reader.take()
            if ready:
                yield ready
