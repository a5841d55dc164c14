"""The write-ahead file stays small, whatever waits to be written and whoever reads."""

from __future__ import annotations

import asyncio
import logging
import os
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from eventsource.events import Custom, QueuePush
from eventsource.log import open_store
from eventsource.log.protocol import EventLog
from eventsource.log.sqlite import group_commit as commits
from eventsource.log.sqlite.store import SqliteLog
from eventsource.messages import UserMessage

MB = 2**20
READERS = """
import sqlite3, sys, time
readers = [sqlite3.connect(sys.argv[1], isolation_level=None) for _ in range(3)]
ends = [0.0] * 3
print("reading", flush=True)
while True:
    for number, reader in enumerate(readers):
        if time.time() >= ends[number]:
            if reader.in_transaction:
                reader.execute("ROLLBACK")
            reader.execute("BEGIN")
            reader.execute("SELECT count(*) FROM sessions").fetchone()
            ends[number] = time.time() + 0.1 + 0.04 * number
    time.sleep(0.002)
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "log.db"


@contextmanager
def reading(path: Path) -> Iterator[None]:
    """Let another program read, such that at any instant somebody does."""
    with subprocess.Popen([sys.executable, "-c", READERS, str(path)], stdout=subprocess.PIPE) as readers:
        assert readers.stdout is not None
        readers.stdout.readline()
        try:
            yield
        finally:
            readers.kill()


def size(path: Path) -> int:
    return os.stat(f"{path}-wal").st_size


async def append_mb(log: EventLog, count: int, path: Path) -> int:
    """Append so much. Returns: the size that the write-ahead file had at most."""
    most = 0
    for n in range(count * 8):
        await log.append("s", [(n, Custom(kind="x" * 31_000)) for _ in range(4)])
        most = max(most, size(path))
    return most


@pytest.mark.slow
async def test_pushes_that_queue_up_are_committed_in_parts(path: Path) -> None:
    text = "x" * 84_000
    most = 0
    async with open_store(path) as log:
        await log.create("s")
        pushes = [
            asyncio.ensure_future(
                log.append("s", [(n, QueuePush(queue="prompt", message=UserMessage(content=f"{n}{text}")))])
            )
            for n in range(400)
        ]
        while not all(push.done() for push in pushes):
            await asyncio.sleep(0.002)
            most = max(most, size(path))
        assert sorted(push.result() for push in pushes) == list(range(1, 401))
    assert most < 16 * MB


@pytest.mark.slow
async def test_the_estimate_of_pages_is_near_what_is_written(path: Path) -> None:
    async with open_store(path) as log:
        assert isinstance(log, SqliteLog)
        await log.create("s")
        for length, count in ((10, 300), (9_000, 100), (84_000, 40)):
            await log._commits._thread.call(log._commits._empty)  # type: ignore[union-attr]  # it is open
            for n in range(count):
                await log.append("s", [(n, Custom(kind=f"{n}" + "x" * length))])
            frames = size(path) / (8192 + 24)
            assert frames / 2 <= log._commits._pages <= 2 * frames, (length, frames)


@pytest.mark.slow
async def test_readers_that_overlap_do_not_keep_the_file_growing(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(commits, "_PATIENT_MS", 60_000)  # this machine may be slow
    async with open_store(path) as log:
        await log.create("s")
        with reading(path):
            assert await append_mb(log, 100, path) < 56 * MB


@pytest.mark.slow
async def test_a_reader_that_never_ends_is_told_of_and_survived(
    path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(commits, "_PATIENT_MS", 50)
    monkeypatch.setattr(commits, "_PATIENT_EVERY_S", 0.0)
    async with open_store(path) as log:
        await log.create("s")
        reader = sqlite3.connect(path, isolation_level=None)
        reader.execute("BEGIN")
        reader.execute("SELECT count(*) FROM sessions").fetchone()
        with caplog.at_level(logging.WARNING):
            assert await append_mb(log, 80, path) > 64 * MB
        told = [one.getMessage() for one in caplog.records if one.name.startswith("eventsource")]
        assert len(told) == 1
        assert "because a reader keeps a transaction open" in told[0]
        reader.execute("ROLLBACK")
        await append_mb(log, 20, path)
        assert size(path) < 40 * MB
        reader.close()


@pytest.mark.slow
async def test_verify_and_exports_hold_no_snapshot_over_a_whole_log(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(commits, "_PATIENT_MS", 60_000)  # this machine may be slow
    async with open_store(path) as log:
        await log.create("s")
        for n in range(60):
            await log.create(f"t{n}")
            await log.append(f"t{n}", [(n, Custom(kind="x" * 30_000)) for _ in range(10)])

        async def verifying() -> None:
            while True:
                assert (await log.verify()).ok

        task = asyncio.ensure_future(verifying())
        most = await append_mb(log, 60, path)
        assert not task.done()
        task.cancel()
        await asyncio.wait([task])
        assert most < 60 * MB
