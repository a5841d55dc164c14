"""Reopening: from a closed file to the state and the context, at the end and in the middle."""

from __future__ import annotations

import asyncio
import sqlite3
import time
from dataclasses import replace
from pathlib import Path

from eventsource.log import open_store
from eventsource.log.load import load
from eventsource.log.sql.thread import SqlThread
from eventsource.machine.evolve import evolve
from eventsource.machine.state import State
from projections.context import CONTEXT

from . import floor
from .exchange import SESSION
from .measure import compare
from .rows import Chart, Point, Row, ratio_row
from .stores import Files, files

_CHART = Chart("reopening", "Opening a session", "exchanges of the session")
_MISSED = (
    "Both decode and fold the same facts, which is most of it: at 1,000 exchanges 0.32 s of the processor's time of "
    "the floor's and 0.39 of Refold's, 0.15 and 0.19 in the middle. The rest is in rows that say more, digests among "
    "it, and in pages of rows that one thread hands to another, where the floor hands over all at once."
)
_LONG = 1_000  # exchanges: what opening a file costs is no longer a part worth naming


def run(quick: bool) -> list[Row]:
    """Measure sessions of growing length."""
    rows: list[Row] = []
    for count in (10, 100) if quick else (10, 100, 1_000, 10_000):
        made = files(count)
        rounds = 7 if quick else max(3, min(41, 5_000 // count))
        goal = "<= 1.2x" if count >= _LONG else ""
        whole = _row(f"reopen {count:,} exchanges", made, made.head, rounds, goal)
        rows.append(replace(whole, point=Point(_CHART, "from a closed file", count)))
        rows.append(_row(f"state in the middle of {count:,}", made, made.head // 2, rounds, goal))
    return rows


def _row(name: str, made: Files, upto: int, rounds: int, goal: str) -> Row:
    found = compare(
        rounds,
        lambda: asyncio.run(refold_ms(made.refold, upto)),
        lambda: asyncio.run(floor_ms(made.facts, upto)),
    )
    return ratio_row(name, found, "ms", goal=goal, missed=_MISSED)


async def refold_ms(path: Path, upto: int) -> float:
    """Open a file and read the state and the context at a seq of its session. Returns: milliseconds."""
    began = time.perf_counter()
    async with open_store(path) as log:
        await load(log, SESSION, context=CONTEXT, upto=upto)
        return (time.perf_counter() - began) * 1000


async def floor_ms(path: Path, upto: int) -> float:
    """Read facts that were stored without any delta: one call into a thread, the same decoder and the same folds."""
    began = time.perf_counter()
    thread = SqlThread(lambda: floor.connect(path), end=sqlite3.Connection.close, closed=sqlite3.ProgrammingError)
    await thread.start()
    history = await thread.call(lambda connection: list(floor.read_facts(connection, upto=upto)))
    state, view = State(), CONTEXT.initial
    for recorded in history:
        state, view = evolve(state, recorded), CONTEXT.step(view, recorded)
    taken = (time.perf_counter() - began) * 1000
    await thread.close()
    return taken
