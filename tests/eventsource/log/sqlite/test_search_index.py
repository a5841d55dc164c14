"""The index that `search` uses follows what is appended, and holds nothing that was erased."""

from __future__ import annotations

import asyncio
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Collection, Sequence
from contextlib import closing
from pathlib import Path

import msgspec
import pytest
from hypothesis import given, settings, strategies as st

from eventsource.errors import HasForksError, UnknownSeqError
from eventsource.events import Custom, MessageAdopt, Origin, QueuePush
from eventsource.log import open_store
from eventsource.log.contract.histories import exchange, timed
from eventsource.log.protocol import EventLog
from eventsource.log.sqlite import indexing, search_index
from eventsource.log.sqlite.connection import SqliteConnection
from eventsource.messages import CustomMessage, UserMessage

KILL = """
import asyncio, os, sys
from eventsource.log import open_store
from eventsource.log.sqlite import search_index
search_index._AT_ONCE = 5
whole, left = search_index._set_reached, int(sys.argv[2])
def counted(*arguments):
    global left
    whole(*arguments)
    left -= 1
    if not left:
        os.kill(os.getpid(), 9)
search_index._set_reached = counted
async def main():
    async with open_store(sys.argv[1]) as log:
        await log.search("coat")
asyncio.run(main())
"""


