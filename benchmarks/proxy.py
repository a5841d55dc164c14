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
from statistics import median, quantiles
from typing import NamedTuple

import httpx

from refold.http import Exchange, serving

from .rows import Row
from .stores import folder

_PACE_S, _CROWD_PACE_S = 0.005, 0.02
_CROWD = 50
_MAIN = (sys.executable, "-c", "from refold.cli import main; main()")


class Seen(NamedTuple):
    """One stream: milliseconds to its first token, and how long each token was under way."""

    first_ms: float
    under_way_ms: Sequence[float]


def run(quick: bool) -> list[Row]:
    """Measure streams one after another, then many at once, each the direct way and through the proxy."""
    if find_spec("uvicorn") is None:
        return [Row("a stream through the proxy", None, "uvicorn is not installed")]
    rounds, tokens = (2, 10) if quick else (15, 100)
    crowd = 5 if quick else _CROWD
    direct, through, direct_crowd, crowded = asyncio.run(_measure(rounds, tokens, crowd))
    return [
        _row("first token", [seen.first_ms for seen in through], [seen.first_ms for seen in direct]),
        _row("each token, under way", _all(through), _all(direct)),
        Row("delay added to the first token", _added(direct, through), "ms", goal="<= 5"),
        Row("delay added to each token", median(_all(through)) - median(_all(direct)), "ms", goal="<= 1"),
        Row("the same, of 99 in 100 at most", _slow(_all(through)) - _slow(_all(direct)), "ms"),
        _row(f"each token of {crowd} streams at once", _all(crowded), _all(direct_crowd)),
    ]


def _row(name: str, values: Sequence[float], floors: Sequence[float]) -> Row:
    value, floor = median(values), median(floors)
    return Row(f"{name} (floor: the direct way)", value, "ms", floor, value / floor)


def _all(streams: Sequence[Seen]) -> list[float]:
    return [taken for seen in streams for taken in seen.under_way_ms[1:]]


def _added(direct: Sequence[Seen], through: Sequence[Seen]) -> float:
    return median(slow.first_ms - fast.first_ms for slow, fast in zip(through, direct, strict=True))


def _slow(values: Sequence[float]) -> float:
    return quantiles(values, n=100)[98]


async def _measure(rounds: int, tokens: int, crowd: int) -> tuple[list[Seen], list[Seen], list[Seen], list[Seen]]:
    direct: list[Seen] = []
    through: list[Seen] = []
    async with serving(_Provider(tokens)) as provider, _client(provider.url) as near:
        with _proxy(provider.url) as url:
            async with _client(url) as far:
                for number in range(rounds + 1):  # the first opens connections
                    seen = [await _stream(near, f"direct {number}"), await _stream(far, f"proxied {number}")]
                    if number:
                        direct.append(seen[0])
                        through.append(seen[1])
                one, other = [await _crowd(client, crowd) for client in (near, far)]
    return direct, through, one, other


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
    with subprocess.Popen([*_MAIN, *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
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


async def _crowd(client: httpx.AsyncClient, crowd: int) -> list[Seen]:
    return list(await asyncio.gather(*(_stream(client, f"{client.base_url} crowd {n}") for n in range(crowd))))


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
