"""Going on in a session that has grown: what one more exchange, one more turn and the first request cost there."""

from __future__ import annotations

import asyncio
import gc
import time
from collections.abc import Sequence
from itertools import accumulate, islice, pairwise
from statistics import median
from typing import NamedTuple

from eventsource.models.scripted import ScriptedModel, scripted
from eventsource.models.scripted.script import Answer, call
from refold import Agent, Log, Policies, Run, Session, open_log, tool

from .exchange import exchanges, texts
from .rows import Row
from .stores import folder

_AT_ONCE = 25  # exchanges
_DELTAS = 16
_WINDOW = 10  # turns


@tool(effect="pure")
def weather(city: str) -> str:
    """Say the weather in a city."""
    return "12 C, rain"


class _Grown(NamedTuple):
    """Figures of a session of some length: milliseconds of CPU of an exchange, and until a request leaves."""

    exchange: list[float]
    request: list[float]


def run(quick: bool) -> list[Row]:
    """Measure by the processor's clock what is compared with a short session, by the wall's what somebody waits for."""
    return asyncio.run(_rows((10, 40) if quick else (10, 100, 1_000, 10_000), 3 if quick else 11, quick=quick))


async def _rows(sizes: Sequence[int], rounds: int, *, quick: bool) -> list[Row]:
    place = folder() / f"growing-{quick}"
    place.mkdir()
    async with open_log(place / "refold.db") as log:
        sessions = {size: await _session(log, size) for size in sizes}
        grown = {size: _Grown([], []) for size in sizes}
        for number in range(rounds):
            for size, session in list(sessions.items())[:: -1 if number % 2 else 1]:
                gc.collect()
                began = time.process_time()
                await _exchange(session)
                grown[size].exchange.append((time.process_time() - began) * 1000)
                grown[size].request.append(await _until_request(session))
        short, *longer = sizes
        least = median(grown[short].exchange)
        rows = [Row(f"one more exchange at {short:,}", least, "ms of CPU")]
        for size in longer:
            value = median(grown[size].exchange)
            rows.append(
                Row(
                    f"one more exchange at {size:,} (floor: at {short})",
                    value,
                    "ms of CPU",
                    least,
                    value / least,
                    "<= 2x",
                )
            )
        name = "stream() until its request leaves, at"
        rows += [Row(f"{name} {size:,}", median(grown[size].request), "ms", goal="<= 10") for size in sizes]
        turns = 60 if quick else 2_000
        early, late = await _turns(log, turns)
        rows.append(
            Row(f"a turn at turn {turns:,} (floor: at turn 20)", late, "ms of CPU", early, late / early, "<= 1.3x")
        )
    return rows


async def _session(log: Log, size: int) -> Session:
    """Make a session of so many exchanges, and read it once."""
    session = await log.session(f"of {size}")
    store, head, made = log.store, 0, exchanges(size, deltas=_DELTAS)
    while appends := [append for one in islice(made, _AT_ONCE) for append in one]:
        heads = list(accumulate(map(len, appends), initial=head))
        found = zip(appends, heads, strict=False)
        await asyncio.gather(*(store.append(session.id, append, expected=at) for append, at in found))
        head = heads[-1]
    await _exchange(session)
    return session


def _model() -> ScriptedModel:
    asked = call("weather", {"city": "Oslo"}, deltas=('{"cit', 'y": "', "Oslo", '"}'))
    return scripted([*texts(_DELTAS, 1), asked], texts(_DELTAS, 2))


async def _exchange(session: Session) -> None:
    _check(await Agent(_model(), tools=[weather]).run("".join(texts(40, 3)), session=session))


async def _until_request(session: Session) -> float:
    """Measure the time from `stream()` to the request's event, which is durable before the model is called."""
    left: list[float] = []

    def answer(request: object) -> Answer:
        left.append(time.perf_counter())
        return texts(_DELTAS, 1)

    began = time.perf_counter()
    _check(await Agent(scripted(answer), tools=[weather]).stream("again", session=session).run())
    return (left[0] - began) * 1000


async def _turns(log: Log, turns: int) -> tuple[float, float]:
    """Run so many turns. Returns: milliseconds of CPU of a turn about the 20th, and of one of the last."""
    marks: list[float] = []

    def answer(request: object) -> Answer:
        marks.append(time.process_time())
        asked = call("weather", {"city": "Oslo"})
        return [*texts(_DELTAS, 1), asked] if len(marks) < turns else texts(_DELTAS, 1)

    agent = Agent(scripted(answer), tools=[weather], policies=Policies(turn_limit=turns))
    _check(await agent.run("Go on.", session=await log.session()))
    each = [(after - before) * 1000 for before, after in pairwise(marks)]
    return median(each[20 - _WINDOW : 20 + _WINDOW]), median(each[-2 * _WINDOW :])


def _check(run: Run[object]) -> None:
    if run.status != "done":
        raise RuntimeError(f"the run ended as {run.status}: {run.error}")
