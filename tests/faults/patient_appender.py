"""A process that appends numbered facts to one session, and tries again until it is told that each is stored."""

from __future__ import annotations

import asyncio
import json
import sys

from eventsource.errors import OutcomeUnknownError, StoreError
from eventsource.events import Custom
from eventsource.log import open_store
from eventsource.log.load import read_all
from eventsource.log.protocol import EventLog

PAUSE_S = 0.02


async def append(place: str, session: str, name: str) -> dict[str, int]:
    """Append until a line comes: every other one under a key; each is told of. Returns: how many, and other tries."""
    count, tries = 0, 0
    async with open_store(place) as log:
        head = (await log.info(session)).head
        print(0, flush=True)
        ending = asyncio.create_task(asyncio.to_thread(sys.stdin.readline))
        while not ending.done():
            kind, is_told = f"{name} {count}", False
            while not is_told:
                try:
                    head = await log.append(session, [(1, Custom(kind=kind))], key=kind if count % 2 else None)
                    is_told = True
                except OutcomeUnknownError:
                    tries += 1
                    is_told = not count % 2 and await is_there(log, session, kind, after=head)
                except StoreError:
                    tries += 1
                    await asyncio.sleep(PAUSE_S)
            count += 1
            print(count, flush=True)
    return {"count": count, "tries": tries}


async def is_there(log: EventLog, session: str, kind: str, *, after: int) -> bool:
    """Look, as soon as anybody can, whether something was stored after a head that was told."""
    while True:
        try:
            return Custom(kind=kind) in [one.event async for one in read_all(log, session, after=after, updates=False)]
        except StoreError:
            await asyncio.sleep(PAUSE_S)


if __name__ == "__main__":
    print(json.dumps(asyncio.run(append(*sys.argv[1:]))), flush=True)
