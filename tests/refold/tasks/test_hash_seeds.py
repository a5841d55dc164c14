"""What is recorded is the same bytes under any hash seed: sets have no order of their own."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
PROGRAM = """
import asyncio, dataclasses, itertools
import msgspec, pydantic
from refold import Agent, open_log, tool
from refold.log import Log
from eventsource.log import MemoryLog
from eventsource.models.scripted.script import call
from eventsource.models.scripted import scripted
from refold.tasks import TaskContext, task

NAMES = ["alpha", "beta", "gamma", "delta", "epsilon", "zeta", "eta", "theta"]

@dataclasses.dataclass
class Plain:
    names: set[str]

class Struct(msgspec.Struct, rename="camel"):
    some_names: frozenset[str]

class Model(pydantic.BaseModel):
    names: set[str]
    inner: dict[str, list[set[str]]]

class Root(pydantic.RootModel[set[str]]):
    pass

def values():
    names = set(NAMES)
    model = Model(names=names, inner={"a": [names]})
    pairs = {(name, number) for number, name in enumerate(NAMES)}
    return [names, Plain(names), Struct(frozenset(names)), model, Root(names), {"k": (pairs, [frozenset(names)])}]

@tool
def look(names: set[str] = frozenset(NAMES)) -> object:
    return values()

async def give(value):
    return value

@task(id="seeds")
async def seeds(ctx: TaskContext, payload: object) -> object:
    async def step(context, iteration):
        return {"kept": iteration} if iteration > 1 else {name: {"n": set(NAMES)} for name in NAMES}
    ctx.metadata.set("names", values())
    await ctx.step("names", give, values())
    await ctx.create_token(key="open", default=values())
    await ctx.turn(Agent(scripted([call("look")], "Seen."), tools=[look], options={"stop": NAMES}), "Look.")
    return await ctx.loop({}, step, lambda context, message: context, timeout="1d")

async def main():
    names, times = (f"s{n}" for n in itertools.count()), itertools.count(1)
    log = Log(MemoryLog(clock=lambda: 1, new_id=lambda: next(names)), clock=lambda: 1)
    run = await seeds.run(log, values(), key="one")
    assert run.status == "waiting", run.error
    await run.session.send("go on")
    run = await seeds.resume(run.session)
    async with log.record("recorded", model="openai:gpt-5") as record:
        await record.user("Hello")
        async with record.model({"model": "gpt-5", "stop": set(NAMES)}) as reply:
            reply.message("Hello.")
    runner = run.session.core.log
    for info in await runner.sessions():
        for one in await runner.read(info.id):
            body = msgspec.json.encode(one.event).decode()
            print(one.seq, "resume" if '"runner"' in body else body)

asyncio.run(main())
"""


@pytest.mark.slow
def test_what_is_recorded_is_the_same_under_any_hash_seed() -> None:
    found: set[str] = set()
    for seed in ("0", "1", "2"):
        environment = {**os.environ, "PYTHONHASHSEED": seed}
        command = [sys.executable, "-c", PROGRAM]
        run = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=60)
        assert run.returncode == 0, run.stderr
        found.add(run.stdout)
    one, *others = found
    assert '"patch"' in one
    differing = [
        pair
        for other in others
        for pair in zip(one.splitlines(), other.splitlines(), strict=True)
        if len(set(pair)) > 1
    ]
    assert not differing, differing[0]
