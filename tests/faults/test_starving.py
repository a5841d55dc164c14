"""A runner among others who append without a pause, and on a disk that is slow: what was given is stored."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from eventsource import session as core
from eventsource.events import Label, ToolExecutionEnd, ToolExecutionUpdate
from eventsource.log import open_store
from eventsource.log.load import read_all
from eventsource.log.protocol import EventLog
from eventsource.models.scripted import ScriptedModel
from eventsource.models.scripted.script import call
from eventsource.tools.context import ToolContext
from refold import Agent, Run, tool
from refold.session import Session
from replay.replay import replay

from .script import SESSION

ROOT = Path(__file__).parents[2]
WORDS = 60


class SlowStore:
    """A log whose appends take a while."""

    def __init__(self, log: EventLog, seconds: float) -> None:
        self._log, self._seconds = log, seconds

    def __getattr__(self, name: str) -> Any:
        return getattr(self._log, name)

    async def append(self, *given: Any, **named: Any) -> int:
        await asyncio.sleep(self._seconds)
        return await self._log.append(*given, **named)


@tool
async def report(context: ToolContext) -> str:
    """Report much."""
    for number in range(WORDS):
        context.update(f"{number} of {WORDS}")
        await asyncio.sleep(0.003)
    return "worked"


def talker(pace_ms: int) -> Agent[None]:
    """Make an agent that calls a tool that reports, then says something long."""
    return Agent(ScriptedModel([[call("report")], ["word "] * WORDS], pace_ms=pace_ms), tools=[report])


async def assert_whole(log: EventLog, run: Run[None]) -> int:
    """Check that everything is on record. Returns: how many labels stand between."""
    assert (run.status, run.text) == ("done", "word " * WORDS)
    history = [recorded async for recorded in read_all(log, SESSION)]
    events = [recorded.event for recorded in history]
    assert sum(isinstance(event, ToolExecutionUpdate) for event in events) == WORDS
    assert sum(isinstance(event, ToolExecutionEnd) for event in events) == 1
    assert replay(history).difference is None
    assert (await log.verify()).ok
    return sum(isinstance(event, Label) for event in events)


@pytest.mark.parametrize("pace_ms", [2, 3, 4])
async def test_an_answer_is_stored_however_slow_the_appends(pace_ms: int) -> None:
    async with open_store() as store:
        await store.create(SESSION)
        session = Session(core.SessionHandle(SlowStore(store, 0.003), SESSION, clock=lambda: 1))
        run = await talker(pace_ms).run("go", session=session)
        await assert_whole(store, run)


async def labels(log: EventLog) -> None:
    """Append without a pause."""
    while True:
        await log.append(SESSION, [(0, Label(text="again", target_seq=1))])


@asynccontextmanager
async def labelling(log: EventLog, tasks: int) -> AsyncIterator[None]:
    """Append without a pause beside what is done meanwhile."""
    work = [asyncio.create_task(labels(log)) for _ in range(tasks)]
    try:
        yield
    finally:
        for task in work:
            task.cancel()
        await asyncio.wait(work)


@pytest.mark.slow
async def test_a_run_ends_beside_tasks_that_append_without_a_pause(tmp_path: Path) -> None:
    async with open_store(tmp_path / "log.db") as log:
        await log.create(SESSION)
        async with asyncio.timeout(240), labelling(log, 3):
            session = Session(core.SessionHandle(log, SESSION, clock=lambda: 1))
            run = await talker(0).run("go", session=session)
        assert await assert_whole(log, run) > 10


def labeller(path: Path) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "tests.faults.labeller", str(path)]
    return subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


@pytest.mark.faults
@pytest.mark.slow
async def test_a_run_ends_beside_processes_that_append_without_a_pause(tmp_path: Path) -> None:
    path = tmp_path / "log.db"
    async with open_store(path) as log:
        await log.create(SESSION)
        others = [labeller(path) for _ in range(2)]
        try:
            for other in others:
                assert other.stdout is not None
                assert await asyncio.to_thread(other.stdout.readline) == "ready\n"
            async with asyncio.timeout(240):
                session = Session(core.SessionHandle(log, SESSION, clock=lambda: 1))
                run = await talker(0).run("go", session=session)
        finally:
            said = [other.communicate("stop\n", timeout=120)[0] for other in others]
        assert said == ["done\n", "done\n"]
        assert await assert_whole(log, run) > 10
