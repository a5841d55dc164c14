"""One look for all who wait: what it costs is counted, not timed."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, TypeVar

import pytest

from eventsource.errors import StoreError
from eventsource.events import Event, Label
from eventsource.log import open_store
from eventsource.log.sqlite import watch
from eventsource.log.sqlite.file_notices import file_notices
from eventsource.log.sqlite.store import SqliteLog
from eventsource.user_code.calls import enter, guarded_tasks

LABEL: list[tuple[int, Event]] = [(1, Label(text="x"))]
PATIENCE_S = 60.0
PUT_OFF_S = 12_345.0
T = TypeVar("T")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "log.db"


@pytest.fixture
async def log(path: Path) -> AsyncIterator[SqliteLog]:
    async with open_store(path) as store:
        assert isinstance(store, SqliteLog)
        yield store


@pytest.fixture(params=[True, False], ids=["notices", "no notices"])
def has_notices(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> bool:
    """Let the system give notices of what is written, or none."""

    @asynccontextmanager
    async def none(path: str, notice: object, *, put_off_s: object) -> AsyncIterator[bool]:
        yield False

    if not request.param:
        monkeypatch.setattr("eventsource.log.sqlite.watch.file_notices", none)
    return bool(request.param)


async def until(done: object) -> None:
    assert callable(done)
    async with asyncio.timeout(PATIENCE_S):
        while not done():
            await asyncio.sleep(0.005)


async def sessions(log: SqliteLog, count: int) -> Sequence[str]:
    return [(await log.create()).id for _ in range(count)]


async def waiting(log: SqliteLog, names: Sequence[str]) -> list[asyncio.Task[bool]]:
    """Let one wait for each session, until all of them do and the database was asked for the first time."""
    tasks = [asyncio.create_task(log.wait(name, 0)) for name in names]
    await until(lambda: len(log._notifier.waiting) == len(names) and log.counts.asked > 0)
    return tasks


async def leave(tasks: Sequence[asyncio.Task[bool]]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks)


def watchers() -> int:
    return sum("ChangeWatcher" in str(task.get_coro()) for task in asyncio.all_tasks())


@pytest.mark.parametrize("count", [1, 200])
async def test_however_many_wait_there_is_one_watcher_and_as_many_looks(
    log: SqliteLog, has_notices: bool, count: int
) -> None:
    tasks = await waiting(log, await sessions(log, count))
    assert watchers() == 1
    looks, asked = log.counts.looks, log.counts.asked
    await until(lambda: log.counts.looks >= looks + 15)
    assert log.counts.asked - asked <= log.counts.looks - looks, "each look asks once at most, whoever waits"
    if not has_notices:
        await until(lambda: log.counts.looks > log.counts.asked)  # not each of them asks
    await leave(tasks)


async def test_the_watcher_is_of_no_run_though_code_of_one_waits_first(log: SqliteLog) -> None:
    [session] = await sessions(log, 1)

    async def wait() -> None:
        enter()
        await leave(await waiting(log, [session]))

    with guarded_tasks():
        await asyncio.create_task(wait())
    [task] = [one for one in asyncio.all_tasks() if "ChangeWatcher._watch" in str(one.get_coro())]
    assert task is log._watcher._tasks[asyncio.get_running_loop()]


async def test_while_nobody_waits_nobody_looks(log: SqliteLog) -> None:
    await leave(await waiting(log, await sessions(log, 3)))
    await until(lambda: watchers() == 0)
    looks = log.counts.looks
    await log.append((await log.create()).id, LABEL)
    assert (watchers(), log.counts.looks) == (0, looks)


async def test_who_waits_again_and_again_needs_notices_once(log: SqliteLog, monkeypatch: pytest.MonkeyPatch) -> None:
    begun = 0

    @asynccontextmanager
    async def counted(path: str, notice: Callable[[], None], *, put_off_s: Callable[[], float]) -> AsyncIterator[bool]:
        nonlocal begun
        begun += 1
        async with file_notices(path, notice, put_off_s=put_off_s) as has_notices:
            yield has_notices

    monkeypatch.setattr("eventsource.log.sqlite.watch.file_notices", counted)
    monkeypatch.setattr(watch, "_LINGER_S", PATIENCE_S)  # the next one who waits may come late
    [session] = await sessions(log, 1)
    for head in range(20):
        heard = asyncio.ensure_future(log.wait(session, head))
        await until(lambda: log._notifier.has_waiting)
        await log.append(session, LABEL)
        assert await asyncio.wait_for(heard, PATIENCE_S)
        await asyncio.sleep(0.005)  # nobody waits
    assert begun == watchers() == 1


async def test_notices_that_are_put_off_come_as_one_and_wake_nobody_meanwhile(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file, noticed, asked, put_off = tmp_path / "file", 0, 0, list[Callable[[], None]]()
    file.write_text("")
    loop = asyncio.get_running_loop()
    call_later = loop.call_later

    def caught(delay: float, callback: Callable[..., None], *given: object, **named: Any) -> asyncio.TimerHandle:
        if delay == PUT_OFF_S:
            put_off.append(callback)
        return call_later(delay, callback, *given, **named)

    def write() -> None:
        with file.open("a") as opened:
            opened.write("x")

    def notice() -> None:
        nonlocal noticed
        noticed += 1

    def put_off_s() -> float:
        nonlocal asked
        asked += 1
        return PUT_OFF_S

    monkeypatch.setattr(loop, "call_later", caught)
    async with file_notices(str(file), notice, put_off_s=put_off_s) as has_notices:
        if not has_notices:
            pytest.skip("this system gives no notices")
        for _ in range(20):
            write()
            await asyncio.sleep(0)
        await until(lambda: put_off)
        write()
        await asyncio.sleep(0.01)
        assert (noticed, asked, len(put_off)) == (0, 1, 1)
        put_off.pop()()  # its time is over
        assert (noticed, asked) == (1, 1)
        write()
        await until(lambda: put_off)
        put_off.pop()()
        assert (noticed, asked) == (2, 2)


async def test_a_lease_that_comes_and_goes_leaves_known_where_the_session_ends(log: SqliteLog) -> None:
    [session] = await sessions(log, 1)
    head = await log.append(session, LABEL)
    lease = await log.claim(session)
    await log.release(await log.renew(lease))
    assert log._notifier.head_of(session) == head


async def test_what_this_log_appends_itself_is_asked_of_nobody(log: SqliteLog, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("_SOON_S", "_ASK_S"):
        monkeypatch.setattr(watch, name, 3_600.0)  # nothing is asked because it is time
    quiet, busy = await sessions(log, 2)
    tasks = await waiting(log, [quiet])
    await until(lambda: log._watcher._version is not None)
    asked = log.counts.asked
    for _ in range(20):
        heard = asyncio.ensure_future(log.wait(busy, (await log.info(busy)).head))
        await asyncio.sleep(0)
        await log.append(busy, LABEL)
        assert await asyncio.wait_for(heard, PATIENCE_S)
    assert log.counts.asked - asked < 2
    assert not tasks[0].done()
    await leave(tasks)


async def test_who_appends_and_waits_again_reads_nothing_to_know_where_its_session_ends(
    log: SqliteLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    [session] = await sessions(log, 1)
    tasks = await waiting(log, [session])
    head = await log.append(session, LABEL)
    assert await asyncio.wait_for(tasks[0], PATIENCE_S)

    async def reads(name: str) -> int:
        raise AssertionError(f"where {name} ends was read")

    monkeypatch.setattr(log, "_head", reads)
    assert not await log.wait(session, head, 0)
    waits = asyncio.ensure_future(log.wait(session, head))
    await asyncio.sleep(0)
    await log.append(session, LABEL)
    assert await asyncio.wait_for(waits, PATIENCE_S)


async def test_what_is_written_while_this_log_writes_is_put_off_for_longer_where_all_that_is_waited_for_is_its_own(
    log: SqliteLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    mine, others = await sessions(log, 2)
    heard = (await waiting(log, [mine]))[0]
    head = await log.append(mine, LABEL)
    assert await asyncio.wait_for(heard, PATIENCE_S)
    tasks = [asyncio.create_task(log.wait(mine, head))]
    await until(lambda: log._notifier.waiting == [mine])
    assert log._watcher._put_off_s() == 0
    monkeypatch.setattr(log._commits, "_leading", True)
    assert log._watcher._put_off_s() == watch._ALONE_S
    tasks.append(asyncio.create_task(log.wait(others, 0)))
    await until(lambda: log._notifier.waiting == [mine, others])
    assert log._watcher._put_off_s() == watch._OWN_S
    monkeypatch.undo()
    await leave(tasks)


async def test_what_another_appends_is_asked_once_for_all_who_wait(
    log: SqliteLog, path: Path, has_notices: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = await sessions(log, 200)
    asked: list[tuple[str, ...]] = []
    ask = log._watcher._read

    async def counted(known: object, waited: Sequence[str]) -> tuple[object, object]:
        version, heads = await ask(known, waited)
        if version != known:
            asked.append(tuple(heads))
        return version, heads

    monkeypatch.setattr(log._watcher, "_read", counted)
    tasks = await waiting(log, names)
    await until(lambda: len(asked) > 0)
    asked.clear()
    async with open_store(path) as other:
        await other.append(names[7], LABEL)
        assert await asyncio.wait_for(tasks[7], PATIENCE_S)
        assert len(asked) <= 2, "opening the other log may have been one change"
        assert sum(task.done() for task in tasks) == 1
    await leave([task for task in tasks if not task.done()])


async def test_who_waits_while_the_file_is_replaced_is_told(log: SqliteLog, path: Path, has_notices: bool) -> None:
    [session] = await sessions(log, 1)
    [task] = await waiting(log, [session])
    os.rename(path, path.with_name("moved.db"))
    with pytest.raises(StoreError, match="removed, moved or replaced"):
        await asyncio.wait_for(task, PATIENCE_S)
    os.rename(path.with_name("moved.db"), path)


async def test_who_waits_while_the_write_ahead_file_is_removed_is_told(
    log: SqliteLog, path: Path, has_notices: bool
) -> None:
    [session] = await sessions(log, 1)
    [task] = await waiting(log, [session])
    for name in ("log.db-wal", "log.db-shm"):
        path.with_name(name).unlink()
    with pytest.raises(StoreError, match="was removed or replaced"):
        await asyncio.wait_for(task, PATIENCE_S)
    with pytest.raises(StoreError, match="was removed or replaced"):
        await log.info(session)


async def test_an_append_in_another_thread_wakes_who_waits_in_this_one(log: SqliteLog) -> None:
    [session] = await sessions(log, 1)
    [task] = await waiting(log, [session])
    await asyncio.to_thread(lambda: asyncio.run(log.append(session, LABEL)))
    assert await asyncio.wait_for(task, PATIENCE_S)


async def test_marks_are_forgotten_beyond_a_number_and_then_all_read_again(
    log: SqliteLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("eventsource.log.follow._MOST_KNOWN", 4)
    names = await sessions(log, 10)
    mark = log._notifier.mark(names[0])
    for name in names:
        await log.append(name, LABEL)
    assert len(log._notifier._notified) <= 4
    assert log._notifier.mark(names[0]) != mark
    assert await log.wait(names[0], 0, 0)
