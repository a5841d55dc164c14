"""Reopening: from a closed file to the state and the context, at the end and in the middle."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

from eventsource.evolve import evolve
from eventsource.loading import load
from eventsource.log import open_store
from eventsource.state import State
from projections.context import CONTEXT

from . import floor
from .exchange import SESSION
from .measure import compare
from .rows import Row
from .stores import files


def run(quick: bool) -> list[Row]:
    """Measure sessions of growing length."""
    rows: list[Row] = []
    for count in (10, 100) if quick else (10, 100, 1_000, 5_000):
        made = files(count)
        for name, upto in (
            (f"reopen {count:,} exchanges", made.head),
            (f"state in the middle of {count:,}", made.head // 2),
        ):
            rows.append(_row(name, made.refold, made.facts, upto, rounds=max(3, min(41, 3_000 // count))))
    return rows


def _row(name: str, path: Path, facts: Path, upto: int, *, rounds: int) -> Row:
    found = compare(rounds, lambda: asyncio.run(_refold_ms(path, upto)), lambda: _floor_ms(facts, upto))
    return Row(name, found.value, "ms", found.floor, found.ratio, "<= 1.2x")


async def _refold_ms(path: Path, upto: int) -> float:
    began = time.perf_counter()
    async with open_store(path) as log:
        await load(log, SESSION, context=CONTEXT, upto=upto)
        return (time.perf_counter() - began) * 1000


def _floor_ms(path: Path, upto: int) -> float:
    """Read facts that were stored without any delta, with the same decoder and the same folds."""
    began = time.perf_counter()
    connection = floor.connect(path)
    state, view = State(), CONTEXT.initial
    for recorded in floor.read_facts(connection, upto=upto):
        state, view = evolve(state, recorded), CONTEXT.step(view, recorded)
    taken = (time.perf_counter() - began) * 1000
    connection.close()
    return taken
