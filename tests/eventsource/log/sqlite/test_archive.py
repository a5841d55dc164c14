"""Archived sessions in a file: what is left in it, who sees them change, and what a kill leaves."""

from __future__ import annotations

import asyncio
import sqlite3
import subprocess
import sys
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

import pytest

from eventsource.envelope import Recorded
from eventsource.errors import CorruptLogError
from eventsource.events import Custom, Event, MessageAdopt, Origin
from eventsource.log import open_store
from eventsource.log.contract.histories import exchange, read_all, timed
from eventsource.log.letters import letter_filter, letters_of, may_have
from eventsource.log.protocol import EventLog
from eventsource.log.sql import frames
from eventsource.log.sqlite import connection
from eventsource.messages import ImageContent, TextContent, UserMessage
from refold.log import Log
from replay.formats import import_file
from replay.formats.refold.write import export_session

from .test_search_index import ask

KILL = """
import asyncio, os, sys
from eventsource.log import open_store
from eventsource.log.sql import {module}
whole = {module}.{name}
def then(*arguments):
    whole(*arguments)
    os.kill(os.getpid(), 9)
{module}.{name} = then
async def main():
    async with open_store(sys.argv[1]) as log:
        await log.archive("one", at_us=5)
asyncio.run(main())
"""


def adopted(*texts: str) -> list[tuple[int, Event]]:
    return [
        (n, MessageAdopt(message=UserMessage(content=text), origin=Origin(source="x"))) for n, text in enumerate(texts)
    ]


async def make(log: EventLog, name: str = "one", *more: Event) -> list[Recorded]:
    await log.create(name)
    await log.append(name, [*timed(exchange()), *((1, event) for event in more)])
    return await read_all(log, name)


def in_file(path: Path, word: str) -> bool:
    """Return whether a word is anywhere in a log's files."""
    return any(word.encode() in file.read_bytes() for file in path.parent.glob(f"{path.name}*"))


@pytest.mark.parametrize(("module", "name"), [("archive", "delete_rows"), ("archive", "letters_in")])
async def test_killed_while_it_archives_a_session_is_as_before(tmp_path: Path, module: str, name: str) -> None:
    path = tmp_path / "log.db"
    async with open_store(path) as log:
        before = await make(log)
    script = KILL.format(module=module, name=name)
    assert subprocess.run([sys.executable, "-c", script, path], check=False).returncode == -9  # noqa: ASYNC221
    async with open_store(path) as log:
        assert (await log.info("one")).archived_at_us is None
        assert await read_all(log, "one") == before
        assert (await log.verify()).ok
        await log.archive("one", at_us=5)
        assert await read_all(log, "one") == before


async def test_what_another_has_opened_goes_on_with_what_was_archived_and_taken_out(tmp_path: Path) -> None:
    async with open_store(tmp_path / "log.db") as one, open_store(tmp_path / "log.db") as other:
        events = await make(one)
        head = await other.append("one", [(1, Custom(kind="warm"))])
        await one.archive("one", at_us=5)
        assert (await read_all(other, "one"))[:-1] == events
        assert await other.append("one", [(1, Custom(kind="more"))], expected=head) == head + 1
        assert [event.seq for event in await one.read("one", after=head)] == [head + 1]
        await other.archive("one", at_us=6)
        assert len(await read_all(one, "one")) == head + 1
        await one.erase("one", 1, at_us=7)
        await one.archive("one", at_us=8)
        assert "coat" not in str((await other.read("one", limit=1))[0].event)
        assert (await other.verify()).ok


async def test_nothing_of_a_word_is_left_once_it_is_erased_though_it_was_archived(tmp_path: Path) -> None:
    path = tmp_path / "log.db"
    async with open_store(path) as log:
        await log.create("one")
        await log.append("one", adopted("xylophone", "and a kumquat"))
        assert len(await log.search("xylophone")) == 1
        await log.archive("one", at_us=5)
        assert len(await log.search("xylophone")) == 1
        await log.erase("one", 1, at_us=6)
        await log.search("kumquat")
    assert not in_file(path, "xylophone")
    assert not in_file(path, "xyl")
    assert in_file(path, "kumquat")