@pytest.fixture(autouse=True)
def _no_timer(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let nothing be taken in before it is searched for, however slow the machine; a test may set the timer."""
    monkeypatch.setattr(indexing, "AFTER_S", 3_600.0)


def said(text: str) -> list[tuple[int, QueuePush]]:
    return [(1, QueuePush(queue="inbox", message=UserMessage(content=text)))]


def killed(path: Path, after: int) -> int:
    """Search in a process that is killed when it has taken so many sessions into the index. Returns: how it ended."""
    return subprocess.run([sys.executable, "-c", KILL, path, str(after)], check=False).returncode


def ask(path: Path, sql: str) -> list[tuple[object, ...]]:
    with closing(sqlite3.connect(path)) as connection:
        return connection.execute(sql).fetchall()


def letters(path: Path) -> set[object]:
    """List each three letters that the index has, of texts that were removed and are not put together yet, too."""
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE VIRTUAL TABLE temp.words USING fts5vocab('main', 'search', 'row')")
        return {word for (word,) in connection.execute("SELECT term FROM words")}


@st.composite
def steps(draw: st.DrawFn) -> Sequence[tuple[str, int, str]]:
    text = st.text('aAbB ß"%é🧥\0', max_size=12)
    what = st.sampled_from(("say", "say", "say", "adopt", "fork", "erase", "delete", "archive", "search"))
    return draw(st.lists(st.tuples(what, st.integers(0, 5), text), max_size=25))


async def done(log: EventLog, work: Sequence[tuple[str, int, str]]) -> list[object]:
    """Do the same in any store. Returns: what every search found."""
    names, found, made = ["s0"], list[object](), 0
    await log.create("s0")
    for what, place, text in work:
        name = names[place % len(names)]
        head = (await log.info(name)).head
        if what == "say":
            await log.append(name, said(text))
        elif what == "adopt":
            await log.append(name, [(1, MessageAdopt(message=UserMessage(content=text), origin=Origin(source="x")))])
        elif what == "fork" and head:
            made += 1
            names.append(f"s{made}")
            await log.fork(name, head, at_us=1, session=names[-1], keeps=())
        elif what == "erase" and head > 1:
            facts = [one.seq for one in await log.read(name) if isinstance(one.event, QueuePush | MessageAdopt)]
            for seq in facts[place : place + 1]:
                try:
                    await log.erase(name, seq, at_us=2)
                except UnknownSeqError:  # it holds nothing, or no longer
                    continue
        elif what == "delete" and len(names) > 1:
            try:
                await log.delete(names[-1])
                names.pop()
            except HasForksError:
                continue
        elif what == "archive":
            await log.archive(name, at_us=3)
        elif what == "search" and text:
            found.append(await log.search(text))
            found.append(await log.search(text, session=name, limit=3))
    return found


@pytest.mark.slow
@settings(max_examples=60, deadline=None)
@given(steps())
def test_with_the_index_the_same_is_found_as_without(work: Sequence[tuple[str, int, str]]) -> None:
    async def both() -> tuple[list[object], list[object]]:
        with pytest.MonkeyPatch.context() as patch, tempfile.TemporaryDirectory() as folder:
            patch.setattr(search_index, "_NEAR", 1)
            async with open_store(Path(folder) / "log.db") as indexed, open_store() as plain:
                return await done(indexed, work), await done(plain, work)

    indexed, plain = asyncio.run(both())
    assert indexed == plain


async def test_what_is_appended_is_in_the_index_before_anybody_searches(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(indexing, "AFTER_S", 0.01)
    path = tmp_path / "log.db"
    async with open_store(path) as log:
        for name in ("one", "two"):
            await log.create(name)
            await log.append(name, said("a coat"))
            await log.append(name, [(1, Custom(kind="x"))])
        while ask(path, "SELECT count(*) FROM sessions WHERE searched = head") != [(2,)]:
            await asyncio.sleep(0.01)
        assert letters(path) == {"a c", " co", "coa", "oat", "at\n", "t\n\n"}
        while asyncio.all_tasks() != {asyncio.current_task()}:  # it ends by itself
            await asyncio.sleep(0.01)
        await log.append("one", said("a scarf"))
        while ask(path, "SELECT count(*) FROM sessions WHERE searched = head") != [(2,)]:
            await asyncio.sleep(0.01)


async def test_catching_up_looks_at_each_session_once_and_takes_a_little_at_a_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However many sessions were appended to, no append waits long for the index."""
    asked, begun, taken = list[str](), list[int](), list[int]()
    some, every = search_index.catch_up_with, search_index.catch_up

    def counted(connection: SqliteConnection, sessions: Collection[str]) -> bool:
        asked.extend(sessions)
        before = indexed()
        more = some(connection, sessions)
        taken.append(indexed() - before)
        return more

    def from_number(connection: SqliteConnection, number: int = 0) -> int | None:
        begun.append(number)
        return every(connection, number)

    def indexed() -> int:
        return sum(added)

    added = list[int]()
    put = search_index._put_block

    def putting(connection: SqliteConnection, first: int, last: int, texts: Sequence[str], *, odd: bool) -> None:
        added.append(sum(map(len, texts)))
        put(connection, first, last, texts, odd=odd)

    monkeypatch.setattr(indexing, "AFTER_S", 0.5)
    monkeypatch.setattr(search_index, "catch_up_with", counted)
    monkeypatch.setattr(search_index, "catch_up", from_number)
    monkeypatch.setattr(search_index, "_put_block", putting)
    path = tmp_path / "log.db"
    names = [f"s{number}" for number in range(350)]
    async with open_store(path) as log:
        await asyncio.gather(*(log.create(name) for name in names))
        await asyncio.gather(*(log.append(name, said("a coat " * 100)) for name in names))
        while ask(path, "SELECT count(*) FROM sessions WHERE searched = head") != [(350,)]:
            await asyncio.sleep(0.01)
        assert set(asked) == set(names)
        assert len(asked) < 3 * len(names)
        assert max(taken) <= 40_000 + 700
        await log.rebuild()
    assert begun == sorted(set(begun))


@pytest.mark.parametrize("text", ["q", "zq", "Q", "ZQ", "雨", "xyz"])
async def test_a_search_reads_what_may_hold_the_text_and_a_few_of_the_latest(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str
) -> None:
    monkeypatch.setattr(search_index, "_NEAR", 10)
    async with open_store(tmp_path / "log.db") as log:
        await log.create("one")
        for words in ("it ends with zq", "zq begins it", "雨", "no xyz"):
            await log.append("one", said(words))
        await log.append("one", said("a coat " * 400) * 100)
        await log.search("to make the index")
        statements = list[str]()
        await log._read_with(lambda connection: connection.set_trace_callback(statements.append))  # type: ignore[attr-defined]
        found = await log.search(text)
        assert [one.seq for one in found] == {"雨": [3], "xyz": [4]}.get(text, [2, 1])
        reading = [one for one in statements if one.startswith("SELECT at_us, body")]
        assert len(reading) <= 10 + 5  # the five first are in one block


async def test_what_stands_otherwise_in_json_is_found(tmp_path: Path) -> None:
    said_so = ('he said "Coat"', "back\\slash", "KELVIN 3 \u212a", "tab\tcoat", "fa\u017ft", "D\u0130KKAT")
    async with open_store(tmp_path / "log.db") as log, open_store() as plain:
        for store_ in (log, plain):
            await store_.create("one")
            for text in said_so:
                await store_.append("one", said(text))
            escaped = CustomMessage(kind="x", body=msgspec.Raw(b'{"content":"\\u0063oat"}'))
            await store_.append("one", [(1, MessageAdopt(message=escaped, origin=Origin(source="x")))])
        for text in ('"coat"', "coat", "k\\sl", "back\\", "3 k", "b\tc", "fast", "coat here"):
            assert await log.search(text) == await plain.search(text), text
        assert [one.seq for one in await log.search("coat")] == [7, 4, 1]
        assert [one.seq for one in await log.search("3 k")] == [3]


async def test_nothing_of_an_erased_or_deleted_text_is_left_in_the_index(tmp_path: Path) -> None:
    path = tmp_path / "log.db"
    async with open_store(path) as log:
        for name, text in (("one", "xylophone"), ("two", "kumquat"), ("three", "harmless")):
            await log.create(name)
            await log.append(name, said(text))
        assert len(await log.search("xylo")) == len(await log.search("kumq")) == 1
        await log.erase("one", 1, at_us=2)
        await log.delete("two")
        assert not {word for word in letters(path) if str(word) in "xylophone" or str(word) in "kumquat"}
        assert len(await log.search("harmless")) == 1
    assert b"xyl" not in path.read_bytes()


@pytest.mark.parametrize("after", [1, 3, 6])
async def test_killed_while_it_catches_up_it_goes_on(tmp_path: Path, after: int) -> None:
    path = tmp_path / "log.db"
    async with open_store(path) as log:
        for name in ("one", "two"):
            await log.create(name)
            for _ in range(3):
                await log.append(name, timed(exchange("Take a coat.")))
    assert killed(path, after) == -9
    async with open_store(path) as log:
        assert len(await log.search("take a coat")) == 6
        assert (await log.verify()).ok
        assert await log.rebuild() == 0
        assert len(await log.search("take a coat")) == 6


async def test_where_there_is_no_index_everything_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "log.db"
    monkeypatch.setattr(search_index, "make_index", lambda connection: False)
    async with open_store(path) as log:
        await log.create("one")
        await log.append("one", timed(exchange("Take a coat.")))
        assert len(await log.search("take a coat")) == 1
    assert ask(path, "SELECT name FROM sqlite_master WHERE name LIKE 'search%'") == []
    monkeypatch.setattr("eventsource.log.sqlite.store.is_read_only", lambda path: True)
    async with open_store(path) as log:
        assert len(await log.search("take a coat")) == 1


@pytest.mark.parametrize("limit", [1, 7, 100])
async def test_what_is_found_is_in_order_whatever_order_it_was_taken_in(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, limit: int
) -> None:
    """Old sessions go on, one comes back from the archive, and the blocks are read a few at a time."""
    monkeypatch.setattr(search_index, "_FEW", 2)
    monkeypatch.setattr(search_index, "_BLOCK", 20)
    async with open_store(tmp_path / "log.db") as log, open_store() as plain:
        for store in (log, plain):
            for name in ("one", "two", "three", "four"):
                await store.create(name)
            for turn, name in enumerate(("three", "one", "four", "two", "one", "three", "two")):
                for number in range(5):
                    await store.append(name, said(f"a coat {turn} {number}"))
                await store.search("to take it in")
            await store.archive("three", at_us=1)
            fork = (await store.fork("two", 7, at_us=1, session="five", keeps=())).id
            await store.append("three", said("a coat again"))
            await store.append(fork, said("a coat as well"))
        for session in (None, "one", "three", "five"):
            found = whole = await plain.search("a coat", session=session)
            assert await log.search("a coat", session=session) == whole
            found = await log.search("a coat", session=session, limit=limit)
            while page := await log.search("a coat", session=session, after=found[-1], limit=limit):
                found += page
            assert found == whole


async def test_short_messages_share_a_block_and_one_is_erased_from_it(tmp_path: Path) -> None:
    path = tmp_path / "log.db"
    async with open_store(path) as log:
        await log.create("one")
        for word in ("xylophone", "kumquat", "harmless"):
            await log.append("one", said(word))
        assert len(await log.search("kumq")) == 1
        assert ask(path, "SELECT doc, first & 255, last & 255 FROM search_blocks") == [(1, 1, 3)]
        await log.erase("one", 2, at_us=2)
        assert not {word for word in letters(path) if str(word) in "kumquat"}
        assert len(await log.search("xylophone")) == len(await log.search("harmless")) == 1
        await log.erase("one", 1, at_us=2)
        await log.erase("one", 3, at_us=2)
        assert not {word for word in letters(path) if str(word) in "xylophone" or str(word) in "harmless"}


async def test_a_long_text_asks_for_few_of_its_letters_and_reads_what_has_them(tmp_path: Path) -> None:
    """The rarest: so a text that is nowhere, with letters that are everywhere, reads few lists of the index."""
    async with open_store(tmp_path / "log.db") as log:
        await log.create("one")
        await log.append("one", said("the quick brown fox jumps over the lazy dog " * 60) * 20)
        await log.append("one", said("the lazy zebra jumps"))
        assert len(await log.search("lazy zebra jumps")) == 1
        statements = list[str]()
        await log._read_with(lambda connection: connection.set_trace_callback(statements.append))  # type: ignore[attr-defined]
        assert await log.search("over the quick brown fox jumps the lazy dog") == ()
        assert len(await log.search("the lazy zebra jumps")) == 1
        named = [one for one in statements if "CROSS JOIN" in one]
        assert {one.count(" AND ") - search_index._NAMED.count(" AND ") for one in named} == {search_index._ASKED - 1}
        assert len([one for one in statements if one.startswith("SELECT at_us, body")]) == 1


async def test_a_text_of_a_calls_name_and_its_arguments_is_found(tmp_path: Path) -> None:
    """They are one text, and two strings where they are stored."""
    async with open_store(tmp_path / "log.db") as log, open_store() as plain:
        for store in (log, plain):
            await store.create("one")
            await store.append("one", timed(exchange("Take a coat.")))
        for text in ('read {"city"', 'READ {"ci', 'd {"', "a/b", "coat.", "Take\na"):
            assert await log.search(text) == await plain.search(text), text


async def test_tools_are_looked_up_and_what_is_not_noted_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The table is filled when much is missing; also a file that nobody can write, or without a table, is answered."""
    path = tmp_path / "log.db"
    async with open_store(path) as log:
        for name in ("one", "two"):
            await log.create(name)
        await log.append("one", timed(exchange("Fine.")))
        assert [info.id for info in await log.sessions(tool="READ")] == ["one"]
        assert await log.sessions(tool="write") == ()
        await log.search("anything")
        statements = list[str]()
        await log._read_with(lambda connection: connection.set_trace_callback(statements.append))  # type: ignore[attr-defined]
        assert [info.id for info in await log.sessions(tool="read")] == ["one"]
        assert not [one for one in statements if "tool_call" in one]
        await log.append("two", timed(exchange("Fine.")))
        assert len(await log.sessions(tool="read")) == 2
        assert len([one for one in statements if "tool_call" in one]) == 1
        await log.archive("two", at_us=3)
    for table in ("search_blocks", "search_tools"):
        with closing(sqlite3.connect(path)) as connection:
            connection.execute(f"DROP TABLE {table}")
        async with open_store(path) as log:
            assert len(await log.sessions(tool="read")) == 2
    monkeypatch.setattr("eventsource.log.sqlite.store.is_read_only", lambda path: True)
    for table in ("search_tools", "search_blocks"):
        async with open_store(path) as log:
            assert len(await log.sessions(tool="read")) == 2
            assert await log.sessions(tool="write") == ()
        with closing(sqlite3.connect(path)) as connection:
            connection.execute(f"DROP TABLE {table}")


async def test_an_index_of_another_shape_is_made_anew(tmp_path: Path) -> None:
    path = tmp_path / "log.db"
    async with open_store(path) as log:
        await log.create("one")
        await log.append("one", said("a coat"))
        assert len(await log.search("coat")) == 1
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("DROP TABLE search_blocks")
    async with open_store(path) as log:
        assert len(await log.search("coat")) == 1
        await log.append("one", said("a scarf"))
        assert [len(await log.search(text)) for text in ("coat", "scarf")] == [1, 1]
    assert ask(path, "SELECT count(*) FROM search_blocks") == [(1,)]
