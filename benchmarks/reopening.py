"""Reopening: from a closed file to the state and the context, at the end and in the middle."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

from eventsource.log import open_store
from eventsource.log.load import load
from eventsource.log.sqlite.thread import SqlThread
from eventsource.machine.evolve import evolve
from eventsource.machine.state import State
from projections.context import CONTEXT

from . import floor
from .exchange import SESSION
from .measure import compare
from .rows import Row
from .stores import Files, files


def run(quick: bool) -> list[Row]:
    """Measure sessions of growing length."""
    rows: list[Row] = []
    for count in (10, 100) if quick else (10, 100, 1_000, 5_000):
        made = files(count)
        rounds = 7 if quick else max(5, min(41, 3_000 // count))
        rows.append(_row(f"reopen {count:,} exchanges", made, made.head, rounds))
        rows.append(_row(f"state in the middle of {count:,}", made, made.head // 2, rounds))
    return rows


def _row(name: str, made: Files, upto: int, rounds: int) -> Row:
    found = compare(
        rounds,
        lambda: asyncio.run(_refold_ms(made.refold, upto)),
        lambda: asyncio.run(_floor_ms(made.facts, upto)),
    )
    return Row(name, found.value, "ms", found.floor, found.ratio, "<= 1.2x")


async def _refold_ms(path: Path, upto: int) -> float:
    began = time.perf_counter()
    async with open_store(path) as log:
        await load(log, SESSION, context=CONTEXT, upto=upto)
        return (time.perf_counter() - began) * 1000


async def _floor_ms(path: Path, upto: int) -> float:
    """Read facts that were stored without any delta: one call into a thread, the same decoder and the same folds."""
    began = time.perf_counter()
    thread = SqlThread(lambda: floor.connect(path))
    await thread.start()
    history = await thread.call(lambda connection: list(floor.read_facts(connection, upto=upto)))
    state, view = State(), CONTEXT.initial
    for recorded in history:
        state, view = evolve(state, recorded), CONTEXT.step(view, recorded)
    taken = (time.perf_counter() - began) * 1000
    await thread.close()
    return taken
