"""Mutants of functions, put into modules that are loaded: tests are collected once, and those that call it run.

A process collects the tests of a suite and forks: once to see which test calls which function, then for each mutant.
In such a fork the function gets the code of the mutant, so nothing is imported or collected again. What stands outside
of functions, and what a fork cannot tell, is for `copies`.
"""

from __future__ import annotations

import gc
import os
import pickle
import shutil
import signal
import sys
import tempfile
import threading
import time
import traceback
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import suppress
from functools import cache
from itertools import pairwise
from pathlib import Path
from types import CodeType, FrameType, FunctionType
from typing import Any, NamedTuple

import pytest

from tests.mutants.copies import within
from tests.mutants.operators import Mutant

OPTIONS = ("-q", "--tb=line", "-p", "no:cacheprovider", "-s", "-W", "ignore::pytest.PytestAssertRewriteWarning")
_CACHED = type(cache(lambda: None))
_SPARE_S, _TIMES = 4, 4
"""How long a test may take with a fault: so many times what it took without, and some seconds."""


class Traced(NamedTuple):
    """Which functions (file, qualified name) a test calls, whether it passes, and how long it takes."""

    called: frozenset[tuple[str, str]]
    passed: bool
    seconds: float


def tested(
    tree: Path, mutants: Sequence[Mutant], tests: Sequence[str], *, jobs: int, output: Path
) -> Iterator[tuple[str, str | None]]:
    """Test mutants of functions, in one process for all. Yields: (name, outcome), None for what `copies` must test."""
    read, write = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(read)
        forks = Forks(tree, mutants, jobs, write)
        within(tree, output, lambda: int(pytest.main([*OPTIONS, *tests], plugins=[forks])))
    os.close(write)
    with os.fdopen(read, "rb") as file:
        while size := file.read(4):
            yield pickle.loads(file.read(int.from_bytes(size, "big")))
    _, status = os.waitpid(pid, 0)
    if os.waitstatus_to_exitcode(status):
        yield "", output.read_text(errors="replace")[-3000:]


class Forks:
    """A plugin of pytest that runs no test itself, but forks for each mutant."""

    def __init__(self, tree: Path, mutants: Sequence[Mutant], jobs: int, said: int) -> None:
        """Prepare. `said`: the pipe to which (name, outcome) is written; None for what `copies` must test."""
        self._tree, self._mutants, self._jobs, self._said = tree, mutants, jobs, said

    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        """Test every mutant."""
        paths = {str(self._tree / mutant.path) for mutant in self._mutants}
        traced = _forked(lambda: _trace(session, paths))
        functions = _functions(paths)
        failed = [item.nodeid for item, one in zip(session.items, traced, strict=True) if not one.passed]
        if failed:
            self._say("", f"these tests fail without a fault: {' '.join(failed)}")
            return True
        running: dict[int, tuple[Mutant, str]] = {}
        left = list(reversed(self._mutants))
        while left or running:
            while left and len(running) < self._jobs:
                mutant = left.pop()
                path = str(self._tree / mutant.path)
                tests = [
                    (one.seconds, item)
                    for item, one in zip(session.items, traced, strict=True)
                    if (path, mutant.function) in one.called
                ]
                codes = replaced(functions[path], mutant, path) if tests else None
                if codes is None:
                    self._say(mutant.name, None)
                    continue
                tests.sort(key=lambda test: test[0])
                temporary = tempfile.mkdtemp(prefix="mutant")
                pid = os.fork()
                if pid == 0:
                    _test(session, tests, codes, temporary)
                running[pid] = (mutant, temporary)
            for pid, came in _ended(running):
                mutant, temporary = running.pop(pid)
                shutil.rmtree(temporary, ignore_errors=True)
                self._say(mutant.name, came)
            time.sleep(0.005)
        return True

    def _say(self, name: str, came: str | None) -> None:
        data = pickle.dumps((name, came))
        os.write(self._said, len(data).to_bytes(4, "big") + data)


def _ended(running: Iterable[int]) -> Iterator[tuple[int, str]]:
    for pid in list(running):
        ended, status = os.waitpid(pid, os.WNOHANG)
        if ended:
            code = os.waitstatus_to_exitcode(status)
            with suppress(ProcessLookupError):  # what its tests began
                os.killpg(pid, signal.SIGKILL)
            yield pid, "survived" if code == 0 else "late" if code == -signal.SIGALRM else "killed"