async def test_an_archived_session_is_in_no_table_of_rows_nor_in_the_index(tmp_path: Path) -> None:
    path = tmp_path / "log.db"
    image = ImageContent(data="QUJD" * 50, media_type="image/png")
    async with open_store(path) as log:
        shared = MessageAdopt(message=UserMessage(content=(image,)), origin=Origin(source="x"))
        large = MessageAdopt(message=UserMessage(content="large " * 8_000), origin=Origin(source="x"))
        before = await make(log, "one", shared, large)
        await make(log, "two", shared)
        await log.search("coat")
        await log.archive("one", at_us=5)
        for table in ("events", "updates", "snapshots", "refs"):
            assert ask(path, f"SELECT count(*) FROM {table} WHERE id >> 32 = 1") == [(0,)], table
        assert ask(path, "SELECT count(*) FROM bodies") == [(2,)]
        assert ask(path, "SELECT count(*) FROM search_blocks WHERE first >> 32 = 1") == [(0,)]
        await log.delete("two")
        assert ask(path, "SELECT count(*) FROM bodies") == [(0,)]
        assert await read_all(log, "one") == before
        fork = await log.fork("one", 9, at_us=6)
        assert ask(path, "SELECT count(*) FROM events WHERE id >> 32 = 1") == [(0,)]
        assert (await read_all(log, fork.id))[:9] == before[:9]


async def test_a_session_in_many_pieces_and_no_room_to_keep_any_is_read_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(frames, "_PIECE_BYTES", 1_000)
    monkeypatch.setattr(connection, "UNPACKED_BYTES", 0)
    image = MessageAdopt(
        message=UserMessage(content=(TextContent(text="a"), ImageContent(data="QUJD" * 50, media_type="image/png"))),
        origin=Origin(source="x"),
    )
    async with open_store(tmp_path / "log.db") as log:
        events = {name: await make(log, name, *[image] * 9) for name in ("one", "two", "three")}
        await log.drop_updates("two")
        events["two"] = await read_all(log, "two")
        for name in events:
            await log.archive(name, at_us=5)
        assert len(ask(tmp_path / "log.db", "SELECT 1 FROM frames WHERE id >> 32 = 1")) > 3
        for name in ("one", "two", "three", "one"):
            assert await read_all(log, name) == events[name]
        assert (await log.verify()).ok


async def test_a_damaged_session_is_not_archived_and_a_damaged_frame_is_said(tmp_path: Path) -> None:
    path = tmp_path / "log.db"
    async with open_store(path) as log:
        await make(log)
        await make(log, "two")
        await log.archive("two", at_us=5)
        change(path, "UPDATE updates SET body = x'00' WHERE id >> 32 = 1", "UPDATE frames SET body = substr(body, 9)")
        with pytest.raises(CorruptLogError, match="session one"):
            await log.archive("one", at_us=5)
        with pytest.raises(CorruptLogError, match="frame 0 of an archived session"):
            await log.read("two")
        assert (await log.info("one")).archived_at_us is None


def change(path: Path, *statements: str) -> None:
    with closing(sqlite3.connect(path, isolation_level=None)) as file:
        for sql in statements:
            file.execute(sql)


async def test_real_sessions_take_a_sixth_of_what_they_export_with_what_the_search_keeps(
    data: Path, tmp_path: Path
) -> None:
    exported = kept = 0
    async with open_store(tmp_path / "log.db") as store:
        log = Log(store)
        for file in sorted((data / "transcripts" / "pi").glob("*.jsonl")):
            await import_file(store, str(file))
        for info in await store.sessions():
            exported += len(await export_session(store, info.id))
            kept += await log.archive(info.id)
        assert (await store.verify()).ok
    assert kept < 0.17 * exported


def test_letters_are_never_missed_in_any_case() -> None:
    texts: Sequence[str] = ("Größe ΑΣ İstanbul ſet K", "ﬁne STRASSE", "12345", "ab")
    bits = letter_filter(set().union(*map(letters_of, texts)))
    for text in texts:
        for asked in (text, text.upper(), text.lower(), text[2:6]):
            if asked.upper() in text.upper():
                assert may_have(bits, letters_of(asked)), asked
    assert not may_have(bits, letters_of("xylophone"))
    assert not may_have(b"", letters_of("abc"))


async def test_who_reads_while_something_is_erased_reads_on(tmp_path: Path) -> None:
    async with open_store(tmp_path / "log.db") as log:
        before = await make(log)
        for number in range(9):
            await make(log, f"other{number}")
            await log.archive(f"other{number}", at_us=5)
        await log.archive("one", at_us=5)
        reads = [read_all(log, "one", limit=3) for _ in range(9)]
        erased = [log.erase(f"other{number}", 1, at_us=6) for number in range(9)]
        found = await asyncio.gather(*reads, *erased)
        assert found[:9] == [before] * 9
