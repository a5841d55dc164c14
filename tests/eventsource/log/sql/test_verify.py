"""Whatever is changed in a database file, `verify` finds it, says where, and never answers with a traceback."""

from __future__ import annotations

import random
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from hashlib import sha256
from pathlib import Path

import pytest
from msgspec import Raw

from eventsource.codec import decode, encode
from eventsource.envelope import Finding, VerifyReport
from eventsource.errors import CorruptLogError, StoreError
from eventsource.events import Custom, Event, Label, QueueClear, QueuePush, StreamUpdate
from eventsource.log import open_store
from eventsource.log.allowed_gaps import shape_problem
from eventsource.log.contract.histories import exchange, prompt, streamed, timed, tool_run
from eventsource.log.digest import ZERO, link
from eventsource.log.erased import tombstone
from eventsource.log.lineage import MAX_SEQ
from eventsource.log.sql.packs import dropped_row
from eventsource.log.sql.verify import verify
from eventsource.log.sqlite.connection import ArchiveConnection
from eventsource.log.sqlite.upgrade import read_as_format_2
from eventsource.messages import ImageContent, TextContent, UserMessage

# Who runs a session is told by nothing else.
FREE = {("sessions", one) for one in ("owner", "epoch", "expires_at_us", "removals", "searched", "archived_at_us")}
# A snapshot and an answered key may be lost without a trace; a tail of updates may, by design; a snapshot that moved to
# where the folds were the same is as good as before, and so is a head that ends in such a tail.
LOST = ("keys (1, 'k') deleted", "snapshots (4294967387,)", "updates (4294967399,) deleted", "sessions (1,) head")
SWAP = (
    "UPDATE events AS e SET body = (SELECT body FROM events f WHERE f.id = 7 + (2 << 32) - e.id)"
    " WHERE id - (1 << 32) IN (3, 4)"
)
TABLES = ("sessions", "events", "updates", "bodies", "refs", "keys", "snapshots", "frames")


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
        await log.create("away")
        await log.append("away", timed([*exchange("kept"), *large, QueueClear(queue="steering"), Label(text="x")]))
        await log.archive("away", at_us=9)
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
        for _, rule in rules:
            connection.execute(rule)
    finally:
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
    connection.close()


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
        "UPDATE sqlite_sequence SET seq = 1",
        "DELETE FROM sqlite_sequence",
        "UPDATE snapshots SET folds = folds || ' '",
        "UPDATE sessions SET archived_at_us = NULL WHERE id = 'away'",
        "UPDATE sessions SET archived_at_us = 1 WHERE id = 'first'",
        "INSERT INTO frames SELECT id + 1, kind, rows, size, sha256, x'', body FROM frames",
        "INSERT INTO frames SELECT 99 << 32, kind, rows, size, sha256, letters, body FROM frames",
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


def facts_of(path: Path) -> list[tuple[int, bytes, bytes | None]]:
    connection = sqlite3.connect(path)
    found = connection.execute(
        "SELECT e.id, CAST(coalesce(b.body, e.body) AS BLOB), e.b FROM events e LEFT JOIN bodies b ON b.sha256 = e.b"
    ).fetchall()
    connection.close()
    return found


def as_erased(body: bytes, b: bytes | None, left: bytes) -> bytes:
    """Build what stands beside an erased event: B of what it was, and the digest of what is left."""
    return (b[:32] if b else sha256(body).digest()) + sha256(left).digest()


@pytest.mark.slow
async def test_no_event_passes_as_erased_without_an_erase(path: Path, tmp_path: Path) -> None:
    """Each fact in the form of an erased one: with other words, and with the very shape that an erase leaves."""
    missed = []
    copy = tmp_path / "copy.db"
    facts = facts_of(path)
    chosen = random.Random(5).sample(facts, 40) + [one for one in facts if one[2]]
    for key, body, b in chosen:
        event = decode(body)
        for left in {encode(tombstone(event)), body.replace(b"a", b"o"), body}:
            if b and len(b) == 64 and left == body:
                continue
            shutil.copy(path, copy)
            sql = "UPDATE events SET body = ?, b = ? WHERE id = ?"
            change(copy, sql, (left.decode(), as_erased(body, b, left), key))
            if not await is_found(copy):
                missed.append((key >> 32, key & MAX_SEQ, left))
    assert missed == []


