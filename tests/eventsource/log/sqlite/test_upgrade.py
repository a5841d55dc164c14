"""A database of format 1 is brought to format 2 by one program alone; killed, the next one goes on."""

from __future__ import annotations

import asyncio
import lzma
import os
import sqlite3
import subprocess
import sys
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

import msgspec
import pytest

from eventsource.envelope import SessionInfo
from eventsource.errors import RefoldError, StoreError
from eventsource.events import ChildStart, Custom, QueuePush, TaskEnd, TaskStart
from eventsource.log import open_store
from eventsource.log.load import read_all
from eventsource.log.sqlite import database_format
from eventsource.messages import UserMessage

GOLDEN = Path(__file__).parents[3] / "golden" / "0.1.0"
OLD = (
    "id",
    "title",
    "parent",
    "fork_seq",
    "head",
    "digest",
    "created_at_us",
    "updated_at_us",
    "status",
    "open",
    "task",
)
KILL = """
import asyncio, os, sys
from eventsource.log import open_store
from eventsource.log.sqlite import upgrade
left, upgrade._AT_ONCE = int(sys.argv[2]), 1
whole = upgrade._in_transaction
def counted(connection, work):
    global left
    left -= 1
    def dying():
        work()
        if not left:
            os.kill(os.getpid(), 9)
    whole(connection, dying)
upgrade._in_transaction = counted
async def main():
    async with open_store(sys.argv[1]):
        print("opened")
asyncio.run(main())
"""
HOLD = """
import sqlite3, sys
connection = sqlite3.connect(sys.argv[1])
connection.execute("SELECT count(*) FROM sessions").fetchone()
print("open", flush=True)
sys.stdin.read()
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Unpack the runs that release 0.1.0 recorded: tasks, children, waits, forks, a proxy's session."""
    return unpacked(tmp_path)


def unpacked(folder: Path) -> Path:
    found = folder / "runs.db"
    found.write_bytes(lzma.decompress((GOLDEN / "runs.db.xz").read_bytes()))
    return found


@pytest.fixture(scope="module")
def upgraded(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[SessionInfo]]:
    """Bring the same runs to this format, once, for tests that only read them. Returns: where they are, and rows."""
    whole = unpacked(tmp_path_factory.mktemp("upgraded"))
    return whole, asyncio.run(rows(whole))


def ask(path: Path, sql: str, *values: object) -> list[tuple[object, ...]]:
    """Run SQL as any other program would."""
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        return connection.execute(sql, values).fetchall()


def content(path: Path) -> bytes:
    return path.read_bytes()


def killed(path: Path, after: int) -> int:
    """Open a log in a process that is killed in its so manieth transaction. Returns: how it ended."""
    return subprocess.run([sys.executable, "-c", KILL, path, str(after)], check=False).returncode


def held(path: Path) -> subprocess.Popen[str]:
    """Begin a process that has the log open until its input ends."""
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLD, path], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert holder.stdout is not None
    assert holder.stdout.readline() == "open\n"
    return holder


def numbers(path: Path) -> list[int]:
    return [int(str(number)) for (number,) in ask(path, "SELECT number FROM sessions ORDER BY number")]


def facts(path: Path) -> dict[str, list[tuple[object, ...]]]:
    tables = ("events", "updates", "bodies", "refs", "keys")
    return {table: ask(path, f"SELECT * FROM {table} ORDER BY 1, 2") for table in tables}


async def rows(path: Path) -> list[SessionInfo]:
    async with open_store(path) as store:
        assert (await store.verify()).ok
        assert await store.rebuild() == 0
        return list(await store.sessions(limit=10_000))


async def test_nothing_that_was_appended_changes_and_each_row_says_more(path: Path) -> None:
    before = facts(path)
    old = {str(row[0]): row for row in ask(path, "SELECT id, head, hex(link), title, messages, status FROM sessions")}
    made = ask(path, "SELECT seq FROM sqlite_sequence")
    found = {info.id: info for info in await rows(path)}
    assert facts(path) == before
    assert {
        str(row[0]): row for row in ask(path, "SELECT id, head, hex(link), title, messages, status FROM sessions")
    } == old
    assert ask(path, "SELECT seq FROM sqlite_sequence") == made
    assert database_format.format_of(path) == database_format.FORMAT
    assert any(info.turns for info in found.values())
    assert any(info.first_words for info in found.values())
    assert any(info.models for info in found.values())
    assert any(info.last == "done" for info in found.values())


