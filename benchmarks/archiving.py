"""Archiving: what a closed session takes, and what it costs to read it again."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from pathlib import Path

from eventsource.events import AgentEnd, AgentStart, Event, MessageAdopt, Origin
from eventsource.log import open_store
from eventsource.log.contract.histories import streamed, timed
from eventsource.log.protocol import EventLog
from eventsource.messages import UserMessage
from replay.formats.refold.write import export_session

from .rows import Row, row
from .stores import new_folder

_DOCS = Path(__file__).parent.parent / "docs"
_PARAGRAPH = 1_500  # characters at least
_RUNS = 5
_PLAIN, _STREAMED = "plain", "streamed"
_PROSE = (
    "prose in which nothing is said twice takes 0.25; two real sessions of an agent, which reads files again, took 0.16"
)


def run(quick: bool) -> list[Row]:
    """Archive the text of these documents, as messages that were imported and as answers that were streamed."""
    return asyncio.run(_rows(_paragraphs()[: 20 if quick else None]))


def _paragraphs() -> Sequence[str]:
    """Cut the documents into messages, none of which is there twice."""
    found, held = list[str](), ""
    for page in sorted(_DOCS.rglob("*.md")):
        for line in page.read_text(encoding="utf-8").splitlines(keepends=True):
            held += line
            if len(held) >= _PARAGRAPH and not line.strip():
                found.append(held)
                held = ""
    return [*found, held]


async def _rows(texts: Sequence[str]) -> list[Row]:
    said: Sequence[Event] = [
        MessageAdopt(message=UserMessage(content=text), origin=Origin(source="x")) for text in texts
    ]
    answers = [event for text in texts for event in streamed(text)]
    rows: list[Row] = []
    async with open_store(new_folder() / "archiving.db") as log:
        for name, events in ((_PLAIN, said), (_STREAMED, [AgentStart(), *answers, AgentEnd()])):
            await log.create(name)
            await log.append(name, timed(events))
            rows += await _archived(log, name)
    return rows


async def _archived(log: EventLog, name: str) -> list[Row]:
    exported = len(await export_session(log, name))
    sizes, seconds, pages = list[float](), list[float](), list[float]()
    for _ in range(_RUNS):
        began = time.perf_counter()
        sizes.append(await log.archive(name, at_us=1) / exported)
        seconds.append((time.perf_counter() - began) / exported * 1e6)
        began = time.perf_counter()
        await log.read(name, limit=50)
        pages.append((time.perf_counter() - began) * 1000)
        await log.release(await log.claim(name))  # which takes it out again
    missed = _PROSE if name == _PLAIN else ""
    of = f"a {name} session of {exported / 1e6:.1f} MB as JSONL"
    return [
        row(f"{of}, archived, with what the search keeps", sizes, "bytes/byte", goal="<= 0.2", missed=missed),
        row("archiving it", seconds, "s/MB"),
        row("the first page of it", pages, "ms"),
    ]
