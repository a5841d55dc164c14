"""Put faults into copies of the project and see which of them the tests notice: `make mutants`."""

from __future__ import annotations

import argparse
import os
import random
import shutil
import signal
import sys
import tempfile
import time
import tomllib
import traceback
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import hypothesis
import msgspec
import pydantic
import pytest
import pytest_asyncio

from tests.mutants.faults import FAULTS
from tests.mutants.operators import Mutant, mutants
from tests.mutants.suites import SUITES

ROOT = Path(__file__).parents[2]
ACCEPTED = Path(__file__).with_name("accepted.toml")
GOAL = 0.9
PRELOADED = (hypothesis, msgspec, pydantic, pytest, pytest_asyncio)
"""Imported once, before the first fork: a mutant's tests start in a process that has them already."""

OPTIONS = ("-x", "-q", "--tb=line", "-p", "no:cacheprovider", "-W", "ignore::pytest.PytestAssertRewriteWarning")
"""The first failure is enough; what was imported before the fork is not rewritten, which says nothing here."""


class Job(NamedTuple):
    """A mutant, the tests that should notice it, and how long they may take (seconds)."""

    mutant: Mutant
    tests: tuple[str, ...]
    limit_s: float = 300


class Slot:
    """A copy of the project, and the process that tests a mutant in it."""

    def __init__(self, folder: Path) -> None:
        self.tree, self.output = folder / "tree", folder / "output"
        skipped = shutil.ignore_patterns(".git", ".venv", "__pycache__", ".*_cache", ".hypothesis")
        shutil.copytree(ROOT, self.tree, ignore=skipped)
        self.job: Job | None = None
        self._pid, self._until, self._stamp, self._kept = 0, 0.0, 1_000_000_000, b""

    def begin(self, job: Job) -> None:
        """Write the mutant and start its tests."""
        self.job = job
        self._kept = (self.tree / job.mutant.path).read_bytes()
        self._write(job.mutant.source.encode())
        self._until = time.monotonic() + job.limit_s
        self._pid = os.fork()
        if self._pid == 0:
            _test(self.tree, self.output, job.tests)

    def ended(self) -> str:
        """Say what came of it: killed, late (which is killed too) or survived; empty while the tests run."""
        assert self.job is not None
        pid, status = os.waitpid(self._pid, os.WNOHANG)
        late = not pid and time.monotonic() > self._until
        if not pid and not late:
            return ""
        if late:
            os.killpg(self._pid, signal.SIGKILL)
            os.waitpid(self._pid, 0)
        self._write(self._kept)
        self.job = None
        return "late" if late else "survived" if os.waitstatus_to_exitcode(status) == 0 else "killed"

    def _write(self, source: bytes) -> None:
        """Write the module; a time of its own keeps Python from using an older mutant's bytecode."""
        assert self.job is not None
        path = self.tree / self.job.mutant.path
        path.write_bytes(source)
        self._stamp += 1
        os.utime(path, (self._stamp, self._stamp))


def _test(tree: Path, output: Path, tests: Sequence[str]) -> None:
    """Run tests in a forked process, on the modules of a copy."""
    code = 70
    try:
        os.setsid()
        to = os.open(output, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(to, 1)
        os.dup2(to, 2)
        os.chdir(tree)
        sys.path[:] = [str(tree), *(entry for entry in sys.path if entry and Path(entry).resolve() != ROOT)]
        own = ("benchmarks", "eventsource", "projections", "refold", "replay", "tests")
        for name in [name for name in sys.modules if name.split(".")[0] in own]:
            del sys.modules[name]
        sys.dont_write_bytecode = False  # else each mutant compiles the whole project anew, which takes longest
        os.environ |= {"PYTHONPATH": str(tree), "HYPOTHESIS_PROFILE": "mutants"}
        code = pytest.main([*OPTIONS, *tests])
    except BaseException:
        traceback.print_exc()
        sys.stderr.flush()
    finally:
        os._exit(int(code))


def outcomes(jobs: Sequence[Job], slots: Sequence[Slot]) -> Iterator[tuple[Mutant, str]]:
    """Test mutants, as many at a time as there are slots."""
    left = list(reversed(jobs))
    while left or any(slot.job for slot in slots):
        for slot in slots:
            job = slot.job
            if job is not None and (came := slot.ended()):
                yield job.mutant, came
            if slot.job is None and left:
                slot.begin(left.pop())
        time.sleep(0.02)


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
        jobs = measured(chosen(args, slots[0].tree), slots[0])
        for mutant, came in outcomes(jobs, slots):
            results.append((mutant, came))
            print(f"{len(results)}/{len(jobs)} {came}: {mutant.name}", flush=True)
    return report(results, accepted, args.report)


if __name__ == "__main__":
    sys.exit(main())
