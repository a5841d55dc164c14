"""Going on in a session that has grown: what one more exchange, one more turn and the first request cost there."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping, Sequence
from itertools import accumulate, islice, pairwise
from statistics import median
from typing import NamedTuple

from eventsource.models.scripted import ScriptedModel, scripted
from eventsource.models.scripted.script import Answer, call
from refold import Agent, Log, Policies, Run, Session, open_log, tool

from .exchange import exchanges, texts
from .measure import compared, turns
from .rows import Chart, Point, Row, ratio_row, row
from .stores import new_folder

_AT_ONCE = 25  # exchanges
_DELTAS = 16
_WINDOW = 10  # turns
_MISSED = (
    "The prompt and the request are on disk before it leaves, and threads hand them over; where other programs use "
    "both, that takes its time. It does not grow with the session."
)
_EXCHANGE = Chart("exchange", "One more exchange", "exchanges of the session")
_REQUEST = Chart("request", "From stream() until the request leaves", "exchanges of the session")


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
    place = new_folder()
    async with open_log(place / "refold.db") as log:
        sessions = {size: await _session(log, size) for size in sizes}
        grown = {size: _Grown([], []) for size in sizes}
        for size in turns(rounds, *sizes):
            began = time.process_time()
            await _exchange(sessions[size])
            grown[size].exchange.append((time.process_time() - began) * 1000)
            grown[size].request.append(await _until_request(sessions[size]))
        early: list[float] = []
        late: list[float] = []
        many, few = (60, 2) if quick else (2_000, 3)
        for _ in turns(few, ()):
            for figures, figure in zip((early, late), await _turns(log, many), strict=True):
                figures.append(figure)
    return [
        *_exchange_rows(grown),
        *(
            row(
                f"stream() until its request leaves, at {size:,}",
                one.request,
                "ms",
                goal="<= 10",
                missed=_MISSED,
                point=Point(_REQUEST, "until its request leaves", size),
            )
            for size, one in grown.items()
        ),
        ratio_row(
            f"a turn at turn {many:,} (beside: at turn 20)",
            compared(late, early),
            "ms of CPU",
            beside=True,
            goal="<= 1.3x",
        ),
    ]


def _exchange_rows(grown: Mapping[int, _Grown]) -> list[Row]:
    (short, least), *longer = grown.items()
    point = Point(_EXCHANGE, "one more exchange", short)
    rows = [row(f"one more exchange at {short:,}", least.exchange, "ms of CPU", point=point)]
    for size, one in longer:
        name, found = f"one more exchange at {size:,} (beside: at {short})", compared(one.exchange, least.exchange)
        rows.append(ratio_row(name, found, "ms of CPU", beside=True, goal="<= 2x", point=point._replace(size=size)))
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


def _check(run: Run[None]) -> None:
    if run.status != "done":
        raise RuntimeError(f"the run ended as {run.status}: {run.error}")
