"""Measuring fairly: what is compared takes turns, and the median counts."""

from __future__ import annotations

import gc
import os
import time
from collections.abc import Callable, Iterator, Sequence
from statistics import median
from typing import NamedTuple, TypeVar

_Way = TypeVar("_Way")

# They would have a child compile all it imports each time, or trace it: nobody's command does.
_NOT_INHERITED = ("PYTHONDONTWRITEBYTECODE", "PYTHONDEVMODE", "PYTHONPROFILEIMPORTTIME", "PYTHONTRACEMALLOC")


class Compared(NamedTuple):
    """Medians of something and of what it is compared with, the median of each round's ratio, and how many rounds."""

    value: float
    floor: float
    ratio: float
    runs: int


def turns(rounds: int, *ways: _Way) -> Iterator[_Way]:
    """Let what is compared take turns. Yields: each way once a round, every other round from the last to the first."""
    for number in range(rounds):
        for way in ways[:: -1 if number % 2 else 1]:
            gc.collect()
            yield way


def compare(rounds: int, measured: Callable[[], float], floor: Callable[[], float]) -> Compared:
    """Measure both in turns; each returns its figure."""
    values: list[float] = []
    floors: list[float] = []
    for work, figures in turns(rounds, (measured, values), (floor, floors)):
        figures.append(work())
    return compared(values, floors)


def compared(values: Sequence[float], floors: Sequence[float]) -> Compared:
    """Take the medians of paired figures."""
    ratio = median(v / f for v, f in zip(values, floors, strict=True))
    return Compared(median(values), median(floors), ratio, len(values))


def repeated(rounds: int, measured: Callable[[], float]) -> list[float]:
    """Measure what is compared with nothing, several times."""
    return [work() for work in turns(rounds, measured)]


def seconds(work: Callable[[], object]) -> float:
    """Time what only computes, by the processor's clock: what else runs on the machine takes no part."""
    began = time.process_time()
    work()
    return time.process_time() - began


def environment() -> dict[str, str]:
    """Make the environment of a child process: bytecode is kept, as it is wherever the program is installed."""
    return {name: value for name, value in os.environ.items() if name not in _NOT_INHERITED}
