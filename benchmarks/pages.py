"""Pages: the first page of a comparison of two long branches, and of what a long request is made of."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable

from eventsource.log import open_store
from eventsource.session import SessionHandle
from replay.diff import diff
from replay.why import why

from .exchange import SESSION, exchanges
from .rows import Row, row
from .stores import new_folder

_PAGE = 50
_RUNS = 9


def run(quick: bool) -> list[Row]:
    """Measure in an opened log that has answered the same before."""
    return asyncio.run(_rows(20 if quick else 1_250))


async def _rows(count: int) -> list[Row]:
    async with open_store(new_folder() / "pages.db") as log:
        await log.create(SESSION)
        shared = await _say(log.append, SESSION, 5, 0)
        fork = (await log.fork(SESSION, shared, at_us=1)).id
        head = await _say(log.append, SESSION, count, shared)
        await _say(log.append, fork, count, shared + 1)
        left, right = (SessionHandle(log, name, clock=lambda: 0) for name in (SESSION, fork))
        page = await diff(left, right, limit=_PAGE)
        told = await why(left, head - 5, limit=_PAGE)
        compared = await _ms(lambda: diff(left, right, limit=_PAGE))
        explained = await _ms(lambda: why(left, head - 5, limit=_PAGE))
    of = f"of {4 * count:,} messages"
    written = [len(page.pretty().encode()) / 1000], [len(told.pretty().encode()) / 1000]
    return [
        row(f"first page of a diff of branches {of} each", compared, "ms", goal="<= 50"),
        row("the same, written for a terminal", written[0], "kB", goal="<= 64"),
        row("the same, as JSON", [len(page.json().encode()) / 1000], "kB", goal="<= 64"),
        row(f"first page of why, a request {of}", explained, "ms", goal="<= 50"),
        row("the same, written for a terminal", written[1], "kB", goal="<= 64"),
        row("the same, as JSON", [len(told.json().encode()) / 1000], "kB", goal="<= 64"),
    ]


async def _say(append: Callable[..., Awaitable[int]], session: str, count: int, head: int) -> int:
    for made in exchanges(count, after=head, first=head, deltas=0):
        head = await append(session, [event for one in made for event in one])
    return head


async def _ms(work: Callable[[], Awaitable[object]]) -> list[float]:
    taken = []
    for _ in range(_RUNS):
        began = time.perf_counter()
        await work()
        taken.append((time.perf_counter() - began) * 1000)
    return taken
