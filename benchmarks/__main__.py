"""Run the benchmarks and print their tables: `python -m benchmarks [--quick] [--write] [NAME...]`."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterable, Iterator
from importlib import import_module

from .machine import load, machine
from .page import write, written
from .plots import can_draw
from .rows import Section, faults

NAMES = {
    "folding": "Folding",
    "appending": "Appending",
    "collecting": "Garbage collection",
    "running": "Running",
    "streaming": "Streaming",
    "growing": "Growing",
    "crowd": "Many at once",
    "reopening": "Reopening",
    "forking": "Forking",
    "reading": "Reading and room",
    "replay": "Replay",
    "importing": "Importing",
    "memory": "Memory of the big commands",
    "pages": "Pages of long sessions",
    "many": "Many sessions",
    "archiving": "Archiving",
    "commands": "Commands",
    "proxy": "Proxy",
    "worker": "A worker",
    "waiting": "Waiting",
    "peers": "Peers",
    "recorders": "What recorders keep",
}


def main() -> int:
    """Read the command line, measure, print tables to stdout and what goes on to stderr. Returns: the exit code."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description="Measure Refold against the floor.")
    parser.add_argument("--quick", action="store_true", help="small numbers: do the benchmarks work at all?")
    parser.add_argument("name", nargs="*", metavar="NAME", help=f"which to run: {', '.join(NAMES)}; all by default")
    parser.add_argument("--write", action="store_true", help="write docs/benchmarks.md and its plots (all of them)")
    given = parser.parse_args()
    unknown = [name for name in given.name if name not in NAMES]
    if unknown:
        parser.error(f"no benchmark is called {unknown[0]}; there are {', '.join(NAMES)}")
    if given.write and (given.quick or given.name):
        parser.error("--write needs every benchmark, with the full numbers")
    if given.write and not can_draw():
        parser.error("--write needs matplotlib, which `make bench` has")
    told, began = machine(), time.perf_counter()
    print(told, flush=True)
    sections: list[Section] = []
    for section in measure(given.name or NAMES, quick=given.quick):
        sections.append(section)
        print(f"\n{written(section)}", flush=True)
    ended = f"{(time.perf_counter() - began) / 60:.0f} minutes later {load()}"
    if given.write:
        write(sections, f"{told}, {ended}.")
    wrong = [] if given.quick else faults(sections)
    for line in wrong:
        print(line, file=sys.stderr)
    return 1 if wrong else 0


def measure(names: Iterable[str], *, quick: bool) -> Iterator[Section]:
    """Run benchmarks by name, one after the other."""
    for name in names:
        began = time.perf_counter()
        print(f"{name} ...", end=" ", file=sys.stderr, flush=True)
        found = import_module(f".{name}", __package__).run(quick)
        section = Section(NAMES[name], (), found) if isinstance(found, str) else Section(NAMES[name], found)
        print(f"{time.perf_counter() - began:.1f} s", file=sys.stderr, flush=True)
        yield section


if __name__ == "__main__":
    sys.exit(main())
