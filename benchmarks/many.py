"""Many sessions: what lists, trees and searches of a log with a great many of them cost."""

from __future__ import annotations

import asyncio
import random
import sqlite3
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

from eventsource.events import AgentEnd, AgentStart, Event, MessageEnd, MessageStart, QueuePush, TurnEnd, TurnStart
from eventsource.log import open_store
from eventsource.log.protocol import EventLog
from eventsource.messages import UserMessage

from .measure import compared, environment, repeated
from .rows import Row, ratio_row, row
from .stores import new_folder

_RUN = "import sys; from refold.cli import main; sys.argv[0] = 'refold'; main()"
_AT_ONCE = 500
_RUNS = 5
_EACH = 100  # messages of a session
_PIECE = 750  # characters of a message
_IN_A_BLOCK, _BARE = 3, 50_000  # messages: of a row of the index, and taken in by FTS5 alone
_OF_A_BLOCK = 46  # bytes of its row and of the entry in that table's index
_DOCS = Path(__file__).parent.parent / "docs"


def run(quick: bool) -> list[Row]:
    """Measure commands in fresh processes, and searches in a log that is open and has answered before."""
    sessions, forks, deep, messages = (200, 50, 20, 2_000) if quick else (100_000, 10_000, 2_000, 1_000_000)
    runs = 1 if quick else _RUNS
    place = new_folder()
    listed, said = place / "many.db", place / "said.db"
    asyncio.run(make_sessions(listed, sessions, forks, deep))
    rows = [
        _command(f"refold ls, of {sessions:,} sessions", listed, ["ls"], "<= 2,000", runs=runs),
        _command(
            f"refold ls -n 0, all {sessions:,}", listed, ["ls", "-n", "0"], "<= 2,000", runs=runs, missed=_WRITTEN
        ),
        _command(f"refold tree, {forks:,} forks", listed, ["tree", "parent"], "<= 1,000", runs=runs),
        _command(f"refold tree, {deep:,} levels deep", listed, ["tree", "deep"], "<= 1,000", runs=runs),
    ]
    return [*rows, *asyncio.run(_searched(said, messages, runs))]


_WRITTEN = (
    "A page is what `ls` shows. Of the CPU of all, a fifth is SQLite reading 48 columns of each session, a third is "
    "making the rows, and the rest the lines; a table put together by columns instead of by lines took a quarter off."
)


async def make_sessions(path: Path, sessions: int, forks: int, deep: int) -> None:
    """Make so many sessions, a parent of so many forks, and one so many forks deep."""
    async with open_store(path) as log:

        async def begin(name: str) -> None:
            await log.create(name, title=f"customer of {name}")
            await log.append(name, [(1, event) for event in _talk("Do I need a coat?")])

        for first in range(0, sessions, _AT_ONCE):
            await asyncio.gather(*(begin(f"s{number}") for number in range(first, min(first + _AT_ONCE, sessions))))
        await begin("parent")
        for first in range(0, forks, _AT_ONCE):
            numbers = range(first, min(first + _AT_ONCE, forks))
            await asyncio.gather(*(log.fork("parent", 7, at_us=one, title=f"fork {one}") for one in numbers))
        await begin("deep")
        name = "deep"
        for level in range(deep):
            name = (await log.fork(name, 7 + level, at_us=level)).id


def _talk(text: str) -> tuple[Event, ...]:
    asked = QueuePush(queue="prompt", message=UserMessage(content=text))
    delivered = (MessageStart(role="input", push_seq=1), MessageEnd())
    return (asked, AgentStart(), TurnStart(), *delivered, TurnEnd(), AgentEnd())


def _command(name: str, path: Path, words: list[str], goal: str, *, runs: int, missed: str = "") -> Row:
    command = [sys.executable, "-c", _RUN, "--db", str(path), *words]
    _ms(command)  # compiles what it imports
    return row(name, repeated(runs, lambda: _ms(command)), "ms", goal=goal, missed=missed)


def _ms(command: list[str]) -> float:
    began = time.perf_counter()
    subprocess.run(command, check=False, capture_output=True, env=environment())
    return (time.perf_counter() - began) * 1000


