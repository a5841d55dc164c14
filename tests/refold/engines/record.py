"""Record a history of the workflow that drives a session: `python -m tests.refold.engines.record > FILE`."""

from __future__ import annotations

import asyncio
import tempfile
from pathlib import Path

from refold import open_log
from refold.engines.temporal import connect, workflow_id
from refold.engines.worker import EngineWorker
from refold.tasks import TaskContext, task
from tests.temporal import temporal_server


@task(id="recorded")
async def recorded(ctx: TaskContext, payload: None) -> object:
    """Sleep, wait for somebody, and end: a timer that fires, one that a poke ends, and the end."""
    await ctx.sleep("50ms")
    return (await ctx.wait(await ctx.create_token(key="answer", timeout="1h"))).value


async def main() -> None:
    """Run it, and print what the server kept."""
    with tempfile.TemporaryDirectory() as folder, temporal_server(Path(folder)) as server:
        await server.ready()
        engine = await connect(server.url)
        async with open_log(Path(folder) / "log.db") as log:
            worker = EngineWorker(log, [recorded], engine)
            working = asyncio.create_task(worker.run())
            run = await recorded.trigger(log, None, key="recorded")
            while not (run := await run.refresh()).waits or run.waits[0].key != "answer":
                await asyncio.sleep(0.05)
            await run.session.decide("answer", 1)
            while (run := await run.refresh()).status != "done":
                await asyncio.sleep(0.05)
            worker.stop()
            await working
            history = await engine.client.get_workflow_handle(workflow_id(run.id)).fetch_history()
        print(history.to_json())


if __name__ == "__main__":
    asyncio.run(main())
