"""Live streams over HTTP: what 500 open ones take of a server, and how soon each shows what another process appends."""

from __future__ import annotations

import asyncio
import json
import os
import re
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from statistics import quantiles
from typing import NamedTuple

from eventsource.events import Custom
from eventsource.log import open_store, utc_now_us
from eventsource.log.protocol import EventLog

from .measure import environment
from .rows import Row, row
from .stores import new_folder

_TOKEN = "token-of-the-benchmark"
_SESSION = "watched"
_PATIENCE_S = 120.0
_BETWEEN_S = 0.1
_RESIDENT = re.compile(r"VmRSS:\s+(\d+) kB")


class _Server(NamedTuple):
    """A server in a process of its own, and where it listens."""

    pid: int
    port: int


def run(quick: bool) -> list[Row]:
    """Watch one session by many streams, and by eight; append to it from this process."""
    many, appends = (20, 5) if quick else (500, 60)
    return asyncio.run(_measured(new_folder(), many, appends))


async def _measured(place: Path, many: int, appends: int) -> list[Row]:
    path = place / "streams.db"
    async with open_store(path) as log:
        await log.create(_SESSION)
        async with _serving(path) as server:
            few = await _watch(log, server, 8, appends)
            before_kb = resident_kb(server.pid)
            delays = await _watch(log, server, many, appends, during=lambda: resident_kb(server.pid))
    rows = [
        row("8 streams: append to receipt", few.delays, "ms"),
        Row(name="the same, p99", value=_late(few.delays), unit="ms", runs=len(few.delays)),
        row(f"{many} streams of one session: append to receipt", delays.delays, "ms"),
        Row(name="the same, p99", value=_late(delays.delays), unit="ms", runs=len(delays.delays)),
    ]
    if before_kb is not None and delays.resident_kb is not None:
        each = (delays.resident_kb - before_kb) / many
        rows.append(Row(name="memory of the server, each of them", value=each, unit="kB", runs=1))
    return rows


class _Watched(NamedTuple):
    """Milliseconds from append to receipt, of each event at each reader; and what the server took meanwhile."""

    delays: list[float]
    resident_kb: int | None


async def _watch(log: EventLog, server: _Server, readers: int, appends: int, during: object = None) -> _Watched:
    head = (await log.info(_SESSION)).head
    async with asyncio.timeout(_PATIENCE_S):
        streams = await asyncio.gather(*(_open(server.port, head) for _ in range(readers)))
        reading = [asyncio.create_task(_read(reader, head + appends)) for reader, _ in streams]
        await asyncio.sleep(1)
        resident = during() if callable(during) else None
        for _ in range(appends):
            await asyncio.sleep(_BETWEEN_S)
            await log.append(_SESSION, [(utc_now_us(), Custom(kind="tick"))])
        found = await asyncio.gather(*reading)
        for _, writer in streams:
            writer.close()
    skip = appends // 10  # the first ones fill caches
    return _Watched([delay for one in found for delay in one[skip:]], resident)


async def _open(port: int, after: int) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    lines = [f"GET /v1/sessions/{_SESSION}/events?after={after} HTTP/1.1", "host: localhost"]
    lines += ["accept: text/event-stream", f"authorization: Bearer {_TOKEN}"]
    writer.write("\r\n".join([*lines, "", ""]).encode())
    await writer.drain()
    assert b" 200 " in await reader.readline()
    return reader, writer


async def _read(reader: asyncio.StreamReader, upto: int) -> list[float]:
    delays: list[float] = []
    while True:
        line = await reader.readline()
        if line.startswith(b'data: {"session'):
            sent = json.loads(line.removeprefix(b"data: "))
            delays.append((utc_now_us() - sent["at_us"]) / 1000)
            if sent["seq"] == upto:
                return delays
        elif not line or line.startswith(b"event: end"):
            raise ConnectionError(f"a stream ended: {line!r}")


@asynccontextmanager
async def _serving(path: Path) -> AsyncIterator[_Server]:
    words = ("-c", "from refold.cli import main; main()", "--db", str(path), "--json", "serve", "--port", "0")
    env = {**environment(), "REFOLD_TOKEN": _TOKEN}
    root = Path(__file__).parents[1]
    other = await asyncio.create_subprocess_exec(
        sys.executable, *words, cwd=root, env=env, stdout=asyncio.subprocess.PIPE
    )
    try:
        assert other.stdout is not None
        url = json.loads(await other.stdout.readline())["url"]
        yield _Server(other.pid, int(url.rpartition(":")[2]))
    finally:
        other.terminate()
        await other.wait()


def resident_kb(pid: int) -> int | None:
    """Return what a process has in memory; None where the system does not say."""
    status = f"/proc/{pid}/status"
    if not os.path.exists(status):
        return None
    found = _RESIDENT.search(Path(status).read_text())
    return int(found[1]) if found else None


def _late(delays: list[float]) -> float:
    return quantiles(delays, n=100)[98]
