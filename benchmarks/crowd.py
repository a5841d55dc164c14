"""Many sessions at once in one process: how often the disk must be waited for."""

from __future__ import annotations

import asyncio
import time

from eventsource.log import open_store
from eventsource.log.sqlite.store import SqliteLog

from .exchange import Append, exchanges
from .floor import open_floor
from .rows import Row
from .stores import folder

_SESSIONS = 50


def run(quick: bool) -> list[Row]:
    """Let sessions append side by side; the floor lets them append one after the other."""
    count = 4 if quick else 20
    made = [list(exchanges(count, first=number * count)) for number in range(_SESSIONS)]
    commits, ours, floor = asyncio.run(_measure(made, _SESSIONS * count))
    name = f"{_SESSIONS} sessions at once"
    return [
        Row(f"{name}: commits with a sync", commits, "per exchange", 4, commits / 4, "<= 1"),
        Row(f"{name}: append", ours, "ms/exchange", floor, ours / floor),
    ]


async def _measure(made: list[list[list[Append]]], total: int) -> tuple[float, float, float]:
    place = folder() / f"crowd-{total}"
    place.mkdir()
    async with open_store(place / "refold.db") as log:
        if not isinstance(log, SqliteLog):
            raise TypeError("a log with a path should be in SQLite")
        for number in range(_SESSIONS):
            await log.create(f"s{number}")
        before = log.counts.full
        began = time.perf_counter()
        await asyncio.gather(*(_append(log, f"s{number}", one) for number, one in enumerate(made)))
        ours = (time.perf_counter() - began) * 1000 / total
        commits = (log.counts.full - before) / total
    async with open_floor(place / "floor.db") as floor:
        began = time.perf_counter()
        for one in made:
            for appends in one:
                for append in appends:
                    await floor.append(append)
        taken = (time.perf_counter() - began) * 1000 / total
    return commits, ours, taken


async def _append(log: SqliteLog, session: str, made: list[list[Append]]) -> None:
    head = 0
    for appends in made:
        for append in appends:
            head = await log.append(session, append, expected=head)
