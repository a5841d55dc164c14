"""Run the benchmarks and print their table: `python -m benchmarks [--quick] [NAME...]`."""

from __future__ import annotations

import argparse
import os
import platform
import sqlite3
import sys
import time
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from statistics import median

from .rows import Section, table
from .stores import folder

NAMES = {
    "folding": "Folding",
    "appending": "Appending",
    "running": "Running",
    "growing": "Growing",
    "crowd": "Many at once",
    "reopening": "Reopening",
    "forking": "Forking",
    "reading": "Reading and room",
    "replay": "Replay",
    "importing": "Importing",
    "memory": "Memory of the big commands",
    "pages": "Pages of long sessions",
    "commands": "Commands",
    "proxy": "Proxy",
    "worker": "A worker",
    "waiting": "Waiting",
    "peers": "Peers",
}
NAMES = {name: title for name, title in NAMES.items() if find_spec(f"benchmarks.{name}") is not None}


def main() -> None:
    """Read the command line, measure, print the table to stdout and what goes on to stderr."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description="Measure Refold against the floor.")
    parser.add_argument("--quick", action="store_true", help="small numbers: do the benchmarks work at all?")
    parser.add_argument("name", nargs="*", metavar="NAME", help=f"which to run: {', '.join(NAMES)}; all by default")
    given = parser.parse_args()
    unknown = [name for name in given.name if name not in NAMES]
    if unknown:
        parser.error(f"no benchmark is called {unknown[0]}; there are {', '.join(NAMES)}")
    print(machine(), flush=True)
    print(table(measure(given.name or list(NAMES), quick=given.quick)))


def measure(names: list[str], *, quick: bool) -> list[Section]:
    """Run benchmarks by name, one after the other."""
    sections: list[Section] = []
    for name in names:
        began = time.perf_counter()
        print(f"{name} ...", end=" ", file=sys.stderr, flush=True)
        sections.append(Section(NAMES[name], import_module(f".{name}", __package__).run(quick)))
        print(f"{time.perf_counter() - began:.1f} s", file=sys.stderr, flush=True)
    return sections


def machine() -> str:
    """Say on what this runs; a sync is what every durable commit waits for."""
    return (
        f"{_processor()}, {os.cpu_count()} cores, {platform.system()}, Python {platform.python_version()}, "
        f"SQLite {sqlite3.sqlite_version}; a sync of 4 kB takes {_sync_ms():.2f} ms\n"
    )


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    found = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return found[0] if found else platform.processor() or platform.machine()


def _sync_ms() -> float:
    with open(folder() / "sync", "wb") as file:
        taken = []
        for _ in range(50):
            file.write(bytes(4096))
            file.flush()
            began = time.perf_counter()
            os.fsync(file.fileno())
            taken.append((time.perf_counter() - began) * 1000)
    return median(taken)


if __name__ == "__main__":
    main()
