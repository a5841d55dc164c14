"""Streaming: what a delta costs from the model's stream to the disk, and how soon a reader of the run sees it."""

from __future__ import annotations

import asyncio
import gc
import time
from collections.abc import AsyncIterator
from statistics import quantiles

from eventsource.codec import encode
from eventsource.events import MessageUpdate, ModelRef
from eventsource.messages import AssistantMessage, TextContent
from eventsource.models.protocol import CallOptions, StreamEnd, StreamEvent, StreamStart, WireBody
from eventsource.request import Request
from refold import Agent, Log, open_log

from .exchange import texts
from .measure import compared, turns
from .rows import Row, ratio_row, row
from .stores import new_folder

_FEW = 50  # deltas: what a run costs besides
_SPEEDS = (50, 1_000, 10_000)  # deltas a second
_MANY = 200  # runs at once
_SPEED_OF_MANY = 5


def run(quick: bool) -> list[Row]:
    """Measure by the processor's clock what a delta costs, by the wall's how long it takes to be seen."""
    rounds, deltas, seconds = (2, 500, 0.3) if quick else (7, 6_000, 4.0)
    return asyncio.run(_rows(rounds, deltas, seconds))


async def _rows(rounds: int, deltas: int, seconds: float) -> list[Row]:
    rows: list[Row] = []
    async with open_log(new_folder() / f"streaming-{deltas}.db") as log:
        ours: list[float] = []
        floors: list[float] = []
        for _ in turns(rounds, ()):
            ours.append(1e6 * (await _cost(log, deltas) - await _cost(log, _FEW)) / (deltas - _FEW))
            floors.append(1e6 * _encoding(deltas))
        name = "a delta, from the model's stream to the disk (floor: encode it once)"
        rows.append(ratio_row(name, compared(ours, floors), "us of CPU"))
        for speed in _SPEEDS:
            seen: list[float] = []
            await _stream(log, speed, max(20, int(speed * seconds)), seen)
            rows += _delays(f"a delta until a reader sees it, {speed:,} a second", seen)
        seen = []
        count = max(5, int(_SPEED_OF_MANY * seconds))
        await asyncio.gather(*(_stream(log, _SPEED_OF_MANY, count, seen) for _ in range(_MANY)))
        rows += _delays(f"the same, {_MANY} runs at once with {_SPEED_OF_MANY} a second each", seen)
    return rows


def _delays(name: str, seen: list[float]) -> list[Row]:
    return [row(name, seen, "ms"), row(f"{name}, p99", [quantiles(seen, n=100)[98]], "ms")]


class _Paced:
    """A model that says so many deltas, so many a second (0: at once), and notes when it said each."""

    def __init__(self, deltas: list[str], speed: int) -> None:
        self.ref = ModelRef(api="paced", provider="paced", model="paced")
        self.said_at: list[float] = []
        self._deltas, self._speed = deltas, speed

    def encode(self, request: Request) -> WireBody | None:
        """Give no wire body: nothing is sent."""
        return None

    async def stream(self, request: Request, options: CallOptions) -> AsyncIterator[StreamEvent]:
        """Say the deltas in time."""
        yield StreamStart()
        yield MessageUpdate(kind="text_start", content_index=0)
        began = time.perf_counter()
        for number, delta in enumerate(self._deltas):
            if self._speed and (wait_s := began + number / self._speed - time.perf_counter()) > 0:
                await asyncio.sleep(wait_s)
            self.said_at.append(time.perf_counter())
            yield MessageUpdate(kind="text_delta", content_index=0, delta=delta)
        yield MessageUpdate(kind="text_end", content_index=0)
        text = TextContent(text="".join(self._deltas))
        yield StreamEnd(message=AssistantMessage(content=(text,), stop_reason="stop"))


async def _cost(log: Log, deltas: int) -> float:
    session, agent = await log.session(), Agent(_Paced(texts(deltas, 1), 0))
    gc.collect()
    began = time.process_time()
    done = await agent.run("Go on.", session=session)
    if done.status != "done":
        raise RuntimeError(f"the run ended as {done.status}: {done.error}")
    return time.process_time() - began


def _encoding(deltas: int) -> float:
    updates = [MessageUpdate(kind="text_delta", content_index=0, delta=text) for text in texts(deltas, 1)]
    began = time.process_time()
    for update in updates:
        encode(update)
    return (time.process_time() - began) / deltas


async def _stream(log: Log, speed: int, deltas: int, seen: list[float]) -> None:
    """Read a run's stream, and note for each delta the milliseconds since the model said it."""
    model = _Paced(texts(deltas, 1), speed)
    number = 0
    async for event in Agent(model).stream("Go on.", session=await log.session()):
        if isinstance(event, MessageUpdate) and event.kind == "text_delta":
            seen.append((time.perf_counter() - model.said_at[number]) * 1000)
            number += 1
