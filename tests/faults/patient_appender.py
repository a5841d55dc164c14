"""A process that appends numbered facts to one session, and tries again until it is told that each is stored."""

from __future__ import annotations

import asyncio
import json
import sys
import time

from eventsource.errors import OutcomeUnknownError, StoreError
from eventsource.events import Custom
from eventsource.log import open_store
from eventsource.log.load import read_all
from eventsource.log.protocol import EventLog

PAUSE_S = 0.02


async def append(place: str, session: str, name: str, seconds: float) -> dict[str, object]:
    """Append for a time: every other one under a key. Returns: how many, and how long the longest took."""
    count, tries, longest_s, until_s = 0, 0, 0.0, time.monotonic() + seconds
    async with open_store(place) as log:
        head = (await log.info(session)).head
        print("ready", flush=True)
        while time.monotonic() < until_s:
            began, kind, is_told = time.monotonic(), f"{name} {count}", False
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
            longest_s = max(longest_s, time.monotonic() - began)
            count += 1
    return {"count": count, "tries": tries, "longest_s": longest_s}


async def is_there(log: EventLog, session: str, kind: str, *, after: int) -> bool:
    """Look, as soon as anybody can, whether something was stored after a head that was told."""
    while True:
        try:
            return Custom(kind=kind) in [one.event async for one in read_all(log, session, after=after, updates=False)]
        except StoreError:
            await asyncio.sleep(PAUSE_S)


if __name__ == "__main__":
    print(json.dumps(asyncio.run(append(sys.argv[1], sys.argv[2], sys.argv[3], float(sys.argv[4])))), flush=True)
