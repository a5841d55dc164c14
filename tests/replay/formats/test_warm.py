"""A session file that grows is read where the last import ended; what comes of it is what reading all of it gives."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Sequence
from itertools import count
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings, strategies as st

from eventsource.errors import TranscriptError
from eventsource.events import Custom
from eventsource.log import open_store
from eventsource.log.memory import MemoryLog
from eventsource.log.protocol import EventLog
from replay.formats import ImportReport, WarmFiles, import_file
from tests.faults.corpora import CORPORA, size_of

Record = dict[str, Any]
TIME = "2026-01-01T00:00:01.000Z"
CALLS = ("c1", "c2")


async def told(log: EventLog) -> list[list[bytes]]:
    """Return every session's own events as they are stored, with the sessions called by their places."""
    infos = sorted(await log.sessions(limit=1_000), key=lambda one: (one.created_at_us, one.source or "", one.head))
    found: list[list[bytes]] = []
    for info in infos:
        lines = [b"%d %d" % (info.fork_seq, bool(info.parent))]
        for recorded in await log.read(info.id, after=info.fork_seq, limit=1_000_000):
            event = msgspec.json.encode(recorded.event)
            for other in infos:
                event = event.replace(other.id.encode(), b"-")
            lines.append(b"%d %s" % (recorded.at_us, event))
        found.append(lines)
    return sorted(found)


async def assert_same(one: EventLog, other: EventLog) -> None:
    found, wanted = await told(one), await told(other)
    parts = [pair for own, its in zip(found, wanted, strict=False) for pair in zip(own, its, strict=False)]
    assert [(own, its) for own, its in parts if own != its][:1] == []
    assert found == wanted


def claude_code(draw: st.DrawFn) -> list[Record]:
    """Draw records: answers in several pieces, calls and their results, rewinds, titles, what stands beside."""
    records: list[Record] = []
    names: list[str] = []
    answer = "m0"
    for number in range(draw(st.integers(1, 14))):
        kind = draw(st.sampled_from(["user", "user", "assistant", "assistant", "piece", "result", "system", "title"]))
        name = f"00000000-0000-4000-8000-{number:012x}"
        before = names[-1] if names else None
        parent = draw(st.sampled_from([*names, None])) if names and draw(st.integers(0, 5)) == 0 else before
        frame = {"uuid": name, "parentUuid": parent, "sessionId": "s1", "timestamp": TIME, "cwd": "/c"}
        if kind == "title":
            records.append({"type": "custom-title", "customTitle": f"title {number}", "sessionId": "s1"})
            continue
        if kind in ("assistant", "piece"):
            answer = answer if kind == "piece" else f"m{number}"
            stop = draw(st.sampled_from([None, None, "end_turn"]))
            block: Record = {"type": "text", "text": f"says {number}"}
            if draw(st.booleans()):
                block = {"type": "tool_use", "id": draw(st.sampled_from(CALLS)), "name": "look", "input": {}}
            message: Record = {"role": "assistant", "id": answer, "model": "claude-opus-4-5", "content": [block]}
            record = {**frame, "type": "assistant", "message": {**message, "stop_reason": stop}}
        elif kind == "result":
            block = {"type": "tool_result", "tool_use_id": draw(st.sampled_from(CALLS)), "content": f"is {number}"}
            record = {**frame, "type": "user", "message": {"role": "user", "content": [block]}}
        elif kind == "system":
            beside = draw(st.sampled_from([{"subtype": "local_command", "content": "out"}, {"subtype": "x"}]))
            record = {**frame, "type": "system", **beside}
        else:
            record = {**frame, "type": "user", "message": {"role": "user", "content": f"asks {number}"}}
        names.append(name)
        records.append(record)
        if draw(st.integers(0, 9)) == 0:
            records.append(record)
    return records


