"""Running: the loop end to end, with a scripted model, a tool, and every event on disk."""

from __future__ import annotations

import asyncio
import time

from eventsource.models.scripted import ScriptedModel, scripted
from eventsource.models.scripted.script import call
from refold import Agent, Run, Session, open_log, tool

from .exchange import DELTAS, RESULT_BYTES, Append, exchanges, flushed, texts
from .floor import Floor, open_floor
from .measure import compared
from .rows import Row
from .stores import folder

_FLUSH = 32  # updates: the loop's own


@tool(effect="pure")
def weather(city: str) -> str:
    """Say the weather in a city."""
    return (city * RESULT_BYTES)[:RESULT_BYTES]


def run(quick: bool) -> list[Row]:
    """Measure exchanges through `Agent.run`; the floor only stores their events, with as many commits."""
    rounds, size = (2, 5) if quick else (7, 20)
    ours, floors = asyncio.run(_rounds(rounds, size))
    found = compared(ours, floors)
    return [
        Row("Agent.run, one exchange (floor: store its events)", found.value, "ms", found.floor, found.ratio),
        Row("the same", 1000 / found.value, "exchanges/s", 1000 / found.floor, found.floor / found.value),
    ]


def _model() -> ScriptedModel:
    asked = call("weather", {"city": "Oslo"}, deltas=('{"cit', 'y": "', "Oslo", '"}'))
    return scripted([*texts(DELTAS, 1), asked], texts(DELTAS, 2))


async def _rounds(rounds: int, size: int) -> tuple[list[float], list[float]]:
    place = folder() / f"running-{size}"
    place.mkdir()
    ours, floors = [], []
    async with open_log(place / "refold.db") as log, open_floor(place / "floor.db") as floor:
        for _ in range(rounds):
            session = await log.session()
            began = time.perf_counter()
            for _ in range(size):
                await _exchange(session)
            ours.append((time.perf_counter() - began) * 1000 / size)
            made = list(exchanges(size))
            began = time.perf_counter()
            for appends in made:
                await _store(floor, appends)
            floors.append((time.perf_counter() - began) * 1000 / size)
    return ours, floors


async def _exchange(session: Session) -> None:
    run: Run[object] = await Agent(_model(), tools=[weather]).run("".join(texts(40, 3)), session=session)
    if run.status != "done":
        raise RuntimeError(f"the run ended as {run.status}: {run.error}")


async def _store(floor: Floor, appends: list[Append]) -> None:
    """Store an exchange with the commits that the loop makes: the prompt first, then one for each message."""
    await floor.append(appends[0][:1])
    await floor.append(appends[0][1:])
    for append in appends[1:]:
        for events, durable in flushed(append, _FLUSH):
            await floor.append(events, durable=durable)
