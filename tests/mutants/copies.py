"""Mutants in copies of the project, each tested by a process of its own: for what stands outside of functions."""

from __future__ import annotations

import os
import shutil
import signal
import sys
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.mutants.operators import Mutant

ROOT = Path(__file__).parents[2]
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
            within(self.tree, self.output, lambda: int(pytest.main([*OPTIONS, *job.tests])))

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


def within(tree: Path, output: Path, work: Callable[[], int]) -> None:
    """Do something with the modules of a copy, in a process that was forked for it. Never returns."""
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
        code = work()
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
