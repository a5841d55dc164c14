"""A worker of the recipe for DBOS, as a process: folder, and the name of its executor."""

from __future__ import annotations

import asyncio
import runpy
import signal
import sys
from pathlib import Path

from refold import open_log
from refold.engines import EngineWorker
from refold.signals import on_signal
from tests.faults import conversations

RECIPE = Path(__file__).parents[3] / "examples" / "dbos_engine.py"


async def main(folder: Path, executor: str) -> None:
    """Work until SIGTERM."""
    engine = runpy.run_path(str(RECIPE))["DbosEngine"](f"sqlite:///{folder / 'dbos.db'}", executor=executor)
    async with open_log(folder / "log.db") as log:
        worker = EngineWorker(log, [conversations.held, conversations.leaf], engine, again="1s", grace="1s")
        on_signal(signal.SIGTERM, call=worker.stop)
        await worker.run()


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), sys.argv[2]))
