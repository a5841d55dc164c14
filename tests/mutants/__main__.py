"""Put faults into copies of the project and see which of them the tests notice: `make mutants`."""

from __future__ import annotations

import argparse
import os
import random
import sys
import tempfile
import time
import tomllib
from collections.abc import Iterator, Sequence
from pathlib import Path

import hypothesis
import msgspec
import pydantic
import pytest
import pytest_asyncio

from tests.mutants import live
from tests.mutants.copies import ROOT, Job, Slot, outcomes
from tests.mutants.faults import FAULTS
from tests.mutants.operators import Mutant, mutants
from tests.mutants.suites import SUITES

ACCEPTED = Path(__file__).with_name("accepted.toml")
GOAL = 0.9
PRELOADED = (hypothesis, msgspec, pydantic, pytest, pytest_asyncio)
"""Imported once, before the first fork: a mutant's tests start in a process that has them already."""


def chosen(args: argparse.Namespace, tree: Path) -> list[Job]:
    """List what is to be tested in a copy: the named faults, and of each module all mutants or a sample."""
    dice, jobs = random.Random(args.seed), []
    for fault in FAULTS:
        source = (tree / fault.path).read_text(encoding="utf-8")
        mutant = Mutant(f"fault::{fault.name}", fault.path, 0, source.replace(fault.right, fault.wrong, 1))
        jobs.append(Job(mutant, fault.tests))
    for suite in SUITES:
        found = [m for path in suite.modules for m in mutants(path, (tree / path).read_text(encoding="utf-8"))]
        if args.sample:
            found = sorted(dice.sample(found, min(args.sample, len(found))))
        jobs += [Job(mutant, suite.tests) for mutant in found]
    if not Path(os.environ["REFOLD_DATA"]).is_dir():
        print("without recorded inputs (REFOLD_DATA) the faults that only they show are left out")
        jobs = [job for job in jobs if not any("conformance" in test for test in job.tests)]
    jobs = [job for job in jobs if args.only in job.mutant.name]
    share, shares = map(int, args.shard.split("/"))
    return jobs[share - 1 :: shares]


def measured(jobs: Sequence[Job], slot: Slot) -> list[Job]:
    """Run the tests without a fault, for the time they take. Exits when one fails as it is."""
    limits: dict[tuple[str, ...], float] = {}
    for job in jobs:
        if job.tests in limits:
            continue
        path = job.mutant.path
        whole = Mutant("", path, 0, (slot.tree / path).read_text(encoding="utf-8"))
        began = time.monotonic()
        ((_, came),) = outcomes([Job(whole, job.tests)], [slot])
        took_s = time.monotonic() - began
        limits[job.tests] = 10 + 3 * took_s
        print(f"{took_s:.0f} s without a fault: {' '.join(job.tests)}", flush=True)
        if came != "survived":
            sys.exit(f"these tests fail without a fault:\n{slot.output.read_text(errors='replace')[-3000:]}")
    return [job._replace(limit_s=limits[job.tests]) for job in jobs]


def tested(jobs: Sequence[Job], slots: Sequence[Slot]) -> Iterator[tuple[Mutant, str]]:
    """Test mutants, first those that can be put into loaded modules."""
    left: list[Job] = []
    for tests in dict.fromkeys(job.tests for job in jobs):
        group = {job.mutant.name: job for job in jobs if job.tests == tests}
        functions = [job.mutant for job in group.values() if job.mutant.function]
        left += [job for job in group.values() if not job.mutant.function]
        if not functions:
            continue
        for name, came in live.tested(slots[0].tree, functions, tests, jobs=len(slots), output=slots[0].output):
            if not name:
                sys.exit(str(came))
            if came is None:
                left.append(group[name])
            else:
                yield group[name].mutant, came
    yield from outcomes(measured(left, slots[0]), slots)


def report(results: Sequence[tuple[Mutant, str]], accepted: dict[str, str], file: Path) -> int:
    """Write what survived, and sum up. Returns: the exit code."""
    lived = sorted(mutant.name for mutant, came in results if came == "survived")
    faults = [name for name in lived if name.startswith("fault::")]
    stale = [m.name for m, came in results if came != "survived" and m.name in accepted]
    killed = len(results) - len(lived)
    share = killed / len(results) if results else 1.0
    lines = [f"{killed} of {len(results)} killed: {share:.1%}", ""]
    lines += [f"survived, nobody has looked at it: {name}" for name in lived if name not in accepted]
    lines += [f"survived, accepted: {name}\n    {accepted[name]}" for name in lived if name in accepted]
    lines += [f"accepted, but killed (take it off the list): {name}" for name in stale]
    lines += [f"late: {mutant.name}" for mutant, came in results if came == "late"]
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text("\n".join(lines) + "\n", encoding="utf-8")
    print(f"{lines[0]}; {len(faults)} named faults survived; {len(stale)} accepted ones were killed; see {file}")
    return int(share < GOAL or bool(faults) or bool(stale))


def main() -> int:
    """Test mutants, say which survived. Returns: 1 when too many did, or one that must not."""
    parser = argparse.ArgumentParser(prog="python -m tests.mutants", description=__doc__)
    parser.add_argument("--sample", type=int, default=0, metavar="N", help="so many mutants of each suite")
    parser.add_argument("--seed", type=int, default=0, help="which ones a sample holds (default: 0)")
    parser.add_argument("--shard", default="1/1", metavar="I/N", help="the Ith of N equal parts (default: 1/1)")
    parser.add_argument("--jobs", type=int, default=2, help="how many at a time (default: 2)")
    parser.add_argument("--only", default="", metavar="TEXT", help="only mutants whose name holds TEXT")
    parser.add_argument("--report", type=Path, default=ROOT / "build" / "mutants.txt", help="where to write")
    args = parser.parse_args()
    os.environ.setdefault("REFOLD_DATA", str((ROOT / "../shared/data").resolve()))
    accepted = {one["mutant"]: one["reason"] for one in tomllib.loads(ACCEPTED.read_text(encoding="utf-8"))["accepted"]}
    results: list[tuple[Mutant, str]] = []
    with tempfile.TemporaryDirectory(prefix="mutants") as folder:
        slots = [Slot(Path(folder) / str(number)) for number in range(args.jobs)]
        jobs = chosen(args, slots[0].tree)
        for mutant, came in tested(jobs, slots):
            results.append((mutant, came))
            print(f"{len(results)}/{len(jobs)} {came}: {mutant.name}", flush=True)
    return report(results, accepted, args.report)


if __name__ == "__main__":
    sys.exit(main())
