"""Refold's own session files: what is exported and imported folds and hashes the same."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, strategies as st

from eventsource.envelope import Recorded
from eventsource.errors import TranscriptError
from eventsource.events import Custom, MessageUpdate, QueuePush
from eventsource.log import open_store
from eventsource.log.load import load_state, read_all
from eventsource.log.protocol import EventLog
from replay.formats import detect, import_file, import_refold
from replay.formats.refold.file import read_export
from replay.formats.refold.write import export_session
from replay.lineage import erased_seqs
from replay.replay import replay
from tests.interpreter import played
from tests.strategies import choices

_CHANCE = random.Random(1)
STREAMED = played([_CHANCE.randrange(2**24) for _ in range(80)])
"""A history with streamed messages, tool calls and what comes between."""


async def history(log: EventLog, session: str) -> list[Recorded]:
    return [recorded async for recorded in read_all(log, session)]


async def filled(log: EventLog, events: list[Recorded], name: str | None = None, title: str = "") -> str:
    session = (await log.create(name, title=title)).id
    if events:
        await log.append(session, [(recorded.at_us, recorded.event) for recorded in events])
    return session


def write(path: Path, data: bytes) -> None:
    path.write_bytes(data)


async def moved(log: EventLog, session: str, path: Path, **given: str) -> str:
    write(path, await export_session(log, session))
    async with open_store() as other:
        report = await import_refold(other, str(path), **given)
        assert report.lost == ()
        assert await history(other, report.session) == await history(log, session)
        assert await other.cursor(report.session) == await log.cursor(session)
        assert (await other.verify()).ok
        return report.session


@given(numbers=choices(), cut=st.integers(0, 2**16), more=st.integers(0, 2**16))
async def test_what_is_exported_and_imported_is_equal_with_its_digest(
    tmp_path_factory: pytest.TempPathFactory, numbers: list[int], cut: int, more: int
) -> None:
    events = played(numbers)
    path = tmp_path_factory.getbasetemp() / "export.jsonl"
    async with open_store() as log:
        session = await filled(log, events, title="A coat")
        await moved(log, session, path)
        fork = await log.fork(session, cut % (len(events) + 1), at_us=7, title="another way")
        await log.append(fork.id, [(9, Custom(kind="app")), (8, Custom(kind="app"))])
        await moved(log, fork.id, path)
        twice = await log.fork(fork.id, more % (fork.head + 3), at_us=7)
        await moved(log, twice.id, path)


async def test_an_import_keeps_id_title_and_the_forks_inside_a_message(log: EventLog, tmp_path: Path) -> None:
    events = STREAMED
    session = await filled(log, events, "oslo", "A coat")
    inside = next(r.seq for r in events if isinstance(r.event, MessageUpdate))
    fork = await log.fork(session, inside, at_us=3, session="bergen", title="An umbrella")
    path = tmp_path / "one.jsonl"
    write(path, await export_session(log, fork.id))
    assert detect(str(path)) == "refold"
    async with open_store() as other:
        report = await import_file(other, str(path))
        assert [(b.session, b.parent, b.fork_seq) for b in report.branches] == [
            ("bergen", "oslo", inside),
            ("oslo", None, 0),
        ]
        assert (await other.info("bergen")).title == "An umbrella"
        assert (await load_state(other, "bergen"))[1] == (await load_state(log, "bergen"))[1]


async def test_what_a_session_was_imported_from_comes_along_and_its_file_goes_on_with_it(
    log: EventLog, tmp_path: Path
) -> None:
    path, file = tmp_path / "session.jsonl", tmp_path / "oslo.refold.jsonl"
    _write(path, *_SAID[:2])
    imported = await import_file(log, str(path))
    write(file, await export_session(log, imported.session))
    async with open_store() as other:
        moved = await import_file(other, str(file))
        assert (await other.info(moved.session)).source == "pi:s1"
        _write(path, *_SAID)
        report = await import_file(other, str(path))
        assert (report.session, report.known, report.entries) == (moved.session, True, 1)
        copy = await import_file(other, str(file))
        assert not (await other.info(copy.session)).source, "the file goes on with the first one"


_SAID = tuple(
    {"type": "message", "id": name, "parentId": before, "timestamp": "2026-01-01T00:00:01.000Z"}
    | {"message": {"role": "user", "content": name}}
    for name, before in (("a", None), ("b", "a"), ("c", "b"))
)


def _write(path: Path, *records: dict[str, Any]) -> None:
    header = {"type": "session", "version": 3, "id": "s1", "timestamp": "2026-01-01T00:00:00.000Z", "cwd": "/c"}
    path.write_text("".join(f"{json.dumps(one)}\n" for one in (header, *records)))


async def test_an_ancestor_that_is_there_already_is_shared(log: EventLog, tmp_path: Path) -> None:
    session = await filled(log, STREAMED, "oslo")
    fork = await log.fork(session, 5, at_us=3)
    path = tmp_path / "one.jsonl"
    write(path, await export_session(log, fork.id))
    report = await import_refold(log, str(path), session="again")
    assert (await log.info("again")).parent == "oslo"
    assert len(await log.sessions()) == 3
    assert report.session == "again"
    assert await log.cursor("again") == await log.cursor(fork.id)


async def test_an_equal_name_of_another_session_is_left_alone(log: EventLog, tmp_path: Path) -> None:
    session = await filled(log, STREAMED, "oslo")
    path = tmp_path / "one.jsonl"
    write(path, await export_session(log, session))
    async with open_store() as other:
        await filled(other, played([2] * 10), "oslo")
        before = await other.cursor("oslo")
        report = await import_refold(other, str(path))
        assert report.session != "oslo"
        assert await other.cursor("oslo") == before
        assert await other.cursor(report.session) == await log.cursor("oslo")


async def test_an_export_up_to_a_seq_ends_there(log: EventLog, tmp_path: Path) -> None:
    session = await filled(log, STREAMED, "oslo")
    fork = (await log.fork(session, 6, at_us=3)).id
    for upto in (3, 6, 7):
        export = read_export(await export_session(log, fork, upto=upto))
        assert [r.seq for r in export.history] == list(range(1, upto + 1))
        assert export.header.digest == (await log.cursor(fork, upto)).digest


async def test_an_empty_session_can_be_moved(log: EventLog, tmp_path: Path) -> None:
    assert await moved(log, (await log.create("empty")).id, tmp_path / "e.jsonl") == "empty"


async def test_json_kept_with_line_breaks_comes_back_byte_for_byte(log: EventLog, tmp_path: Path) -> None:
    import msgspec

    kept = Custom(kind="app", data=msgspec.Raw(b'{\n  "a" : 1.0e+2,\r\n "b":"\\u00e9\xe2\x80\xa8"\n}'))
    session = (await log.create("oslo")).id
    await log.append(session, [(-5, kept), (2**62, kept)])
    await moved(log, session, tmp_path / "e.jsonl")


async def test_what_was_dropped_or_erased_is_named_and_every_seq_stays(log: EventLog, tmp_path: Path) -> None:
    events = STREAMED
    session = await filled(log, events, "oslo")
    dropped = await log.drop_updates(session)
    pushed = next(r for r in events if r.event.__struct_config__.tag == "queue_push")
    await log.erase(session, pushed.seq, at_us=1)
    path = tmp_path / "one.jsonl"
    write(path, await export_session(log, session))
    async with open_store() as other:
        report = await import_refold(other, str(path))
        assert [note.problem for note in report.lost] == [
            f"session oslo: {dropped} updates were dropped before the export"
        ]
        assert await other.cursor(report.session) == await log.cursor(session)
        facts = await log.read(session, updates=False)
        assert await other.read(report.session, updates=False) == facts
        assert (await load_state(other, report.session))[1] == (await load_state(log, session))[1]


async def test_what_was_erased_behind_the_exported_seqs_is_named_by_an_erase_in_the_import(
    log: EventLog, tmp_path: Path
) -> None:
    session = await filled(log, STREAMED, "oslo")
    fork = (await log.fork(session, (await log.info(session)).head, at_us=1)).id
    pushed = next(r.seq for r in STREAMED if isinstance(r.event, QueuePush))
    await log.erase(session, pushed, at_us=1)
    path = tmp_path / "one.jsonl"
    write(path, await export_session(log, fork))
    async with open_store() as other:
        taken = (await import_refold(other, str(path))).session
        assert await erased_seqs(other, taken) == await erased_seqs(log, fork) == {pushed}
        report = replay([one async for one in read_all(other, taken)], erased=await erased_seqs(other, taken))
        assert (report.difference, report.unchecked > 0) == (None, True)
        assert (await other.verify()).ok


def edited(data: bytes) -> list[tuple[str, bytes]]:
    lines = data.splitlines(keepends=True)
    return [
        ("is empty", b"\n"),
        ("does not begin with the header", b"".join(lines[1:])),
        ("is cut off", b"".join(lines[:-2])),
        ("is cut off", data[: len(data) // 2]),
        ("was changed", data.replace(b'"text":', b'"text" :', 1) if b'"text":' in data else data[:-70]),
        ("was changed", b"".join([*lines[:4], *lines[5:]])),
        ("was changed", b"".join([*lines[:4], lines[5], lines[4], *lines[6:]])),
        ("version 3, this program reads up to version 2", data.replace(b'"version":1', b'"version":3', 1)),
    ]


@pytest.mark.parametrize("case", range(8))
async def test_a_file_that_is_not_as_exported_is_refused_and_nothing_is_left(
    log: EventLog, tmp_path: Path, case: int
) -> None:
    session = await filled(log, STREAMED, "oslo")
    problem, data = edited(await export_session(log, session))[case]
    path = tmp_path / "one.jsonl"
    write(path, data)
    async with open_store() as other:
        with pytest.raises(TranscriptError, match=problem):
            await import_refold(other, str(path))
        assert await other.sessions() == ()


async def test_a_missing_file_is_named(log: EventLog) -> None:
    with pytest.raises(TranscriptError, match=r"nowhere.jsonl: cannot be read"):
        await import_refold(log, "nowhere.jsonl")


async def test_a_changed_line_under_a_digest_of_the_file_made_anew_is_refused(log: EventLog, tmp_path: Path) -> None:
    from hashlib import sha256

    session = await filled(log, STREAMED, "oslo")
    lines = (await export_session(log, session)).splitlines(keepends=True)
    at, line = next((n, line) for n, line in enumerate(lines) if b'"queue_push"' in line)
    lines[at] = line.replace(b'"content":"', b'"content":"not ', 1)
    assert lines[at] != line
    content = b"".join(lines[:-1])
    path = tmp_path / "one.jsonl"
    write(path, content + b'{"type":"refold_end","sha256":"%b"}\n' % sha256(content).hexdigest().encode())
    async with open_store() as other:
        with pytest.raises(TranscriptError, match="was changed: its events have another digest"):
            await import_refold(other, str(path))
        assert await other.sessions() == ()
