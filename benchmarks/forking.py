"""Forking: what a branch costs, in time and in bytes, however long the session is."""

from __future__ import annotations

import asyncio
import shutil
import sqlite3
import time
from pathlib import Path

from eventsource.log import open_store, utc_now_us

from . import floor
from .exchange import SESSION
from .measure import compare
from .rows import Chart, Point, Row, ratio_row, row
from .stores import files, folder

_FORKS = 100
_CHART = Chart("forking", "A fork in the middle, with opening the file", "exchanges of the session")
_MISSED = (
    "Opening takes most of it: a thread, two connections that each read the schema, the lock between processes and the "
    "look at the file's format. In an opened log a fork takes what the next row says."
)
_ROOM_FORKS = 1_000  # a file grows by pages of 8 kB, which would round the size of fewer


def run(quick: bool) -> list[Row]:
    """Measure one fork with opening the file, then many."""
    rows: list[Row] = []
    for count in (10, 100) if quick else (10, 1_000, 10_000):
        made = files(count)
        path, plain = folder() / f"fork-{count}.db", folder() / f"fork-{count}-floor.db"
        shutil.copy(made.refold, path)
        shutil.copy(made.facts, plain)
        rows.append(_one(f"open, fork in the middle of {count:,} exchanges", path, plain, made.head // 2, count))
        rows += _many(f"of {count:,} exchanges", path, made.head, 2 * _FORKS if quick else _ROOM_FORKS)
    return rows


def _one(name: str, path: Path, plain: Path, at: int, count: int) -> Row:
    connection = sqlite3.connect(plain)
    connection.execute("CREATE TABLE forks (id INTEGER PRIMARY KEY, at INTEGER, at_us INTEGER)")
    connection.close()
    found = compare(15, lambda: asyncio.run(_fork_ms(path, at)), lambda: _floor_ms(plain, at))
    return ratio_row(name, found, "ms", goal="<= 2", missed=_MISSED, point=Point(_CHART, "open, fork", count))


async def _fork_ms(path: Path, at: int) -> float:
    began = time.perf_counter()
    async with open_store(path) as log:
        await log.fork(SESSION, at, at_us=utc_now_us())
        return (time.perf_counter() - began) * 1000


def _floor_ms(path: Path, at: int) -> float:
    """Open the file and write one row that says where the branch begins."""
    began = time.perf_counter()
    connection = floor.connect(path)
    connection.execute("INSERT INTO forks (at, at_us) VALUES (?, ?)", (at, utc_now_us()))
    taken = (time.perf_counter() - began) * 1000
    connection.close()
    return taken


def _many(name: str, path: Path, head: int, forks: int) -> list[Row]:
    before = path.stat().st_size
    taken = asyncio.run(_forks_ms(path, head, forks))
    grown = (path.stat().st_size - before) / forks
    return [
        row(f"each of {_FORKS} forks {name}, in an opened log", taken, "ms"),
        row(f"each of {forks:,} forks {name}", [grown], "bytes"),
    ]


async def _forks_ms(path: Path, head: int, forks: int) -> list[float]:
    """Time the first forks, then make the rest."""
    taken = []
    async with open_store(path) as log:
        for number in range(forks):
            began = time.perf_counter()
            await log.fork(SESSION, head * (number + 1) // (forks + 1), at_us=utc_now_us())
            taken.append((time.perf_counter() - began) * 1000)
    return taken[:_FORKS]