def _forked(work: Callable[[], list[Traced]]) -> list[Traced]:
    """Do something in a fork, so that nothing of it is left here. Returns: what it returned."""
    read, write = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            found = pickle.dumps([tuple(one) for one in work()])  # of plain values: this module is loaded twice
            with os.fdopen(write, "wb") as file:
                file.write(found)
        except BaseException:
            traceback.print_exc()
            sys.stderr.flush()
        finally:
            os._exit(0)
    os.close(write)
    with os.fdopen(read, "rb") as file:
        data = file.read()
    os.waitpid(pid, 0)
    return [Traced(*one) for one in pickle.loads(data)]


def _trace(session: pytest.Session, paths: set[str]) -> list[Traced]:
    called: set[tuple[str, str]] = set()

    def note(frame: FrameType, event: str, _argument: object) -> None:
        code = frame.f_code
        if event == "call" and code.co_filename in paths:
            called.add((code.co_filename, code.co_qualname.partition(".<locals>")[0]))

    traced, kept = [], caches(paths)
    os.environ["PYTEST_DEBUG_TEMPROOT"] = temporary = tempfile.mkdtemp(prefix="mutant")
    for item, after in pairwise([*session.items, None]):
        assert item is not None
        called.clear()
        for one in kept:
            one.cache_clear()
        failed, began = session.testsfailed, time.monotonic()
        threading.setprofile(note)
        sys.setprofile(note)
        item.config.hook.pytest_runtest_protocol(item=item, nextitem=after)
        sys.setprofile(None)
        threading.setprofile(None)
        traced.append(Traced(frozenset(called), session.testsfailed == failed, time.monotonic() - began))
    shutil.rmtree(temporary, ignore_errors=True)
    return traced


def caches(paths: Collection[str]) -> list[Any]:
    """Find the functions of some files that keep their values: of the tests that need one, the first calls them."""
    kept = [one for one in gc.get_objects() if type(one) is _CACHED and isinstance(one.__wrapped__, FunctionType)]
    return [one for one in kept if one.__wrapped__.__code__.co_filename in paths]


def _functions(paths: Iterable[str]) -> dict[str, list[FunctionType]]:
    """Find the functions of some files that are there, those behind decorators too."""
    found: dict[str, list[FunctionType]] = {path: [] for path in paths}
    for one in gc.get_objects():
        if type(one) is FunctionType and one.__code__.co_filename in found:
            found[one.__code__.co_filename].append(one)
    return found


def replaced(
    functions: Sequence[FunctionType], mutant: Mutant, path: str
) -> list[tuple[FunctionType, CodeType]] | None:
    """Find the code that a mutant gives to functions that are loaded; None where it cannot be given to them."""
    fresh = _codes(compile(mutant.source, path, "exec"), mutant.function)
    live = {code for one in functions if one.__code__.co_qualname == mutant.function for code in (one.__code__,)}
    if len(live) != 1 or not fresh:
        return None
    old = _codes(next(iter(live)), mutant.function)
    if [code.co_qualname for code in old] != [code.co_qualname for code in fresh]:
        return None
    given = dict(zip(map(id, old), fresh, strict=True))
    pairs = [(one, given[id(one.__code__)]) for one in functions if id(one.__code__) in given]
    return pairs if all(len(one.__code__.co_freevars) == len(code.co_freevars) for one, code in pairs) else None


def _codes(code: CodeType, function: str) -> list[CodeType]:
    """List the code of a function, and of what is defined in it, in the order of the text."""
    found = [code] if code.co_qualname == function or code.co_qualname.startswith(f"{function}.<locals>") else []
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            found += _codes(constant, function)
    return found


def _leave_output() -> None:
    to = os.open(os.devnull, os.O_WRONLY)
    os.dup2(to, 1)
    os.dup2(to, 2)


def _test(
    session: pytest.Session,
    tests: Sequence[tuple[float, pytest.Item]],
    codes: Sequence[tuple[FunctionType, CodeType]],
    temporary: str,
) -> None:
    """Run tests (seconds, test) in a fork until one fails or is late, with other code in some functions.

    Never returns: the exit code is 0 when all passed; a late one ends the process by an alarm.
    """
    code = 70
    try:
        os.setsid()
        _leave_output()
        os.environ["PYTEST_DEBUG_TEMPROOT"] = temporary
        for function, other in codes:
            function.__code__ = other
        for one in caches({other.co_filename for _, other in codes}):
            one.cache_clear()
        for (seconds, item), (_, after) in pairwise([*tests, (0.0, None)]):
            assert item is not None
            signal.alarm(int(_SPARE_S + _TIMES * seconds) + 1)
            item.config.hook.pytest_runtest_protocol(item=item, nextitem=after)
            if session.testsfailed:
                break
        code = 1 if session.testsfailed else 0
    finally:
        os._exit(code)
