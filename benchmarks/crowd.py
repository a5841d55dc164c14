"""Many sessions at once in one process: how often the disk must be waited for.

The floor may share commits as Refold does: all that came while its thread was busy goes to disk together.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from functools import partial

from eventsource.log import open_store
from eventsource.log.sqlite.store import SqliteLog

from .exchange import Append, exchanges
from .floor import open_floor
from .measure import compared, turns
from .rows import Row, ratio_row, row
from .stores import new_folder

_SESSIONS = 50


def run(quick: bool) -> list[Row]:
    """Let sessions append side by side, in Refold and in the floor."""
    return asyncio.run(_rows(2, 2) if quick else _rows(9, 10))


async def _rows(rounds: int, each: int) -> list[Row]:
    place = new_folder()
    ours: list[float] = []
    floors: list[float] = []
    commits: list[float] = []
    floor_commits: list[float] = []
    total = _SESSIONS * each
    async with open_store(place / "refold.db") as log, open_floor(place / "floor.db") as floor:
        if not isinstance(log, SqliteLog):
            raise TypeError("a log with a path should be in SQLite")
        for figures in turns(rounds, ours, floors):
            first = len(figures) * total
            made = [list(exchanges(each, first=first + number * each)) for number in range(_SESSIONS)]
            names = [(await log.create()).id for _ in made] if figures is ours else []
            appends: Sequence[Callable[[Append], Awaitable[object]]] = [partial(log.append, name) for name in names]
            before = log.counts.full, floor.commits
            began = time.perf_counter()
            await asyncio.gather(
                *(_append(to, one) for to, one in zip(appends or [floor.append_shared] * _SESSIONS, made, strict=True))
            )
            figures.append((time.perf_counter() - began) * 1000 / total)
            if figures is ours:
                commits.append((log.counts.full - before[0]) / total)
            else:
                floor_commits.append((floor.commits - before[1]) / total)
    name = f"{_SESSIONS} sessions at once"
    return [
        row(f"{name}: commits with a sync", commits, "per exchange", goal="<= 1"),
        row("the same: the floor's, which shares them too", floor_commits, "per exchange"),
        ratio_row(f"{name}: append", compared(ours, floors), "ms/exchange"),
    ]


async def _append(append: Callable[[Append], Awaitable[object]], made: list[list[Append]]) -> None:
    for appends in made:
        for one in appends:
            await append(one)