async def test_an_upgraded_database_is_as_one_that_was_made_of_this_format(
    upgraded: tuple[Path, list[SessionInfo]], tmp_path: Path
) -> None:
    path, _ = upgraded
    async with open_store(tmp_path / "new.db"):
        pass
    with closing(sqlite3.connect(path)) as old, closing(sqlite3.connect(tmp_path / "new.db")) as new:
        old.text_factory = new.text_factory = bytes
        assert database_format.schema_of(old) == database_format.schema_of(new)
        assert old.execute("PRAGMA journal_mode").fetchone() == (b"wal",)


async def test_children_belong_to_the_tree_of_the_session_that_started_them(
    upgraded: tuple[Path, list[SessionInfo]],
) -> None:
    path, listed = upgraded
    found = {info.id: info for info in listed}
    children = 0
    async with open_store(path) as store:
        for info in found.values():
            async for recorded in read_all(store, info.id, after=info.fork_seq, updates=False):
                if isinstance(recorded.event, ChildStart) and recorded.event.child in found:
                    children += 1
                    assert found[recorded.event.child].started_by
                    tree = await store.sessions(tree=info.id, limit=1000)
                    assert recorded.event.child in {one.id for one in tree}
        for info in found.values():
            if info.parent is not None:
                tree = await store.sessions(tree=info.parent, limit=1000)
                assert info.id in {one.id for one in tree}
    assert children


async def test_it_goes_on_as_any_other(path: Path) -> None:
    async with open_store(path) as store:
        for info in await store.sessions(limit=10_000):
            await store.append(info.id, [(info.updated_at_us, Custom(kind="later"))])
            fork = await store.fork(info.id, info.head, at_us=info.updated_at_us)
            assert fork.first_words == info.first_words
            assert fork.inherited_input_tokens == fork.input_tokens == info.input_tokens
        assert (await store.verify()).ok
        assert await store.rebuild() == 0


@pytest.mark.parametrize("kills", [(1,), (1, 2), (1, 1, 3, 5)], ids=str)
async def test_killed_at_any_moment_the_next_one_goes_on(
    path: Path, upgraded: tuple[Path, list[SessionInfo]], kills: Sequence[int]
) -> None:
    before = facts(path)
    for number in kills:
        assert killed(path, number) == -9
        assert database_format.format_of(path) in (1, 2)
    assert [msgspec.structs.replace(info, owner="") for info in await rows(path)] == upgraded[1]
    assert facts(path) == before


