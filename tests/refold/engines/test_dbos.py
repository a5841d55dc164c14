"""The recipe for DBOS, and its limit: what a killed executor had is taken up by its name alone."""

from __future__ import annotations

import asyncio
import logging
import os
import runpy
import subprocess
import sys
from pathlib import Path

import pytest

from eventsource.events import StepEnd
from refold import open_log
from refold.engines import Tick
from tests.faults import conversations
from tests.faults.test_worker_kill import ROOT, began, facts
from tests.refold.engines.dbos_worker import RECIPE

pytest.importorskip("dbos", reason="needs the package dbos")
pytestmark = [pytest.mark.faults, pytest.mark.slow]


async def test_what_a_killed_executor_had_is_taken_up_by_its_name_alone(tmp_path: Path) -> None:
    running: list[subprocess.Popen[bytes]] = []

    def start(executor: str) -> subprocess.Popen[bytes]:
        with (tmp_path / f"{executor}.txt").open("ab") as told:
            process = subprocess.Popen(
                [sys.executable, "-m", "tests.refold.engines.dbos_worker", str(tmp_path), executor],
                cwd=ROOT, env={**os.environ, "CONVERSATIONS": str(tmp_path)}, stdout=told, stderr=told,
            )  # fmt: skip
        running.append(process)
        return process

    try:
        async with open_log(tmp_path / "log.db") as log:
            run = await conversations.held.trigger(log, None)
            start("one")
            await began(tmp_path, 1, timeout_s=60)
            running[0].kill()
            running[0].wait()
            (tmp_path / "go").touch()
            start("other")
            async with asyncio.timeout(60):
                while (done := await conversations.leaf.trigger(log, 3, key="leaf")).status != "done":
                    await asyncio.sleep(0.1)
            assert done.result == 9  # the other works
            assert (await run.refresh()).status == "due"  # and leaves that alone, though it is due
            start("one")
            async with asyncio.timeout(60):
                while (run := await run.refresh()).status != "done":
                    await asyncio.sleep(0.1)
            assert len([event async for event in facts(run.session) if isinstance(event, StepEnd)]) == 1
            assert (await log.verify()).ok
            for process in running[1:]:
                process.terminate()
                assert process.wait(60) == 0
    finally:
        for process in running:
            process.kill()
            process.wait()


async def test_dbos_keeps_how_many_ticks_begin_in_a_second_and_how_many_run_here(tmp_path: Path) -> None:
    logging.getLogger("dbos").handlers.clear()  # it writes to what was the standard error when it was first imported
    recipe, clock = runpy.run_path(str(RECIPE)), asyncio.get_running_loop().time
    engine = recipe["DbosEngine"](f"sqlite:///{tmp_path / 'dbos.db'}", executor="one", per_second=2)
    begun, running, most, stopping = list[float](), 0, 0, asyncio.Event()

    async def tick(session: str) -> Tick:
        nonlocal running, most
        begun.append(clock())
        running, most = running + 1, max(most, running + 1)
        await asyncio.sleep(0.3)
        running -= 1
        return Tick(ended=True)

    async with asyncio.timeout(60), asyncio.TaskGroup() as both:
        both.create_task(engine.serve(tick, queues=["rated"], concurrency=2, grace_s=1, stopping=stopping))
        for number in range(10):
            await engine.poke(f"rated-{number}", "rated")
        while len(begun) < 10 or running:
            await asyncio.sleep(0.02)
        stopping.set()
    assert most == 2
    assert begun[-1] - begun[0] > 2.5  # without a limit 1.5: two at once, each for 0.3 s
