"""Flushing in time: together for all sessions, and nothing is awake while nothing waits."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextvars import ContextVar
from pathlib import Path

import pytest

from eventsource.errors import StoreError
from eventsource.events import QueuePush
from eventsource.log import MemoryLog, open_store
from eventsource.messages import UserMessage
from eventsource.models.scripted import scripted
from eventsource.models.scripted.script import stall
from eventsource.runner import flushing as module
from eventsource.runner.flushing import flushing
from eventsource.runner.writer import Writer
from projections.context import ContextView
from refold import Agent, open_log
from refold.context_fold import CONTEXT

PATIENCE_S = 60.0
WHO: ContextVar[str] = ContextVar("who", default="")


async def writer_of(log: MemoryLog, name: str, told: list[str]) -> Writer[ContextView]:
    """Make a session in which an answer is streamed, and who writes it; `told`: in whose context events were shown."""
    await log.create(name)

    def note(recorded: object) -> None:
        told.append(WHO.get())

    writer = Writer(log, name, context=CONTEXT, clock=lambda: 7, on_commit=note)
    await writer.load()
    writer.outcome(QueuePush(queue="prompt", message=UserMessage(content="Hello")))
    await writer.flush()
    told.clear()
    return writer


def label(writer: Writer[ContextView]) -> None:
    writer.outcome(QueuePush(queue="steering", message=UserMessage(content="more")))


@pytest.fixture
async def log() -> AsyncIterator[MemoryLog]:
    async with open_store() as store:
        assert isinstance(store, MemoryLog)
        yield store


async def until_flushed(*writers: Writer[ContextView]) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while any(writer.has_pending for writer in writers):
            await asyncio.sleep(0.005)


async def test_what_comes_is_flushed_in_time_by_one_timer_and_none_is_there_before_and_after(log: MemoryLog) -> None:
    told: list[str] = []
    writers = [await writer_of(log, f"s{n}", told) for n in range(20)]

    async def stream(writer: Writer[ContextView], done: asyncio.Event) -> None:
        WHO.set(writer.session)
        async with flushing(writer):
            await done.wait()

    done = asyncio.Event()
    streams = [asyncio.create_task(stream(writer, done)) for writer in writers]
    await asyncio.sleep(0)
    timer = module._TIMERS[asyncio.get_running_loop()]
    assert timer._handle is None
    tasks = asyncio.all_tasks()
    for writer in writers:
        label(writer)
    assert timer._handle is not None
    assert asyncio.all_tasks() == tasks, "nobody has a task of his own for it"
    await until_flushed(*writers)
    assert timer._handle is None
    assert sorted(told) == sorted(writer.session for writer in writers), "each in the context of its own run"
    done.set()
    await asyncio.gather(*streams)


async def test_what_waits_at_the_end_of_the_block_is_left_to_who_ends_it(log: MemoryLog) -> None:
    writer = await writer_of(log, "oslo", [])
    async with flushing(writer):
        label(writer)
    assert writer.has_pending
    assert module._TIMERS[asyncio.get_running_loop()]._handle is None


async def test_what_waits_when_the_block_begins_is_flushed_too(log: MemoryLog) -> None:
    writer = await writer_of(log, "oslo", [])
    label(writer)
    async with flushing(writer):
        await until_flushed(writer)


async def test_what_kept_a_flush_from_its_end_is_raised_at_the_end_of_the_block(
    log: MemoryLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    writer = await writer_of(log, "oslo", [])
    failed: list[int] = []

    async def fails() -> bool:
        failed.append(1)
        raise StoreError("here", "full", "make room")

    monkeypatch.setattr(writer, "flush", fails)

    async def block() -> None:
        async with flushing(writer):
            label(writer)
            async with asyncio.timeout(PATIENCE_S):
                while not failed:
                    await asyncio.sleep(0.005)
            label(writer)
            await asyncio.sleep(3 * module.FLUSH_S)

    with pytest.raises(StoreError, match="full"):
        await block()
    assert len(failed) == 1, "once it has failed, it is not tried again"


async def test_runs_that_wait_for_their_model_wake_nobody(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Counted: the timers and the tasks of the event loop that are due, beside the one watcher."""
    monkeypatch.setattr("eventsource.log.sqlite.indexing.AFTER_S", 3600.0)  # what was appended before is indexed once
    model = scripted(lambda request: ["so ", stall()])
    count = 30
    async with open_log(tmp_path / "log.db") as log:
        sessions = [await log.session() for _ in range(count)]
        before = len(asyncio.all_tasks())
        runs = [asyncio.create_task(Agent(model).run("Hello", session=session)) for session in sessions]
        async with asyncio.timeout(PATIENCE_S):
            while len(model.asked) < count or any([(await session.info()).head < 6 for session in sessions]):
                await asyncio.sleep(0.05)
        assert len(asyncio.all_tasks()) - before < 6 * count
        steps: list[str] = []
        loop = asyncio.get_running_loop()
        call_soon = loop.call_soon

        def counted(callback: object, *given: object, **named: object) -> object:
            owner = getattr(callback, "__self__", None)
            steps.append(str(owner.get_coro()) if isinstance(owner, asyncio.Task) else str(callback))
            return call_soon(callback, *given, **named)  # type: ignore[arg-type]  # whatever it is

        loop.call_soon = counted  # type: ignore[method-assign,assignment]  # to see who wakes up
        try:
            async with asyncio.timeout(PATIENCE_S):  # each looks once for what came while it appended, however late
                while not steps or len(steps) >= count:  # a run that wakes up ten times in a second alone has five
                    steps.clear()
                    await asyncio.sleep(0.5)
        finally:
            loop.call_soon = call_soon  # type: ignore[method-assign]  # as it was
        for run in runs:
            run.cancel()
        await asyncio.wait(runs)
