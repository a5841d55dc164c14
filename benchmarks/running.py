"""Running: the loop end to end, with a scripted model, a tool, and every event on disk."""

from __future__ import annotations

import asyncio
import time

from eventsource.log.sqlite.store import SqliteLog
from eventsource.models.protocol import CallOptions
from eventsource.models.scripted import ScriptedModel
from eventsource.models.scripted.script import call
from eventsource.request import Request
from refold import Agent, Session, open_log, tool

from .exchange import DELTAS, RESULT_BYTES, Append, exchanges, flushed, texts
from .floor import Floor, open_floor
from .measure import Compared, compared, repeated, turns
from .rows import Row, ratio_row, row
from .stores import new_folder

_FLUSH = 32  # updates: the loop's own
_PACE_MS = 20  # between two deltas of a model that answers with 50 a second
_MISSED = (
    "It waits for the disk less often than the floor; what is left is computing, whose row is below. Seven tenths of "
    "that are there for answers of four deltas, too: the session is taken and given back, 19 facts are admitted, "
    "folded and hashed, and 14 calls into the database's threads take 95 turns of the event loop and 21 tasks. The "
    "rest is 200 deltas of 10 us each, an eighth of it the scripted model. The slower a sync, the closer the two."
)


@tool(effect="pure")
def weather(city: str) -> str:
    """Say the weather in a city."""
    return (city * RESULT_BYTES)[:RESULT_BYTES]


def run(quick: bool) -> list[Row]:
    """Measure exchanges through `Agent.run`; the floor only stores their events, with as many commits."""
    rounds, size, pace_ms = (2, 5, 1) if quick else (15, 10, _PACE_MS)
    found, cpu, commits = asyncio.run(_rounds(rounds, size))
    played = repeated(rounds, lambda: asyncio.run(_played(size)))
    paced = repeated(1 if quick else 3, lambda: asyncio.run(_paced(pace_ms)))
    rate = Compared(1000 / found.value, 1000 / found.floor, 1 / found.ratio, found.runs)
    return [
        ratio_row("Agent.run, one exchange (floor: store its events)", found, "ms", goal="<= 2.5x", missed=_MISSED),
        ratio_row("the same", rate, "exchanges/s"),
        ratio_row("the same: CPU", cpu, "ms"),
        row("of it the scripted model, which a provider's takes the place of", played, "ms"),
        row("the same: commits with a sync", commits, "per exchange", goal="<= 5"),
        row(f"the same, its deltas {pace_ms} ms apart: CPU", paced, "ms"),
    ]


def _model(pace_ms: int = 0) -> ScriptedModel:
    asked = call("weather", {"city": "Oslo"}, deltas=('{"cit', 'y": "', "Oslo", '"}'))
    return ScriptedModel([[*texts(DELTAS, 1), asked], texts(DELTAS, 2)], pace_ms=pace_ms)


async def _played(size: int) -> float:
    """Play the answers of some exchanges to nobody. Returns: ms of CPU an exchange."""
    began = time.process_time()
    for _ in range(size):
        model = _model()
        for _ in range(2):
            async for _ in model.stream(Request(model=model.ref), CallOptions()):
                pass
    return (time.process_time() - began) * 1000 / size


async def _paced(pace_ms: int) -> float:
    """Run an exchange as slowly as models answer, after one at full speed. Returns: ms of CPU."""
    async with open_log(new_folder() / "paced.db") as log:
        session = await log.session()
        await _exchange(session)
        began = time.process_time()
        await _exchange(session, pace_ms)
        return (time.process_time() - began) * 1000


async def _rounds(rounds: int, size: int) -> tuple[Compared, Compared, list[float]]:
    place = new_folder()
    ours: list[float] = []
    floors: list[float] = []
    cpu: dict[int, list[float]] = {id(ours): [], id(floors): []}
    commits: list[float] = []
    made = list(exchanges(size))
    async with open_log(place / "refold.db") as log, open_floor(place / "floor.db") as floor:
        if not isinstance(log.store, SqliteLog):
            raise TypeError("a log with a path should be in SQLite")
        for figures in turns(rounds, ours, floors):
            session, before = await log.session(), log.store.counts.full
            began, computed = time.perf_counter(), time.process_time()
            if figures is ours:
                for _ in range(size):
                    await _exchange(session)
                commits.append((log.store.counts.full - before) / size)
            else:
                for appends in made:
                    await _store(floor, appends)
            cpu[id(figures)].append((time.process_time() - computed) * 1000 / size)
            figures.append((time.perf_counter() - began) * 1000 / size)
    return compared(ours, floors), compared(*cpu.values()), commits


async def _exchange(session: Session, pace_ms: int = 0) -> None:
    run = await Agent(_model(pace_ms), tools=[weather]).run("".join(texts(40, 3)), session=session)
    if run.status != "done":
        raise RuntimeError(f"the run ended as {run.status}: {run.error}")


async def _store(floor: Floor, appends: list[Append]) -> None:
    """Store an exchange with the commits that the loop makes: the prompt first, then one for each message."""
    await floor.append(appends[0][:1])
    await floor.append(appends[0][1:])
    for append in appends[1:]:
        for events, durable in flushed(append, _FLUSH):
            await floor.append(events, durable=durable)
