"""Folding a large session with and without Python's garbage collector, which looks at what is kept again and again."""

from __future__ import annotations

import asyncio
import gc
import time
from pathlib import Path

from eventsource.log import open_store
from eventsource.log.load import load
from eventsource.log.warm import WarmFolds
from refold.context_fold import CONTEXT

from .exchange import SESSION
from .measure import compared, turns
from .rows import Row, ratio_row
from .stores import files

_FACTS = 19  # of an exchange


def run(quick: bool) -> list[Row]:
    """Fold a session from disk; beside it the same while nothing is collected."""
    count, rounds = (100, 2) if quick else (5_264, 5)
    ours, floors = asyncio.run(_rounds(files(count, deltas=0).refold, rounds))
    name = f"fold {count * _FACTS:,} facts from disk (beside: with the garbage collector off)"
    return [ratio_row(name, compared(ours, floors), "s of CPU", beside=True, goal="<= 1.5x")]


async def _rounds(path: Path, rounds: int) -> tuple[list[float], list[float]]:
    ours: list[float] = []
    floors: list[float] = []
    async with open_store(path) as log:
        for collects in turns(rounds, True, False):  # the ways that are compared
            log.folds = WarmFolds()
            gc.collect()
            if not collects:
                gc.disable()
            began = time.process_time()
            await load(log, SESSION, context=CONTEXT)
            (ours if collects else floors).append(time.process_time() - began)
            gc.enable()
    return ours, floors
