"""What each process of the stress contract does to the log, at the same time as the others."""

from __future__ import annotations

import asyncio
import json
import os
import random
import sys
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any

import msgspec

from ...errors import (
    ConflictError,
    FencedError,
    HasForksError,
    LeaseHeldError,
    SessionOpenError,
    UnknownSeqError,
    UnknownSessionError,
)
from ...events import Custom, Event, MessageEnd, StreamUpdate, TaskEnd
from .. import open_store
from ..protocol import EventLog
from .histories import START_US, exchange, read_all, timed

_SESSION = "shared"


async def _append(log: EventLog, number: int, count: int, chance: random.Random) -> dict[str, Any]:
    stored: list[str] = []
    for place in range(count):
        updates: list[tuple[int, Event]] = [
            (START_US + n, StreamUpdate(name=f"p{number}", item=msgspec.Raw(b"%d" % place)))
            for n in range(chance.randint(1, 5))
        ]
        if chance.random() < 0.5:
            await log.append(_SESSION, updates, durable=False)
        else:
            name = f"{number}:{place}"
            await log.append(_SESSION, [*updates, (START_US, Custom(kind=name))])
            stored.append(name)
    return {"stored": stored}


async def _expect(log: EventLog, number: int, count: int, chance: random.Random) -> dict[str, Any]:
    stored, refused = list[str](), 0
    for place in range(count):
        head = (await log.info(_SESSION)).head if place else 0  # where all begin, so that at most one is not refused
        try:
            await log.append(_SESSION, [(START_US, Custom(kind=f"{number}:{place}"))], expected=head)
            stored.append(f"{number}:{place}")
        except ConflictError:
            refused += 1
    return {"stored": stored, "refused": refused}


async def _key(log: EventLog, number: int, count: int, chance: random.Random) -> dict[str, Any]:
    keys = list(range(count))
    chance.shuffle(keys)
    heads = {key: await log.append(_SESSION, [(START_US, Custom(kind=f"{key}"))], key=f"key {key}") for key in keys}
    return {"heads": sorted(heads.items())}


async def _fork(log: EventLog, number: int, count: int, chance: random.Random) -> dict[str, Any]:
    forked, removed, mine = 0, 0, [_SESSION]
    for _ in range(count):
        session = chance.choice(mine)
        try:
            head = (await log.info(session)).head
            at = chance.randint(1, head)
            what = chance.choice(("fork", "fork", "append", "drop", "erase", "erase", "archive", "archive", "delete"))
            if what == "fork":
                mine.append((await log.fork(session, at, at_us=START_US)).id)
                forked += 1
            elif what == "append":
                await log.append(session, timed(exchange(f"{number} {at}")))
            elif what == "drop":
                removed += await log.drop_updates(session) > 0
            elif what == "erase":
                ends = [
                    one.seq for one in await read_all(log, session, limit=1_000) if isinstance(one.event, MessageEnd)
                ]
                await log.erase(session, chance.choice(ends or [at]), at_us=START_US)
                removed += 1
            elif what == "archive":
                await log.archive(session, at_us=START_US)
            elif session != _SESSION:
                await log.delete(session)
                mine.remove(session)
        except (UnknownSeqError, HasForksError, SessionOpenError, UnknownSessionError):
            continue  # somebody was quicker
    with suppress(HasForksError, UnknownSessionError):
        if number == 0:
            await log.delete(_SESSION)
    return {"forked": forked, "removed": removed}


async def _lease(log: EventLog, number: int, count: int, chance: random.Random) -> dict[str, Any]:
    stored, epochs = list[str](), list[int]()
    while len(epochs) < count:
        try:
            lease = await log.claim(_SESSION, ttl_us=chance.choice((0, 200)))
        except LeaseHeldError:
            continue
        epochs.append(lease.epoch)
        for place in range(chance.randint(1, 3)):
            name = f"{number}:{lease.epoch}:{place}"
            try:
                await log.append(_SESSION, [(START_US, Custom(kind=name))], epoch=lease.epoch)
                stored.append(name)
            except FencedError:
                break
        if chance.random() < 0.3:
            await log.release(lease)
    return {"stored": stored, "epochs": epochs}


async def _take(log: EventLog, number: int, count: int, chance: random.Random) -> dict[str, Any]:
    taken: list[str] = []
    while found := await log.take_due(limit=count, ttl_us=600_000_000):
        for lease in found:
            await log.append(lease.session, [(START_US, TaskEnd())], epoch=lease.epoch)
            taken.append(lease.session)
    return {"taken": taken}


async def _limit(log: EventLog, number: int, count: int, chance: random.Random) -> dict[str, Any]:
    """Run sessions of a queue under a limit; what is noted of each lies within the time that it is held."""
    taken: list[str] = []
    while await log.due(limit=1, queues=("gpu",)):
        for lease in await log.take_due(limit=2, ttl_us=600_000_000, queues=("gpu",), limits={"gpu": count}):
            await log.append(_SESSION, [(START_US, Custom(kind="begins"))])
            await log.append(_SESSION, [(START_US, Custom(kind="ends"))])
            await log.append(lease.session, [(START_US, TaskEnd())], epoch=lease.epoch)
            taken.append(lease.session)
    return {"taken": taken}


_WORK: dict[str, Callable[[EventLog, int, int, random.Random], Awaitable[dict[str, Any]]]] = {
    "append": _append, "expect": _expect, "key": _key, "fork": _fork, "lease": _lease, "take": _take,
    "limit": _limit,
}  # fmt: skip


async def _work(place: str, what: str, number: int, count: int) -> dict[str, Any]:
    async with open_store(place) as log:
        os.write(1, b"ready\n")
        sys.stdin.readline()
        return await _WORK[what](log, number, count, random.Random(number))


def main() -> None:
    """Do one process's part: place, what, its number, how often; wait for a line, and say what was done."""
    place, what, number, count = sys.argv[1:]
    os.write(1, json.dumps(asyncio.run(_work(place, what, int(number), int(count)))).encode())
