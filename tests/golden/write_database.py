"""Write a release's golden database: `python -m tests.golden.write_database 0.1.0`. A released one stays for ever."""

from __future__ import annotations

import asyncio
import itertools
import json
import sys
from pathlib import Path

from eventsource.codec import encode
from eventsource.events import MessageAdopt, MessageEnd, Origin, QueuePush, TokenCreate
from eventsource.log import open_store
from eventsource.log.load import read_all
from eventsource.log.protocol import EventLog
from eventsource.messages import ImageContent, TextContent, UserMessage
from eventsource.models.scripted import scripted
from eventsource.models.scripted.script import call, think
from refold import Agent, Log, tool

FOLDER = Path(__file__).parent


@tool(effect="pure")
def weather(city: str) -> str:
    """Current weather in a city."""
    return f"12 C in {city}. " * 1500  # large enough to be kept aside


model = scripted(
    [
        think("Look first. ", signature="s"),
        "I look. ",
        call("weather", {"city": "Oslo"}),
        call("weather", {"city": "Ål"}),
    ],
    ["Take ", "a ", "coat. 🧥"],
    "Again.",
    by="request",
)
agent: Agent[str] = Agent(model, system="Be brief.", tools=[weather])
IMAGE = UserMessage(content=(TextContent(text="see"), ImageContent(data="aGk=" * 20_000, media_type="image/png")))


async def write(place: Path | str) -> None:
    """Write a log with everything a file can hold: streams, forks, large bodies, images, erased and dropped content."""
    times = itertools.count(1_700_000_000_000_000, 1_000)
    names = (f"golden{n}" for n in itertools.count(1))
    clock = lambda: next(times)  # noqa: E731 - a clock for both
    async with open_store(str(place), clock=clock, new_id=lambda: next(names)) as store:
        log = Log(store, clock=clock)
        session = await log.session("oslo")
        await agent.run("A coat?", session=session)
        await session.append([MessageAdopt(message=IMAGE, origin=Origin(source="golden"), sent_at_us=5)])
        await session.label("here", 7)
        await session.append([TokenCreate(key="t", deadline_us=9, tags=("a",))])
        ends = [r.seq for r in await session.events() if isinstance(r.event, MessageEnd) and r.event.message]
        cut = await session.fork(at=ends[0] - 3, title="cut")
        await agent.resume(cut)
        erased = await session.fork(at=ends[-1], title="erased")
        await erased.append([QueuePush(queue="follow_up", message=UserMessage(content="a secret"), key="k")])
        await store.erase(erased.id, (await erased.info()).head, at_us=next(times), reason="asked to")
        await store.drop_updates(cut.id)


async def told(store: EventLog) -> dict[str, object]:
    """Say all that a log tells: rows, events with their times, digests, dropped ranges."""
    rows: dict[str, object] = {}
    for info in sorted(await store.sessions(limit=1000), key=lambda row: row.id):
        events = [[r.seq, r.at_us, json.loads(encode(r.event))] async for r in read_all(store, info.id)]
        rows[info.id] = {
            "title": info.title,
            "parent": info.parent,
            "fork_seq": info.fork_seq,
            "head": info.head,
            "digest": info.digest,
            "messages": info.messages,
            "dropped": [list(span) for span in await store.dropped(info.id)],
            "events": events,
        }
    return rows


async def main(version: str) -> None:
    path = FOLDER / version / "log.db"
    path.parent.mkdir(exist_ok=True)
    await write(path)
    async with open_store(str(path)) as store:
        text = json.dumps(await told(store), ensure_ascii=False, separators=(",", ":"))
    (FOLDER / version / "log.json").write_text(text, encoding="utf-8")
    for side in path.parent.glob("log.db-*"):
        side.unlink()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
