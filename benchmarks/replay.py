"""Replay: how many events a second are proved, every decision, request digest and message among them."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from eventsource.envelope import Recorded
from eventsource.log.load import read_all
from eventsource.machine.evolve import fold
from eventsource.models.scripted import scripted
from eventsource.models.scripted.script import Answer, call, say
from refold import Agent, open_log, tool
from replay.replay import replay

from .exchange import texts
from .measure import compare, seconds
from .rows import Row, ratio_row

_EXCHANGES = {20: 100, 2_000: 10}
"""How many exchanges a session has, by the deltas of each of its answers."""
_ALONE = (
    "An earlier run that had the machine to itself made 327,091 events/s of short answers, 0.25 times its floor's "
    "1,282,293; where the floor is as slow as here, so is the machine."
)


def run(quick: bool) -> list[Row]:
    """Measure sessions of short answers and of long ones; the floor is their fold alone."""
    return [_row(deltas, 5 if quick else exchanges) for deltas, exchanges in _EXCHANGES.items()]


def _row(deltas: int, exchanges: int) -> Row:
    events = asyncio.run(_recorded(deltas, exchanges))
    found = compare(5, lambda: _rate(events), lambda: len(events) / seconds(lambda: fold(events)))
    name = f"replay {len(events):,} events, {deltas:,} deltas an answer (floor: fold them)"
    return ratio_row(name, found, "events/s", goal=">= 300,000", missed=_ALONE)


def _rate(events: Sequence[Recorded]) -> float:
    return len(events) / seconds(lambda: _prove(events))


def _prove(events: Sequence[Recorded]) -> None:
    difference = replay(events).difference
    if difference is not None:
        raise AssertionError(f"the replay differs at seq {difference.seq}: {difference.field}")


async def _recorded(deltas: int, exchanges: int) -> list[Recorded]:
    """Run exchanges of two streamed answers with a tool call between them."""

    @tool(effect="pure")
    async def weather(city: str) -> str:
        """Current weather in a city."""
        return "".join(texts(400, len(city)))

    answers: list[Answer] = []
    for number in range(exchanges):
        said = texts(deltas, 2 * number), texts(deltas, 2 * number + 1)
        answers += [[say(*said[0]), call("weather", {"city": "Oslo"})], [say(*said[1])]]
    agent: Agent[None] = Agent(scripted(*answers), system="Be brief.", tools=[weather])
    async with open_log() as log:
        session = await log.session()
        for number in range(exchanges):
            await agent.run("".join(texts(40, number)), session=session)
        return [recorded async for recorded in read_all(log.store, session.id)]
