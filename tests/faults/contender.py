"""A child process that appends its own events to a session that others append to as well."""

from __future__ import annotations

import asyncio
import sys

from eventsource.errors import ConflictError, FencedError, StoreError
from eventsource.events import Custom
from eventsource.log import open_store, utc_now_us

from .script import SESSION


async def contend(path: str, name: str, events: int) -> None:
    """Append at the expected head, again after each conflict; say how many conflicts there were.

    It begins at a line, with the head that was read before it: of those who begin together one is not refused.
    """
    conflicts = 0
    async with open_store(path) as log:
        head = (await log.info(SESSION)).head
        print("ready", flush=True)
        await asyncio.to_thread(sys.stdin.readline)
        for number in range(events):
            while True:
                try:
                    head = await log.append(SESSION, [(utc_now_us(), Custom(kind=f"{name}:{number}"))], expected=head)
                    break
                except (ConflictError, StoreError):
                    conflicts += 1
                    head = (await log.info(SESSION)).head
    print(conflicts, flush=True)


async def hold(path: str) -> None:
    """Claim the session, wait for a line, append under the lease, say what came of it."""
    async with open_store(path) as log:
        lease = await log.claim(SESSION, ttl_us=50_000)
        print("claimed", flush=True)
        await asyncio.to_thread(sys.stdin.readline)
        try:
            await log.append(SESSION, [(1, Custom(kind="late"))], epoch=lease.epoch)
            print("stored", flush=True)
        except FencedError:
            print("fenced", flush=True)


if __name__ == "__main__":
    if sys.argv[1] == "hold":
        asyncio.run(hold(sys.argv[2]))
    else:
        asyncio.run(contend(sys.argv[2], sys.argv[3], int(sys.argv[4])))
