"""Importing: how long `import refold` takes in a fresh process."""

from __future__ import annotations

import subprocess
import sys

from .measure import compare, environment
from .rows import Row, ratio_row, row

_TIMED = "import time; began = time.perf_counter(); {}; print(time.perf_counter() - began)"
_ALONE = (
    "An agent loads most of what there is. Beside the floor that is the making of classes: dataclasses of errors, "
    "structs of events and messages, and their decoder. Loading names when they are asked for gave 4 % here."
)
_FLOOR = "asyncio, sqlite3, msgspec, aiosqlite"


def run(quick: bool) -> list[Row]:
    """Measure with compiled bytecode in place: the package, whose names are loaded later, and what a program uses.

    The floor imports what any program needs that runs agents over a log.
    """
    rounds = 3 if quick else 11
    used = "from refold import Agent, open_log"
    _import_ms("import refold"), _import_ms(used)
    alone = row("import refold", [_import_ms("import refold") for _ in range(rounds)], "ms", goal="<= 200")
    found = compare(rounds, lambda: _import_ms(used), lambda: _import_ms(f"import {_FLOOR}"))
    return [alone, ratio_row(f"{used} (floor: {_FLOOR})", found, "ms", goal="<= 200", missed=_ALONE)]


def _import_ms(statement: str) -> float:
    command = [sys.executable, "-c", _TIMED.format(statement)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=environment())
    return float(done.stdout) * 1000
