"""Whatever is changed in a database file, `verify` finds it, says where, and never answers with a traceback."""

from __future__ import annotations

import random
import shutil
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from eventsource.errors import CorruptLogError, StoreError
from eventsource.events import Custom, Event, Label, QueuePush
from eventsource.log import open_store
from eventsource.log.contract_events import exchange, prompt, streamed, timed, tool_run
from eventsource.messages import ImageContent, UserMessage
from eventsource.ports import Finding, VerifyReport

# Who runs a session is told by nothing else.
FREE = {("sessions", column) for column in ("owner", "epoch", "expires_at_us")}
# A snapshot and an answered key may be lost without a trace; a tail of updates may, by design; a snapshot that moved to
# where the folds were the same is as good as before, and so is a head that ends in such a tail.
LOST = ("keys (1, 'k') deleted", "snapshots (4294967387,)", "updates (4294967399,) deleted", "sessions (1,) head")
SWAP = (
    "UPDATE events AS e SET body = (SELECT body FROM events f WHERE f.id = 7 + (2 << 32) - e.id)"
    " WHERE id - (1 << 32) IN (3, 4)"
)
TABLES = ("sessions", "events", "updates", "bodies", "refs", "keys", "snapshots")


async def build(path: Path) -> None:
    """Make a log that holds something of everything."""
    image = ImageContent(data="QUJD" * 50, media_type="image/png")
    large: list[Event] = [
        QueuePush(queue="steering", message=UserMessage(content="large " * 8_000)),
        QueuePush(queue="steering", message=UserMessage(content=(image,))),
    ]
    async with open_store(path) as log:
        await log.create("first", title="given")
        await log.append("first", timed(exchange()), key="k")
        await log.append("first", [*timed(large), *timed([Custom(kind=str(n)) for n in range(50)])])
        await log.append("first", timed(streamed("unfinished")[:-1]))
        await log.append("first", timed(tool_run(3)[1:2]), durable=False)
        await log.fork("first", 30, at_us=7, session="branch", title="a branch")
        await log.append("branch", timed([*prompt("more"), *streamed("an answer", call="{}")]))
        await log.create("gone")
        await log.append("gone", timed([*exchange("secret"), Label(text="a title")]))
        await log.erase("gone", 1, at_us=8)
        await log.drop_updates("gone")
        assert (await log.verify()).ok


@pytest.fixture
async def path(tmp_path: Path) -> Path:
    await build(tmp_path / "log.db")
    return tmp_path / "log.db"


async def check(path: Path) -> VerifyReport | str:
    """Verify a damaged file. Returns: the report, or the sentence in its place."""
    try:
        async with open_store(path) as log:
            return await log.verify()
    except (StoreError, CorruptLogError) as error:
        return str(error)


async def is_found(path: Path) -> bool:
    report = await check(path)
    told = report if isinstance(report, str) else "".join(finding.problem for finding in report.findings)
    assert "\n" not in told
    return isinstance(report, str) or not report.ok


def change(path: Path, sql: str, values: tuple[object, ...] = ()) -> None:
    """Change a file behind the back of the rules that it keeps itself."""
    connection = sqlite3.connect(path, isolation_level=None)
    rules = connection.execute("SELECT name, sql FROM sqlite_master WHERE type = 'trigger'").fetchall()
    for name, _ in rules:
        connection.execute(f"DROP TRIGGER {name}")
    try:
        connection.execute(sql, values)
    finally:
        for _, rule in rules:
            connection.execute(rule)
        connection.close()


def content(path: Path) -> list[object]:
    """Read everything that counts."""
    connection = sqlite3.connect(path)
    found: list[object] = connection.execute("SELECT * FROM sqlite_master").fetchall()
    for table in TABLES:
        columns = [row[1] for row in connection.execute(f"PRAGMA table_info({table})")]
        told = ", ".join(column for column in columns if (table, column) not in FREE)
        found += connection.execute(f"SELECT {told} FROM {table}").fetchall()
    connection.close()
    return found


def changes(path: Path) -> Iterator[tuple[str, str, tuple[object, ...]]]:
    """Name every single value of a log, changed: (what, SQL, values)."""
    connection = sqlite3.connect(path)
    for table in TABLES:
        columns = [row[1] for row in connection.execute(f"PRAGMA table_info({table})")]
        keys = [row[1] for row in connection.execute(f"PRAGMA table_info({table})") if row[5]]
        for row in connection.execute(f"SELECT * FROM {table}").fetchall():
            where = " AND ".join(f"{key} = ?" for key in keys)
            named = tuple(value for column, value in zip(columns, row, strict=True) if column in keys)
            yield f"{table} {named} deleted", f"DELETE FROM {table} WHERE {where}", named
            for column, value in zip(columns, row, strict=True):
                if (table, column) not in FREE and (changed := other(value)) is not None:
                    sql = f"UPDATE {table} SET {column} = ? WHERE {where}"
                    yield f"{table} {named} {column}", sql, (changed, *named)


