"""The log in SQLite keeps the contract of stores, and what it promises beyond."""

from __future__ import annotations

import asyncio
import os
import sqlite3
import stat
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import (
    AbstractAsyncContextManager,
    AbstractContextManager,
    asynccontextmanager,
    closing,
    contextmanager,
    nullcontext,
)
from hashlib import sha256
from pathlib import Path

import pytest

from eventsource.codec import encode
from eventsource.errors import FencedError, LeaseHeldError, OutcomeUnknownError, StoreError
from eventsource.events import Custom, Event, Label, MessageUpdate, QueuePush
from eventsource.log import open_store
from eventsource.log.contract.append_read import LogContract
from eventsource.log.contract.histories import exchange, numbered, prompt, read_all, streamed, timed
from eventsource.log.contract.stress import StressContract
from eventsource.log.lineage import MAX_SEQ
from eventsource.log.protocol import EventLog
from eventsource.log.sql.append import INSERT_UPDATES
from eventsource.log.sql.packs import from_row
from eventsource.log.sql.seal import redact
from eventsource.log.sqlite.store import SqliteLog
from eventsource.messages import UserMessage

ROOT = Path(__file__).parents[4]
LABEL: list[tuple[int, Event]] = [(1, Label(text="x"))]


@pytest.mark.slow
class TestProcesses(StressContract):
    """Several processes with the same file."""

    @pytest.fixture(autouse=True)
    def _folder(self, tmp_path: Path) -> None:
        self._path = tmp_path / "log.db"

    def place(self) -> AbstractContextManager[str]:
        return nullcontext(str(self._path))


class TestSqliteLog(LogContract):
    def open(self) -> AbstractAsyncContextManager[EventLog]:
        return self._temporary()

    def open_again(self, log: EventLog) -> AbstractAsyncContextManager[EventLog]:
        return open_store(self.path)

    @asynccontextmanager
    async def _temporary(self) -> AsyncIterator[EventLog]:
        with tempfile.TemporaryDirectory() as folder:
            self.path = Path(folder) / "log.db"
            async with open_store(self.path) as log:
                yield log

    async def overwrite(self, log: EventLog, session: str, seq: int, event: Event | None, *, erased: bool) -> None:
        file = sqlite3.connect(self.path, isolation_level=None)
        file.text_factory = bytes
        (number,) = file.execute("SELECT number FROM sessions WHERE id = ?", (session,)).fetchone()
        file.execute("UPDATE sessions SET mark = 'erase' WHERE number = ?", (number,))
        if event is None:
            sql = "SELECT id, kind, count, body FROM updates WHERE id >= ? ORDER BY id LIMIT 1"
            key, kind, count, body = file.execute(sql, (number << 32 | seq,)).fetchone()
            rows = redact(from_row(session, key & MAX_SEQ, kind, count, body), (), {seq})
            file.execute("DELETE FROM updates WHERE id = ?", (key,))
            file.executemany(INSERT_UPDATES, [(number << 32 | last, *rest) for last, *rest in rows])
        else:
            body, b = file.execute("SELECT body, b FROM events WHERE id = ?", (number << 32 | seq,)).fetchone()
            told = encode(event)
            kept = (b[:32] if b else sha256(body).digest()) + sha256(told).digest() if erased else None
            sql = "UPDATE events SET body = ?, b = ? WHERE id = ?"
            file.execute(sql, (told.decode(), kept, number << 32 | seq))
        file.execute("UPDATE sessions SET mark = NULL WHERE number = ?", (number,))
        file.close()


