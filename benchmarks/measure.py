"""Measuring fairly: what is compared takes turns, and the median counts."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Sequence
from statistics import median
from typing import NamedTuple


class Compared(NamedTuple):
    """Medians of something and of its floor, and the median of each round's ratio."""

    value: float
    floor: float
    ratio: float


def compare(rounds: int, measured: Callable[[], float], floor: Callable[[], float]) -> Compared:
    """Measure both in turns, the one that begins changing from round to round; each returns its figure."""
    values: list[float] = []
    floors: list[float] = []
    for number in range(rounds):
        for one, figures in ((measured, values), (floor, floors))[:: -1 if number % 2 else 1]:
            gc.collect()
            figures.append(one())
    return compared(values, floors)


def compared(values: Sequence[float], floors: Sequence[float]) -> Compared:
    """Take the medians of paired figures."""
    return Compared(median(values), median(floors), median(v / f for v, f in zip(values, floors, strict=True)))


def seconds(work: Callable[[], object]) -> float:
    """Time what only computes, by the processor's clock: what else runs on the machine takes no part."""
    began = time.process_time()
    work()
    return time.process_time() - began
