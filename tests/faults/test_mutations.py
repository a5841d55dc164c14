"""One event of a legal log is dropped, swapped, doubled or changed: which check finds it, and where.

The table in docs/testing.md says the same; a test compares the two.
"""

from __future__ import annotations

import asyncio
import os
import random
import re
import shutil
import sqlite3
from collections import defaultdict
from collections.abc import Callable, Sequence
from contextlib import closing
from itertools import pairwise
from pathlib import Path

import pytest

from eventsource.envelope import Recorded
from eventsource.errors import IllegalEventError
from eventsource.events import UPDATE_TYPES, Event, ToolExecutionStart
from eventsource.log import open_store
from eventsource.log.load import read_all
from eventsource.machine.evolve import fold
from refold.log import Log
from replay.replay import replay
from tests.replay.test_replay import changed, is_decision

from .story import SESSION, Effects, run

pytestmark = [pytest.mark.faults, pytest.mark.slow]
FULL = os.environ.get("REFOLD_FAULTS") == "full"
ROOT = Path(__file__).parents[2]
TRIES = 100_000 if FULL else 25
"""Places tried for each way to damage a file."""
SEED = int(os.environ.get("REFOLD_SEED") or random.randrange(2**32))
CHANCE = random.Random(SEED)


@pytest.fixture(scope="module")
def story(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Run a program that makes every kind of event, into a file."""
    folder = tmp_path_factory.mktemp("story")

    async def record() -> None:
        async with open_store(folder / "log.db") as store:
            await run(Log(store), Effects(folder / "effects"))

    asyncio.run(record())
    return folder / "log.db"


@pytest.fixture(scope="module")
def history(story: Path) -> list[Recorded]:
    async def read() -> list[Recorded]:
        async with open_store(story) as store:
            return [one async for one in read_all(store, SESSION)]

    return asyncio.run(read())


def rows(path: Path, table: str) -> list[int]:
    with closing(sqlite3.connect(path)) as file:
        return [row[0] for row in file.execute(f"SELECT id FROM {table} ORDER BY id")]


def drop(file: sqlite3.Connection, table: str, row: int) -> None:
    file.execute(f"DELETE FROM {table} WHERE id = ?", (row,))


def swap(file: sqlite3.Connection, table: str, row: int) -> None:
    sql = f"SELECT id, body FROM {table} WHERE id >= ? ORDER BY id LIMIT 2"
    (one, first), (two, second) = file.execute(sql, (row,)).fetchall()
    file.execute(f"UPDATE {table} SET body = ? WHERE id = ?", (second, one))
    file.execute(f"UPDATE {table} SET body = ? WHERE id = ?", (first, two))


def double(file: sqlite3.Connection, table: str, row: int) -> None:
    """Put a copy behind a row, and move everything that follows."""
    count = 1
    if table == "updates":
        count = file.execute("SELECT count FROM updates WHERE id = ?", (row,)).fetchone()[0]
    last = (row >> 32 << 32) | 0xFFFFFFFF
    for one in ("events", "updates", "refs", "snapshots"):
        ids = [r[0] for r in file.execute(f"SELECT id FROM {one} WHERE id > ? AND id <= ?", (row, last))]
        for moved in sorted(ids, reverse=True):
            file.execute(f"UPDATE {one} SET id = ? WHERE id = ?", (moved + count, moved))
    columns = [c[1] for c in file.execute(f"PRAGMA table_info({table})") if c[1] != "id"]
    listed = ", ".join(columns)
    file.execute(f"INSERT INTO {table} (id, {listed}) SELECT id + ?, {listed} FROM {table} WHERE id = ?", (count, row))
    file.execute("UPDATE sessions SET head = head + ? WHERE number = ?", (count, row >> 32))


def change(file: sqlite3.Connection, table: str, row: int) -> None:
    (body,) = file.execute(f"SELECT body FROM {table} WHERE id = ?", (row,)).fetchone()
    place = CHANCE.randrange(len(body))
    if table == "updates":
        body = body[:place] + bytes([body[place] ^ 1 << CHANCE.randrange(8)]) + body[place + 1 :]
    else:
        body = body[:place] + ("a" if body[place] != "a" else "b") + body[place + 1 :]
    file.execute(f"UPDATE {table} SET body = ? WHERE id = ?", (body, row))


def change_time(file: sqlite3.Connection, table: str, row: int) -> None:
    file.execute("UPDATE events SET at_us = at_us + 1 WHERE id = ?", (row,))


WAYS = [
    ("events", drop),
    ("events", swap),
    ("events", double),
    ("events", change),
    ("events", change_time),
    ("updates", drop),
    ("updates", swap),
    ("updates", double),
    ("updates", change),
]


def damage(path: Path, table: str, way: Callable[[sqlite3.Connection, str, int], None], row: int) -> None:
    """Change a file as somebody would who knows its tables, but not how to make the digests again."""
    with sqlite3.connect(path) as file:
        triggers = file.execute("SELECT name, sql FROM sqlite_master WHERE type = 'trigger'").fetchall()
        for name, _ in triggers:
            file.execute(f"DROP TRIGGER {name}")
        way(file, table, row)
        for _, sql in triggers:
            file.execute(sql)
    file.close()


def append_of(path: Path, row: int) -> tuple[int, int]:
    """Give the first and last seq of the append (or the stretch between two links) that a row lies in."""
    with sqlite3.connect(path) as file:
        links = [r[0] for r in file.execute("SELECT id FROM events WHERE link IS NOT NULL ORDER BY id")]
    file.close()
    inside = [one for one in links if one >> 32 == row >> 32]
    before = max((one for one in inside if one < row), default=row >> 32 << 32)
    return before & 0xFFFFFFFF, min((one for one in inside if one >= row), default=row) & 0xFFFFFFFF


@pytest.mark.parametrize(("table", "way"), WAYS, ids=lambda one: one if isinstance(one, str) else one.__name__)
async def test_verify_names_the_place_of_any_damage(
    story: Path, tmp_path: Path, table: str, way: Callable[[sqlite3.Connection, str, int], None]
) -> None:
    places = rows(story, table)
    if way is swap:
        places = [a for a, b in pairwise(places) if a >> 32 == b >> 32]
    for number, row in enumerate(places if len(places) <= TRIES else CHANCE.sample(places, TRIES)):
        path = tmp_path / f"{number}.db"
        shutil.copy(story, path)
        damage(path, table, way, row)
        async with open_store(path) as log:
            found = [one for one in (await log.verify()).findings if not one.note]
        first, last = append_of(story, row)
        where = (
            f"{way.__name__} of {table} {row >> 32}:{row & 0xFFFFFFFF}, in the append {first} to {last}, seed {SEED}"
        )
        assert any(first <= one.seq <= last + 1 for one in found), f"{where}: {found}"


def mutations(history: Sequence[Recorded], place: int) -> dict[str, list[Event]]:
    """Make the histories in which one event was dropped, swapped with the next, doubled or changed."""
    events = [one.event for one in history]
    event = events[place]
    made = {"drop": [*events[:place], *events[place + 1 :]], "double": [*events[:place], event, *events[place:]]}
    if swappable(event, events[place + 1]):
        made["swap"] = [*events[:place], events[place + 1], event, *events[place + 2 :]]
    if is_decision(event):
        made["change"] = [*events[:place], changed(event), *events[place + 1 :]]
    return made


def swappable(one: Event, two: Event) -> bool:
    """Say whether the order of two neighbours says something: calls of a batch may start in any order."""
    starts = isinstance(one, ToolExecutionStart) and isinstance(two, ToolExecutionStart)
    return one != two and not starts and is_decision(one) <= is_decision(two)


def found_by(events: Sequence[Event]) -> set[str]:
    """Name the checks that need no digest and find something."""
    history = [Recorded(seq, 0, event) for seq, event in enumerate(events, 1)]
    found = {"replay"} if replay(history).difference is not None else set()
    try:
        fold(history)
    except IllegalEventError:
        found.add("fold")
    return found


def role(history: Sequence[Recorded], place: int) -> str:
    event = history[place].event
    if isinstance(event, UPDATE_TYPES):
        return "update"
    return "decision" if is_decision(event) else "input or outcome"


def test_replay_names_every_changed_decision(history: list[Recorded]) -> None:
    for place, one in enumerate(history[:-1]):
        for way, events in mutations(history, place).items():
            if role(history, place) != "decision":
                continue
            again = [Recorded(seq, 0, event) for seq, event in enumerate(events, 1)]
            difference = replay(again).difference
            assert difference is not None, f"{way} of {one.event} at seq {one.seq}"
            found = f"{way} of {one.event} at seq {one.seq}: found at {difference.seq}"
            assert difference.seq == one.seq if way == "change" else difference.seq >= one.seq, found


def test_the_table_in_the_documentation_says_what_is_found(history: list[Recorded]) -> None:
    seen: dict[tuple[str, str], list[set[str]]] = defaultdict(list)
    for place in range(len(history) - 1):
        for way, events in mutations(history, place).items():
            seen[role(history, place), way].append(found_by(events))
    written = (ROOT / "docs" / "testing.md").read_text(encoding="utf-8")
    for (who, way), sets in sorted(seen.items()):
        cells = [word(sets, check) for check in ("fold", "replay")]
        line = rf"\| {who} \| {way} \| {cells[0]} \| {cells[1]} \| always \|"
        assert re.search(line, written), f"docs/testing.md does not say: {line}"


def word(sets: Sequence[set[str]], check: str) -> str:
    count = sum(check in found for found in sets)
    return "always" if count == len(sets) else "sometimes" if count else "never"


def test_a_history_that_nobody_changed_is_found_sound(history: list[Recorded]) -> None:
    assert found_by([one.event for one in history]) == set()
