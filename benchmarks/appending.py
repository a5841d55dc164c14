"""Appending: what it costs to put an exchange on disk, delta by delta."""

from __future__ import annotations

import asyncio
import time
from itertools import count

from eventsource.log import open_store
from eventsource.log.protocol import EventLog

from .exchange import SESSION, Append, exchanges, flushed
from .floor import Floor, open_floor
from .measure import compared
from .rows import Row
from .stores import folder

_names = count()


def run(quick: bool) -> list[Row]:
    """Measure an append of every message, whole and flushed while it streams."""
    return [
        _row("append, one commit for each message", 0, "<= 1.4x", quick),
        _row("append, flushed every 20 deltas", 20, "<= 1.6x", quick),
    ]


def _row(name: str, every: int, goal: str, quick: bool) -> Row:
    rounds, size = (4, 10) if quick else (40, 25)
    ours, floor = asyncio.run(_rounds(rounds, size, every))
    found = compared(ours, floor)
    return Row(name, found.value, "ms/exchange", found.floor, found.ratio, goal)


async def _rounds(rounds: int, size: int, every: int) -> tuple[list[float], list[float]]:
    place = folder() / f"append-{next(_names)}"
    place.mkdir()
    ours: list[float] = []
    floors: list[float] = []
    async with open_store(place / "refold.db") as log, open_floor(place / "floor.db") as floor:
        await log.create(SESSION)
        head = 0
        for number in range(rounds):
            made = [
                part
                for appends in exchanges(size, after=head, first=number * size)
                for append in appends
                for part in flushed(append, every)
            ]
            for figures in (ours, floors)[:: -1 if number % 2 else 1]:
                began = time.perf_counter()
                if figures is ours:
                    head = await _append(log, head, made)
                else:
                    await _append_floor(floor, made)
                figures.append((time.perf_counter() - began) * 1000 / size)
    return ours, floors


async def _append(log: EventLog, head: int, made: list[tuple[Append, bool]]) -> int:
    for events, durable in made:
        head = await log.append(SESSION, events, expected=head, durable=durable)
    return head


async def _append_floor(floor: Floor, made: list[tuple[Append, bool]]) -> None:
    for events, durable in made:
        await floor.append(events, durable=durable)
