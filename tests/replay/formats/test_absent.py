"""Exports of sessions from which content is gone: they come back as they were, or are refused."""

from __future__ import annotations

import lzma
import random
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from hashlib import sha256
from pathlib import Path

import msgspec
import pytest
from hypothesis import given, settings, strategies as st

from eventsource.codec import encode
from eventsource.envelope import Recorded
from eventsource.errors import RefoldError, TranscriptError, UnknownSeqError
from eventsource.events import Custom, Erase, Event, Fork, Label, MessageEnd, MessageUpdate, QueuePush, StreamUpdate
from eventsource.log import open_store
from eventsource.log.contract.histories import prompt, streamed, timed
from eventsource.log.erased import tombstone
from eventsource.log.load import load_state, read_all
from eventsource.log.protocol import EventLog
from eventsource.messages import UserMessage
from replay.formats import import_refold
from replay.formats.refold.file import DroppedLine, EndLine, ExportHeader, RemovedLine, SessionLine, read_export
from replay.formats.refold.write import export_session
from replay.lineage import erased_seqs
from replay.replay import replay
from tests.interpreter import played
from tests.replay.formats.test_refold import STREAMED, filled, history, write
from tests.strategies import choices

ITEM: Event = StreamUpdate(name="progress", item=msgspec.Raw(b"1"))


async def erase(log: EventLog, session: str, seq: int) -> None:
    try:
        await log.erase(session, seq, at_us=1)
    except UnknownSeqError:
        pass  # it holds nothing


@asynccontextmanager
async def taken(path: Path, data: bytes) -> AsyncIterator[tuple[EventLog, str]]:
    """Import a file into an empty log."""
    write(path, data)
    async with open_store() as log:
        yield log, (await import_refold(log, str(path))).session


async def moved(log: EventLog, session: str, path: Path, upto: int | None = None) -> bytes:
    """Export, import and export again. Returns: the file."""
    data = await export_session(log, session, upto=upto)
    last = read_export(data).header.head
    async with taken(path, data) as (other, name):
        assert (await export_session(other, name, upto=last)).splitlines() == data.splitlines()
        assert await other.cursor(name, last) == await log.cursor(session, last)
        report = await other.verify()
        assert report.ok, report.findings
        assert await other.rebuild() == 0
        events = [one async for one in read_all(log, session, upto=last)]
        assert [one async for one in read_all(other, name, upto=last)] == events
    return data


def pushes(events: list[Recorded]) -> list[int]:
    return [one.seq for one in events if isinstance(one.event, QueuePush)]


def ends(events: list[Recorded]) -> list[int]:
    return [one.seq for one in events if isinstance(one.event, MessageEnd) and one.event.message]


def version(data: bytes) -> int:
    return read_export(data).header.version


@given(numbers=choices(), chance=st.randoms(use_true_random=False))
@settings(max_examples=60)
async def test_what_is_left_of_a_session_comes_back_from_its_export(
    tmp_path_factory: pytest.TempPathFactory, numbers: list[int], chance: random.Random
) -> None:
    path = tmp_path_factory.getbasetemp() / "gone.jsonl"
    async with open_store() as log:
        events = [one for one in played(numbers) if not isinstance(one.event, Fork)]  # that begins a session
        names = [await filled(log, events, title="A coat")]
        for _ in range(chance.randrange(4)):
            parent = chance.choice(names)
            try:
                fork = await log.fork(parent, chance.randrange((await log.info(parent)).head + 1), at_us=7)
            except UnknownSeqError:
                continue
            await log.append(fork.id, [(9, Custom(kind="app")), (8, ITEM), (8, Label(text="a label"))])
            names.append(fork.id)
            for _ in range(chance.randrange(3)):
                owner = chance.choice(names)
                await erase(log, owner, chance.randrange(1, (await log.info(owner)).head + 1))
            if chance.random() < 0.3:
                await log.drop_updates(chance.choice(names))
        for name in names:
            await moved(log, name, path)
            try:
                await moved(log, name, path, chance.randrange((await log.info(name)).head + 1))
            except UnknownSeqError:
                pass  # it would end among dropped updates