def codex(draw: st.DrawFn) -> list[Record]:
    """Draw records: turns, answers of several items, counts of tokens in their places and late, what is rolled back."""

    def line(kind: str, **payload: Any) -> Record:
        return {"timestamp": TIME, "type": kind, "payload": payload}

    records = [line("session_meta", id="s1", timestamp=TIME, cwd="/c")]
    total = count(1)
    for number in range(draw(st.integers(1, 14))):
        part = {"text": f"part {number}"}
        call = {"call_id": draw(st.sampled_from(CALLS))}
        tokens = {"input_tokens": 5, "output_tokens": 2, "total_tokens": next(total)}
        kinds: list[Record] = [
            line("response_item", type="message", role="user", content=[{"type": "input_text", **part}]),
            line("response_item", type="message", role="assistant", content=[{"type": "output_text", **part}]),
            line("response_item", type="function_call", name="look", arguments="{}", **call),
            line("response_item", type="function_call_output", output=f"is {number}", **call),
            line("event_msg", type="token_count", info={"total_token_usage": tokens, "last_token_usage": tokens}),
            line("event_msg", type="thread_rolled_back", num_turns=1),
            line("turn_context", model="gpt-5", cwd="/c"),
            line("compacted", message="in short"),
        ]
        records.append(draw(st.sampled_from(kinds)))
    return records


def pi(draw: st.DrawFn) -> list[Record]:
    """Draw a header and a tree of messages, with bookmarks and titles."""
    records: list[Record] = [{"type": "session", "version": 3, "id": "s1", "timestamp": TIME, "cwd": "/c"}]
    for number in range(draw(st.integers(1, 12))):
        parent = draw(st.sampled_from([None, *(f"n{one}" for one in range(number))]))
        frame = {"id": f"n{number}", "parentId": parent, "timestamp": TIME}
        kinds = [
            {"type": "message", "message": {"role": "user", "content": f"asks {number}"}},
            {"type": "label", "targetId": f"n{number // 2}", "label": f"mark {number}"},
            {"type": "session_info", "name": f"title {number}"},
            {"type": "model_change", "provider": "anthropic", "modelId": f"m{number}"},
        ]
        records.append({**draw(st.sampled_from(kinds)), **frame})
    return records