async def test_words_in_an_erased_event_are_found_with_and_without_its_digest_in_the_erase(
    path: Path, tmp_path: Path
) -> None:
    """Logs of before have no digest of the shape: then what the shape may hold decides."""
    copy = tmp_path / "copy.db"
    key, body, b = next(one for one in facts_of(path) if one[2] and len(one[2]) == 64)
    told = decode(body)
    assert isinstance(told, QueuePush)
    for message in (UserMessage(content="words"), UserMessage(content=(TextContent(text="[erased]", signature="w"),))):
        left = encode(QueuePush(queue=told.queue, message=message))
        shutil.copy(path, copy)
        change(copy, "UPDATE events SET body = ?, b = ? WHERE id = ?", (left.decode(), as_erased(body, b, left), key))
        assert await is_found(copy)
        assert shape_problem(decode(left), left, "")
        assert shape_problem(decode(left), left + b" ", "")
    assert not shape_problem(told, body, "")


async def test_updates_are_dropped_as_a_whole_and_from_ended_messages_only(path: Path, tmp_path: Path) -> None:
    """Each row of updates, whole and in part, in the form of a dropped one."""
    copy = tmp_path / "copy.db"
    connection = sqlite3.connect(path)
    rows = connection.execute("SELECT id, kind, count FROM updates").fetchall()
    connection.close()
    seen = set()
    for key, kind, count in rows:
        for gone in {count, 1}:
            shutil.copy(path, copy)
            change(copy, "DELETE FROM updates WHERE id = ?", (key,))
            last, code, number, body = dropped_row((key & MAX_SEQ) - count + gone, [5] * gone)
            change(copy, "INSERT INTO updates VALUES (?, ?, ?, ?)", (key >> 32 << 32 | last, code, number, body))
            whole = gone == count
            found = await is_found(copy)
            seen.add((kind, whole, found))
            assert found or whole
    assert {True, False} == {found for _, _, found in seen}  # a drop itself leaves no event


async def test_what_stands_beside_dropped_updates_is_named_as_unchecked(tmp_path: Path) -> None:
    message = streamed("an answer", width=3)
    item = StreamUpdate(name="s", item=Raw(b"1"))
    async with open_store(tmp_path / "log.db") as log:
        await log.create("one")
        await log.append("one", timed([*prompt("x"), *message[:3], item, *message[3:]]))
        await log.drop_updates("one")
        report = await log.verify()
    assert report.ok
    assert any("1 updates beside those that were dropped" in finding.problem for finding in report.findings)


async def forked_in_what_is_erased(path: Path) -> None:
    async with open_store(path) as log:
        await log.create("parent")
        head = await log.append("parent", timed([*prompt("hello"), *streamed("some secret text", width=3)]))
        await log.fork("parent", head - 4, at_us=1, session="fork")
        await log.append("fork", timed([Label(text="goes on")]))
        await log.erase("parent", head, at_us=2)


async def test_a_fork_in_what_was_erased_still_covers_what_it_inherits(tmp_path: Path) -> None:
    """The digest it keeps is of its parent's links: another prompt with its links made anew does not fit."""
    path = tmp_path / "log.db"
    await forked_in_what_is_erased(path)
    assert not await is_found(path)
    connection = sqlite3.connect(path)
    rows = connection.execute("SELECT id, at_us, CAST(body AS BLOB), u, link, b FROM events WHERE id >> 32 = 1")
    found, previous = [], ZERO
    for key, at_us, body, u, there, b in rows.fetchall():
        told = body.replace(b"hello", b"hullo")
        previous = link(previous, u or ZERO, at_us, b[:32] if b else sha256(told).digest())
        found.append((told.decode(), previous if there else None, key))
    connection.close()
    for body_, there, key in found:
        change(path, "UPDATE events SET body = ?, link = ? WHERE id = ?", (body_, there, key))
    change(path, "UPDATE sessions SET link = ? WHERE number = 1", (previous,))
    change(path, "UPDATE sessions SET first_words = replace(first_words, 'hello', 'hullo')")
    report = await check(path)
    assert isinstance(report, VerifyReport)
    assert [one.session for one in report.findings if not one.note] == ["fork"]


