"""Old versions of Claude Code copy under new names, at the time of the copying: copies are told by what they say."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import pytest

from eventsource.errors import TranscriptError
from eventsource.log import open_store
from eventsource.log.protocol import EventLog
from eventsource.message_text import whole_text
from eventsource.messages import ToolResultMessage
from projections import CONTEXT, history, project
from replay.formats import import_file
from replay.formats.claude_code.family import files_before

from .first_class import check_first_class
from .test_claude_code_forks import (
    FIRST,
    SECOND,
    THIRD,
    Record,
    answer,
    back,
    imported,
    prompt,
    queued,
    record,
    words,
    write,
)

VERSIONS = ("1.0.0", "1.0.60", "2.0.0", "2.0.77")
FIXTURES = Path(__file__).parent / "fixtures"


def files_of(version: str) -> list[Path]:
    found = FIXTURES.glob(f"claude-code-{version}/*.jsonl")
    return sorted(one for one in found if not one.stem.startswith("agent-"))


@pytest.mark.parametrize("turned", [False, True], ids=["in order", "turned"])
@pytest.mark.parametrize("version", VERSIONS)
async def test_what_a_version_copied_is_a_fork_whose_tokens_count_once(
    log: EventLog, version: str, turned: bool
) -> None:
    files = files_of(version)[:: -1 if turned else 1]
    for path in files:
        await import_file(log, str(path))
    there = [one for one in await log.sessions() if one.source]
    by_title = {one.title: one for one in there if not one.started_by}
    first, second, third, aside = (by_title[one] for one in ("Look at both", "Send somebody", "Go on", "Otherwise"))
    assert [one.parent for one in (first, second, third, aside)] == [None, first.id, second.id, first.id]
    own = {one.title: one.input_tokens - one.inherited_input_tokens for one in by_title.values()}
    assert own == {"Look at both": 300, "Send somebody": 4800, "Go on": 6400, "Otherwise": 12800}
    assert await words(log, third.id) == ["Look at both", "Send somebody", "Go on"]
    assert [one.title for one in there if one.started_by == second.id] == ["Dig for herons, please"]
    for path in files:
        again = await import_file(log, str(path))
        assert (again.known, again.branches, again.kept, again.lost) == (True, (), (), ())
        written = await back(log, again.session)
        assert written == [json.loads(line) for line in path.read_text().splitlines()]
    assert len([one for one in await log.sessions() if one.source]) == len(there)


@pytest.mark.parametrize("version", VERSIONS)
async def test_a_copy_of_an_old_version_is_a_session_like_any_other(version: str, tmp_path: Path) -> None:
    for path in files_of(version):
        await check_first_class(path, tmp_path)
        (tmp_path / "first-class.db").unlink()


async def shapes(log: EventLog) -> dict[str, tuple[str, list[str], int]]:
    """Say of each session from which one it goes on, what it says, and what it cost."""
    found = {}
    for info in await log.sessions():
        view = project(CONTEXT, await log.read(info.id))
        above = (await log.info(info.parent)).source if info.parent else ""
        said = [whole_text(one.message) for one in history(view) if one.message is not None]
        found[info.source or info.id] = (above, said, info.input_tokens - info.inherited_input_tokens)
    return found


@pytest.mark.parametrize("version", VERSIONS)
async def test_a_copy_that_grows_record_by_record_is_the_fork_that_it_is_at_once(version: str, tmp_path: Path) -> None:
    for number, path in enumerate(files_of(version)):
        copy = Path(shutil.copytree(path.parent, tmp_path / str(number))) / path.name
        async with open_store() as log:
            for before in files_before(path):
                await import_file(log, str(before))
            lines = path.read_bytes().splitlines(keepends=True)
            for count in range(1, len(lines) + 1):
                copy.write_bytes(b"".join(lines[:count]))
                with suppress(TranscriptError):  # nothing of it is finished yet
                    await import_file(log, str(copy), growing=True, only_said=True)
            await import_file(log, str(copy))
            grown = await shapes(log)
        async with open_store() as log:
            await import_file(log, str(path))
            assert grown == await shapes(log)


def copies_as_1_0(records: Sequence[Record], session: str, at: int) -> list[Record]:
    """Copy records as 1.0.60 does: a block each, under new names, at one time, without what it does not know."""
    found: list[Record] = []
    for one in records:
        said = one["message"]["content"] if one["type"] != "system" else []
        kept = {key: value for key, value in one.items() if key not in ("toolUseResult", "isMeta", "requestId")}
        for block in [{"type": "text", "text": said}] if isinstance(said, str) else said:
            before = f"{at}-{len(found)}" if found else None
            copy = record(f"{at}-{len(found) + 1}", before, one["type"], session, at)
            found.append({**kept, **copy, "version": "1.0.60", "message": {**one["message"], "content": [block]}})
    return found


def last_name(records: Sequence[Record]) -> str:
    return str(records[-1]["uuid"])


def behind(records: Sequence[Record], *own: Record) -> list[Record]:
    """Let records stand behind copies: the first one follows the last of these."""
    return [*records, {**own[0], "parentUuid": last_name(records)}, *own[1:]]


SHOWN = [{"type": "text", "text": "<ide_opened_file>x</ide_opened_file>"}, {"type": "text", "text": "two"}]
CALL = {"type": "tool_use", "id": "toolu_1", "name": "Bash", "input": {"command": "ls"}}
DONE = {"type": "tool_result", "tool_use_id": "toolu_1", "content": "x"}


def called(name: str, parent: str, answer_id: str, at: int, *blocks: object, session: str = FIRST) -> Record:
    one = answer(name, parent, answer_id, "", session, at)
    return {**one, "message": {**one["message"], "content": list(blocks)}, "requestId": f"req_{name}"}


ONE = [
    prompt("u1", None, "one", isMeta=True),
    answer("a1", "u1", "msg_1", "One.", at=3),
    record("s1", "a1", "system", FIRST, 4, subtype="informational", content="A hook ran."),
    {**prompt("u2", "s1", "", at=5), "message": {"role": "user", "content": SHOWN}},
    called("a2", "u2", "msg_2", 8, {"type": "text", "text": "Let me look."}, CALL),
    {**prompt("r2", "a2", "", at=9), "message": {"role": "user", "content": [DONE]}, "toolUseResult": {"stdout": "x"}},
    answer("a3", "r2", "msg_3", "Two.", at=12),
]


async def test_blocks_that_are_copied_each_by_itself_are_copies_of_the_whole(log: EventLog, tmp_path: Path) -> None:
    own = behind(copies_as_1_0(ONE, SECOND, 20), prompt("v1", None, "further", SECOND, 20))
    own += [answer("b1", "v1", "msg_4", "Further.", SECOND, 24)]
    first = write(tmp_path, ONE)
    report = await imported(log, write(tmp_path, own))
    info = await log.info(report.session)
    assert info.parent
    assert (await log.info(info.parent)).source == f"claude-code:{FIRST}"
    assert (info.input_tokens - info.inherited_input_tokens, info.title) == (5, "further")
    assert await back(log, info.id) == own
    first.unlink()
    more = [*own, prompt("v2", "b1", "still further", SECOND, 30)]
    assert [one.session for one in (await imported(log, write(tmp_path, more))).branches] == [info.id]
    assert await back(log, info.id) == more
    assert len(await log.sessions()) == 2


@pytest.mark.parametrize("at", [22, 20], ids=["the same answer, lived twice", "other answers"])
async def test_two_sessions_that_begin_alike_and_were_never_one_stay_two(
    log: EventLog, tmp_path: Path, at: int
) -> None:
    named = "msg_1" if at == 22 else "msg_9"
    write(tmp_path, ONE[:2])
    own = [prompt("x1", None, "one", SECOND, 20), answer("y1", "x1", named, "One.", SECOND, at)]
    report = await imported(log, write(tmp_path, own))
    assert (await log.info(report.session)).parent is None
    assert (await log.info(report.session)).input_tokens == 5


async def test_a_prompt_that_was_typed_anew_is_no_copy_of_the_other_one(log: EventLog, tmp_path: Path) -> None:
    second = behind(copies_as_1_0(ONE[:2], SECOND, 20), prompt("v1", None, "on", SECOND, 20))
    second += [answer("b1", "v1", "msg_4", "On.", SECOND, 24)]
    third = behind(copies_as_1_0(ONE[:2], THIRD, 30), prompt("w1", None, "on", THIRD, 30))
    third += [answer("c1", "w1", "msg_5", "Otherwise.", THIRD, 34)]
    first, *others = [await imported(log, write(tmp_path, one)) for one in (ONE, second, third)]
    assert [(await log.info(one.session)).parent for one in others] == [first.session, first.session]
    assert [await words(log, one.session) for one in others] == [["one", "on"], ["one", "on"]]
    assert [await back(log, one.session) for one in others] == [second, third]


async def test_a_prompt_that_nothing_answered_is_copied_with_the_rest(log: EventLog, tmp_path: Path) -> None:
    first = [*ONE[:2], prompt("u9", "a1", "unheard", at=6)]
    own = behind(copies_as_1_0(first, SECOND, 20), prompt("v1", None, "further", SECOND, 20))
    write(tmp_path, first)
    report = await imported(log, write(tmp_path, own))
    assert await words(log, report.session) == ["one", "unheard", "further"]
    assert (await log.info(report.session)).title == "further"
    assert await back(log, report.session) == own


async def test_of_a_prompt_that_was_typed_twice_the_one_that_was_answered_is_copied(
    log: EventLog, tmp_path: Path
) -> None:
    first = [*ONE[:2], prompt("u8", "a1", "on", at=4), prompt("u9", "a1", "on", at=5)]
    first += [answer("a9", "u9", "msg_9", "On.", at=8)]
    own = behind(copies_as_1_0([*first[:2], *first[3:]], SECOND, 20), prompt("v1", None, "further", SECOND, 20))
    write(tmp_path, first)
    report = await imported(log, write(tmp_path, own))
    info = await log.info(report.session)
    assert (info.input_tokens - info.inherited_input_tokens, info.inherited_input_tokens) == (0, 10)
    assert await words(log, report.session) == ["one", "on", "further"]
    assert await back(log, report.session) == own


async def test_a_call_that_never_ended_is_not_copied_and_its_answer_counts_once(log: EventLog, tmp_path: Path) -> None:
    said, call = called("a1", "u1", "msg_1", 3, {"type": "text", "text": "Go."}), called("c1", "a1", "msg_1", 4, CALL)
    first = [ONE[0], said, call]
    own = behind(copies_as_1_0(first[:2], SECOND, 20), prompt("v1", None, "further", SECOND, 20))
    write(tmp_path, first)
    report = await imported(log, write(tmp_path, own))
    info = await log.info(report.session)
    assert (info.input_tokens - info.inherited_input_tokens, info.inherited_input_tokens) == (0, 5)
    assert await back(log, report.session) == own


async def test_what_stands_behind_a_compaction_is_copied_by_itself(log: EventLog, tmp_path: Path) -> None:
    summary = prompt("s", None, "so far", at=20, isCompactSummary=True)
    first = [*ONE, summary, prompt("u5", "s", "five", at=21), answer("a5", "u5", "msg_5", "Five.", at=24)]
    own = behind(copies_as_1_0(first[-3:], SECOND, 30), prompt("v1", None, "further", SECOND, 30))
    write(tmp_path, first)
    report = await imported(log, write(tmp_path, own))
    info = await log.info(report.session)
    assert info.parent
    assert info.input_tokens - info.inherited_input_tokens == 0
    assert await words(log, report.session) == ["five", "further"]
    assert await back(log, report.session) == own


async def test_a_copy_without_a_call_of_several_inherits_all_of_them(log: EventLog, tmp_path: Path) -> None:
    """2.0.77 goes back from the last record, and so loses calls that others stand beside."""
    other = {**CALL, "id": "toolu_2"}
    first = [
        ONE[0],
        called("c1", "u1", "msg_1", 3, CALL),
        called("c2", "c1", "msg_1", 4, other),
        {**prompt("r1", "c1", "", at=5), "message": {"role": "user", "content": [DONE]}},
        {**prompt("r2", "c2", "", at=6), "message": {"role": "user", "content": [{**DONE, "tool_use_id": "toolu_2"}]}},
        answer("a2", "r2", "msg_2", "Done.", at=9),
    ]
    copies = [{**one, "sessionId": SECOND} for one in first if one not in (first[1], first[3])]
    copies[1] = {**copies[1], "parentUuid": copies[0]["uuid"]}
    own = behind([queued(SECOND, 10), *copies], prompt("v1", None, "further", SECOND, 20))
    write(tmp_path, first)
    report = await imported(log, write(tmp_path, own))
    info = await log.info(report.session)
    assert (info.input_tokens - info.inherited_input_tokens, info.inherited_input_tokens) == (0, 10)
    view = project(CONTEXT, await log.read(report.session))
    assert len([one for one in history(view) if isinstance(one.message, ToolResultMessage)]) == 2
    assert await back(log, report.session) == own


async def test_sessions_that_failed_at_once_are_not_looked_for_in_each_other(
    log: EventLog, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the program says in place of an answer takes no time, and no copy need be looked for behind it."""
    for number, session in enumerate((THIRD, SECOND, FIRST)):
        said = answer(f"a{number}", f"u{number}", f"own-{number}", "Invalid API key", session, number)
        said["message"]["model"] = "<synthetic>"
        last = write(tmp_path, [prompt(f"u{number}", None, "hi", session, number), said])
    looked = list[Path]()
    whole = Path.read_bytes

    def noted(path: Path) -> bytes:
        looked.append(path)
        return whole(path)

    monkeypatch.setattr(Path, "read_bytes", noted)
    report = await imported(log, last)
    assert ((await log.info(report.session)).parent, [one for one in looked if one != last]) == (None, [])
