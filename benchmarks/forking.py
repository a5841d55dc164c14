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
from .rows import Row
from .stores import files, folder

_FORKS = 100


def run(quick: bool) -> list[Row]:
    """Measure one fork with opening the file, then a hundred."""
    rows: list[Row] = []
    for count in (10, 100) if quick else (10, 1_000, 5_000):
        made = files(count)
        path, plain = folder() / f"fork-{count}.db", folder() / f"fork-{count}-floor.db"
        shutil.copy(made.refold, path)
        shutil.copy(made.facts, plain)
        rows.append(_one(f"open, fork in the middle of {count:,} exchanges", path, plain, made.head // 2))
        rows += _hundred(f"{_FORKS} forks of {count:,} exchanges", path, made.head)
    return rows


def _one(name: str, path: Path, plain: Path, at: int) -> Row:
    connection = sqlite3.connect(plain)
    connection.execute("CREATE TABLE forks (id INTEGER PRIMARY KEY, at INTEGER, at_us INTEGER)")
    connection.close()
    found = compare(15, lambda: asyncio.run(_fork_ms(path, at)), lambda: _floor_ms(plain, at))
    return Row(name, found.value, "ms", found.floor, found.ratio, "<= 2")


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


def _hundred(name: str, path: Path, head: int) -> list[Row]:
    before = path.stat().st_size
    taken = asyncio.run(_forks_ms(path, head))
    grown = (path.stat().st_size - before) / _FORKS
    return [Row(f"{name}: each", taken / _FORKS, "ms"), Row(f"{name}: each", grown, "bytes", goal="<= 200")]


async def _forks_ms(path: Path, head: int) -> float:
    async with open_store(path) as log:
        began = time.perf_counter()
        for number in range(_FORKS):
            await log.fork(SESSION, head * (number + 1) // (_FORKS + 1), at_us=utc_now_us())
        return (time.perf_counter() - began) * 1000