async def test_the_digest_that_a_fork_keeps_is_checked(tmp_path: Path) -> None:
    path, copy = tmp_path / "log.db", tmp_path / "copy.db"
    await forked_in_what_is_erased(path)
    for sql in (
        "UPDATE sessions SET base = NULL WHERE id = 'fork'",
        "UPDATE sessions SET base = zeroblob(64) WHERE id = 'fork'",
        "UPDATE sessions SET base = substr(base, 1, 32) WHERE id = 'fork'",
        "UPDATE sessions SET base = CAST(substr(base, 1, 63) || x'00' AS BLOB) WHERE id = 'fork'",
        "UPDATE sessions SET base = zeroblob(32) WHERE id = 'parent'",
    ):
        shutil.copy(path, copy)
        change(copy, sql)
        assert await is_found(copy), sql


async def test_a_row_that_holds_nothing_says_so(tmp_path: Path) -> None:
    path, copy = tmp_path / "log.db", tmp_path / "copy.db"
    async with open_store(path) as log:
        await log.create("empty", title="given")
    for told in (
        "title = 'other'", "status = 'idle'", "open = 1", "wake_at_us = 7", "task = 't'", "messages = 1",
        "folds = '{}'", "head = 7", "link = x'00'", "updated_at_us = 7",
    ):  # fmt: skip
        shutil.copy(path, copy)
        change(copy, f"UPDATE sessions SET {told}")
        assert await is_found(copy), told


async def test_an_erase_that_left_the_content_is_found(path: Path, tmp_path: Path) -> None:
    """What was erased does not come back unseen, though the chain knows its digest."""
    whole = tmp_path / "whole.db"
    async with open_store(whole) as log:
        await log.create("one")
        await log.append("one", timed(prompt("secret")))
        before = facts_of(whole)[0]
        await log.erase("one", 1, at_us=1)
    change(whole, "UPDATE events SET body = ?, b = NULL WHERE id = ?", (before[1].decode(), before[0]))
    assert await is_found(whole)


def damages(value: object) -> Iterator[object]:
    """Change every second byte of a blob, or some bits of a number; cut a blob, or add to it."""
    if isinstance(value, int):
        yield from (value ^ 1 << bit for bit in range(0, 40, 4))
    elif isinstance(value, bytes):
        places = range(len(value) % 2, len(value), 2)
        yield from (value[:at] + bytes([value[at] ^ 1 << at % 8]) + value[at + 1 :] for at in places)
        yield from (value[:-1], value[:-4], value + b"0", b"")


@pytest.mark.slow
@pytest.mark.parametrize("release", ["", "0.1.0"])
async def test_a_changed_byte_of_a_row_of_updates_is_found(release: str, path: Path) -> None:
    golden = Path(__file__).parents[3] / "golden" / release / "log.db"
    source = f"file:{golden if release else path}?mode=ro{'&immutable=1' if release else ''}"
    log = sqlite3.connect(":memory:", isolation_level=None, factory=ArchiveConnection)
    with closing(sqlite3.connect(source, uri=True)) as file:
        file.backup(log)
    log.text_factory = bytes
    if release:
        read_as_format_2(log)
    log.prepare()
    assert verify(log, None).ok
    sql = "SELECT u.id, kind, count, body, s.id FROM main.updates u JOIN main.sessions s ON s.number = u.id >> 32"
    for *row, session in log.execute(sql).fetchall():
        name = session.decode()
        assert verify(log, name).ok
        for column, value in zip(("id", "kind", "count", "body"), row, strict=True):
            for other in damages(value):
                try:
                    log.execute(f"UPDATE main.updates SET {column} = ? WHERE id = ?", (other, row[0]))
                except sqlite3.IntegrityError:
                    continue  # another row has this key
                checked = None if column == "id" else name  # a row may have come into another session
                assert not verify(log, checked).ok, f"{column} of the updates up to {row[0] & MAX_SEQ}: {other!r}"
                key = other if column == "id" else row[0]
                sql = "UPDATE main.updates SET id = ?, kind = ?, count = ?, body = ? WHERE id = ?"
                log.execute(sql, (*row, key))
    log.close()