async def _searched(path: Path, messages: int, runs: int) -> list[Row]:
    """Measure searches of pieces of these documents, each with a number that no other has."""
    text = "\n".join(one.read_text(encoding="utf-8") for one in sorted(_DOCS.rglob("*.md")))
    chosen, size, all_said = random.Random(1), 0, list[str]()
    async with open_store(path) as log:
        for number in range(messages // _EACH):
            said = [_piece(text, chosen, number * _EACH + one) for one in range(_EACH)]
            size += sum(len(one.encode()) for one in said)
            all_said += said[: _BARE - len(all_said)]
            name = f"s{number}"
            await log.create(name)
            pushes = (QueuePush(queue="inbox", message=UserMessage(content=one)) for one in said)
            await log.append(name, [(1, push) for push in pushes])
        began = time.perf_counter()
        await log.search("no such text")
        taken = messages / (time.perf_counter() - began)
        bare = _bare(all_said)
        of = f"of {messages:,} messages"
        asked = {
            "a word": "session",
            "a rare text": f"number {messages // 2} ",
            "a text that is nowhere": "zqxjkv",
            "two letters that are nowhere": "zq",
            _COMMON: "session of the other",
        }
        rows = [
            row(f"search of {what}, {of}", await _times(log, asked[what]), "ms", goal="<= 100", missed=_MISSED[what])
            for what in asked
        ]
    rows.append(
        _command(f"refold search of a word, {of}", path, ["search", "session"], "<= 500", runs=runs, missed=_BEGUN)
    )
    return [
        *rows,
        ratio_row(
            "the index takes in, to bare FTS5", compared([taken], [bare]), "messages/s", missed=_SPEED, goal=">= 19,000"
        ),
        row("the index, to the text", [_index_bytes(path) / size], "bytes/byte", goal="<= 0.5", missed=_SIZE),
    ]


_COMMON = "a nowhere text of common letters"
_MISSED = defaultdict(
    str,
    {
        _COMMON: "lists of common letters are read whole, and what has all of them is compared in vain; decision 0153",
        "two letters that are nowhere": "the latest 2,000 messages are read first",
        "a word": "each of the 100 found is decoded, with what brings it",
    },
)
_BEGUN = "Python begins and imports; the search itself takes what it takes in a log that is open"
_SPEED = (
    "bare FTS5 takes in so many of 750 characters; the goal is older than these messages, and was for those of under "
    "200: of 180 characters FTS5 takes in 37,000 in a second of the processor, and the index 33,000"
)
_SIZE = "in a small log the three letters themselves weigh more than where they are"


def _bare(texts: Sequence[str]) -> float:
    """Return how many of these messages a second FTS5 alone takes in: as many in a row of it, one transaction."""
    path = new_folder() / "bare.db"
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("PRAGMA journal_mode=WAL")
        options = "content='', columnsize=0, detail=none, tokenize='trigram'"
        connection.execute(f"CREATE VIRTUAL TABLE search USING fts5(text, {options})")
        blocks = ["\n\n".join(texts[at : at + _IN_A_BLOCK]) for at in range(0, len(texts), _IN_A_BLOCK)]
        began = time.perf_counter()
        connection.execute("BEGIN")
        connection.executemany("INSERT INTO search (rowid, text) VALUES (?, ?)", enumerate(blocks, start=1))
        connection.execute("COMMIT")
        return len(texts) / (time.perf_counter() - began)


def _piece(text: str, chosen: random.Random, number: int) -> str:
    at = chosen.randrange(len(text) - _PIECE)
    return f"{text[at : at + _PIECE]} number {number} "


async def _times(log: EventLog, text: str) -> Sequence[float]:
    taken = []
    for _ in range(_RUNS):
        began = time.perf_counter()
        await log.search(text)
        taken.append((time.perf_counter() - began) * 1000)
    return taken


def _index_bytes(path: Path) -> int:
    with closing(sqlite3.connect(path)) as connection:
        (size,) = connection.execute("SELECT sum(length(block)) FROM search_data").fetchone()
        (blocks,) = connection.execute("SELECT count(*) FROM search_blocks").fetchone()
    return int(size) + _OF_A_BLOCK * int(blocks)
