"""Servers for the tests of the client: a log of many kinds of sessions, served by a thread or a process of its own."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

from eventsource.messages import AssistantMessage, TextContent, Usage
from eventsource.models.scripted import Answer, call, fail, scripted
from refold import Agent, TaskContext, open_log, task, tool
from refold.http import serving_log
from refold.tasks import Task, Worker

TOKEN = "token-of-a-test-0123456789"


@tool(approval="always")
def deploy(target: str) -> str:
    """Deploy."""
    return f"deployed to {target}"


@tool
def weather(city: str) -> str:
    """Look outside."""
    if city == "Atlantis":
        raise ValueError("there is no such city")
    return f"rain in {city}"


@task(id="survey", payload=dict[str, str])
async def survey(ctx: TaskContext, payload: dict[str, str]) -> str:
    """Ask somebody."""
    ctx.metadata.set("asked", payload)

    async def answers() -> AsyncIterator[dict[str, int]]:
        for number in range(5):
            yield {"n": number}

    await ctx.stream("answers", answers)
    token = await ctx.create_token(key="colour", timeout="7d", tags=["poll"])
    return str(await ctx.wait(token))


async def fill(path: Path) -> None:
    """Make a log with sessions of many kinds: forks, children, waits, a task, failures, what was dropped and erased."""
    helper = Agent(scripted("Ask at the harbour."), name="helper").as_tool()
    turns: list[Answer] = [
        [call("weather", {"city": "Oslo"}), call("weather", {"city": "Atlantis"})],
        ["Rain ", "in ", "Oslo."],
        [call("helper", {"prompt": "And in Bergen?"})],
        AssistantMessage(
            content=(TextContent(text="Nobody knows."),), usage=Usage(input_tokens=1_200, output_tokens=8)
        ),
    ]
    async with open_log(path) as log:
        agent = Agent(scripted(*turns), tools=[weather, helper], name="guide")
        oslo = await log.session("oslo")
        await agent.run("Do I need a coat in Oslo?", session=oslo)
        await agent.run("And in Bergen?", session=oslo)
        await oslo.label("good", 6)
        fork = await oslo.fork(at="good", title="another way")
        await Agent(scripted("No coat."), tools=[weather, helper]).run("Really?", session=fork)
        edited = await oslo.edit((await oslo.messages())[0], "Do I need an umbrella in Oslo?", title="umbrella")
        await edited.steer("Quickly.")
        await Agent(scripted([call("deploy", {"target": "x"})]), tools=[deploy]).run(
            "Deploy x.", session=await log.session("waits/for somebody")
        )
        failing = await log.session("failed")
        await Agent(scripted([fail("nobody is there")])).run("Hello?", session=failing)
        await survey.trigger(log, {"about": "coats"}, key="one", tags=["autumn"])
        await Worker(log, [survey]).drain()
        dropped = await log.session("dropped")
        await Agent(scripted(["Many ", "small ", "pieces."])).run("Say a secret.", session=dropped)
        await log.store.drop_updates(dropped.id)
        await log.store.erase(dropped.id, 2, at_us=log.clock(), reason="asked to")


class Server:
    """A log in a file, served on loopback by a thread of its own until the block ends."""

    def __init__(self, path: Path, *, tasks: Sequence[Task[object, object]] = (), read_only: bool = False) -> None:
        self._path, self._tasks, self._read_only = path, tasks, read_only
        self.url, self.told = "", list[str]()
        self._ready = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve()), daemon=True)

    def __enter__(self) -> Server:
        self._thread.start()
        assert self._ready.wait(60)
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._done.set)
        self._thread.join(60)

    async def _serve(self) -> None:
        self._loop, self._done = asyncio.get_running_loop(), asyncio.Event()
        async with (
            open_log(self._path) as log,
            serving_log(
                log, token=TOKEN, tasks=self._tasks, read_only=self._read_only, tell=self.told.append
            ) as running,
        ):
            self.url = running.url
            self._ready.set()
            await self._done.wait()
