"""What a session's timeline and charts are drawn from."""

from __future__ import annotations

import asyncio
from typing import Annotated

import msgspec
from msgspec.structs import replace

from eventsource.events import MessageUpdate
from eventsource.log.protocol import EventLog

from ....views.columns import NONE, ModelCalls
from ....views.series import CallSeries, Timespans, call_series, joined_spans
from ..routes import Call, Nothing, Route
from .parameters import WindowQuery, whole_of

_MOST_PIXELS = 10_000
_MOST_READ = 500
"""Model calls of which it is read, each time, when the first token came: 0.3 ms each."""


class SpansQuery(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Between which times (UTC microseconds; by default all), and on how many pixels: what is narrower is joined."""

    from_us: Annotated[int, msgspec.Meta(ge=-(2**63), le=2**63 - 1)] | None = None
    to_us: Annotated[int, msgspec.Meta(ge=-(2**63), le=2**63 - 1)] | None = None
    px: Annotated[int, msgspec.Meta(ge=1, le=_MOST_PIXELS)] = 1_000


async def read_spans(call: Call[SpansQuery, Nothing]) -> Timespans:
    """Read what took time, as bars; of those that are one model call, also when its answer began to come.

    That is read of 500 calls at the most each time, and kept: `first_tokens_left` says of how many it is still unread.
    """
    asked, (at, whole) = call.query, await whole_of(call)
    spans, reached = whole.columns.spans, whole.reached  # read in a thread: what was told of a span stays
    found = await asyncio.to_thread(joined_spans, spans, reached, asked.from_us, asked.to_us, asked.px)
    calls, bars, left, unread = whole.columns.calls, list(found.bars), _MOST_READ, 0
    for number, bar in enumerate(bars):
        if bar.kind != "model" or bar.spans > 1:
            continue
        place = calls.place(bar.start_seq)
        if place == len(calls) or calls.seqs[place] != bar.start_seq:
            continue
        if _is_unread(calls, place):
            if not left:
                unread += 1
                continue
            left -= 1
            await _fill(call.served.log.store, at.info.id, calls, place)
        first = calls.first_token_us[place]
        bars[number] = replace(bar, first_token_us=first if first != NONE else None)
    return replace(found, bars=tuple(bars), first_tokens_left=unread)


async def read_series(call: Call[WindowQuery, Nothing]) -> CallSeries:
    """Read the figures of model calls, from one on."""
    asked, (at, whole) = call.query, await whole_of(call)
    calls = whole.columns.calls
    for place in range(asked.start, min(asked.start + asked.limit, len(calls))):
        await _fill(call.served.log.store, at.info.id, calls, place)
    return call_series(whole.columns, asked.start, asked.limit)


def _is_unread(calls: ModelCalls, place: int) -> bool:
    """Return whether an answer may have begun to come at a time that was not read yet."""
    begun, last = calls.begun[place], calls.lasts[place]
    return not calls.first_token_read[place] and begun != NONE and not (last != NONE and last <= begun + 1)


async def _fill(store: EventLog, session: str, calls: ModelCalls, place: int) -> None:
    """Read when the first piece of an answer came: the index takes facts only, and reads no updates for it."""
    if not _is_unread(calls, place):
        return
    begun, last = calls.begun[place], calls.lasts[place]
    page = await store.read(session, after=begun, upto=last if last != NONE else None, limit=1)
    if page and isinstance(page[0].event, MessageUpdate):
        calls.first_token_us[place] = max(page[0].at_us - calls.at_us[place], 0)
    calls.first_token_read[place] = bool(page) or last != NONE


CHARTS = (
    Route(method="GET", path="/api/sessions/{session}/spans", does=read_spans, tag="page", errors=(404,)),
    Route(method="GET", path="/api/sessions/{session}/series", does=read_series, tag="page", errors=(404,)),
)
