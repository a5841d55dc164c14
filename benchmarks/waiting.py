"""Waiting: what runs cost that wait for their model, and how fast a follower sees what another process appends."""

from __future__ import annotations

import asyncio
import sys
import time
from pathlib import Path
from statistics import quantiles

from eventsource.events import Custom
from eventsource.log import open_store, utc_now_us
from eventsource.models.scripted import ScriptedModel
from eventsource.models.scripted.script import stall
from refold import Agent, open_log

from .measure import environment, repeated, turns
from .rows import Row, row
from .stores import new_folder

_SESSION = "followed"
_SEED = 7
_PATIENCE_S = 120.0
_MISSED = (
    "An event passes two processes and two threads, each of which waits for a processor where other programs want them "
    "too; the load average above says how many did."
)


def run(quick: bool) -> list[Row]:
    """Let runs wait for a model that never answers; then follow what another process appends, and what nobody does."""
    times, seconds, appends = (1, 0.5, 20) if quick else (3, 4.0, 300)
    place = new_folder()
    silent: dict[int, list[float]] = {200: [], 500: []}
    for count in turns(times, *silent):
        path = place / f"silent-{count}-{len(silent[count])}.db"
        silent[count].append(asyncio.run(_silent(path, count, seconds)))
    seen = asyncio.run(_followed(place / "followed.db", appends))
    idle = repeated(times, lambda: asyncio.run(_idle(place / "followed.db", seconds)))
    late = quantiles(seen, n=100)[98]
    return [
        *(
            row(f"silent runs, {count}: CPU", [100 * used for used in silent[count]], "% of a core", goal=f"<= {goal}")
            for count, goal in ((200, 2), (500, 5))
        ),
        row("follow, append in another process to follower", seen, "ms", goal="<= 5", missed=_MISSED),
        Row(name="the same, p99", value=late, unit="ms", runs=len(seen)),
        row("follow, while nobody appends: CPU", [100 * used for used in idle], "% of a core", goal="<= 1"),
    ]


async def _share(seconds: float) -> float:
    """Measure which share of a core this process takes for a while."""
    before, began = time.process_time(), time.perf_counter()
    await asyncio.sleep(seconds)
    return (time.process_time() - before) / (time.perf_counter() - began)


async def _silent(path: Path, count: int, seconds: float) -> float:
    model = ScriptedModel(lambda request: ["so ", stall()])
    async with open_log(path) as log:
        sessions = [await log.session() for _ in range(count)]
        runs = [asyncio.create_task(Agent(model).run("Hello", session=session)) for session in sessions]
        while len(model.asked) < count:
            await asyncio.sleep(0.05)
        await asyncio.sleep(1)
        used = await _share(seconds)
        for one in runs:
            one.cancel()
        await asyncio.wait(runs)
    return used


async def _followed(path: Path, appends: int) -> list[float]:
    """Follow a session into which another process appends now and then. Returns: milliseconds from append to sight."""
    seen: list[float] = []
    async with open_store(path) as log:
        await log.create(_SESSION)
        words = ("-m", "benchmarks.waiting", str(path), str(appends))
        root = Path(__file__).parents[1]
        other = await asyncio.create_subprocess_exec(sys.executable, *words, cwd=root, env=environment())
        following = aiter(log.follow(_SESSION))
        async with asyncio.timeout(_PATIENCE_S):
            while len(seen) < appends:
                recorded = await anext(following)
                seen.append((utc_now_us() - recorded.at_us) / 1000)
            await other.wait()
    return seen[appends // 10 :]  # the first ones fill caches


async def _idle(path: Path, seconds: float) -> float:
    async with open_store(path) as log:
        head = (await log.info(_SESSION)).head
        following = asyncio.ensure_future(anext(aiter(log.follow(_SESSION, head))))
        await asyncio.sleep(0.5)
        used = await _share(seconds)
        following.cancel()
        await asyncio.wait([following])
    return used


async def _append(path: Path, appends: int) -> None:
    """Append, each event with the time at which its append began, at moments that no cadence of a follower fits."""
    async with open_store(path) as log:
        await asyncio.sleep(0.5)
        for number in range(appends):
            await asyncio.sleep(0.01 + (number * _SEED % 31) / 1000)
            await log.append(_SESSION, [(utc_now_us(), Custom(kind="tick"))])


if __name__ == "__main__":
    asyncio.run(_append(Path(sys.argv[1]), int(sys.argv[2])))
