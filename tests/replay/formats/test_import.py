"""Which files are taken for sessions, what is said of the others, and how damaged lines are read."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest
from hypothesis import given, strategies as st

from eventsource.errors import EventTooLargeError, SessionExistsError, TranscriptError
from eventsource.log import open_store
from replay.formats import detect, import_file
from replay.formats.jsonl import Lines, read_lines
from replay.formats.pi.dialect import is_record
from replay.formats.refold.write import export_session

ONE = '{"type":"message","timestamp":"2026-01-01T00:00:00.000Z","message":{"role":"user","content":"a"}}'
TWO = ONE.replace('"a"', '"b"')


def read(text: str) -> Lines:
    return read_lines(text.encode("utf-8", "surrogatepass"), is_record)


def said(lines: Lines) -> list[object]:
    return [record.fields["message"]["content"] for record in lines.records]  # type: ignore[index]  # as written above


@pytest.mark.parametrize(
    ("name", "body", "problem"),
    [
        ("missing", None, "cannot be read: No such file"),
        ("empty", b"", "is empty"),
        ("blank", b"\n \n", "is empty"),
        ("text", b"hello\nworld\n", "is not a session this program can read"),
        ("other", b'{"type":"user","uuid":"1","message":{"role":"user"}}\n', "is not a session this program can read"),
        ("binary", bytes(range(256)), "is not a session this program can read"),
        ("header", b'{"type":"session","id":"x","timestamp":"2026-01-01T00:00:00Z"}\n', "holds no entry"),
    ],
)
async def test_a_file_that_is_no_session_is_refused_in_one_sentence(
    tmp_path: Path, name: str, body: bytes | None, problem: str
) -> None:
    path = tmp_path / name
    if body is not None:
        path.write_bytes(body)
    async with open_store() as log:
        with pytest.raises(TranscriptError) as raised:
            await import_file(log, str(path))
        assert await log.sessions() == ()
    assert str(path) in str(raised.value)
    assert problem in str(raised.value)
    assert "\n" not in str(raised.value)


async def test_a_folder_is_refused(tmp_path: Path) -> None:
    async with open_store() as log:
        with pytest.raises(TranscriptError, match="cannot be read"):
            await import_file(log, str(tmp_path))


def test_a_session_whose_header_was_lost_is_still_known(tmp_path: Path) -> None:
    path = tmp_path / "torn.jsonl"
    path.write_text(f'{{"type":"sess\n{ONE}\n')
    assert detect(str(path)) == "pi"


async def test_an_id_that_is_taken_is_refused_and_nothing_is_written(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    other = tmp_path / "b.jsonl"
    path.write_text(ONE + "\n")
    other.write_text(TWO + "\n")
    async with open_store() as log:
        await import_file(log, str(path), session="mine")
        with pytest.raises(SessionExistsError):
            await import_file(log, str(other), session="mine")
        assert [info.id for info in await log.sessions()] == ["mine"]


async def test_an_import_that_cannot_be_finished_leaves_nothing_behind(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    entries = [json.loads(ONE) | {"id": "a", "parentId": None}, json.loads(ONE) | {"id": "b", "parentId": "a"}]
    entries[1]["message"] = {"role": "user", "content": "long " * 100}
    header = {"type": "session", "version": 3, "id": "x", "timestamp": "2026-01-01T00:00:00.000Z"}
    last = entries[0] | {"id": "c", "parentId": "a"}  # the branch with the long message is written second
    path.write_text("\n".join(map(json.dumps, [header, *entries, last])))
    async with open_store(limit_bytes=400) as log:
        with pytest.raises(EventTooLargeError):
            await import_file(log, str(path))
        assert await log.sessions() == ()


@pytest.mark.slow
@pytest.mark.parametrize("form", ["pi", "refold"])
@pytest.mark.parametrize("times", [1, 5])
async def test_a_cancelled_import_is_there_whole_or_not_at_all(tmp_path: Path, form: str, times: int) -> None:
    path = tmp_path / "a.jsonl"
    entries = [json.loads(ONE) | {"id": name, "parentId": "a" if name > "a" else None} for name in "abc"]
    header = {"type": "session", "version": 3, "id": "x", "timestamp": "2026-01-01T00:00:00.000Z"}
    path.write_text("\n".join(map(json.dumps, [header, *entries])))
    async with open_store(tmp_path / "from.db") as log:
        whole = len((await import_file(log, str(path))).branches)
        if form == "refold":
            (last,) = [info for info in await log.sessions() if info.parent]
            path, whole = tmp_path / "a.refold", 2
            path.write_bytes(await export_session(log, last.id))
    async with open_store(tmp_path / "log.db") as log:
        found = set()
        for steps in range(60):
            task = asyncio.ensure_future(import_file(log, str(path)))
            for _ in range(steps):
                await asyncio.sleep(0.0002)
            for _ in range(times):
                task.cancel()
                await asyncio.sleep(0)
            await asyncio.wait([task])
            there = await log.sessions()
            found.add(len(there))
            assert len(there) in (0, whole), f"after {steps} steps"
            for info in sorted(there, key=lambda one: one.parent is None):
                await log.delete(info.id)
        assert 0 in found


def test_two_records_on_one_line_are_both_read_and_the_line_is_named() -> None:
    lines = read(f"{ONE}\n{TWO}{ONE}\n{TWO}\n")
    assert (said(lines), lines.lost) == (["a", "b", "a", "b"], ())
    assert [note.number for note in lines.recovered] == [2]
    assert [record.number for record in lines.records] == [1, 2, 2, 3]


def test_a_torn_last_line_is_lost_and_named_with_its_text() -> None:
    lines = read(f"{ONE}\n{TWO[:40]}")
    (note,) = lines.lost
    assert (said(lines), note.number, note.text) == (["a"], 2, TWO[:40])
    assert "the last line is torn" in note.problem


def test_a_record_written_behind_a_torn_one_is_read() -> None:
    lines = read(f"{TWO[:60]}{ONE}\n")
    assert said(lines) == ["a"]
    assert [note.text for note in lines.lost] == [TWO[:60]]


def test_a_piece_of_a_torn_record_is_not_taken_for_a_record() -> None:
    torn = '{"type":"message","timestamp":"x","message":{"content":[{"type":"text","text":"a"}'
    assert read(torn + "\n").records == ()


def test_lines_end_at_line_feeds_only() -> None:
    text = TWO.replace('"b"', '"one\u2028two\u0085three\\rfour"')
    assert said(read(f"{text}\r\n{ONE}\n")) == ["one\u2028two\u0085three\rfour", "a"]


def test_what_json_cannot_hold_is_replaced_and_noted() -> None:
    lines = read(ONE.replace('"a"', "[NaN, Infinity, -Infinity, 1e999, 1.5]") + "\n" + ONE.replace('"a"', '"\\ud800!"'))
    assert said(lines) == [[None, None, None, None, 1.5], "\ufffd!"]
    assert [note.number for note in lines.recovered] == [1, 2]
    whole = read(ONE.replace('"a"', '"\\ud83d\\ude00"'))
    assert (said(whole), whole.recovered) == (["\U0001f600"], ())


def test_bytes_that_are_no_utf_8_are_replaced_and_noted() -> None:
    lines = read_lines(ONE.replace('"a"', '"\xe9"').encode("latin-1"), is_record)
    assert said(lines) == ["\ufffd"]
    assert len(lines.recovered) == 1


@given(st.lists(st.sampled_from([ONE, TWO]), min_size=1), st.data())
def test_a_file_cut_anywhere_gives_the_records_before_the_cut_and_accounts_for_the_rest(
    records: list[str], data: st.DataObject
) -> None:
    text = "\n".join(records)
    cut = data.draw(st.integers(0, len(text)))
    lines = read(text[:cut])
    whole = sum(1 for n in range(len(records)) if len("\n".join(records[: n + 1])) <= cut)
    assert len(lines.records) == whole
    assert len(lines.lost) == (1 if text[:cut] and json_fails(text[:cut].rsplit("\n", 1)[-1]) else 0)


def json_fails(line: str) -> bool:
    try:
        json.loads(line)
    except ValueError:
        return bool(line)
    return False


@pytest.mark.parametrize(
    "line",
    [
        {"type": {}, "id": "a", "parentId": None, "timestamp": "2026-01-01T00:00:00Z"},
        {"type": "message", "id": "a", "timestamp": "2026-01-01T00:00:00Z", "message": {"role": {}, "content": []}},
    ],
    ids=["type", "role"],
)
async def test_a_type_or_a_role_that_is_no_text_is_named(tmp_path: Path, line: dict[str, object]) -> None:
    header = '{"type":"session","version":3,"id":"x","timestamp":"2026-01-01T00:00:00Z"}'
    others = ('{"type":"session_meta","timestamp":"2026-01-01T00:00:00Z","payload":{"id":"x"}}', ONE)
    async with open_store() as log:
        for number, first in enumerate((header, *others)):
            path = tmp_path / f"{number}.jsonl"
            _put(path, f"{first}\n{json.dumps(line | {'payload': {'role': {}}})}\n")
            report = await import_file(log, str(path), format=("pi", "codex", "claude-code")[number])
            assert report.kept


def _put(path: Path, text: str) -> None:
    path.write_text(text)
