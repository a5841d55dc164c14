"""Run the benchmarks and print their tables: `python -m benchmarks [--quick] [--write] [NAME...]`."""

from __future__ import annotations

import argparse
import sys
import time
import traceback
from collections.abc import Iterable, Iterator, Sequence
from importlib import import_module
from pathlib import Path
from typing import NamedTuple

from .machine import load, machine
from .page import DOCS, write, written
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
    "transcripts": "Session files of other agents",
    "memory": "Memory of the big commands",
    "pages": "Pages of long sessions",
    "indexing": "The index of long sessions",
    "browsing": "The page in a browser",
    "many": "Many sessions",
    "archiving": "Archiving",
    "commands": "Commands",
    "proxy": "Proxy",
    "worker": "A worker",
    "waiting": "Waiting",
    "streams": "Streams over HTTP",
    "machines": "Many machines",
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
    found: list[Section | Failed] = []
    for one in measure(given.name or NAMES, quick=given.quick):
        found.append(one)
        if isinstance(one, Section):
            print(f"\n{written(one)}", flush=True)
    told += f", {(time.perf_counter() - began) / 60:.0f} minutes later {load()}."
    return finish(found, quick=given.quick, told=told if given.write else None)


class Failed(NamedTuple):
    """A benchmark that raised; the others were measured."""

    name: str
    error: Exception


def measure(names: Iterable[str], *, quick: bool) -> Iterator[Section | Failed]:
    """Run benchmarks by name, one after the other; one that raises is run once more.

    Yields: the section of each, or what it raised, after its traceback was printed.
    """
    for name in names:
        found = _measured(name, quick=quick)
        yield _measured(name, quick=quick) if isinstance(found, Failed) else found


def _measured(name: str, *, quick: bool) -> Section | Failed:
    began = time.perf_counter()
    print(f"{time.strftime('%H:%M:%S')} {name} ...", end=" ", file=sys.stderr, flush=True)
    try:
        found = import_module(f".{name}", __package__).run(quick)
    except Exception as error:
        print("failed", file=sys.stderr)
        traceback.print_exception(error)
        return Failed(name, error)
    print(f"{time.perf_counter() - began:.1f} s", file=sys.stderr, flush=True)
    return Section(NAMES[name], (), found) if isinstance(found, str) else Section(NAMES[name], found)


def finish(found: Sequence[Section | Failed], *, quick: bool, told: str | None, docs: Path = DOCS) -> int:
    """Write the page when it is asked for and complete, and print to stderr what is wrong.

    Args:
        found: what `measure` yielded.
        told: on what machine it was measured, for the page; None when nobody asks for it.

    Returns: the exit code.
    """
    sections = [one for one in found if isinstance(one, Section)]
    failed = [one for one in found if isinstance(one, Failed)]
    wrong = [f"{one.name} failed: {one.error!r}" for one in failed] + ([] if quick else faults(sections))
    if told is not None and failed:
        wrong.append("docs/benchmarks.md stays as it was, since not everything was measured")
    elif told is not None:
        write(sections, told, docs)
    for line in wrong:
        print(line, file=sys.stderr)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