async def gone(log: EventLog) -> tuple[str, ...]:
    """Make sessions from which something of each sort is gone, and one that is whole. Returns: the former."""
    for name in ("whole", "erased", "dropped", "both"):
        await filled(log, STREAMED, name, "A coat")
    seq, end, head = pushes(STREAMED)[0], ends(STREAMED)[0], len(STREAMED)
    inside = next(one.seq for one in STREAMED if isinstance(one.event, MessageUpdate)) + 1
    message = streamed("it rains", width=2)
    await log.create("beside")
    await log.append("beside", timed([*prompt("a secret"), *message[:4], ITEM, *message[4:], Custom(kind="app")]))
    await log.erase("erased", seq, at_us=1)
    await log.drop_updates("dropped")
    forks = {"below": ("whole", 1), "behind": ("erased", head), "in": ("both", inside), "of_dropped": ("dropped", head)}
    for name, (parent, at) in forks.items():
        await log.fork(parent, at, at_us=3, session=name)
        await log.append(name, [(4, Custom(kind="app"))])
    await log.erase("both", end, at_us=2)
    await log.drop_updates("both")
    await log.drop_updates("beside")
    return ("erased", "dropped", "both", "beside", "behind", "in", "of_dropped")


async def test_sessions_of_which_content_is_gone_come_back_with_digest_folds_and_forks(
    log: EventLog, tmp_path: Path
) -> None:
    """Erased and dropped in the session, in its parent, behind the fork, and where a fork begins in what was erased."""
    for name in await gone(log):
        data = await moved(log, name, tmp_path / "one.jsonl")
        assert version(data) == 2, name
        async with taken(tmp_path / "one.jsonl", data) as (other, session):
            assert (await load_state(other, session))[1] == (await load_state(log, name))[1]
            assert await erased_seqs(other, session) >= await erased_seqs(log, name)
            if name != "beside":
                report = replay(await history(other, session), erased=await erased_seqs(other, session))
                assert report.difference is None
    data = await export_session(log, "in")
    assert b'"base":"' in data
    assert b'"behind":' in data
    for name in ("whole", "below"):
        assert version(await moved(log, name, tmp_path / "one.jsonl")) == 1


async def test_no_export_ends_among_updates_that_were_dropped(log: EventLog) -> None:
    await gone(log)
    first, last = (await log.dropped("dropped"))[0]
    for upto in {first, last}:
        with pytest.raises(UnknownSeqError, match="no export can end among updates that were dropped"):
            await export_session(log, "dropped", upto=upto)


def signed(lines: list[bytes]) -> bytes:
    """Put a file together with a digest of its own that is right."""
    content = b"".join(line + b"\n" for line in lines)
    return content + msgspec.json.encode(EndLine(sha256=sha256(content).hexdigest())) + b"\n"


def alterations(lines: list[bytes], chance: random.Random) -> Iterator[tuple[str, list[bytes]]]:
    """Alter one line of a file in every way that somebody might, or leave it out, or put it there twice."""
    for n, line in enumerate(lines):
        here = f"line {n + 1}"
        yield f"{here} left out", lines[:n] + lines[n + 1 :]
        yield f"{here} twice", lines[: n + 1] + lines[n:]
        if n + 1 < len(lines):
            yield f"{here} swapped", [*lines[:n], lines[n + 1], line, *lines[n + 2 :]]
        for at in chance.sample(range(len(line)), 3):
            other = b"0" if line[at : at + 1] != b"0" else b"1"
            yield f"{here}, byte {at}", [*lines[:n], line[:at] + other + line[at + 1 :], *lines[n + 1 :]]


@pytest.mark.slow
@pytest.mark.parametrize("name", ["erased", "dropped", "both", "beside", "behind", "in", "of_dropped", "whole"])
async def test_an_altered_line_is_refused_or_changes_nothing_that_is_on_record(name: str, tmp_path: Path) -> None:
    async with open_store() as log:
        await gone(log)
        data = await export_session(log, name)
        events, cursor = await history(log, name), await log.cursor(name)
    refused = 0
    lines = data.splitlines()[:-1]
    for what, altered in alterations(lines, random.Random(name)):
        if altered == lines:
            continue
        try:
            async with taken(tmp_path / "one.jsonl", signed(altered)) as (other, session):
                assert [one async for one in read_all(other, session, upto=cursor.seq)] == events, what
                assert await other.cursor(session, cursor.seq) == cursor, what
                told = [(one.first, one.last, one.times) for s in read_export(data).sessions for one in s.dropped]
                again = read_export(await export_session(other, session, upto=cursor.seq))
                assert [(one.first, one.last, one.times) for s in again.sessions for one in s.dropped] == told, what
                assert (await other.verify()).ok, what
        except RefoldError:
            refused += 1
    assert refused > 4 * len(lines)


Line = ExportHeader | SessionLine | DroppedLine | RemovedLine | EndLine


