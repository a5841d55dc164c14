"""Reading and room: a full scan, a page in the middle of a huge message, and how much disk an exchange takes."""

from __future__ import annotations

import asyncio
import sqlite3
import time
from pathlib import Path

from eventsource.events import MessageEnd, MessageStart, MessageUpdate
from eventsource.log import open_store
from eventsource.log.load import read_all
from eventsource.messages import AssistantMessage, TextContent

from . import floor
from .exchange import SESSION, exchange
from .measure import Compared, compare
from .rows import Row, ratio_row, row
from .stores import files, folder

_MESSAGE_BYTES = 10_000_000
_PAGE = 100
_PAGE_RUNS = 7
_MISSED = (
    "Both goals are older than the index of `search`, which takes what the table says. Without it the facts take 5.9 "
    "kB with their links and digests, and the deltas with their times 0.8."
)


def run(quick: bool) -> list[Row]:
    """Measure reading, and the files' sizes."""
    count = 100 if quick else 1_000
    made = files(count)
    found = compare(
        5, lambda: asyncio.run(_scan_rate(made.refold, made.head)), lambda: _floor_rate(made.floor, made.head)
    )
    return [
        ratio_row(f"scan {count:,} exchanges, every delta", found, "events/s"),
        _page(20_000 if quick else 200_000),
        *_sizes(count),
    ]


async def _scan_rate(path: Path, head: int) -> float:
    async with open_store(path) as log:
        began = time.perf_counter()
        async for _ in read_all(log, SESSION):
            pass
        return head / (time.perf_counter() - began)


def _floor_rate(path: Path, head: int) -> float:
    connection = floor.connect(path)
    began = time.perf_counter()
    for _ in floor.read_all(connection):
        pass
    taken = time.perf_counter() - began
    connection.close()
    return head / taken


def _page(deltas: int) -> Row:
    path = folder() / f"page-{deltas}.db"
    taken = asyncio.run(_page_ms(path, deltas))
    name = (
        f"open, read {_PAGE} updates in the middle of a {_MESSAGE_BYTES // 1_000_000} MB message of {deltas:,} deltas"
    )
    return row(name, taken, "ms", goal="<= 50")


async def _page_ms(path: Path, deltas: int) -> list[float]:
    """Record one huge message, then reopen the file and read a page, some times."""
    delta = "word " * (_MESSAGE_BYTES // deltas // 5)
    message = AssistantMessage(content=(TextContent(text=delta * deltas),))
    async with open_store(path) as log:
        await log.create(SESSION)
        start = await log.append(SESSION, exchange(0)[0])
        updates = [MessageUpdate(kind="text_start", content_index=0)]
        updates += [MessageUpdate(kind="text_delta", content_index=0, delta=delta) for _ in range(deltas)]
        timed = [(20_000 * n, update) for n, update in enumerate(updates)]
        await log.append(SESSION, [(0, MessageStart(role="assistant"))], durable=False)
        for n in range(0, len(timed), 1_000):
            await log.append(SESSION, timed[n : n + 1_000], durable=False)
        await log.append(SESSION, [(20_000 * deltas, MessageEnd(message=message))])
    return [await _read_page_ms(path, start + deltas // 2) for _ in range(_PAGE_RUNS)]


async def _read_page_ms(path: Path, after: int) -> float:
    began = time.perf_counter()
    async with open_store(path) as log:
        page = await log.read(SESSION, after=after, limit=_PAGE)
        taken = (time.perf_counter() - began) * 1000
    if len(page) != _PAGE:
        raise RuntimeError(f"a page of {_PAGE} updates was asked for, {len(page)} came")
    return taken


def _sizes(count: int) -> list[Row]:
    made = files(count)
    ours, plain, deltas = (path.stat().st_size / count for path in (made.refold, made.facts, made.floor))
    return [
        ratio_row(
            "disk for an exchange (floor: no delta)",
            Compared(ours, plain, ours / plain, 1),
            "bytes",
            goal="<= 1.25x",
            missed=_MISSED,
        ),
        row("the same, as it is", [ours], "bytes", goal="<= 6,600", missed=_MISSED),
        *_index_size(made.refold, count),
        ratio_row(
            "the same (beside: deltas coalesced)", Compared(ours, deltas, ours / deltas, 1), "bytes", beside=True
        ),
    ]


def _index_size(path: Path, count: int) -> list[Row]:
    """Measure what the index of `search` takes of it, where this SQLite can say so."""
    connection = sqlite3.connect(path)
    try:
        (size,) = connection.execute("SELECT sum(pgsize) FROM dbstat WHERE name LIKE 'search%'").fetchone()
    except sqlite3.OperationalError:
        return []
    finally:
        connection.close()
    return [row("of it the index of `search`", [size / count], "bytes")] if size else []
