"""mypy as the tests ask it: one at a time, since two would be in each other's way in the cache that they share."""

from __future__ import annotations

import fcntl
from collections.abc import Sequence
from pathlib import Path

import pytest

CACHE = Path(__file__).parents[1] / ".mypy_cache"


def check(files: Sequence[Path]) -> tuple[str, str, int]:
    """Check files strictly, or skip. Returns: what it says, what went wrong, and its exit code."""
    api = pytest.importorskip("mypy.api")
    CACHE.mkdir(exist_ok=True)
    with (CACHE / "tests.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # its database waits five seconds for another process, and then fails
        said, problem, code = api.run(["--strict", "--cache-dir", str(CACHE), *map(str, files)])
    return said, problem, code
