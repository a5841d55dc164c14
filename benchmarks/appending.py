"""Appending: what it costs to put an exchange on disk, delta by delta."""

from __future__ import annotations

import asyncio
import time
from functools import cache

from eventsource.log import open_store
from eventsource.log.protocol import EventLog

from .exchange import SESSION, Append, exchange, exchanges, flushed
from .floor import Floor, open_floor
from .measure import Compared, compared, turns
from .rows import Row, ratio_row
from .stores import new_folder

_SIZE = 25  # exchanges of a round

Flushes = list[tuple[Append, bool]]


def run(quick: bool) -> list[Row]:
    """Measure an append of every message, whole and flushed while it streams."""
    rounds = 4 if quick else 40
    return [
        ratio_row("append, one commit for each message", asyncio.run(_rounds(rounds, 0)), "ms/exchange"),
        ratio_row("append, flushed every 20 deltas", asyncio.run(_rounds(rounds, 20)), "ms/exchange"),
    ]


async def _rounds(rounds: int, every: int) -> Compared:
    place = new_folder()
    ours: list[float] = []
    floors: list[float] = []
    async with open_store(place / "refold.db") as log, open_floor(place / "floor.db") as floor:
        await log.create(SESSION)
        for figures in turns(rounds, ours, floors):
            made = _made(len(figures), every)
            began = time.perf_counter()
            if figures is ours:
                await _append(log, made)
            else:
                await _append_floor(floor, made)
            figures.append((time.perf_counter() - began) * 1000 / _SIZE)
    return compared(ours, floors)


@cache
def _made(number: int, every: int) -> Flushes:
    """Make what is appended in a round, once for both."""
    head = number * _SIZE * sum(map(len, exchange(0)))
    appends = [append for one in exchanges(_SIZE, after=head, first=number * _SIZE) for append in one]
    return [part for append in appends for part in flushed(append, every)]


async def _append(log: EventLog, made: Flushes) -> None:
    head = (await log.info(SESSION)).head
    for events, durable in made:
        head = await log.append(SESSION, events, expected=head, durable=durable)


async def _append_floor(floor: Floor, made: Flushes) -> None:
    for events, durable in made:
        await floor.append(events, durable=durable)
