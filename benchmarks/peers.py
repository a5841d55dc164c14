"""Peers: the same exchanges in the stores of two other agent frameworks, none of which keeps a delta.

Each is used as its documentation shows: the session of the OpenAI Agents SDK gets the items of each turn as its runner
gives them; the checkpointer of LangGraph writes behind a graph of a model, a tool and a model.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

from eventsource.log import open_store

from . import floor
from .exchange import RESULT_BYTES, SESSION, Append, exchanges, texts
from .measure import compared, turns
from .reopening import floor_ms, refold_ms
from .rows import Row, absent, ratio_row
from .stores import folder

_ARGUMENTS = '{"city": "Oslo", "days": 3, "units": "celsius"}'


class Cost(NamedTuple):
    """What one session came to: time and room of an exchange, and reading it all back from a closed file."""

    persist_ms: float
    size_bytes: float
    reopen_ms: float


class Said(NamedTuple):
    """The texts of an exchange."""

    prompt: str
    answer: str
    result: str
    final: str


def run(quick: bool) -> list[Row]:
    """Measure in turns the floor, Refold, and whichever peer is installed."""
    count, few, rounds = (100, 20, 2) if quick else (1_000, 200, 5)
    ways = [
        _Way("the floor", count, lambda path: asyncio.run(_floor(path, count))),
        _Way(f"Refold, {count:,} exchanges", count, lambda path: asyncio.run(_refold(path, count))),
    ]
    missing = []
    name = f"OpenAI Agents SDK, SQLiteSession, {count:,}"
    if find_spec("agents") is None:
        missing.append(absent(name, "not installed"))
    else:
        ways.append(_Way(name, count, lambda path: asyncio.run(_openai(path, count))))
    name = f"LangGraph, SqliteSaver, {few:,} (it grows with the square)"
    if find_spec("langgraph") is None or find_spec("langgraph.checkpoint.sqlite") is None:
        missing.append(absent(name, "not installed"))
    else:
        ways.append(_Way("the floor", few, lambda path: asyncio.run(_floor(path, few))))
        ways.append(_Way(name, few, lambda path: _langgraph(path, few)))
    costs: dict[_Way, list[Cost]] = {way: [] for way in ways}
    for way in turns(rounds, *ways):
        with TemporaryDirectory(dir=folder()) as place:
            costs[way].append(way.measure(Path(place) / "peer.db"))
    floors = {way.exchanges: costs[way] for way in ways if way.name == "the floor"}
    found = [_rows(way, costs[way], floors[way.exchanges]) for way in ways if way.name != "the floor"]
    return [*(one for rows in found for one in rows), *missing]


class _Way(NamedTuple):
    """A store that is measured with so many exchanges, in a file of its own."""

    name: str
    exchanges: int
    measure: Callable[[Path], Cost]


def _rows(way: _Way, costs: Sequence[Cost], floors: Sequence[Cost]) -> list[Row]:
    """Make the rows of a store. What a peer does is less than the floor's work, and deltas can be packed tighter."""
    labels, units = (way.name, "", ""), ("ms/exchange", "bytes/exchange", "ms to reopen")
    ours = way.name.startswith("Refold")
    told = zip(labels, units, zip(*costs, strict=True), zip(*floors, strict=True), strict=True)
    return [
        ratio_row(label, compared(values, plain), unit, beside=not ours or unit == "bytes/exchange")
        for label, unit, values, plain in told
    ]


def _said(count: int) -> Iterator[Said]:
    for number in range(count):
        result = "".join(texts(RESULT_BYTES, number))[:RESULT_BYTES]
        answer, final = ("".join(texts(100, 2 * number + n)) for n in (0, 1))
        yield Said("".join(texts(40, number)), answer, result, final)


def _room(path: Path, count: int) -> float:
    return sum(part.stat().st_size for part in path.parent.glob(f"{path.name}*")) / count


async def _refold(path: Path, count: int) -> Cost:
    async with open_store(path) as log:
        await log.create(SESSION)
        persist = await _persist_ms(partial(log.append, SESSION), count)
        head = (await log.info(SESSION)).head
    reopen = await refold_ms(path, head)
    return Cost(persist, _room(path, count), reopen)


