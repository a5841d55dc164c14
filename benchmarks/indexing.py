"""What a page of a long session costs its server: the index, and what it answers at seqs anywhere."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from statistics import quantiles

import msgspec

from eventsource.events import Event, MessageAdopt, Origin, Place
from eventsource.log import open_store
from eventsource.log.protocol import EventLog
from eventsource.messages import AssistantMessage, TextContent, ToolCall, ToolResultMessage, Usage, UserMessage
from refold.views.index import SessionIndex
from refold.views.jump import jump_to, open_message_seq
from refold.views.requests import part_window, request_head
from refold.views.rows import row_columns
from refold.views.transcript import transcript_window

from .exchange import SESSION, exchanges
from .rows import Row, row
from .stores import new_folder

_AT_ONCE = 5_000
_WINDOW = 50
_EVENTS_PER_EXCHANGE = 339


def run(quick: bool) -> list[Row]:
    """Measure a session of many deltas, and one of many messages."""
    jumps = 20 if quick else 300
    events = asyncio.run(_rows(streamed(2 if quick else 295), "events", (50.0, 120.0), jumps))
    return events + asyncio.run(_rows(adopted_messages(50 if quick else 25_000), "messages", (100.0, 200.0), jumps))


def streamed(count: int) -> Iterator[Sequence[tuple[int, Event]]]:
    """Exchanges of which almost all is deltas."""
    for made in exchanges(count, deltas=160):
        yield [one for append in made for one in append]


def adopted_messages(count: int) -> Iterator[Sequence[tuple[int, Event]]]:
    """Exchanges of four messages each, as a session file of another agent has them."""
    origin, events = Origin(source="bench"), list[tuple[int, Event]]()
    for n in range(count):
        asks = (TextContent(text="I will look."), ToolCall(id=f"call_{n}", name="bash", arguments='{"command":"ls"}'))
        usage = Usage(input_tokens=1_200 + n, output_tokens=40)
        result = ToolResultMessage(tool_call_id=f"call_{n}", tool_name="bash", content=(TextContent(text="out " * 50),))
        place = Place(message_seq=4 * n + 2, content_index=1)
        said = [
            MessageAdopt(message=UserMessage(content=f"Question {n}: what is there? " + "word " * 20), origin=origin),
            MessageAdopt(message=AssistantMessage(content=asks, stop_reason="tool_use", usage=usage), origin=origin),
            MessageAdopt(message=result, origin=origin, call=place),
            MessageAdopt(
                message=AssistantMessage(content=(TextContent(text="done " * 30),), usage=usage), origin=origin
            ),
        ]
        events += [(4_000_000 * n + at, event) for at, event in enumerate(said)]
        if len(events) >= _AT_ONCE:
            yield events
            events = []
    yield events


async def _rows(
    appends: Iterator[Sequence[tuple[int, Event]]], what: str, goals: tuple[float, float], jumps: int
) -> list[Row]:
    async with open_store(new_folder() / f"indexing_{what}.db") as log:
        await log.create(SESSION)
        head = 0
        for append in appends:
            head = await log.append(SESSION, append) if append else head
        index = SessionIndex(log)
        began = time.perf_counter()
        _, whole = await index.whole(SESSION, patience_s=None)
        built = time.perf_counter() - began
        chance = random.Random(7)
        seqs = [chance.randint(1, head) for _ in range(jumps)]
        jumped = await _ms(lambda seq: _jump(log, index, seq), seqs)
        asked = await _ms(lambda seq: _request(index, seq), seqs)
        said = await _ms(lambda seq: _said(index, seq), seqs)
        began = time.perf_counter()
        listed = msgspec.json.encode(row_columns(whole.columns))
        list_ms = (time.perf_counter() - began) * 1000
    of = f"of {head:,} {what}"
    jump_goal, request_goal = goals
    return [
        row(f"index a session {of}", [built], "s"),
        row("what it takes, by its own estimate", [index.folds.size_bytes / 1e6], "MB", goal="<= 400"),
        row("all rows of its list, as JSON", [list_ms], "ms"),
        row("the same", [len(listed) / len(whole.columns)], "B a row"),
        row("a jump to any seq: half of them", [quantiles(jumped, n=20)[9]], "ms", goal=f"<= {jump_goal / 2:.0f}"),
        row("19 in 20", [quantiles(jumped, n=20)[18]], "ms", goal=f"<= {jump_goal:.0f}"),
        row(
            f"the first {_WINDOW} parts of the request there: 19 in 20",
            [quantiles(asked, n=20)[18]],
            "ms",
            goal=f"<= {request_goal:.0f}",
        ),
        row(
            f"{2 * _WINDOW} messages around it: 19 in 20",
            [quantiles(said, n=20)[18]],
            "ms",
            goal=f"<= {request_goal:.0f}",
        ),
    ]


async def _jump(log: EventLog, index: SessionIndex, seq: int) -> object:
    at = await index.at(SESSION, seq)
    start = open_message_seq(at)
    page = await log.read(SESSION, after=(start or seq) - 1, upto=seq, limit=100_000)
    return jump_to(at, page[-1], page)


async def _request(index: SessionIndex, seq: int) -> object:
    at = await index.at(SESSION, seq)
    return request_head(at), part_window(at, 0, _WINDOW)


async def _said(index: SessionIndex, seq: int) -> object:
    return transcript_window(await index.at(SESSION), seq, _WINDOW, _WINDOW)


async def _ms(work: Callable[[int], Awaitable[object]], seqs: Sequence[int]) -> list[float]:
    taken = []
    for seq in seqs:
        began = time.perf_counter()
        msgspec.json.encode(await work(seq))
        taken.append((time.perf_counter() - began) * 1000)
    return taken