async def test_a_half_upgraded_one_is_read_where_it_cannot_be_written(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert killed(path, 3) == -9
    monkeypatch.setattr("eventsource.log.sqlite.store.is_read_only", lambda path: True)
    async with open_store(path) as store:
        assert (await store.verify()).ok
        assert len(await store.sessions(limit=10_000)) == len(numbers(path))


async def test_one_that_another_program_has_open_is_left_alone(path: Path) -> None:
    before = content(path)
    with held(path) as holder:
        with pytest.raises(StoreError, match="another program has open"):
            async with open_store(path):
                pass
        assert database_format.format_of(path) == 1
        holder.communicate()
    assert content(path) == before
    assert await rows(path)


async def test_a_log_that_cannot_be_written_is_read_as_it_is(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ask(path, "PRAGMA journal_mode=DELETE")
    before = content(path)
    monkeypatch.setattr("eventsource.log.sqlite.store.is_read_only", lambda path: True)
    async with open_store(path) as store:
        assert (await store.verify()).ok
        found = await store.sessions(limit=10_000)
        assert len(found) == len(numbers(path))
        for info in found:
            assert await store.info(info.id) == info
            assert [one async for one in read_all(store, info.id)]
            if info.parent is not None:
                assert info.id in {one.id for one in await store.sessions(tree=info.parent, limit=1000)}
            if info.title:
                assert info in await store.sessions(title=info.title.upper(), limit=1000)
        with pytest.raises(StoreError, match="nothing can be written"):
            await store.create()
    assert content(path) == before


async def test_a_damaged_session_keeps_nobody_from_the_others(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    first = numbers(path)[0]
    ask(path, "UPDATE sessions SET mark = 'erase' WHERE number = ?", first)
    ask(path, "UPDATE events SET body = '{\"type\":' WHERE id = ?", first << 32 | 3)
    ask(path, "UPDATE sessions SET mark = NULL WHERE number = ?", first)
    async with open_store(path) as store:
        report = await store.verify()
        assert not report.ok
        names = {finding.session for finding in report.findings if not finding.note}
        assert len(await store.sessions(limit=10_000)) == len(numbers(path))
    (name,) = ask(path, "SELECT id FROM sessions WHERE number = ?", first)[0]
    assert name in names
    assert str(name) in caplog.text


async def test_a_row_that_was_damaged_is_still_found(path: Path) -> None:
    ask(path, "DROP TRIGGER sessions_keep_their_place")
    ask(path, "UPDATE sessions SET created_at_us = created_at_us + 1")
    async with open_store(path) as store:
        found = [one for one in (await store.verify()).findings if "title, time" in one.problem]
    assert len(found) == len(numbers(path))


async def test_an_older_release_refuses_what_is_newer(
    upgraded: tuple[Path, list[SessionInfo]], monkeypatch: pytest.MonkeyPatch
) -> None:
    path, _ = upgraded
    monkeypatch.setattr(database_format, "FORMAT", 1)
    with pytest.raises(StoreError, match="a log of format 2, this program reads up to format 1"):
        database_format.format_of(path)


async def test_what_was_erased_is_in_no_row_of_a_fork(tmp_path: Path) -> None:
    async with open_store(tmp_path / "log.db") as store:
        parent = (await store.create()).id
        await store.append(parent, [(1, QueuePush(queue="prompt", message=UserMessage(content="a secret word")))])
        forks = [await store.fork(parent, 1, at_us=2) for _ in range(2)]
        inner = await store.fork(forks[0].id, forks[0].head, at_us=3)
        assert {one.first_words for one in (*forks, inner)} == {"a secret word"}
        await store.erase(inner.id, 1, at_us=4)
        for one in (parent, *(fork.id for fork in forks), inner.id):
            info = await store.info(one)
            assert (info.first_words, info.removals) == ("", 1)
            await store.append(one, [(5, QueuePush(queue="inbox", message=UserMessage(content="other words")))])
            assert (await store.info(one)).first_words == ""  # the first words are gone, others do not take their place
        assert (await store.verify()).ok
        assert await store.rebuild() == 0


def as_format_1(path: Path, target: Path) -> None:
    """Write what a log holds into a database of format 1."""
    with closing(sqlite3.connect(target, isolation_level=None)) as connection:
        connection.executescript(Path(database_format.__file__).with_name("schema_1.sql").read_text(encoding="utf-8"))
        connection.execute(f"PRAGMA application_id={int.from_bytes(b'RFLD')}")
        connection.execute("PRAGMA user_version=1")
        connection.execute("ATTACH ? AS now", (str(path),))
        for table in ("sessions", "events", "updates", "bodies", "refs", "keys"):
            names = ", ".join(row[1] for row in connection.execute(f"PRAGMA main.table_info({table})"))
            connection.execute(f"INSERT INTO main.{table} ({names}) SELECT {names} FROM now.{table}")


async def test_what_the_first_release_forgot_of_a_session_that_was_not_open_is_no_damage(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    said = UserMessage(content="hello")
    async with open_store(tmp_path / "now.db") as store:
        await store.create("a")
        await store.append("a", [(1, TaskStart(task="t", retries=2)), (2, QueuePush(queue="inbox", message=said))])
        await store.append("a", [(3, TaskEnd()), (4, QueuePush(queue="prompt", message=said))])
    as_format_1(tmp_path / "now.db", tmp_path / "log.db")
    ask(tmp_path / "log.db", """UPDATE sessions SET folds = '{"queued":[[4,"prompt"]]}'""")
    with monkeypatch.context() as patched:
        patched.setattr("eventsource.log.sqlite.store.is_read_only", lambda path: True)
        async with open_store(tmp_path / "log.db") as store:
            assert (await store.verify()).findings == ()
    await rows(tmp_path / "log.db")


@pytest.mark.parametrize(
    "body",
    [
        '{"type":"child_start","key":"k","child":7}',
        '{"type":"child_start","key":"k","child":["a"]}',
        '{"type":"task_start","task":"t","parent":7}',
    ],
)
async def test_what_no_release_wrote_keeps_nobody_from_the_others(tmp_path: Path, body: str) -> None:
    async with open_store(tmp_path / "now.db") as store:
        for name in "ab":
            await store.create(name)
            await store.append(name, [(1, Custom(kind="x"))])
    as_format_1(tmp_path / "now.db", tmp_path / "log.db")
    ask(tmp_path / "log.db", "DROP TRIGGER events_never_change")
    ask(tmp_path / "log.db", "UPDATE events SET body = ? WHERE id = 1 << 32 | 1", body)
    async with open_store(tmp_path / "log.db") as store:
        assert {finding.session for finding in (await store.verify()).findings} == {"a"}
        assert await store.append("b", [(2, Custom(kind="y"))]) == 2


async def test_an_empty_file_is_no_log(tmp_path: Path) -> None:
    (tmp_path / "log.db").touch()
    assert database_format.format_of(tmp_path / "log.db") == 0
    with pytest.raises(RefoldError, match="cannot be opened"):
        database_format.format_of(tmp_path / "none.db")
    assert os.listdir(tmp_path) == ["log.db"]