def python(code: str, *arguments: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", code, *map(str, arguments)], cwd=ROOT, capture_output=True, text=True)


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Let another process hold a file's lock."""
    code = "import fcntl,sys; f=open(sys.argv[1]); fcntl.flock(f,2); print(1,flush=True); input()"
    other = subprocess.Popen([sys.executable, "-c", code, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert other.stdout is not None
    other.stdout.readline()
    try:
        yield
    finally:
        other.communicate(b"\n")


def write(path: Path, text: str) -> None:
    path.write_text(text)


def let_others_read(path: Path) -> None:
    for folder in (path.parent, *path.parent.parents):
        if folder.owner() == "root" and len(folder.parts) > 2:
            folder.chmod(0o755)
    path.chmod(0o644)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "log.db"


async def test_everything_is_there_after_reopening(path: Path) -> None:
    events = timed(exchange())
    async with open_store(path) as log:
        session = (await log.create(title="kept")).id
        await log.append(session, events, key="k")
        before = await log.info(session)
    async with open_store(path) as log:
        assert await log.info(session) == before
        assert await read_all(log, session) == numbered(events)
        assert await log.append(session, LABEL, key="k") == len(events)
        assert await log.append(session, LABEL, expected=len(events)) == len(events) + 1
        assert (await log.verify()).findings == ()


async def test_a_message_cut_by_a_crash_is_sealed_by_the_process_that_ends_it(path: Path) -> None:
    events = timed([*prompt("hello"), *streamed("a text that another process ends " * 20)])
    async with open_store(path) as log:
        session = (await log.create()).id
        for at in range(0, len(events) - 1, 9):
            durable = any(not isinstance(event, MessageUpdate) for _, event in events[at : at + 9])
            await log.append(session, events[at : min(at + 9, len(events) - 1)], durable=durable)
    async with open_store(path) as log:
        await log.append(session, events[-1:])
        assert await read_all(log, session) == numbered(events)
        whole = (await log.create()).id
        await log.append(whole, events)
        assert (await log.cursor(whole)).digest == (await log.cursor(session)).digest
    with closing(sqlite3.connect(path)) as file:
        kinds = file.execute("SELECT id >> 32, kind, count FROM updates").fetchall()
    assert kinds == [(1, 1, len(events) - 8), (2, 1, len(events) - 8)]


async def test_a_long_message_is_sealed_in_rows_of_4096_updates(path: Path) -> None:
    events = timed(streamed("x" * 10_000, width=1))
    async with open_store(path) as log:
        session = (await log.create()).id
        await log.append(session, events)
        assert await read_all(log, session, limit=997) == numbered(events)
    with closing(sqlite3.connect(path)) as file:
        rows = file.execute("SELECT kind, count, length(body) FROM updates").fetchall()
    assert [(kind, count) for kind, count, _ in rows] == [(1, 4096), (1, 4096), (1, 10_002 - 8192)]


async def test_a_page_asks_for_no_message_that_it_has_read(path: Path) -> None:
    events = timed([event for n in range(30) for event in [*prompt(f"hello {n}"), *streamed(f"answer {n} " * 9)]])
    async with open_store(path) as log:
        session = (await log.create()).id
        await log.append(session, events)
        statements = list[str]()
        await log._read_with(lambda connection: connection.set_trace_callback(statements.append))  # type: ignore[attr-defined]
        assert list(await log.read(session, limit=len(events))) == numbered(events)
        assert len(statements) < 12  # over a network, each of them is a way there and back


async def test_two_opened_logs_share_a_file(path: Path) -> None:
    async with open_store(path) as one, open_store(path) as other:
        session = (await one.create()).id
        for n in range(0, 20, 2):
            assert await one.append(session, [(n, Custom(kind=str(n)))], expected=n) == n + 1
            assert await other.append(session, [(n, Custom(kind=str(n + 1)))], expected=n + 1) == n + 2
        events = timed(streamed("shared text"))
        for n, pair in enumerate(events):
            await (one, other)[n % 2].append(session, [pair])
        assert await one.read(session) == await other.read(session)
        assert (await other.verify()).findings == ()


async def test_a_follower_hears_of_what_another_opened_log_appends(path: Path) -> None:
    async with open_store(path) as one, open_store(path) as other:
        session = (await one.create()).id
        following = one.follow(session)
        heard = asyncio.ensure_future(anext(following))
        await asyncio.sleep(0.1)
        assert not heard.done()
        await other.append(session, LABEL)
        async with asyncio.timeout(60):
            assert (await heard).seq == 1
        await following.aclose()  # type: ignore[attr-defined]  # it is a generator


async def test_a_lease_outlives_neither_its_owner_nor_a_newer_epoch(path: Path) -> None:
    async with open_store(path) as one, open_store(path) as other:
        session = (await one.create()).id
        lease = await one.claim(session)
        with pytest.raises(LeaseHeldError):
            await other.claim(session)
        await one.close()
        taken = await other.claim(session)
        assert taken.epoch == lease.epoch + 1
    async with open_store(path) as one, open_store(path) as other:
        lease = await one.claim(session, ttl_us=0)
        second = await other.claim(session)
        assert second.epoch == lease.epoch + 1
        with pytest.raises(FencedError):
            await one.append(session, LABEL, epoch=lease.epoch)
    assert list(path.parent.glob("*owner*")) == []


@pytest.mark.slow
async def test_the_lease_of_a_killed_process_is_free(path: Path) -> None:
    code = (
        "import asyncio, os, sys\n"
        "from eventsource.log import open_store\n"
        "async def main():\n"
        "    async with open_store(sys.argv[1]) as log:\n"
        "        await log.create('s'); await log.claim('s', ttl_us=10**12); os._exit(9)\n"
        "asyncio.run(main())\n"
    )
    assert python(code, path).returncode == 9
    async with open_store(path) as log:
        assert (await log.info("s")).owner
        assert (await log.claim("s")).epoch == 2
    assert list(path.parent.glob("*owner*")) == []


async def test_fifty_sessions_share_their_commits(path: Path) -> None:
    async with open_store(path) as log:
        assert isinstance(log, SqliteLog)
        sessions = [(await log.create()).id for _ in range(50)]
        before = log.counts.full

        async def run(session: str) -> None:
            for n in range(5):
                await log.append(session, [(n, Custom(kind=str(n)))], expected=n)

        await asyncio.gather(*map(run, sessions))
        assert log.counts.full - before <= 50
        for session in sessions:
            assert [one.seq for one in await log.read(session)] == [1, 2, 3, 4, 5]


async def test_a_refused_append_touches_no_other_of_its_batch(path: Path) -> None:
    async with open_store(path) as log:
        names = [(await log.create()).id for _ in range(6)]
        appends = [log.append(name, LABEL, expected=n % 2) for n, name in enumerate(names)]
        results = await asyncio.gather(*appends, return_exceptions=True)
        assert [isinstance(result, Exception) for result in results] == [False, True] * 3
        assert [(await log.info(name)).head for name in names] == [1, 0] * 3


async def test_only_flushes_commit_without_a_sync(path: Path) -> None:
    async with open_store(path) as log:
        assert isinstance(log, SqliteLog)
        session = (await log.create()).id
        before = log.counts.normal, log.counts.full
        events = timed(streamed("hello"))
        await log.append(session, events[:3], durable=False)
        assert (log.counts.normal, log.counts.full) == (before[0] + 1, before[1])
        await log.append(session, events[3:])
        assert (log.counts.normal, log.counts.full) == (before[0] + 1, before[1] + 1)


async def test_facts_and_histories_are_plain_in_the_shell(path: Path) -> None:
    large = QueuePush(queue="prompt", message=UserMessage(content="large " * 10_000))
    async with open_store(path) as log:
        await log.create("parent")
        await log.append("parent", [(1_700_000_000_000_000, Label(text="hi")), (1, large)])
        await log.fork("parent", 1, at_us=5, session="child")
    shell = sqlite3.connect(path)
    rows = shell.execute("SELECT seq, at, type FROM event WHERE session = 'parent'").fetchall()
    assert rows[0] == (1, "2023-11-14 22:13:20.000", "label")
    assert shell.execute("SELECT seq, type FROM history WHERE session = 'child'").fetchall() == [
        (1, "label"),
        (2, "fork"),
    ]
    (body,) = shell.execute("SELECT body FROM event WHERE seq = 2 AND session = 'parent'").fetchone()
    assert body.startswith('{"type":"queue_push"')
    assert len(body) > 60_000
    shell.close()


async def test_the_file_itself_refuses_changed_and_deleted_events(path: Path) -> None:
    async with open_store(path) as log:
        await log.create("parent")
        await log.append("parent", LABEL)
        await log.fork("parent", 1, at_us=5)
    shell = sqlite3.connect(path)
    for sql in (
        "UPDATE events SET body = '{}'",
        "DELETE FROM events",
        "DELETE FROM sessions WHERE id = 'parent'",
        "UPDATE sessions SET fork_seq = 0",
    ):
        with pytest.raises(sqlite3.IntegrityError):
            shell.execute(sql)
    shell.close()


async def test_the_files_belong_to_their_owner_alone(path: Path) -> None:
    async with open_store(path) as log:
        session = (await log.create()).id
        await log.append(session, LABEL)
        await log.claim(session)
        await log.backup(str(path.parent / "copy.db"))
        modes = {file.name: stat.S_IMODE(file.stat().st_mode) for file in path.parent.iterdir()}
    assert len(modes) >= 5
    assert set(modes.values()) == {0o600}


async def test_a_backup_is_a_whole_log(path: Path) -> None:
    copy = path.parent / "copy.db"
    async with open_store(path) as log:
        session = (await log.create()).id
        await log.append(session, timed(exchange()))
        await log.backup(str(copy))
        await log.append(session, LABEL)
        with pytest.raises(StoreError, match="exists"):
            await log.backup(str(copy))
    async with open_store(copy) as log:
        assert await read_all(log, session) == numbered(timed(exchange()))
        assert (await log.verify()).findings == ()
        await log.append(session, LABEL)


async def test_what_is_no_log_is_told_apart(path: Path) -> None:
    write(path, "not a database, but a text that is long enough to look at " * 20)
    cases = {path: "no log"}
    other = path.parent / "other.db"
    with closing(sqlite3.connect(other)) as file:
        file.execute("CREATE TABLE t (x)")
    cases[other] = "another program"
    newer = path.parent / "newer.db"
    async with open_store(newer):
        pass
    with closing(sqlite3.connect(newer)) as file:
        file.execute("PRAGMA user_version = 99")
    cases[newer] = "format 99"
    cases[path.parent] = "folder"
    cases[path.parent / "none" / "log.db"] = "cannot be"
    for wrong, told in cases.items():
        with pytest.raises(StoreError, match=told) as caught:
            async with open_store(wrong):
                pass
        assert str(wrong) in str(caught.value)
        assert "\n" not in str(caught.value)
    assert not list(path.parent.glob("log.db-*"))


async def test_a_writer_that_keeps_the_database_is_waited_for_and_named(path: Path) -> None:
    log = SqliteLog(path, clock=lambda: 1, new_id=lambda: "s", timeout_s=0.05)
    await log.start()
    await log.create("s")
    with locked(Path(f"{path}-lock")), pytest.raises(StoreError, match="another program"):
        await log.append("s", LABEL)
    assert await log.append("s", LABEL) == 1
    await log.close()


async def test_a_full_disk_stores_nothing_and_loses_nothing(path: Path) -> None:
    async with open_store(path) as log:
        assert isinstance(log, SqliteLog)
        session = (await log.create()).id
        await log.append(session, LABEL)
        await log._commits._thread.call(lambda db: db.execute("PRAGMA max_page_count=1"))  # type: ignore[union-attr]
        big: list[tuple[int, Event]] = [(1, Custom(kind="x" * 30_000)) for _ in range(20)]
        with pytest.raises((StoreError, OutcomeUnknownError), match="full"):
            await log.append(session, big)
        assert (await log.info(session)).head == 1
        assert await log.append(session, big, expected=1) == 21
        assert (await log.verify()).findings == ()


async def test_a_folder_that_cannot_be_written_can_be_read(path: Path) -> None:
    if os.geteuid():
        pytest.skip("needs to give up root's rights in a child process")
    async with open_store(path) as log:
        await log.create("s")
        await log.append("s", LABEL)
    let_others_read(path)
    code = (
        "import asyncio, os, sys, eventsource.log.sqlite.store\n"
        "from eventsource.log import open_store\n"
        "from eventsource.errors import StoreError\n"
        "from eventsource.events import Label\n"
        "os.setuid(65534)\n"
        "async def main():\n"
        "    async with open_store(sys.argv[1]) as log:\n"
        "        print((await log.info('s')).head, (await log.verify()).ok)\n"
        "        try: await log.append('s', [(1, Label(text='x'))])\n"
        "        except StoreError as error: print(error)\n"
        "asyncio.run(main())\n"
    )
    done = python(code, path)
    assert done.stdout.startswith("1 True\n"), done.stderr
    assert "nothing can be written" in done.stdout