def other(value: object) -> object:
    match value:
        case int():
            return value + 1
        case bytes() if value:
            at = len(value) // 2
            return value[:at] + bytes([value[at] ^ 4]) + value[at + 1 :]
        case str() if value:
            at = len(value) // 2
            return value[:at] + ("x" if value[at] != "x" else "y") + value[at + 1 :]
        case _:
            return None


@pytest.mark.slow
async def test_every_changed_value_and_every_missing_row_is_found(path: Path, tmp_path: Path) -> None:
    missed = []
    everything = list(changes(path))
    assert len(everything) > 400
    chosen = random.Random(7).sample(everything, 120) + [one for one in everything if one[0].startswith("sessions")]
    for what, sql, values in chosen:
        copy = tmp_path / "copy.db"
        shutil.copy(path, copy)
        try:
            change(copy, sql, values)
        except sqlite3.IntegrityError:
            continue
        if not what.startswith(LOST) and not await is_found(copy):
            missed.append(what)
    assert missed == [], "\n".join(missed)


async def test_swapped_added_and_cut_rows_are_found(path: Path, tmp_path: Path) -> None:
    for sql in (
        SWAP,
        "UPDATE updates SET body = (SELECT body FROM updates ORDER BY id DESC LIMIT 1)",
        "INSERT INTO events SELECT id + 1000, at_us, body, u, link, b FROM events WHERE id = 1 << 32 | 1",
        "INSERT INTO events SELECT 99 << 32 | 1, at_us, body, u, link, b FROM events WHERE id = 1 << 32 | 1",
        "INSERT INTO bodies VALUES (x'00', x'00')",
        "DELETE FROM events WHERE id = (SELECT max(id) FROM events WHERE id >> 32 = 1)",
        "UPDATE events SET at_us = at_us - 1 WHERE id = 1 << 32 | 5",
        "UPDATE sessions SET fork_seq = 29 WHERE id = 'branch'",
        "UPDATE sessions SET parent = 3 WHERE id = 'branch'",
        "UPDATE sessions SET title = 'other'",
        "UPDATE sessions SET mark = 'erase'",
    ):
        copy = tmp_path / "copy.db"
        shutil.copy(path, copy)
        change(copy, sql)
        assert await is_found(copy), sql


async def test_a_finding_names_session_seq_and_what(path: Path) -> None:
    change(path, "UPDATE events SET body = replace(body, 'coat', 'boat') WHERE id = 1 << 32 | 1")
    report = await check(path)
    assert isinstance(report, VerifyReport)
    found = [finding for finding in report.findings if not finding.note]
    assert [finding.session for finding in found] == ["first"]
    assert "one of the facts 1 to" in found[0].problem


async def test_what_was_dropped_and_erased_is_named(path: Path) -> None:
    report = await check(path)
    assert isinstance(report, VerifyReport)
    notes = [finding for finding in report.findings if finding.note]
    assert Finding(session="gone", seq=1, problem="its content was erased", note=True) in notes
    assert any("were dropped" in note.problem for note in notes)


@pytest.mark.slow
async def test_flipped_bits_and_cut_files_never_pass_or_crash(path: Path, tmp_path: Path) -> None:
    whole = path.read_bytes()  # noqa: ASYNC240 - nothing else runs
    chance = random.Random(3)
    connection = sqlite3.connect(path)
    (pages, size) = (connection.execute(f"PRAGMA page_{what}").fetchone()[0] for what in ("count", "size"))
    connection.close()
    assert pages * size == len(whole)
    copy = tmp_path / "copy.db"
    for _ in range(80):
        at = chance.randrange(100, len(whole))
        damaged = bytearray(whole)
        damaged[at] ^= 1 << chance.randrange(8)
        copy.write_bytes(damaged)
        if not await is_found(copy):
            assert content(copy) == content(path), at
    for _ in range(20):
        copy.write_bytes(whole[: chance.randrange(1, len(whole) - size)])
        assert await is_found(copy)


async def test_a_damaged_event_is_named_when_it_is_read(path: Path) -> None:
    change(path, "UPDATE events SET body = replace(body, 'queue_push', 'queue_posh') WHERE id = 1 << 32 | 1")
    async with open_store(path) as log:
        with pytest.raises(CorruptLogError, match=r"first, seq 1.*queue_posh"):
            await log.read("first")