def changed(data: bytes, kind: type, **values: object) -> bytes:
    """Change fields of the first line of a kind that has them otherwise, and sign the file again."""
    lines = data.splitlines()[:-1]
    decoder: msgspec.json.Decoder[Line] = msgspec.json.Decoder(Line)
    for n, line in enumerate(lines):
        if not line.startswith(b"{"):
            continue
        fields = decoder.decode(line)
        if isinstance(fields, kind) and any(getattr(fields, name) for name in values if name != "erase"):
            lines[n] = msgspec.json.encode(msgspec.structs.replace(fields, **values))
            return signed(lines)
    raise AssertionError(f"no {kind.__name__} with {sorted(values)}")


@pytest.mark.parametrize(
    ("name", "kind", "values", "problem"),
    [
        ("erased", RemovedLine, {"b": "12" * 32}, "its events have another digest"),
        ("erased", RemovedLine, {"b": "12" * 32, "erase": 3}, "erased by the event 3, so the file says"),
        ("dropped", RemovedLine, {"u": "12" * 32}, "its events have another digest"),
        ("dropped", RemovedLine, {"u": ""}, "the digest of the updates before it"),
        ("dropped", DroppedLine, {"at_us": 5}, "the lines of seq .* were changed"),
        ("in", SessionLine, {"base": "12" * 64}, "begins was changed"),
        ("in", SessionLine, {"base": ""}, "begins is missing"),
        ("in", SessionLine, {"behind": 0}, "are named by no event of the file"),
        ("in", SessionLine, {"link": "12" * 32}, "begins was changed|another digest"),
    ],
)
async def test_a_changed_digest_of_what_is_gone_is_refused(
    log: EventLog, tmp_path: Path, name: str, kind: type, values: dict[str, object], problem: str
) -> None:
    await gone(log)
    data = await export_session(log, name)
    with pytest.raises(TranscriptError, match=problem):
        async with taken(tmp_path / "one.jsonl", changed(data, kind, **values)):
            pass


def reworded(lines: list[bytes], seq: int, event: Event, **told: object) -> bytes:
    """Put an event in the place of another, and what stands for what is gone, as who knows the form can."""
    at, line = next((n, line) for n, line in enumerate(lines) if line.startswith(b"[%d," % seq))
    _, at_us, body = msgspec.json.decode(line, type=tuple[int, int, msgspec.Raw])
    new = b"[%d,%d,%b]" % (seq, at_us, encode(event))
    rest = lines[at + 1 :]
    if rest and rest[0].startswith(b'{"type":"refold_gone"'):
        old = msgspec.json.decode(rest.pop(0), type=RemovedLine)
        told = {name: getattr(old, name) for name in ("b", "u", "erase")} | told
    else:
        told = {"b": sha256(bytes(body)).hexdigest()} | told
    first = at
    while first and not lines[first - 1].startswith((b'{"type":"refold_session"', b'{"type":"refold_gone"')):
        if lines[first - 1].startswith(b"[") and b"_update" not in lines[first - 1][:80]:
            break
        first -= 1
    block = b"".join(line + b"\n" for line in (*lines[first:at], new))
    fields = {"type": "refold_gone", "seq": seq, "lines": sha256(block).hexdigest(), **told}
    gone_line = msgspec.json.encode(fields)
    header = lines[0].replace(b'"version":1', b'"version":2').replace(b',"whole":true', b"")
    return signed([header, *lines[1:at], new, gone_line, *rest])


async def test_a_change_does_not_pass_as_erased(log: EventLog, tmp_path: Path) -> None:
    """Whole events said to be erased, other shapes of erased ones, and whole updates with a U beside them."""
    await gone(log)
    seq = pushes(STREAMED)[0]
    pushed = next(one.event for one in STREAMED if one.seq == seq)
    assert isinstance(pushed, QueuePush)
    words = msgspec.structs.replace(pushed, message=UserMessage(content="other words"))
    end = next(one for one in STREAMED if one.seq == ends(STREAMED)[0])
    whole = (await export_session(log, "whole")).splitlines()[:-1]
    erased = (await export_session(log, "erased")).splitlines()[:-1]
    for lines, at, event, told, problem in (
        (whole, seq, tombstone(pushed), {}, "are named by no event of the file"),
        (whole, seq, words, {}, "are named by no event of the file"),
        (whole, seq, tombstone(pushed), {"erase": 5}, "are named by no event of the file"),
        (erased, seq, words, {}, "what was left of the erased event was changed"),
        (
            erased,
            seq,
            msgspec.structs.replace(tombstone(pushed), key="other"),
            {},
            "left of the erased event was changed",
        ),
        (erased, seq, tombstone(pushed), {"erase": 0}, "it was erased by the event 0"),
        (erased, seq, pushed, {"b": ""}, "what stands there is not what it left"),
        (whole, end.seq, end.event, {"b": "", "u": "12" * 32}, "and none is missing"),
    ):
        with pytest.raises(TranscriptError, match=problem):
            async with taken(tmp_path / "one.jsonl", reworded(lines, at, event, **told)):
                pass


