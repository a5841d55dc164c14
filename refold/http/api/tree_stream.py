"""The stream of a session and all sessions that it started; an event's id says how far each of them was sent."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import aclosing
from itertools import groupby
from urllib.parse import quote, unquote

from eventsource.background import running
from eventsource.envelope import Recorded
from eventsource.log.protocol import EventLog

from ...session_tree import follow_tree
from .frames import RETRY, Updates, event_frame, select
from .hub import Holder, Reader, ending_frame

_MOST_PLACES = 10_000


def place_name(session: str, places: Mapping[str, int]) -> str:
    """Write how far a tree was sent: `session:seq` of the event itself, then those of the others."""
    others = (name for name in places if name != session)
    return ",".join(f"{quote(name, safe='')}:{places[name]}" for name in (session, *others))


def read_place(session: str, name: str) -> Mapping[str, int]:
    """Read what `place_name` wrote; a number alone is the seq of the session itself. Raises: ValueError."""
    if name.isascii() and name.isdecimal():
        return {session: int(name)}
    parts = name.split(",")
    if len(parts) > _MOST_PLACES:
        raise ValueError(f"more than {_MOST_PLACES} sessions")
    places: dict[str, int] = {}
    for part in parts:
        named, colon, seq = part.rpartition(":")
        if not colon or not named or not (seq.isascii() and seq.isdecimal() and len(seq) < 12):
            raise ValueError(f"expected SESSION:SEQ, or several with commas between them, found {part[:100]!r}")
        places[unquote(named)] = int(seq)
    return places


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
