"""A program whose runs hold every kind of event that agents make, and that can be begun again wherever it was killed.

Its side effects go to a file, one line each. `python -m tests.faults.story LOG EFFECTS` runs it; REFOLD_KILL_AFTER=n
ends the process by SIGKILL right after the n-th event is committed.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from eventsource.envelope import Behind
from eventsource.events import (
    UPDATE_TYPES,
    Compaction,
    ContextEdit,
    Custom,
    Event,
    Label,
    MessageAdopt,
    MessageStart,
    QueuePush,
)
from eventsource.log import open_store
from eventsource.log.protocol import EventLog
from eventsource.messages import ToolResultMessage, UserMessage
from eventsource.models.scripted import ScriptedModel
from eventsource.models.scripted.script import Answer, call, fail, pause, retry, stall, think
from eventsource.request import Request
from refold import Agent, CompactionPolicy, Policies, ToolContext, tool
from refold.log import Log
from refold.session import Session

SESSION = "story"
COAT, AGAIN, SLOWLY, INSTEAD = "Do I need a coat?", "And in Bergen?", "One by one, please.", "Is it cold?"


class Effects:
    """What was done to the world: a line for each, in a file that outlives the process."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def note(self, line: str) -> None:
        """Do something."""
        file = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        os.write(file, f"{line}\n".encode())
        os.close(file)

    def lines(self) -> list[str]:
        """Say what was done."""
        return self.path.read_text().splitlines() if self.path.exists() else []

    def first(self, name: str) -> bool:
        """Say whether this happens for the first time, in whatever process."""
        line = f"first {name}"
        if line in self.lines():
            return False
        self.note(line)
        return True


@dataclass(frozen=True)
class World:
    """What tools get: the session they run in, and the effects."""

    session: Session
    effects: Effects


def key_of(context: ToolContext[World]) -> str:
    return context.call.idempotency_key


@tool(effect="pure")
async def weather(city: str, context: ToolContext[World]) -> str:
    """Current weather in a city."""
    context.deps.effects.note(f"weather {key_of(context)}")
    context.update("looking")
    told = "Quickly." if city == "Oslo" else "Enough."
    await context.deps.session.steer(told, key=f"steer in {city}")
    return f"{city}: rain"


@tool(effect="once")
async def send(text: str, context: ToolContext[World]) -> str:
    """Send a message."""
    context.deps.effects.note(f"send {key_of(context)}")
    return "sent"


@tool(effect="idempotent")
async def put(text: str, context: ToolContext[World]) -> str:
    """Keep a text."""
    context.deps.effects.note(f"put {key_of(context)}")
    return "kept"


@tool(effect="once", approval="always")
async def sign(text: str, context: ToolContext[World]) -> str:
    """Sign something, if a person agrees."""
    context.deps.effects.note(f"sign {key_of(context)}")
    return "signed"


def model(session: Session, effects: Effects) -> ScriptedModel:
    """Answer by what was said last, so that any process answers alike."""

    def answer(request: Request) -> Answer:
        if request.system_prompt.startswith("You write the summary"):
            return ["They talked ", "about coats."]
        said = [m.content for m in request.messages if isinstance(m, UserMessage) and isinstance(m.content, str)]
        answered = isinstance(request.messages[-1], ToolResultMessage)
        return _answers(session, effects)[said[-1]](answered)

    return ScriptedModel(answer)


def _answers(session: Session, effects: Effects) -> dict[str, Callable[[bool], Answer]]:
    def coat(answered: bool) -> Answer:
        if effects.first("retry"):
            return [retry("busy")]
        calls = (
            call("weather", {"city": "Oslo"}, id="1"),
            call("send", {"text": "A coat"}, id="2"),
            call("put", {"text": "Oslo"}, id="3"),
            call("nowhere", id="4"),
            call("weather", "{", id="5"),
        )
        return [think("Hm."), "Let me ", pause(1), "look. ", *calls]

    def quickly(answered: bool) -> Answer:
        if effects.first("failure"):
            return ["It ", fail("broken")]
        return ["It ", pause(1), "rains.", lambda: session.follow_up("And tomorrow?", key="follow up")]

    def again(answered: bool) -> Answer:
        return ["Half of it", session.abort, stall()]

    def slowly(answered: bool) -> Answer:
        return ["So: ", call("weather", {"city": "Rome"}, id="6"), call("put", {"text": "Rome"}, id="7")]

    return {
        COAT: coat,
        "Quickly.": quickly,
        "And tomorrow?": lambda answered: ["Sun", "shine."] if answered else ["", call("sign", {"text": "x"}, id="9")],
        AGAIN: again,
        SLOWLY: slowly,
        "Enough.": lambda answered: ["Enough."],
        INSTEAD: lambda answered: ["Yes."] if answered else ["", call("send", {"text": "Cold"}, id="8")],
    }