async def _floor(path: Path, count: int) -> Cost:
    async with floor.open_floor(path) as store:
        persist = await _persist_ms(store.append, count)
    reopen = await floor_ms(path, 2**62)
    return Cost(persist, _room(path, count), reopen)


async def _persist_ms(append: Callable[[Append], Awaitable[object]], count: int) -> float:
    made = list(exchanges(count))
    began = time.perf_counter()
    for appends in made:
        for one in appends:
            await append(one)
    return _ms(began) / count


async def _openai(path: Path, count: int) -> Cost:
    """Add items as the SDK's runner does: the input, then those of each turn."""
    from agents import SQLiteSession

    made = [_items(number, said) for number, said in enumerate(_said(count))]
    session = SQLiteSession(SESSION, path)
    began = time.perf_counter()
    for one in made:
        for items in one:
            await session.add_items(items)
    persist = _ms(began) / count
    session.close()
    began = time.perf_counter()
    session = SQLiteSession(SESSION, path)
    if len(await session.get_items()) != 5 * count:
        raise RuntimeError("SQLiteSession gave back other items than it was given")
    reopen = _ms(began)
    session.close()
    return Cost(persist, _room(path, count), reopen)


def _items(number: int, said: Said) -> Sequence[list[dict[str, object]]]:
    call = f"call_{number:024d}"
    return (
        [{"role": "user", "content": said.prompt}],
        [
            _output(f"msg_a{number:031d}", said.answer),
            {
                "type": "function_call",
                "id": f"fc_{number:031d}",
                "call_id": call,
                "name": "weather",
                "arguments": _ARGUMENTS,
                "status": "completed",
            },
            {"type": "function_call_output", "call_id": call, "output": said.result},
        ],
        [_output(f"msg_b{number:031d}", said.final)],
    )


def _output(name: str, text: str) -> dict[str, object]:
    content = [{"type": "output_text", "text": text, "annotations": []}]
    return {"id": name, "type": "message", "role": "assistant", "status": "completed", "content": content}


def _langgraph(path: Path, count: int) -> Cost:
    """Invoke a graph of a model, a tool and a model, whose nodes answer at once."""
    from langchain_core.messages import HumanMessage
    from langgraph.checkpoint.sqlite import SqliteSaver

    config = {"configurable": {"thread_id": SESSION}}
    said: list[Said] = []
    with SqliteSaver.from_conn_string(str(path)) as saver:
        graph = _graph(said).compile(checkpointer=saver)
        began = time.perf_counter()
        for one in _said(count):
            said.append(one)
            graph.invoke({"messages": [HumanMessage(one.prompt)]}, config)
        persist = _ms(began) / count
    began = time.perf_counter()
    with SqliteSaver.from_conn_string(str(path)) as saver:
        state = _graph(said).compile(checkpointer=saver).get_state(config)
        if len(state.values["messages"]) != 4 * count:
            raise RuntimeError("LangGraph gave back other messages than it was given")
        return Cost(persist, _room(path, count), _ms(began))


def _graph(said: list[Said]):  # type: ignore[no-untyped-def]  # a type of a package that need not be there
    from langchain_core.messages import AIMessage, ToolMessage
    from langgraph.graph import END, START, MessagesState, StateGraph

    def model(state: MessagesState) -> MessagesState:
        call = {"name": "weather", "args": {"city": "Oslo", "days": 3}, "id": f"call_{len(said):024d}"}
        return {"messages": [AIMessage(said[-1].answer, tool_calls=[call])]}

    def tools(state: MessagesState) -> MessagesState:
        return {"messages": [ToolMessage(said[-1].result, tool_call_id=f"call_{len(said):024d}")]}

    def final(state: MessagesState) -> MessagesState:
        return {"messages": [AIMessage(said[-1].final)]}

    graph = StateGraph(MessagesState)
    for node in (model, tools, final):
        graph.add_node(node.__name__, node)
    for one, other in ((START, "model"), ("model", "tools"), ("tools", "final"), ("final", END)):
        graph.add_edge(one, other)
    return graph


def _ms(began: float) -> float:
    return (time.perf_counter() - began) * 1000
