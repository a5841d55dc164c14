"""Sessions to look at: a log that counts what is read of it, an eventful one, and random ones."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import count

from eventsource.envelope import Recorded
from eventsource.events import UPDATE_TYPES, Event, MessageAdopt, Origin, Place
from eventsource.log.memory import MemoryLog
from eventsource.messages import AssistantMessage, TextContent, ToolCall, ToolResultMessage, Usage, UserMessage
from eventsource.models.scripted import call, fail, scripted, stop
from eventsource.models.scripted.model import ScriptedModel
from eventsource.models.scripted.script import Answer
from eventsource.runner.hooks import Hooks
from refold import Agent, CompactionPolicy, Log, Session, tool

ASKS: Answer = [call("weather", {"city": "Oslo"}), stop("tool_use")]
ORIGIN = Origin(source="test")


@tool(effect="pure")
def weather(city: str) -> str:
    """Say what the weather is."""
    return f"{city}: rain"


class CountingLog(MemoryLog):
    """A log that counts the events which are read of it, and how often."""

    def __init__(self) -> None:
        names = count(1)
        super().__init__(clock=lambda: 7, new_id=lambda: f"s{next(names)}")
        self.read_events = self.reads = 0

    async def read(
        self, session: str, *, after: int = 0, upto: int | None = None, limit: int = 1000, updates: bool = True
    ) -> tuple[Recorded, ...]:
        page = await super().read(session, after=after, upto=upto, limit=limit, updates=updates)
        self.read_events += len(page)
        self.reads += 1
        return page


async def store(log: MemoryLog, history: Sequence[Recorded], name: str = "s") -> None:
    """Append a history to a new session."""
    await log.create(name)
    for recorded in history:
        durable = not isinstance(recorded.event, UPDATE_TYPES)
        await log.append(name, [(recorded.at_us, recorded.event)], durable=durable)


def agent(*answers: Answer, system: str = "Be brief.", hooks: Hooks | None = None) -> Agent[None]:
    return Agent(ScriptedModel(answers), system=system, tools=[weather], hooks=hooks or Hooks())


async def eventful(store: MemoryLog) -> Session:
    """A session with tools, a hook that chooses, a compaction, edits, a failure and another system prompt."""
    log = Log(store, clock=lambda: 7)
    session = await log.session("main")
    await agent(ASKS, "Take a coat.").run("Do I need a coat?", session=session)
    hooks = Hooks(transform_context=lambda said: [*said[2:], UserMessage(content="Mind the hook.")])
    await agent(ASKS, "Rain.", hooks=hooks).run("And now?", session=session)
    await session.hide((await session.messages())[0])
    await session.replace((await session.messages())[2], "Wear a coat.")
    await agent("Fine.", system="Be nice.").run("Well?", session=session)
    await Agent(scripted("unused"), compaction=CompactionPolicy(model=scripted("All of it."), keep_tokens=20)).compact(
        session
    )
    await agent([fail("overloaded")], system="Be nice.").run("Still there?", session=session)
    await agent("Yes.", system="Be nice.").resume(session)
    return session


def exchanges(number: int) -> list[Event]:
    """Adopted exchanges of four messages: a question, a call, its result, an answer."""
    found: list[Event] = []
    for n in range(number):
        asks = AssistantMessage(content=(ToolCall(id=f"c{n}", name="bash", arguments=f'{{"n": {n}}}'),), model="m")
        says = AssistantMessage(content=(TextContent(text=f"answer {n}"),), usage=Usage(input_tokens=n), model="m")
        result = ToolResultMessage(tool_call_id=f"c{n}", tool_name="bash", content=(TextContent(text=f"result {n}"),))
        place = Place(message_seq=4 * n + 2, content_index=0)
        found += [
            MessageAdopt(message=UserMessage(content=f"question {n}"), origin=ORIGIN),
            MessageAdopt(message=asks, origin=ORIGIN),
            MessageAdopt(message=result, origin=ORIGIN, call=place),
            MessageAdopt(message=says, origin=ORIGIN),
        ]
    return found


async def adopted(log: MemoryLog, number: int, name: str = "long") -> str:
    """A session of so many adopted exchanges."""
    await log.create(name)
    await log.append(name, [(seq * 1_000, event) for seq, event in enumerate(exchanges(number), 1)])
    return name
