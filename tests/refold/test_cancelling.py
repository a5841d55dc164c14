"""Cancelling whatever works on a session, at any instant, once or five times: nothing is left behind."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from eventsource.errors import RefoldError
from eventsource.models.scripted import ScriptedModel
from eventsource.models.scripted.script import call
from refold import Agent, Log, Session, open_log, tool
from refold.compaction import CompactionPolicy
from refold.tasks import TaskContext, task
from refold.tasks.worker import Worker

Work = Callable[[Log, Session], Awaitable[object]]


@pytest.fixture(autouse=True)
def _no_index(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the log index nothing meanwhile, which it does in a task of its own."""
    monkeypatch.setattr("eventsource.log.sqlite.indexing.AFTER_S", 3600.0)


@tool
async def look() -> str:
    """Look."""
    await asyncio.sleep(0)
    return "seen"


def tasks_but_watchers() -> set[asyncio.Task[Any]]:
    """Return the tasks there are, but those of opened logs that look for what others write: they end a little later."""
    return {one for one in asyncio.all_tasks() if "ChangeWatcher._watch" not in str(one.get_coro())}


def talker() -> Agent[None]:
    return Agent(ScriptedModel([[call("look"), call("look")], "Done."], pace_ms=0), tools=[look])


async def run(log: Log, session: Session) -> object:
    return await talker().run("go", session=session)


async def resume(log: Log, session: Session) -> object:
    await session.core.push("prompt", "go")
    return await talker().resume(session)


async def nest(log: Log, session: Session) -> object:
    child = talker().as_tool(name="child")
    return await Agent(ScriptedModel([[call("child", {"prompt": "go"})], "Done."]), tools=[child]).run(
        "go", session=session
    )


async def record(log: Log, session: Session) -> object:
    async with log.record(session.id, model="openai:gpt-5") as recorder:
        await recorder.user("go")
        async with recorder.model() as reply:
            reply.message("Done.")
    return None


async def compact(log: Log, session: Session) -> object:
    agent = Agent(
        ScriptedModel(["Yes.", "No.", "A summary."]),
        compaction=CompactionPolicy(keep_tokens=1),
    )
    await agent.run("one", session=session)
    await agent.run("two", session=session)
    return await agent.compact(session)


async def step() -> int:
    await asyncio.sleep(0)
    return 1


@task(id="errand")
async def errand(ctx: TaskContext, payload: None) -> object:
    await ctx.step("first", step)
    await ctx.trigger_and_wait(answer, None, key="child")
    return (await ctx.turn(talker(), "go")).text


@task(id="answer")
async def answer(ctx: TaskContext, payload: None) -> object:
    return await ctx.step("only", step)


async def drain(log: Log, session: Session) -> object:
    await errand.trigger(log)
    worker = Worker(log, [errand, answer])
    await worker.drain()
    return worker


async def serve(log: Log, session: Session) -> object:
    run = await errand.trigger(log)
    worker = Worker(log, [errand, answer], look="1ms", tell=lambda report: worker.stop())
    await worker.run()
    return run


@pytest.mark.slow
@pytest.mark.parametrize("times", [1, 5])
@pytest.mark.parametrize("stored", ["memory", "file"])
@pytest.mark.parametrize("work", [drain, serve])
async def test_a_worker_that_is_cancelled_at_any_instant_hands_everything_back(
    tmp_path: Path, work: Work, stored: str, times: int
) -> None:
    async with open_log(tmp_path / "log.db" if stored == "file" else None) as log:
        await talker().run("warm", session=await log.session())
        threads, tasks = threading.active_count(), tasks_but_watchers()
        ticks = finished = 0
        while not finished:
            finished += not await cancelled_after(ticks, times, work(log, await log.session()))
            where = f"cancelled after {ticks} ticks"
            assert tasks_but_watchers() == tasks, where
            assert [info.id for info in await log.list() if info.owner] == [], where
            for _ in range(3):
                await Worker(log, [errand, answer]).drain()
            assert await log.store.due() == (), where
            for info in await log.list():
                state = await (found := await log.find(info.id)).core.state()
                assert (state.batch, state.run, state.task) == (None, None, ""), where
                assert info.head < 100, where  # nobody went round and round while it was handed back
                assert (await found.replay()).difference is None, where
            for info in await log.list():
                await log.delete(info.id)
            ticks += 1 + ticks // 8
        assert threading.active_count() <= threads
        assert (await log.verify()).ok


async def cancelled_after(ticks: int, times: int, work: Awaitable[object]) -> bool:
    """Begin something and cancel it after some turns of the event loop. Returns: whether it was cancelled."""
    running = asyncio.ensure_future(work)
    for _ in range(ticks):
        if running.done():
            break
        await asyncio.sleep(0)
    for _ in range(times):
        running.cancel()
        await asyncio.sleep(0)
    await asyncio.wait([running])
    if not running.cancelled():
        running.result()
    return running.cancelled()


async def test_a_stream_whose_reader_was_cancelled_goes_on_to_its_end() -> None:
    async with open_log() as log:
        for ticks in (0, 1, 5, 20, 50):
            session = await log.session()
            shown = talker().stream("go", session=session)
            await cancelled_after(ticks, 5, shown.run())
            assert (await shown.run()).status == "done"
            assert (await session.info()).owner == ""


async def test_a_stream_whose_run_never_began_ends_for_its_reader() -> None:
    before = tasks_but_watchers()
    shown = talker().stream("go")
    for begun in tasks_but_watchers() - before:
        begun.cancel()
    with pytest.raises(asyncio.CancelledError):
        async for _ in shown:
            pass


@pytest.mark.slow
@pytest.mark.parametrize("times", [1, 5])
@pytest.mark.parametrize("stored", ["memory", "file"])
@pytest.mark.parametrize("work", [run, resume, nest, record, compact])
async def test_who_is_cancelled_at_any_instant_leaves_nothing_behind(
    tmp_path: Path, work: Work, stored: str, times: int
) -> None:
    async with open_log(tmp_path / "log.db" if stored == "file" else None) as log:
        await talker().run("warm", session=await log.session())
        threads = threading.active_count()
        tasks = tasks_but_watchers()
        ticks = finished = 0
        while not finished:
            session = await log.session()
            finished += not await cancelled_after(ticks, times, work(log, session))
            where = f"cancelled after {ticks} ticks"
            for info in await log.list():
                assert info.owner == "", where
                found = await log.find(info.id)
                state = await found.core.state()
                assert state.batch is None, where
                assert state.run is None, where
                assert (await found.replay()).difference is None, where
            assert tasks_but_watchers() == tasks, where
            await log.delete(session.id)
            ticks += 1 + ticks // 8
        assert threading.active_count() <= threads
        assert (await log.verify()).ok


def test_a_run_that_cannot_begin_makes_no_session(tmp_path: Path) -> None:
    async def sessions() -> int:
        async with open_log(path) as log:
            return len(await log.list())

    path = tmp_path / "log.db"
    with pytest.raises(RefoldError):
        Agent("nobody:nothing").run_sync("go", log=path)
    assert not path.exists() or asyncio.run(sessions()) == 0