async def open_story(log: Log) -> Session:
    """Open the program's session by its id, which stays when its title changes; create it if it is not there."""
    if not any(one.id == SESSION for one in await log.list()):
        await log.store.create(SESSION)
    return await log.find(SESSION)


async def run(log: Log, effects: Effects) -> tuple[Session, Session]:
    """Run the program from wherever an earlier process left it. Returns: the session and its fork."""
    session = await open_story(log)
    agent: Agent[None] = Agent(
        model(session, effects),
        system="Be brief.",
        tools=[weather, send, put, sign],
        policies=Policies(retries=1),
        compaction=CompactionPolicy(keep_tokens=1),
    )
    deps = World(session, effects)
    await _say(agent, COAT, session, deps)
    await _once(session, Label, lambda: session.label("A coat"))
    await _once(session, Custom, lambda: session.append([Custom(kind="app")]))
    await _once(session, ContextEdit, lambda: _hide(session))
    await _once(session, Compaction, lambda: agent.compact(session))
    await _say(agent, AGAIN, session, deps)
    slow = agent.replace(system="Be slow.", policies=Policies(tools="sequential", retries=1))
    await _say(slow, SLOWLY, session, deps)
    forks = await log.store.sessions(parent=session.id)
    named = [one for one in await session.messages() if getattr(one.message, "content", "") == SLOWLY]
    fork = await session.fork(before=named[0], title="instead") if not forks else await log.find(forks[0].id)
    told = replace(deps, session=fork)
    await _say(slow.replace(model=model(fork, effects)), INSTEAD, fork, told)
    await _once(session, MessageAdopt, lambda: _adopt(session, fork))
    return session, fork


async def _say(agent: Agent[None], text: str, session: Session, deps: World) -> None:
    """Say something and run to the end, unless that was done; what another process began is finished."""
    events = [one.event for one in await session.events(limit=10_000, updates=False)]
    said = [event.key for event in events if isinstance(event, QueuePush) and event.queue == "prompt"]
    if text not in said or (said[-1] == text and (await session.info()).open):
        run = await agent.run(text, session=session, deps=deps, key=text, tools="live")
        while run.status == "waiting":
            await session.decide(run.waits[0].key, approve=True)
            run = await agent.resume(session, deps=deps, tools="live")


async def _once(session: Session, kind: type[Event], do: Callable[[], Any]) -> None:
    """Do something that leaves an event, unless it is there."""
    events = [one.event for one in await session.events(limit=10_000, updates=False)]
    if not any(isinstance(event, kind) for event in events):
        await do()


async def _adopt(session: Session, fork: Session) -> None:
    await session.adopt((await fork.messages())[-1], from_=fork)


async def _hide(session: Session) -> None:
    first = next(one for one in await session.messages() if isinstance(one.message, ToolResultMessage))
    await session.replace(first, "hidden")


class OneByOne:
    """A log that commits every event by itself, and kills its process after so many."""

    def __init__(self, log: EventLog, events: int) -> None:
        self._log, self._left = log, events

    def __getattr__(self, name: str) -> Any:
        return getattr(self._log, name)

    async def append(
        self,
        session: str,
        events: Sequence[tuple[int, Event]],
        *,
        expected: int | None = None,
        epoch: int | None = None,
        key: str | None = None,
        durable: bool = True,
        behind: Behind | None = None,
    ) -> int:
        head = 0
        for number, (at_us, event) in enumerate(events):
            soft = isinstance(event, UPDATE_TYPES) or (isinstance(event, MessageStart) and event.role == "assistant")
            place = None if expected is None else head if number else expected
            head = await self._log.append(
                session,
                [(at_us, event)],
                expected=place,
                epoch=epoch,
                key=key,
                durable=durable or not soft,
                behind=behind,
            )
            self._left -= 1
            if self._left == 0:
                os.kill(os.getpid(), signal.SIGKILL)
        return head


async def main(path: str, effects: str) -> None:
    """Run the program in this process."""
    async with open_store(path) as store:
        print("ready", flush=True)
        after = int(os.environ.get("REFOLD_KILL_AFTER", "0"))
        log = Log(OneByOne(store, after) if after else store)
        await run(log, Effects(Path(effects)))
    print("done", flush=True)


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
