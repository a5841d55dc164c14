"""Folding: how many events a second become the state, with every check of the machine."""

from __future__ import annotations

import asyncio
import gc
import time
from collections.abc import Sequence
from itertools import islice
from pathlib import Path
from statistics import median

from eventsource.envelope import Recorded
from eventsource.log import open_store
from eventsource.log.load import load, read_all
from eventsource.machine.evolve import evolve, fold
from eventsource.machine.state import State
from projections.context import CONTEXT

from . import floor
from .exchange import SESSION, history
from .measure import compare, seconds
from .rows import Row, ratio_row
from .stores import files

_DELTAS = 200  # of each message, so that 95 of 100 events are updates
_EVENTS_PER_EXCHANGE = 435
_FACTS_PER_EXCHANGE = 19
_ALONE = (
    "An earlier run that had the machine to itself made 843,601 events/s, 0.57 times its floor's 1,474,401; where the "
    "floor is as slow as here, so is the machine."
)


def run(quick: bool) -> list[Row]:
    """Measure the fold in memory, its cost as a session grows, and the fold from disk."""
    count = 50_000 if quick else 1_000_000
    events = list(islice(history(count // _EVENTS_PER_EXCHANGE + 1, deltas=_DELTAS), count))
    return [_in_memory(events), _growth(events), _from_disk(count), _collected(2_000 if quick else 100_000)]


def _in_memory(events: Sequence[Recorded]) -> Row:
    found = compare(5, lambda: _rate(events), lambda: _look_rate(events))
    name = f"fold {len(events):,} events in memory (floor: look at each one's type)"
    return ratio_row(name, found, "events/s", goal=">= 1,000,000")


def _growth(events: Sequence[Recorded]) -> Row:
    """Compare the cost of an event in a short history with that in the long one."""
    few, times = events[:10_000], len(events) // 10_000
    found = compare(5, lambda: 1e9 / _rate(events), lambda: median(1e9 / _rate(few) for _ in range(times)))
    name = f"cost of folding one of {len(events):,} events (beside: one of 10,000)"
    return ratio_row(name, found, "ns", beside=True, goal="<= 1.2x")


def _from_disk(count: int) -> Row:
    made = files(count // _EVENTS_PER_EXCHANGE, deltas=_DELTAS)
    found = compare(3, lambda: _disk_rate(made.refold, made.head), lambda: _floor_rate(made.floor, made.head))
    return ratio_row(f"fold {made.head:,} events from disk", found, "events/s", goal=">= 500,000", missed=_ALONE)


def _collected(count: int) -> Row:
    """Compare reading facts into a list and folding them as a program does with doing so while nothing is collected."""
    made = files(count // _FACTS_PER_EXCHANGE, deltas=0)

    def uncollected() -> float:
        gc.disable()
        try:
            return _load_s(made.refold)
        finally:
            gc.enable()

    found = compare(3, lambda: _load_s(made.refold), uncollected)
    name = f"read and fold {made.exchanges * _FACTS_PER_EXCHANGE:,} facts (beside: without the garbage collector)"
    return ratio_row(name, found, "s of CPU", beside=True, goal="<= 1.2x")


def _load_s(path: Path) -> float:
    async def read() -> float:
        async with open_store(path) as log:
            began = time.process_time()
            await load(log, SESSION, context=CONTEXT)
            return time.process_time() - began

    return asyncio.run(read())


def _rate(events: Sequence[Recorded]) -> float:
    return len(events) / seconds(lambda: fold(events))


def _look_rate(events: Sequence[Recorded]) -> float:
    seen: dict[type, int] = {}
    began = time.process_time()
    for n, recorded in enumerate(events, start=1):
        seen[type(recorded.event)] = n
    return len(events) / (time.process_time() - began)


def _disk_rate(path: Path, head: int) -> float:
    async def read() -> float:
        async with open_store(path) as log:
            began, state = time.process_time(), State()
            async for recorded in read_all(log, SESSION):
                state = evolve(state, recorded)
            return head / (time.process_time() - began)

    return asyncio.run(read())


def _floor_rate(path: Path, head: int) -> float:
    connection = floor.connect(path)
    try:
        return head / seconds(lambda: fold(floor.read_all(connection)))
    finally:
        connection.close()
