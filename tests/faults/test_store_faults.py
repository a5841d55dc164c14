"""The SQLite log under real faults: kills, failing disks, cut power, contending writers."""

from __future__ import annotations

import asyncio
import os
import random
import shutil
import signal
import sqlite3
import struct
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from eventsource.errors import FencedError, LeaseHeldError
from eventsource.events import Custom, QueuePush
from eventsource.log import open_store
from eventsource.log.load import read_all
from eventsource.log.protocol import EventLog
from eventsource.messages import UserMessage

from .script import SESSION, append_of, expected

pytestmark = [pytest.mark.faults, pytest.mark.slow]
ROOT = Path(__file__).parents[2]
FULL = os.environ.get("REFOLD_FAULTS") == "full"
APPENDS = 12


@pytest.fixture(scope="session")
def shim(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Build what stands between SQLite and the disk."""
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None or sys.platform != "linux":
        pytest.skip("a failing disk is made with a C compiler, on Linux")
    built = str(tmp_path_factory.mktemp("shim") / "shim.so")
    source = str(Path(__file__).with_name("shim.c"))
    subprocess.run([compiler, "-shared", "-fPIC", "-O1", "-o", built, source, "-ldl"], check=True)
    return built


def appender(path: Path, environment: dict[str, str] | None = None, *, appends: int = APPENDS) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "tests.faults.appender", str(path), str(appends)],
        cwd=ROOT,
        env={**os.environ, **(environment or {})},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def contender(*arguments: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "tests.faults.contender", *arguments]
    return subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


async def assert_holds_a_prefix(path: Path, at_least: int, appends: int = APPENDS) -> int:
    """Check that a log holds the first k appends, whole and unchanged, with at_least <= k. Returns: k."""
    async with open_store(str(path)) as log:
        found = [(r.at_us, r.event) async for r in read_all(log, SESSION)]
        heads = [head for head, _ in expected(appends)]
        head = (await log.info(SESSION)).head
        assert head == len(found)
        assert head in heads
        assert found == expected(appends)[heads.index(head)][1]
        assert heads.index(head) >= at_least
        report = await log.verify()
        assert report.findings == ()
        return heads.index(head)


def acknowledged(output: str) -> int:
    """Count the appends a child was told of."""
    stored = [int(line.split()[1]) for line in output.splitlines() if line.startswith("stored")]
    return max(stored, default=-1) + 1


@pytest.mark.parametrize("seed", range(500 if FULL else 6))
async def test_a_killed_process_loses_nothing_that_was_acknowledged(seed: int, tmp_path: Path) -> None:
    chance, path, appends = random.Random(seed), tmp_path / "log.db", 400
    async with open_store(str(path)) as log:
        await log.create(SESSION)
    child = appender(path, appends=appends)
    assert child.stdout is not None
    seen = [child.stdout.readline() for _ in range(chance.randrange(1, 200))]
    child.send_signal(signal.SIGKILL)
    rest, _ = child.communicate()
    k = await assert_holds_a_prefix(path, acknowledged("".join(seen) + rest), appends)
    async with open_store(str(path)) as log:  # and it goes on
        events, durable = append_of(k)
        await log.append(SESSION, events, expected=expected(k)[-1][0], durable=durable)
    await assert_holds_a_prefix(path, k + 1, appends)


@pytest.mark.parametrize("kind", ["enospc", "eio", "short", "sync"])
async def test_a_failing_disk_is_told_of_and_loses_and_doubles_nothing(kind: str, tmp_path: Path, shim: str) -> None:
    start, count = tmp_path / "start.db", tmp_path / "count"
    async with open_store(str(start)) as log:
        await log.create(SESSION)
    faults = {"LD_PRELOAD": shim, "FAULT_KIND": kind, "FAULT_FILES": "log.db", "FAULT_COUNT": str(count)}

    def run(number: int) -> tuple[Path, str]:
        path = tmp_path / f"{number}" / "log.db"
        path.parent.mkdir()
        shutil.copy(start, path)
        child = appender(path, {**faults, "FAULT_AT": str(number)})
        output, problem = child.communicate(timeout=240)
        assert child.returncode == 0 or "StoreError" in problem, problem  # the fault may strike while the log is opened
        return path, output if child.returncode == 0 else output + "refused"

    await asyncio.to_thread(run, 0)
    calls = range(1, int(count.read_text()) + 1)
    told = 0
    for number in calls if FULL else random.Random(kind).sample(calls, min(5, len(calls))):
        path, output = await asyncio.to_thread(run, number)
        told += "refused" in output or "unknown" in output
        if "verified" in output:
            assert "verified True []" in output
            await assert_holds_a_prefix(path, APPENDS)
        else:
            again, _ = await asyncio.to_thread(appender(path).communicate)
            assert "verified True []" in again
            await assert_holds_a_prefix(path, APPENDS)
    assert told, "no fault was noticed"


@pytest.mark.parametrize("number", range(1, 40 if FULL else 4))
async def test_after_a_failed_sync_and_a_kill_the_log_opens_with_all_or_nothing(
    number: int, tmp_path: Path, shim: str
) -> None:
    path = tmp_path / "log.db"
    async with open_store(str(path)) as log:
        await log.create(SESSION)
    faults = {"LD_PRELOAD": shim, "FAULT_KIND": "sync", "FAULT_FILES": "log.db", "FAULT_AT": str(number)}
    output, _ = await asyncio.to_thread(appender(path, {**faults, "DIE_WHEN_UNKNOWN": "1"}).communicate)
    k = await assert_holds_a_prefix(path, acknowledged(output))
    again, problem = await asyncio.to_thread(appender(path).communicate)
    assert "verified True []" in again, problem
    assert await assert_holds_a_prefix(path, APPENDS) >= k


async def test_cut_power_takes_only_a_tail_that_was_not_yet_durable(tmp_path: Path, shim: str) -> None:
    path, journal = tmp_path / "log.db", tmp_path / "journal"
    async with open_store(str(path)) as log:
        await log.create(SESSION)
    start = path.read_bytes()
    faults = {"LD_PRELOAD": shim, "FAULT_FILES": "log.db", "FAULT_LOG": str(journal)}
    output, problem = await asyncio.to_thread(appender(path, faults).communicate)
    assert "verified True []" in output, problem
    records = list(read_journal(journal))
    cuts = range(len(records))
    chance = random.Random(1)
    for number, cut in enumerate(cuts if FULL else chance.sample(cuts, 25)):
        folder = tmp_path / f"cut{number}"
        folder.mkdir()
        acked = after_power_cut(records[:cut], start, folder, chance)
        await assert_holds_a_prefix(folder / "log.db", acked)


Write = tuple[str, str, int, bytes]


def read_journal(path: Path) -> Iterator[Write]:
    data, place = path.read_bytes(), 0
    while place < len(data):
        kind, named = chr(data[place]), struct.unpack_from("<I", data, place + 1)[0]
        place += 5
        name = data[place : place + named].decode()
        offset, length = struct.unpack_from("<qq", data, place + named)
        place += named + 16
        body = data[place : place + length] if kind == "w" else b""
        place += len(body)
        yield kind, Path(name).name, offset, body


def after_power_cut(records: list[Write], start: bytes, folder: Path, chance: random.Random) -> int:
    """Write the files as a disk may hold them: all that was synced, and any part of what came after.

    Returns: how many appends had been acknowledged as durable.
    """
    files: dict[str, bytearray] = {"log.db": bytearray(start)}
    waiting: dict[str, list[Write]] = {}
    acked = 0
    for record in records:
        kind, name, _, body = record
        if name.endswith("-acks"):
            acked = int(body) + 1
        elif kind == "s":
            for write in waiting.pop(name, []):
                apply(files, write)
        else:
            waiting.setdefault(name, []).append(record)
    for writes in waiting.values():
        for write in writes:
            if chance.random() < 0.5:
                apply(files, write)
    for name, content in files.items():
        if not name.endswith("-lock"):  # it names the inodes of the files, of which these may have got one since
            (folder / name).write_bytes(bytes(content))
    return acked


def apply(files: dict[str, bytearray], write: Write) -> None:
    kind, name, offset, body = write
    content = files.setdefault(name, bytearray())
    if kind == "t":
        del content[offset:]
        return
    content.extend(b"\0" * (offset - len(content)))
    content[offset : offset + len(body)] = body


async def test_eight_writers_contend_and_followers_see_every_event_once(tmp_path: Path) -> None:
    path, writers, events = tmp_path / "log.db", 8, 100 if FULL else 12
    async with open_store(str(path)) as log:
        await log.create(SESSION)
        follower = asyncio.create_task(follow(log, writers * events))
        children = [contender("contend", str(path), str(n), str(events)) for n in range(writers)]
        for child in children:
            assert child.stdout is not None
            assert await asyncio.to_thread(child.stdout.readline) == "ready\n"
        outputs = await asyncio.gather(*(asyncio.to_thread(child.communicate, "go\n") for child in children))
        seen = await asyncio.wait_for(follower, 60)
        stored = [r async for r in read_all(log, SESSION)]
        assert [r.seq for r in stored] == list(range(1, writers * events + 1))
        kinds = [r.event.kind for r in stored if isinstance(r.event, Custom)]
        assert sorted(kinds) == sorted(f"{n}:{i}" for n in range(writers) for i in range(events))
        for n in range(writers):
            mine = [kind for kind in kinds if kind.startswith(f"{n}:")]
            assert mine == [f"{n}:{i}" for i in range(events)]
        assert seen == stored
        assert sum(int(out) for out, _ in outputs) >= writers - 1, "of those who begin together, all but one lose"
        assert (await log.verify()).findings == ()


async def follow(log: EventLog, events: int) -> list[object]:
    seen: list[object] = []
    async for recorded in log.follow(SESSION):
        seen.append(recorded)
        if len(seen) == events:
            break
    return seen


async def test_a_writer_stopped_beyond_its_lease_is_fenced_by_the_next(tmp_path: Path) -> None:
    path = tmp_path / "log.db"
    async with open_store(str(path)) as log:
        await log.create(SESSION)
        child = contender("hold", str(path))
        assert child.stdout is not None
        assert await asyncio.to_thread(child.stdout.readline) == "claimed\n"
        child.send_signal(signal.SIGSTOP)
        expires = (await log.info(SESSION)).expires_at_us
        while (await log.info(SESSION)).expires_at_us == expires:
            try:
                lease = await log.claim(SESSION)
            except LeaseHeldError:
                await asyncio.sleep(0.01)
        await log.append(SESSION, [(1, Custom(kind="next"))], epoch=lease.epoch)
        child.send_signal(signal.SIGCONT)
        output, _ = await asyncio.to_thread(child.communicate, "go\n")
        assert output == "fenced\n"
        assert [r.event.kind for r in await log.read(SESSION) if isinstance(r.event, Custom)] == ["next"]
        with pytest.raises(FencedError):
            await log.append(SESSION, [(1, Custom(kind="x"))], epoch=lease.epoch - 1)


async def test_input_between_two_flushes_leaves_nothing_unsealed(tmp_path: Path) -> None:
    path = tmp_path / "log.db"
    async with open_store(str(path)) as log:
        await log.create(SESSION)
        for number in (1, 2, 3):
            events, durable = append_of(number)
            await log.append(SESSION, events, durable=durable)
            if number == 1:
                await log.append(SESSION, [(5, QueuePush(queue="steering", message=UserMessage(content="wait")))])
        updates = [r for r in await log.read(SESSION) if r.event.__struct_config__.tag == "message_update"]
        assert len(updates) == 14
    with sqlite3.connect(path) as connection:
        kinds = [kind for (kind,) in connection.execute("SELECT kind FROM updates")]
    connection.close()
    assert kinds == [1, 1]
