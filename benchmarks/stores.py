"""Files with so many exchanges in them, made once and shared by the benchmarks that read."""

from __future__ import annotations

import asyncio
import shutil
import tempfile
from atexit import register
from functools import cache
from itertools import accumulate, islice
from pathlib import Path
from typing import NamedTuple

from eventsource.log import open_store

from .exchange import SESSION, exchanges
from .floor import open_floor

_AT_ONCE = 25  # exchanges


class Files(NamedTuple):
    """One session of so many exchanges: as Refold stores it, and as the floor does with and without deltas."""

    exchanges: int
    head: int
    refold: Path
    floor: Path
    facts: Path


@cache
def folder() -> Path:
    """Make a folder that goes with the process."""
    made = Path(tempfile.mkdtemp(prefix="refold-bench-"))
    register(shutil.rmtree, made, ignore_errors=True)
    return made


def new_folder() -> Path:
    """Make another folder in it, for what is measured once and shared with nobody."""
    return Path(tempfile.mkdtemp(dir=folder()))


@cache
def files(count: int, *, deltas: int = 100) -> Files:
    """Make the files of so many exchanges."""
    place = folder() / f"{count}-{deltas}"
    place.mkdir()
    return asyncio.run(_record(place, count, deltas))


async def _record(place: Path, count: int, deltas: int) -> Files:
    """Append what is then read; many appends at a time, which go to disk together and are stored as one by one."""
    head, made = 0, exchanges(count, deltas=deltas)
    async with (
        open_store(place / "refold.db") as log,
        open_floor(place / "floor.db") as floor,
        open_floor(place / "facts.db", updates=False) as facts,
    ):
        await log.create(SESSION)
        while appends := [append for one in islice(made, _AT_ONCE) for append in one]:
            heads = list(accumulate(map(len, appends), initial=head))
            told = zip(appends, heads, strict=False)
            await asyncio.gather(*(log.append(SESSION, append, expected=at) for append, at in told))
            head = heads[-1]
            for append in appends:
                await floor.append(append, durable=False)
                await facts.append(append, durable=False)
    return Files(count, head, place / "refold.db", place / "floor.db", place / "facts.db")