@st.composite
def stories(draw: st.DrawFn) -> tuple[str, list[tuple[bytes, bool]]]:
    """Draw what a file holds at each look, and whether somebody still writes it.

    Lines come in pieces; now and then one is damaged, changed after it was written, or the file is shorter than before.
    """
    make = draw(st.sampled_from([claude_code, codex, pi]))
    lines = [json.dumps(record).encode() + b"\n" for record in make(draw)]
    if draw(st.integers(0, 4)) == 0:
        at = draw(st.integers(0, len(lines) - 1))
        lines[at] = lines[at][: len(lines[at]) // 2] + b"\n"
    whole = b"".join(lines)
    ends = sorted(draw(st.lists(st.integers(1, len(whole)), max_size=6)))
    looks = [(whole[:end], draw(st.booleans())) for end in ends]
    if looks and draw(st.integers(0, 3)) == 0:
        place = draw(st.integers(0, len(looks) - 1))
        held, growing = looks[place]
        changed = draw(st.sampled_from([held[: len(held) // 2], held.replace(b"asks", b"begs", 1), b""]))
        looks.insert(place + draw(st.integers(0, 1)), (changed, growing))
    return make.__name__.replace("_", "-"), [*looks, (whole, False), (whole, False)]


async def look(log: EventLog, path: Path, form: str, growing: bool, warm: WarmFiles | None) -> ImportReport | str:
    try:
        return await import_file(log, str(path), format=form, growing=growing, warm=warm)
    except TranscriptError as error:
        return error.problem


@given(stories())
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
async def test_what_comes_of_a_file_at_each_look_is_what_reading_all_of_it_gives(
    tmp_path: Path, story: tuple[str, list[tuple[bytes, bool]]]
) -> None:
    form, looks = story
    path = tmp_path / "s1.jsonl"
    warm = WarmFiles()
    async with open_store() as one, open_store() as other:
        for held, growing in looks:
            path.write_bytes(held)  # the same file: what is shorter was cut off, what is changed was written over
            os.utime(path, (1, 1))
            found = await look(one, path, form, growing, warm)
            wanted = await look(other, path, form, growing, None)
            await assert_same(one, other)
            if isinstance(found, str) or isinstance(wanted, str):
                assert found == wanted
            else:
                assert (found.entries, found.messages, found.left) == (wanted.entries, wanted.messages, wanted.left)
                assert (found.known, found.title, len(found.branches)) == (
                    wanted.known,
                    wanted.title,
                    len(wanted.branches),
                )


def record(number: int) -> bytes:
    said = {"role": "user", "content": f"look at part {number}"}
    before = f"{number - 1:032x}" if number else None
    names = {"uuid": f"{number:032x}", "parentUuid": before, "sessionId": "s1", "cwd": "/c"}
    return json.dumps({**names, "type": "user", "timestamp": TIME, "message": said}).encode() + b"\n"


@pytest.mark.parametrize("size", [10, 1_000])
async def test_one_more_record_is_the_only_one_that_is_read(log: EventLog, tmp_path: Path, size: int) -> None:
    path, warm = tmp_path / "s1.jsonl", WarmFiles()
    path.write_bytes(b"".join(map(record, range(size))))
    assert (await import_file(log, str(path), warm=warm)).read == size
    for number in range(size, size + 3):
        with path.open("ab") as file:
            file.write(record(number))
        report = await import_file(log, str(path), growing=number % 2 == 0, warm=warm)
        assert (report.read, report.entries, report.known) == (1, 1, True)
    assert (await import_file(log, str(path), warm=warm)).read == 0


def changed(path: Path, size: int) -> None:
    path.write_bytes(b"".join(map(record, range(size))).replace(b"part 3", b"line 3"))


def replaced(path: Path, size: int) -> None:
    other = path.with_name("other")
    other.write_bytes(path.read_bytes())
    other.replace(path)


def shorter(path: Path, size: int) -> None:
    path.write_bytes(b"".join(map(record, range(size - 1))))


@pytest.mark.parametrize("change", [changed, replaced, shorter])
async def test_a_file_that_was_not_only_added_to_is_read_whole(
    log: EventLog, tmp_path: Path, change: Callable[[Path, int], None]
) -> None:
    path, warm, size = tmp_path / "s1.jsonl", WarmFiles(), 40
    path.write_bytes(b"".join(map(record, range(size))))
    await import_file(log, str(path), warm=warm)
    change(path, size)
    assert (await import_file(log, str(path), warm=warm)).read >= size - 1


class Meddling(MemoryLog):
    """A log that has a file changed while what was read of it is written."""

    def __init__(self, change: Callable[[], None]) -> None:
        super().__init__(clock=lambda: 1, new_id=map(str, count(1)).__next__)
        self._change = change

    async def append(self, *given: Any, **named: Any) -> int:
        self._change()
        return await super().append(*given, **named)


async def test_a_file_that_is_changed_while_it_is_imported_is_read_whole_the_next_time(tmp_path: Path) -> None:
    path, warm = tmp_path / "s1.jsonl", WarmFiles()
    path.write_bytes(b"".join(map(record, range(5))))
    log = Meddling(lambda: changed(path, 5))
    first = await import_file(log, str(path), warm=warm)
    report = await import_file(log, str(path), warm=warm)
    assert (report.read, report.entries, [one.parent for one in report.branches]) == (5, 2, [first.session])


async def test_a_session_that_was_gone_on_with_here_or_has_another_fork_is_laid_beside_the_whole_file(
    log: EventLog, tmp_path: Path
) -> None:
    path, warm = tmp_path / "s1.jsonl", WarmFiles()
    path.write_bytes(b"".join(map(record, range(5))))
    first = await import_file(log, str(path), warm=warm)
    await log.append(first.session, [(1, Custom(kind="mine"))])
    path.write_bytes(b"".join(map(record, range(6))))
    report = await import_file(log, str(path), warm=warm)
    assert (report.read, [branch.parent for branch in report.branches]) == (6, [first.session])
    path.write_bytes(b"".join(map(record, range(7))))
    await import_file(log, str(path), warm=warm)
    await log.fork(first.session, 3, at_us=1)
    path.write_bytes(b"".join(map(record, range(8))))
    assert (await import_file(log, str(path), warm=warm)).read == 8


async def test_a_session_that_was_deleted_is_read_whole(log: EventLog, tmp_path: Path) -> None:
    path, warm = tmp_path / "s1.jsonl", WarmFiles()
    path.write_bytes(b"".join(map(record, range(5))))
    first = await import_file(log, str(path), warm=warm)
    await log.delete(first.session)
    report = await import_file(log, str(path), warm=warm)
    assert (report.read, report.known, report.entries) == (5, False, 5)


async def test_a_sub_agent_that_works_is_followed_too(log: EventLog, tmp_path: Path) -> None:
    path, warm = tmp_path / "s1.jsonl", WarmFiles()
    agent = tmp_path / "s1" / "subagents" / "agent-a1.jsonl"
    agent.parent.mkdir(parents=True)
    path.write_bytes(b"".join(map(record, range(5))))
    await import_file(log, str(path), warm=warm)
    beside = [record(number).replace(b'"cwd"', b'"agentId": "a1", "isSidechain": true, "cwd"') for number in range(4)]
    for number, line in enumerate(beside):
        with agent.open("ab") as file:
            file.write(line)
        report = await import_file(log, str(path), growing=True, warm=warm)
        assert (report.read, [(one.read, one.entries) for one in report.children]) == (0, [(1, 1)]), number
    (child,) = report.children
    assert (await log.info(child.session)).started_by == report.session


async def test_what_is_kept_of_files_is_bounded_and_the_oldest_goes_first(log: EventLog, tmp_path: Path) -> None:
    warm = WarmFiles(entries=25)
    paths = [tmp_path / f"s{number}.jsonl" for number in range(3)]
    for number, path in enumerate(paths):
        path.write_bytes(b"".join(map(record, range(10))).replace(b'"s1"', b'"s%d"' % number))
        await import_file(log, str(path), warm=warm)
    read = [(await import_file(log, str(path), warm=warm)).read for path in reversed(paths)]
    assert read == [0, 0, 10]


FOLLOWED = [name for name in ("claude-code", "codex", "pi") if name in CORPORA]


@pytest.mark.slow
@pytest.mark.skipif(not FOLLOWED, reason="needs recorded sessions (set REFOLD_DATA)")
@pytest.mark.parametrize("name", FOLLOWED)
@given(st.data())
@settings(max_examples=5, suppress_health_check=[HealthCheck.function_scoped_fixture])
async def test_a_recorded_session_that_comes_in_pieces_holds_what_it_holds_at_once(
    name: str, tmp_path: Path, data: st.DataObject
) -> None:
    corpus = CORPORA[name]
    samples: Sequence[Sequence[bytes]] = [one for one in corpus.sound or corpus.samples if size_of(one) < 1 << 17]
    whole = b"".join(data.draw(st.sampled_from(samples)))
    ends = sorted(data.draw(st.lists(st.integers(1, len(whole)), max_size=8)))
    path, warm = tmp_path / "session.jsonl", WarmFiles()
    async with open_store() as one, open_store() as other:
        for end in ends:
            path.write_bytes(whole[:end])
            await look(one, path, name, growing=True, warm=warm)
            await look(other, path, name, growing=True, warm=None)
        path.write_bytes(whole)
        await look(one, path, name, growing=False, warm=warm)
        await look(other, path, name, growing=False, warm=None)
        await assert_same(one, other)


async def test_of_two_files_that_call_a_sub_agent_the_same_the_second_is_left_out_by_name(
    log: EventLog, tmp_path: Path
) -> None:
    path = tmp_path / "s1.jsonl"
    agents = [tmp_path / "s1" / "subagents" / "agent-a1.jsonl", tmp_path / "agent-a1.jsonl"]
    agents[0].parent.mkdir(parents=True)
    path.write_bytes(record(0))
    for agent in agents:
        agent.write_bytes(record(1).replace(b'"cwd"', b'"agentId": "a1", "isSidechain": true, "cwd"'))
    report = await import_file(log, str(path))
    assert (len(report.children), [str(agents[1]) in note.problem for note in report.lost]) == (1, [True])
    again = await import_file(log, str(path))
    assert not again.branches
    assert len(await log.sessions()) == 2


async def test_a_file_is_of_no_session_until_a_record_names_one(log: EventLog, tmp_path: Path) -> None:
    path, warm = tmp_path / "s1.jsonl", WarmFiles()
    before = b'{"type": "file-history-snapshot", "messageId": "m1", "snapshot": {}}\n'
    path.write_bytes(before)
    with pytest.raises(TranscriptError, match="holds no finished entry of a claude-code session yet"):
        await import_file(log, str(path), growing=True, warm=warm)
    path.write_bytes(before + b"".join(map(record, range(3))))
    report = await import_file(log, str(path), growing=True, warm=warm)
    assert report.source == "claude-code:s1"
    assert (await import_file(log, str(path))).session == report.session
    assert len(await log.sessions()) == 1