@pytest.mark.parametrize("place", ["the session", "its parent"])
async def test_a_message_that_says_erased_lets_no_change_pass(log: EventLog, tmp_path: Path, place: str) -> None:
    said = QueuePush(queue="steering", message=UserMessage(content="[erased]"))
    session = (await log.create("oslo")).id
    await log.append(session, timed([said, Custom(kind="one"), Custom(kind="two")]))
    if place == "its parent":
        session = (await log.fork(session, 3, at_us=1)).id
    data = await moved(log, session, tmp_path / "one.jsonl")
    assert version(data) == 1
    lines = [line.replace(b'"kind":"two"', b'"kind":"six"') for line in data.splitlines()[:-1]]
    with pytest.raises(TranscriptError, match="was changed: its events have another digest"):
        async with taken(tmp_path / "one.jsonl", signed(lines)):
            pass


def as_0_1(data: bytes) -> bytes:
    """Write a file as release 0.1 did, which said nothing of what is gone but the seqs of updates."""
    lines = []
    for line in data.splitlines()[:-1]:
        if line.startswith(b'{"type":"refold_gone"'):
            continue
        if line.startswith(b'{"type":"refold_dropped"'):
            gap = msgspec.json.decode(line, type=DroppedLine)
            line = msgspec.json.encode(DroppedLine(first=gap.first, last=gap.last))
        if line.startswith(b'{"type":"refold_session"'):
            row = msgspec.json.decode(line, type=SessionLine)
            line = msgspec.json.encode(msgspec.structs.replace(row, base="", link="", behind=0))
        lines.append(line.replace(b'"version":2', b'"version":1').replace(b',"whole":true', b""))
    return signed(lines)


@pytest.mark.parametrize("name", ["whole", "erased", "dropped", "both", "behind", "of_dropped"])
async def test_a_file_that_0_1_wrote_is_read_as_before(log: EventLog, tmp_path: Path, name: str) -> None:
    await gone(log)
    data = as_0_1(await export_session(log, name))
    async with taken(tmp_path / "one.jsonl", data) as (other, session):
        head = (await log.info(name)).head
        assert (await other.cursor(session, head) == await log.cursor(name, head)) is (name == "whole")
        assert await other.read(session, updates=False) == await log.read(name, updates=False)
        assert await erased_seqs(other, session) == await erased_seqs(log, name)
        assert (await other.verify()).ok


async def test_a_change_in_a_whole_file_of_0_1_is_refused(log: EventLog, tmp_path: Path) -> None:
    said = QueuePush(queue="steering", message=UserMessage(content="[erased]"))
    session = (await log.create("oslo")).id
    await log.append(session, timed([said, Custom(kind="one")]))
    data = as_0_1(await export_session(log, session)).splitlines()[:-1]
    lines = [line.replace(b'"kind":"one"', b'"kind":"six"') for line in data]
    with pytest.raises(TranscriptError, match="was changed: its events have another digest"):
        async with taken(tmp_path / "one.jsonl", signed(lines)):
            pass


async def test_what_an_erase_behind_the_export_took_is_said(log: EventLog, tmp_path: Path) -> None:
    await gone(log)
    path = tmp_path / "one.jsonl"
    write(path, await export_session(log, "in"))
    async with open_store() as other:
        report = await import_refold(other, str(path))
        told = " ".join(note.problem for note in report.lost)
        assert "updates were dropped before the export" in told
        assert "things were erased behind what was exported" in told
        parent = (await other.info(report.session)).parent
        assert parent is not None
        own = await other.read(parent, updates=False)
        assert isinstance(own[-1].event, Erase)


GOLDEN = Path(__file__).parents[2] / "golden" / "0.1.0"


@pytest.mark.slow
@pytest.mark.parametrize("name", ["log.db", "runs.db.xz"])
async def test_sessions_that_0_1_recorded_come_back_from_their_exports(name: str, tmp_path: Path) -> None:
    """Of some, content was erased by 0.1, which kept less of what is gone."""
    data = (GOLDEN / name).read_bytes()
    (tmp_path / "log.db").write_bytes(lzma.decompress(data) if name.endswith("xz") else data)
    versions = set()
    async with open_store(tmp_path / "log.db") as log:
        for info in await log.sessions(limit=1000):
            versions.add(version(await moved(log, info.id, tmp_path / "one.jsonl")))
    assert versions == {1, 2}
