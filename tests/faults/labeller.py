"""A child process that sets labels in a session without a pause, from several tasks, until its input ends."""

from __future__ import annotations

import asyncio
import sys

from eventsource.errors import StoreError
from eventsource.events import Label
from eventsource.log import open_store
from eventsource.log.protocol import EventLog

from .script import SESSION

TASKS = 4


async def hammer(log: EventLog) -> None:
    """Append and append."""
    while True:
        try:
            await log.append(SESSION, [(0, Label(text="again", target_seq=1))])
        except StoreError:  # its turn did not come
            continue


async def main(path: str) -> None:
    async with open_store(path) as log:
        tasks = [asyncio.create_task(hammer(log)) for _ in range(TASKS)]
        print("ready", flush=True)
        await asyncio.to_thread(sys.stdin.readline)
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
        print("done", flush=True)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
