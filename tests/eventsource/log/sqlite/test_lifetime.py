"""Opening and closing: nothing stays open, nobody is kept alive, and a forked child is told."""

from __future__ import annotations

import asyncio
import gc
import os
import subprocess
import sys
import threading
import warnings
from collections.abc import Callable, Coroutine
from pathlib import Path

import pytest

from eventsource.errors import StoreError
from eventsource.events import Custom
from eventsource.log import open_store, start_store
from eventsource.log.sqlite.store import SqliteLog

ROOT = Path(__file__).parents[4]
TIMES = 20
NOTHING = (set[str](), set[threading.Thread]())
DESCRIPTORS = Path("/proc/self/fd") if sys.platform == "linux" else Path("/dev/fd")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "log.db"


Held = tuple[set[str], set[threading.Thread]]


def held() -> Held:
    """List descriptors and threads."""
    gc.collect()
    return set(os.listdir(DESCRIPTORS)), set(threading.enumerate())


def left(before: Held) -> Held:
    """List what was not there before; a thread that an earlier test has left may end at any time."""
    (descriptors, threads), (old_descriptors, old_threads) = held(), before
    return descriptors - old_descriptors, threads - old_threads


async def until(done: Callable[[], bool]) -> None:
    """Wait, collecting what nobody refers to."""
    async with asyncio.timeout(60):
        while not done():
            await asyncio.sleep(0.01)
            gc.collect()


def python(code: str, *arguments: object, timeout: float = 120) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-W", "ignore::DeprecationWarning", "-c", code, *map(str, arguments)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
    )


async def used(path: Path) -> None:
    async with open_store(path) as log:
        session = (await log.create()).id
        await log.claim(session)
        await log.append(session, [(1, Custom(kind="x"))])
        assert (await log.verify()).ok


async def followed(path: Path) -> None:
    async with open_store(path) as log:
        session = (await log.create()).id
        waiting = asyncio.ensure_future(anext(log.follow(session)))
        await asyncio.sleep(0.001)
        waiting.cancel()
        await asyncio.wait([waiting])


async def left_following(path: Path) -> None:
    async with open_store(path) as log:
        session = (await log.create()).id
        waiting = asyncio.ensure_future(anext(log.follow(session)))
        await asyncio.sleep(0.001)
    with pytest.raises(StoreError, match="was closed"):
        await asyncio.wait_for(waiting, 60)


async def refused(path: Path) -> None:
    wrong = path.with_name("wrong.db")
    write(wrong)
    for name in (wrong, path.parent, path.parent / "none" / "log.db"):
        with pytest.raises(StoreError):
            async with open_store(name):
                pass


async def cancelled(path: Path) -> None:
    opening = asyncio.ensure_future(start_store(path))
    await asyncio.sleep(0)
    opening.cancel()
    await asyncio.wait([opening])


async def read_only(path: Path) -> None:
    log = SqliteLog(path, clock=lambda: 1, new_id=lambda: "s")
    log._read_only = True
    await log._read_with(lambda connection: connection.execute("SELECT 1").fetchone())
    await log.close()


def write(path: Path) -> None:
    path.write_text("not a database, but a text that is long enough to look at " * 20)


@pytest.mark.slow
@pytest.mark.parametrize("what", [used, followed, left_following, refused, cancelled, read_only])
async def test_many_logs_leave_no_descriptor_and_no_thread(
    path: Path, what: Callable[[Path], Coroutine[object, object, None]]
) -> None:
    await used(path)
    await what(path)
    before = held()
    for _ in range(TIMES):
        await what(path)
    assert left(before) == NOTHING
    assert sorted(one.name for one in path.parent.iterdir() if "wrong" not in one.name) == ["log.db", "log.db-lock"]


@pytest.mark.slow
@pytest.mark.parametrize("times", [1, 5])
@pytest.mark.parametrize("what", ["open", "close", "create", "append", "claim"])
async def test_a_cancelled_call_leaves_nothing_behind(path: Path, what: str, times: int) -> None:
    await used(path)
    before = held()
    for steps in range(12):
        log = SqliteLog(path, clock=lambda: 1, new_id=lambda number=steps: f"{what}{number}")  # type: ignore[misc]
        if what != "open":
            await log.start()
            await log.create("s") if steps == 0 else None
        calls: dict[str, Callable[[], Coroutine[object, object, object]]] = {
            "open": log.start,
            "close": log.close,
            "create": log.create,
            "append": lambda: log.append("s", [(1, Custom(kind="x"))]),  # noqa: B023 - called at once
            "claim": lambda: log.claim("s", ttl_us=0),  # noqa: B023 - called at once
        }
        task = asyncio.ensure_future(calls[what]())
        for _ in range(steps):
            await asyncio.sleep(0)
        for _ in range(times):
            task.cancel()
            await asyncio.sleep(0)
        await asyncio.wait([task])
        if not task.cancelled():
            task.result()
        if (what != "open" or not task.cancelled()) and (what != "close" or steps == 0):
            await log.close()
        assert left(before) == NOTHING, f"after {steps} steps"
    async with open_store(path) as opened:
        assert (await opened.verify()).findings == ()
        assert [info.owner for info in await opened.sessions() if info.owner] == []


