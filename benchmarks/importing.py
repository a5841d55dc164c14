"""Importing: how long `import refold` takes in a fresh process."""

from __future__ import annotations

import subprocess
import sys

from .measure import compare, environment
from .rows import Row, ratio_row

_TIMED = "import time; began = time.perf_counter(); import {}; print(time.perf_counter() - began)"
_ALONE = (
    "An earlier run that had the machine to itself took 87 ms, 1.63 times its floor's 53 ms; where the floor is as "
    "slow as here, so is the machine."
)


def run(quick: bool) -> list[Row]:
    """Measure with compiled bytecode in place; the floor imports what any such program needs."""
    _import_ms("refold")
    found = compare(
        3 if quick else 11, lambda: _import_ms("refold"), lambda: _import_ms("asyncio, sqlite3, msgspec, aiosqlite")
    )
    name = "import refold (floor: asyncio, sqlite3, msgspec, aiosqlite)"
    return [ratio_row(name, found, "ms", goal="<= 200", missed=_ALONE)]


def _import_ms(modules: str) -> float:
    command = [sys.executable, "-c", _TIMED.format(modules)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=environment())
    return float(done.stdout) * 1000
