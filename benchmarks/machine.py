"""On what machine the benchmarks run, and how busy it is."""

from __future__ import annotations

import os
import platform
import sqlite3
import time
from datetime import UTC, datetime
from pathlib import Path
from statistics import median

from .stores import folder


def machine() -> str:
    """Say on what this runs, and when; a sync is what every durable commit waits for."""
    return (
        f"{_processor()}, {os.cpu_count()} cores, {platform.system()}, Python {platform.python_version()}, "
        f"SQLite {sqlite3.sqlite_version}; a sync of 4 kB takes {_sync_ms():.2f} ms; "
        f"{datetime.now(UTC):%Y-%m-%d}, load average {load()}"
    )


def load() -> str:
    """Say how many programs wanted a processor, on average of the last minute."""
    return f"{os.getloadavg()[0]:.1f}"


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