UNCLOSED = """
import asyncio, sys
from eventsource.events import Custom
from eventsource.log import start_store

async def main():
    global log
    log = await start_store(sys.argv[1])
    await log.create("s")
    await log.claim("s")
    appending = [asyncio.ensure_future(log.append("s", [(n, Custom(kind="x"))])) for n in range(5)]
    await asyncio.sleep(0)
    if sys.argv[2] == "follow":
        waiting = asyncio.ensure_future(anext(log.follow("s", 5)))
        await asyncio.sleep(0.05)

loop = asyncio.new_event_loop()
if sys.argv[2] == "run":
    asyncio.run(main())
else:
    loop.run_until_complete(main())
print("at its end", flush=True)
"""


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["run", "loop", "follow"])
async def test_a_program_that_never_closes_its_log_ends(path: Path, kind: str) -> None:
    done = await asyncio.to_thread(python, UNCLOSED, path, kind)
    assert done.stdout == "at its end\n"
    assert done.returncode == 0
    assert "Traceback" not in done.stderr
    assert list(path.parent.glob("*owner*")) == []
    async with open_store(path) as log:
        assert (await log.verify()).ok
        assert (await log.claim("s")).epoch == 2


async def test_a_log_that_is_collected_unclosed_says_so_once(path: Path) -> None:
    before = held()
    log = await start_store(path)
    await log.create("s")
    await log.claim("s")
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        del log
        # its thread may hold it for another moment, with the last call it was asked for
        await until(lambda: any(str(path) in str(one.message) for one in told))
    said = [str(one.message) for one in told if str(path) in str(one.message)]  # earlier tests may have left others
    assert said == [f"a log was not closed: {path}; use `await log.close()` or `async with`"]
    await until(lambda: left(before) == NOTHING)
    assert list(path.parent.glob("*owner*")) == []


FORKED = """
import asyncio, gc, os, sys
from eventsource.errors import LeaseHeldError, StoreError
from eventsource.events import Custom
from eventsource.log import open_store, start_store

def child(log, path, how):
    async def use():
        for call in (lambda: log.create(), lambda: log.info("s"), lambda: log.claim("s"), lambda: log.verify()):
            try:
                await call()
                print("used")
            except StoreError as error:
                print(str(error).partition("; ")[2])
        try:
            async with open_store(path):
                print("opened")
        except StoreError as error:
            print(str(error).partition("; ")[2])
        await log.close()
    asyncio.run(use())
    sys.stdout.flush()
    if how == "collect":
        del log
        gc.collect()
    elif how == "exit":
        os._exit(0)

async def begin():
    log = await start_store(sys.argv[1])
    await log.create("s")
    await log.claim("s")
    await log.append("s", [(1, Custom(kind="x"))])
    return log

async def end(log):
    await log.append("s", [(1, Custom(kind="x"))])
    print((await log.verify()).ok, len([one for one in os.listdir(os.path.dirname(sys.argv[1])) if "owner" in one]))
    await log.close()

log = asyncio.run(begin())
pid = os.fork()
if not pid:
    child(log, *sys.argv[1:])
    sys.exit(0)
os.waitpid(pid, 0)
asyncio.run(end(log))
"""


@pytest.mark.slow
@pytest.mark.parametrize("how", ["exit", "collect", "finalize"])
def test_a_forked_child_is_told_and_takes_nothing_from_its_parent(path: Path, how: str) -> None:
    done = python(FORKED, path, how)
    assert done.stderr == ""
    lines = done.stdout.splitlines()
    assert lines[:4] == ["open logs after the fork, or start processes with `spawn`"] * 4
    assert lines[4] == "start processes with `spawn`, or open the log only after the fork"
    assert lines[-1] == "True 1"


async def test_a_loop_that_cancels_everything_leaves_a_log_that_closes(path: Path) -> None:
    log = SqliteLog(path, clock=lambda: 1, new_id=lambda: "s")
    await log.start()
    await log.create("s")
    appends = [asyncio.ensure_future(log.append("s", [(n, Custom(kind="x"))])) for n in range(3)]
    for _ in range(40):
        await asyncio.sleep(0.0005)
        appends.append(asyncio.ensure_future(log.append("s", [(0, Custom(kind="x"))])))
        await asyncio.sleep(0)
        for task in asyncio.all_tasks() - {asyncio.current_task()}:
            task.cancel()
    await asyncio.wait(appends)
    async with asyncio.timeout(60):
        head = (await log.info("s")).head
        assert await log.append("s", [(9, Custom(kind="x"))], expected=head) == head + 1
        await log.close()


def test_a_log_is_used_in_one_loop_after_another(path: Path) -> None:
    log = SqliteLog(path, clock=lambda: 1, new_id=lambda: "s")
    loop = asyncio.new_event_loop()
    loop.run_until_complete(log.start())
    loop.run_until_complete(log.create("s"))
    left = loop.create_task(log.append("s", [(1, Custom(kind="x"))]))
    loop.run_until_complete(asyncio.sleep(0))
    loop.close()  # in the middle of an append

    async def rest() -> int:
        head = (await log.info("s")).head
        head = await log.append("s", [(1, Custom(kind="x"))])
        await log.close()
        await log.close()
        return head

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert asyncio.run(asyncio.wait_for(rest(), 60)) == 2
        del left
        gc.collect()
