"""DBOS as an engine: each tick of a session is a workflow in a queue of DBOS. Needs the package `dbos`.

    python examples/dbos_engine.py

What it does, and where its limits are: docs/many-machines.md, DBOS.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path

from dbos import DBOS, DBOSConfig, SetEnqueueOptions, error

from refold import open_log
from refold.engines import Engine, EngineWorker, Tick
from refold.tasks import TaskContext, task

RunTick = Callable[[str], Awaitable[Tick]]


class DbosEngine:
    """Keeps `refold.engines.Engine`: a poke puts a tick into a queue of DBOS, at most one of each session."""

    def __init__(self, url: str, *, executor: str, per_second: int = 100) -> None:
        """Prepare.

        Args:
            url: the database in which DBOS keeps its queues; that of the log, or another.
            executor: the same name each time this worker is started, as a StatefulSet gives it: what it left is taken
                up again by that name, and by no other.
            per_second: how many ticks DBOS begins in a second of each queue.
        """
        self._config = DBOSConfig(
            name="refold",
            system_database_url=url,
            executor_id=executor,
            application_version="1",  # else what another version of this file left is taken up by nobody
            log_level="WARNING",
        )
        self._per_second = per_second
        self._launched = asyncio.Event()

    async def poke(self, session: str, queue: str) -> None:
        """Put a tick into its queue, unless one is there."""
        await self._launched.wait()
        with SetEnqueueOptions(deduplication_id=session):
            try:
                await asyncio.to_thread(DBOS.enqueue_workflow, _name(queue), self._work, session)
            except error.DBOSQueueDeduplicatedError:
                pass

    async def serve(
        self, tick: RunTick, *, queues: Sequence[str], concurrency: int, grace_s: float, stopping: asyncio.Event
    ) -> None:
        """Work on the queues until stopped."""
        loop = asyncio.get_running_loop()

        @DBOS.workflow(name="refold.tick", max_recovery_attempts=1_000_000)
        def work(session: str) -> None:
            """Tick in the loop of the log; the log says when it is due again, so nothing is waited for here."""
            asyncio.run_coroutine_threadsafe(_ticked(tick, session), loop).result()

        DBOS(config=self._config)
        DBOS.listen_queues([_name(queue) for queue in queues])
        await asyncio.to_thread(DBOS.launch)
        for name in map(_name, queues):
            await asyncio.to_thread(self._register, name, concurrency)
        self._work = work
        self._launched.set()
        try:
            await stopping.wait()
        finally:
            self._launched.clear()
            await asyncio.to_thread(DBOS.destroy, workflow_completion_timeout_sec=round(grace_s), destroy_registry=True)

    def _register(self, name: str, concurrency: int) -> None:
        limit = self._per_second
        DBOS.register_queue(
            name,
            worker_concurrency=concurrency,
            limiter={"limit": limit, "period": 1.0},
            polling_interval_sec=0.1,
        )


async def _ticked(tick: RunTick, session: str) -> None:
    await tick(session)


def _name(queue: str) -> str:
    return f"refold-{queue or 'default'}"


@task(id="square", payload=int, queue="arithmetic")
async def square(ctx: TaskContext, number: int) -> int:
    """Do something, in a queue of its own."""
    return await ctx.step("square", lambda: number * number)


@task(id="sum", payload=int)
async def total(ctx: TaskContext, most: int) -> int:
    """Wait a moment, then let others do the work."""
    await ctx.sleep("50ms")
    return sum(await ctx.batch_trigger_and_wait(square, range(most)))


async def main(path: str = "dbos.db") -> None:
    """Run a task with children in two queues of DBOS."""
    engine: Engine = DbosEngine(f"sqlite:///{Path(path).with_suffix('.dbos')}", executor="worker-0")
    async with open_log(path) as log:
        worker = EngineWorker(log, [square, total], engine, queues=["default", "arithmetic"])
        working = asyncio.create_task(worker.run())
        run = await total.trigger(log, 4)
        while (run := await run.refresh()).status not in ("done", "error"):
            await asyncio.sleep(0.05)
        worker.stop()
        await working
        print(run.status, run.result or run.error)


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
