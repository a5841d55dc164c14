"""The proxy: how much later a token arrives that passes by it and goes on record. The floor is the direct way.

The provider and the client are in this process, the proxy in one of its own, with its log in a file. Each token says
when it was sent, so what is measured is how long it was under way.
"""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from importlib.util import find_spec
from itertools import count
from statistics import median, quantiles
from typing import NamedTuple

import httpx

from refold.http import Exchange, serving

from .measure import compared, environment, turns
from .rows import Row, absent, ratio_row, row
from .stores import folder

_PACE_S, _CROWD_PACE_S = 0.005, 0.02
_CROWD = 50
_MAIN = (sys.executable, "-c", "from refold.cli import main; main()")
_FIRST = (
    "The request is on disk before it is sent on, which takes a commit with its sync; then one more connection is "
    "made, and what comes passes one more process."
)
_EACH = (
    "A piece passes one more process, which reads it, sends it on and records it; client, proxy and provider share the "
    "processors of one machine here."
)


class Seen(NamedTuple):
    """One stream: milliseconds to its first token, and how long each token was under way."""

    first_ms: float
    under_way_ms: Sequence[float]


def run(quick: bool) -> list[Row]:
    """Measure streams one after another, then many at once, each the direct way and through the proxy."""
    if find_spec("uvicorn") is None:
        return [absent("a stream through the proxy", "uvicorn is not installed")]
    rounds, tokens = (2, 10) if quick else (15, 100)
    crowd, crowds = (5, 2) if quick else (_CROWD, 5)
    direct, through, direct_crowds, crowded = asyncio.run(_measure(rounds, tokens, crowd, crowds))
    direct_ms, through_ms = [_under_way(one) for one in direct], [_under_way(one) for one in through]
    slow = _slow(_all(through)) - _slow(_all(direct))
    pairs = list(zip(through, direct, strict=True))
    return [
        _row("first token", [seen.first_ms for seen in through], [seen.first_ms for seen in direct]),
        _row("each token, under way", through_ms, direct_ms),
        row(
            "delay added to the first token",
            [far.first_ms - near.first_ms for far, near in pairs],
            "ms",
            goal="<= 5",
            missed=_FIRST,
        ),
        row(
            "delay added to each token",
            [_under_way(far) - _under_way(near) for far, near in pairs],
            "ms",
            goal="<= 1",
            missed=_EACH,
        ),
        Row(name="the same, of 99 in 100 at most", value=slow, unit="ms", runs=rounds),
        _row(
            f"each token of {crowd} streams at once",
            *([median(_all(streams)) for streams in each] for each in (crowded, direct_crowds)),
        ),
    ]


def _row(name: str, values: Sequence[float], floors: Sequence[float]) -> Row:
    return ratio_row(f"{name} (floor: the direct way)", compared(values, floors), "ms")


def _all(streams: Sequence[Seen]) -> list[float]:
    return [taken for seen in streams for taken in seen.under_way_ms[1:]]


def _under_way(seen: Seen) -> float:
    return median(seen.under_way_ms[1:])


def _slow(values: Sequence[float]) -> float:
    return quantiles(values, n=100)[98]


class _Measured(NamedTuple):
    """Streams one after another, and rounds of many at once, the direct way and through the proxy."""

    direct: list[Seen]
    through: list[Seen]
    direct_crowds: list[list[Seen]]
    crowds: list[list[Seen]]


async def _measure(rounds: int, tokens: int, crowd: int, crowds: int) -> _Measured:
    found = _Measured([], [], [], [])
    async with serving(_Provider(tokens)) as provider, _client(provider.url) as near:
        with _proxy(provider.url) as url:
            async with _client(url) as far:
                for client in (near, far):  # the first opens connections
                    await _stream(client, f"first to {client.base_url}")
                number = count()
                for client, seen in turns(rounds, (near, found.direct), (far, found.through)):
                    seen.append(await _stream(client, f"{client.base_url} {next(number)}"))
                for client, each in turns(crowds, (near, found.direct_crowds), (far, found.crowds)):
                    each.append(await _crowd(client, crowd, next(number)))
    return found


class _Provider:
    """Streams tokens that say when they were sent."""

    def __init__(self, tokens: int) -> None:
        self._tokens = tokens

    async def __call__(self, exchange: Exchange) -> None:
        pace_s = _CROWD_PACE_S if b"crowd" in await exchange.body() else _PACE_S
        await exchange.begin(200, [(b"content-type", b"text/event-stream")])
        for _ in range(self._tokens):
            await asyncio.sleep(pace_s)
            await exchange.send(_chunk({"content": f"{time.perf_counter_ns()} "}, None))
        await exchange.send(_chunk({}, "stop") + b"data: [DONE]\n\n")
        await exchange.end()


def _chunk(delta: dict[str, str], finish: str | None) -> bytes:
    choice = {"index": 0, "delta": delta, "finish_reason": finish}
    value = {"id": "c", "object": "chat.completion.chunk", "model": "m", "choices": [choice]}
    return f"data: {json.dumps(value)}\n\n".encode()


@contextmanager
def _proxy(upstream: str) -> Iterator[str]:
    words = ("proxy", "--port", "0", "--upstream", upstream, "--db", str(folder() / "proxy.db"))
    with subprocess.Popen(
        [*_MAIN, *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment()
    ) as process:
        try:
            yield (process.stdout.readline() if process.stdout is not None else "").split()[-1]
        finally:
            process.terminate()
            _, said = process.communicate(timeout=30)
    if process.returncode:
        raise RuntimeError(f"the proxy ended with {process.returncode}: {said}")


@asynccontextmanager
async def _client(url: str) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(base_url=url, timeout=60, limits=httpx.Limits(max_connections=None)) as client:
        yield client


async def _crowd(client: httpx.AsyncClient, crowd: int, number: int) -> list[Seen]:
    asked = (f"{client.base_url} crowd {number}, {n}" for n in range(crowd))
    return list(await asyncio.gather(*(_stream(client, question) for question in asked)))


async def _stream(client: httpx.AsyncClient, question: str) -> Seen:
    body = {"model": "m", "stream": True, "messages": [{"role": "user", "content": question}]}
    began, first, taken = time.perf_counter_ns(), 0, []
    async with client.stream("POST", "/v1/chat/completions", json=body) as response:
        async for line in response.aiter_lines():
            now = time.perf_counter_ns()
            if '"content": "' in line:
                first = first or now
                taken.append((now - int(line.partition('"content": "')[2].partition(" ")[0])) / 1e6)
    return Seen((first - began) / 1e6, taken)
