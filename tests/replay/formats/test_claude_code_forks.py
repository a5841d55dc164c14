"""A session that Claude Code forked begins with a copy of another one: here it is a fork of that."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from eventsource.events import MessageAdopt
from eventsource.log import open_store
from eventsource.log.protocol import EventLog
from eventsource.messages import UserMessage
from projections import CONTEXT, history, project
from replay.formats import ImportReport, import_file
from replay.formats.claude_code.write import TO_CLAUDE_CODE, claude_code_parts
from replay.formats.to_agent import hand_over

from .first_class import check_first_class

Record = dict[str, Any]
FIRST, SECOND, THIRD = (str(UUID(int=number << 64)) for number in (3, 2, 1))


def uuid(name: str) -> str:
    return str(UUID(int=int.from_bytes(name.encode())))


def record(name: str, parent: str | None, kind: str, session: str, at: int, **fields: Any) -> Record:
    named = {"parentUuid": uuid(parent) if parent else None, "uuid": uuid(name), "type": kind}
    shared = {"isSidechain": False, "userType": "external", "cwd": "/work", "sessionId": session, "version": "2.1.14"}
    return {**named, "timestamp": f"2026-01-01T00:00:{at:02d}.000Z", **shared, "gitBranch": "main", **fields}


def prompt(name: str, parent: str | None, text: str, session: str = FIRST, at: int = 1, **fields: Any) -> Record:
    return record(name, parent, "user", session, at, message={"role": "user", "content": text}, **fields)


def answer(name: str, parent: str, answer_id: str, text: str, session: str = FIRST, at: int = 1) -> Record:
    message = {"id": answer_id, "type": "message", "role": "assistant", "model": "claude-x", "stop_reason": None}
    counts = {"input_tokens": 5, "output_tokens": 7}
    whole = {**message, "content": [{"type": "text", "text": text}], "usage": counts}
    return record(name, parent, "assistant", session, at, message=whole)


def queued(session: str, at: int) -> Record:
    time = f"2026-01-01T00:00:{at:02d}.000Z"
    return {"type": "queue-operation", "operation": "enqueue", "timestamp": time, "sessionId": session}


def copied(records: Sequence[Record], session: str) -> list[Record]:
    return [{**one, "sessionId": session} for one in records if "uuid" in one]


ONE = [queued(FIRST, 0), prompt("u1", None, "one"), answer("a1", "u1", "m1", "One."), prompt("u2", "a1", "two", at=2)]
TWO = [
    queued(SECOND, 10),
    *copied(ONE[:3], SECOND),
    prompt("u3", "a1", "aside", SECOND, 11, gitBranch="aside"),
    answer("a3", "u3", "m3", "Aside.", SECOND, 12),
]
THREE = [
    *({"type": "mode", "mode": "default", "sessionId": THIRD}, queued(THIRD, 20)),
    *(*copied(TWO, THIRD), prompt("u4", "a3", "further", THIRD, 21)),
    {"type": "last-prompt", "sessionId": THIRD, "lastPrompt": "further"},
]


@pytest.fixture
def files(tmp_path: Path) -> list[Path]:
    return [write(tmp_path, one) for one in (ONE, TWO, THREE)]


def write(folder: Path, records: Sequence[Record]) -> Path:
    path = folder / f"{records[0]['sessionId']}.jsonl"
    path.write_text("".join(json.dumps(one) + "\n" for one in records))
    return path


def read(path: Path) -> list[Record]:
    return [json.loads(line) for line in path.read_text().splitlines()]


async def imported(log: EventLog, path: Path) -> ImportReport:
    return await import_file(log, str(path))


async def words(log: EventLog, session: str) -> list[object]:
    view = project(CONTEXT, await log.read(session, limit=10_000))
    return [one.message.content for one in history(view) if isinstance(one.message, UserMessage)]


async def back(log: EventLog, session: str) -> list[Record]:
    return [json.loads(line) async for line in claude_code_parts(log, session)]


async def test_the_copy_of_an_answer_whose_first_call_was_done_before_its_last_was_said_is_written_as_it_was_read(
    log: EventLog, tmp_path: Path
) -> None:
    def said(name: str, parent: str) -> Record:
        one = answer(name, parent, "m1", "", at=1)
        use = {"type": "tool_use", "id": name, "name": "Bash", "input": {}}
        return {**one, "message": {**one["message"], "content": [use]}}

    def done(name: str, parent: str) -> Record:
        return prompt(name, parent, "") | {
            "message": {"role": "user", "content": [{"type": "tool_result", "tool_use_id": parent, "content": "x"}]}
        }

    records = [ONE[0], ONE[1], said("c1", "u1"), done("r1", "c1"), said("c2", "r1"), done("r2", "c2")]
    own = [queued(SECOND, 10), *copied(records, SECOND), prompt("u3", "r2", "aside", SECOND, 11)]
    write(tmp_path, records)
    report = await imported(log, write(tmp_path, own))
    assert (await log.info(report.session)).parent is not None
    assert await back(log, report.session) == own


async def test_copies_have_other_ids_of_prompts_and_requests_and_are_written_as_they_were_read(
    log: EventLog, tmp_path: Path
) -> None:
    first = [{**one, "promptId": "p1"} if one["type"] == "user" else one for one in ONE]
    marks = {"user": {"promptId": "p2", "slug": "calm"}, "assistant": {"requestSessionId": FIRST}}
    second = [{**one, **marks.get(one["type"], {})} for one in copied(first[:3], SECOND)]
    own = [queued(SECOND, 10), *second, prompt("u3", "a1", "aside", SECOND, 11, promptId="p3")]
    third = [{**one, "promptId": "p4"} if one["type"] == "user" else one for one in copied(own, THIRD)]
    last = [queued(THIRD, 20), *third, prompt("u4", "u3", "further", THIRD, 21)]
    for one in (first, own):
        write(tmp_path, one)
    report = await imported(log, write(tmp_path, last))
    assert await words(log, report.session) == ["one", "aside", "further"]
    info = await log.info(report.session)
    assert (info.input_tokens, info.inherited_input_tokens) == (5, 5)
    assert info.parent
    assert await back(log, info.parent) == own
    assert await back(log, report.session) == last


async def test_copies_that_differ_each_in_its_own_way_are_written_as_what_they_are_copies_of(
    log: EventLog, tmp_path: Path
) -> None:
    names = [f"u{number}" for number in range(1_100)]
    first = [prompt(name, before, "on") for before, name in zip([None, *names], names, strict=False)]
    second = [{**one, "promptId": str(number)} for number, one in enumerate(copied(first, SECOND))]
    own = [queued(SECOND, 10), *second, prompt("v", names[-1], "aside", SECOND, 11)]
    write(tmp_path, [queued(FIRST, 0), *first])
    report = await imported(log, write(tmp_path, own))
    assert (await log.info(report.session)).parent
    written = await back(log, report.session)
    assert written == [own[0], *copied(first, SECOND), own[-1]]


async def test_a_fork_of_a_shortened_session_copies_what_is_behind_the_compaction(
    log: EventLog, tmp_path: Path
) -> None:
    kept = {"headUuid": uuid("a1"), "anchorUuid": uuid("s"), "tailUuid": uuid("a1")}
    shortened = {"subtype": "compact_boundary", "logicalParentUuid": uuid("a1"), "slug": "calm-osprey"}
    behind = [
        record("c", None, "system", FIRST, 3, **shortened, compactMetadata={"preservedSegment": kept}),
        prompt("s", "c", "so far", at=4, isCompactSummary=True, slug="calm-osprey"),
        prompt("u2", "s", "two", at=5, slug="calm-osprey"),
        answer("a2", "u2", "m2", "Two.", at=6),
    ]
    boundary, summary, second, last = ({k: v for k, v in one.items() if k != "slug"} for one in behind)
    again = answer("a1", "s", "m1", "One.")  # linked anew, and its usage is gone
    again["message"] = {**again["message"], "usage": {"input_tokens": 0, "output_tokens": 0}}
    linked = [boundary, summary, again, {**second, "parentUuid": uuid("a1")}, last]
    own = [queued(SECOND, 10), *copied(linked, SECOND), prompt("u3", "a2", "aside", SECOND, 11)]
    write(tmp_path, [*ONE[:3], *behind])
    report = await imported(log, write(tmp_path, own))
    info = await log.info(report.session)
    assert info.parent is not None
    assert (await log.info(info.parent)).source == f"claude-code:{FIRST}"
    assert await words(log, info.id) == ["one", "two", "aside"]
    assert info.input_tokens - info.inherited_input_tokens == 0
    assert await back(log, info.id) == own


async def test_a_fork_is_a_fork_of_what_it_copied_which_comes_with_it(log: EventLog, files: list[Path]) -> None:
    report = await imported(log, files[2])
    third = await log.info(report.session)
    second = await log.info(third.parent or "")
    first = await log.info(second.parent or "")
    assert [one.source for one in (first, second, third)] == [f"claude-code:{one}" for one in (FIRST, SECOND, THIRD)]
    assert [one.title for one in (first, second, third)] == ["one", "aside", "further"]
    assert [await words(log, one.id) for one in (first, second, third)] == [
        ["one", "two"],
        ["one", "aside"],
        ["one", "aside", "further"],
    ]
    assert (first.branch, second.branch, second.folder) == ("main", "aside", "/work")
    own = [one.input_tokens - one.inherited_input_tokens for one in (first, second, third)]
    assert own == [5, 5, 0], "each answer counts once"


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 1, 0), (1, 2, 0)])
async def test_in_whatever_order_they_come_they_are_the_same_family(
    log: EventLog, files: list[Path], order: Sequence[int]
) -> None:
    for number in order:
        await imported(log, files[number])
    assert len(await log.sessions()) == 3
    for path, records in zip(files, (ONE, TWO, THREE), strict=True):
        report = await imported(log, path)
        assert (report.known, report.branches, report.others) == (True, (), ())
        assert await back(log, report.session) == records


async def test_each_goes_on_by_itself(log: EventLog, files: list[Path], tmp_path: Path) -> None:
    third = await imported(log, files[2])
    more = prompt("u5", "u2", "two and a half", at=3)
    first = await imported(log, write(tmp_path, [*ONE, more]))
    later = await imported(log, write(tmp_path, [*THREE, prompt("u6", "u4", "last", THIRD, 22)]))
    assert [len(one.branches) for one in (first, later)] == [1, 1]
    assert await words(log, first.session) == ["one", "two", "two and a half"]
    assert (later.session, await words(log, later.session)) == (third.session, ["one", "aside", "further", "last"])


async def test_a_session_that_was_imported_as_one_of_its_own_stays_one(
    log: EventLog, files: list[Path], tmp_path: Path
) -> None:
    files[0].rename(tmp_path / "elsewhere")
    alone = await imported(log, files[1])
    (tmp_path / "elsewhere").rename(files[0])
    again = await imported(log, files[1])
    assert (again.session, again.branches, (await log.info(again.session)).parent) == (alone.session, (), None)
    assert await words(log, alone.session) == ["one", "aside"]


async def test_a_fork_goes_on_when_the_files_before_it_are_gone(
    log: EventLog, files: list[Path], tmp_path: Path
) -> None:
    third = await imported(log, files[2])
    for gone in files[:2]:
        gone.unlink()
    assert not (await imported(log, files[2])).branches
    later = await imported(log, write(tmp_path, [*THREE, prompt("u6", "u4", "last", THIRD, 22)]))
    assert [one.session for one in later.branches] == [third.session]
    assert await words(log, third.session) == ["one", "aside", "further", "last"]
    assert len(await log.sessions()) == 3


async def test_a_fork_in_which_nothing_was_said_yet_is_the_session_that_it_copied(
    log: EventLog, tmp_path: Path
) -> None:
    first = await imported(log, write(tmp_path, ONE))
    records = [queued(SECOND, 10), *copied(ONE, SECOND)]
    for silent in (records[1:], records):
        report = await imported(log, write(tmp_path, silent))
        assert (report.session, report.known, report.branches) == (first.session, True, ())
    report = await imported(log, write(tmp_path, [*records, prompt("u9", "u2", "aside", SECOND, 11)]))
    assert (await log.info(report.session)).parent == first.session
    assert await words(log, report.session) == ["one", "two", "aside"]


async def test_what_a_copy_says_otherwise_is_its_own_with_all_that_follows_it(log: EventLog, tmp_path: Path) -> None:
    write(tmp_path, ONE)
    edited = copied(ONE, SECOND)
    edited[1] = answer("a1", "u1", "m1", "One, as edited.", SECOND)
    report = await imported(log, write(tmp_path, [queued(SECOND, 10), *edited]))
    view = project(CONTEXT, await log.read(report.session))
    said = [getattr(one.message, "text", "") or getattr(one.message, "content", "") for one in history(view)]
    assert said == ["one", "One, as edited.", "two"]
    assert (await log.info(report.session)).parent
    assert await back(log, report.session) == [queued(SECOND, 10), *edited]


async def test_a_copy_of_a_file_is_no_fork(log: EventLog, files: list[Path], tmp_path: Path) -> None:
    first = await imported(log, files[0])
    (tmp_path / "backup.jsonl").write_text(files[0].read_text())
    assert (await imported(log, tmp_path / "backup.jsonl")).session == first.session


async def test_a_fork_of_the_agents_own_is_given_to_it_whole(log: EventLog, files: list[Path], tmp_path: Path) -> None:
    report = await imported(log, files[1])
    kept = {"CLAUDE_CONFIG_DIR": str(tmp_path / "home")}
    given = await hand_over(log, report.session, "claude-code", TO_CLAUDE_CODE, folder="/", environment=kept, at_us=1)
    async with open_store() as other:
        assert await words(other, (await imported(other, Path(given.path))).session) == ["one", "aside"]


async def test_what_a_command_put_out_that_no_model_was_told_is_not_told_by_a_copy(
    log: EventLog, tmp_path: Path
) -> None:
    put_out = record("x", "a1", "system", FIRST, 2, subtype="local_command", content="<local-command-stdout>No.")
    report = await imported(log, write(tmp_path, [*ONE[:3], put_out, ONE[3]]))
    assert await words(log, report.session) == ["one", "two"]
    kept = {"CLAUDE_CONFIG_DIR": str(tmp_path / "home")}
    given = await hand_over(log, report.session, "claude-code", TO_CLAUDE_CODE, folder="/", environment=kept, at_us=1)
    async with open_store() as other:
        assert await words(other, (await imported(other, Path(given.path))).session) == ["one", "two"]


async def test_a_copy_goes_on_through_records_that_every_version_follows(log: EventLog, tmp_path: Path) -> None:
    """2.0 knows none of `progress`, and loses all that stands before it."""
    runs = record("x", "a1", "progress", FIRST, 2, data={"type": "bash_progress"}, toolUseID="bash-progress-0")
    further = {**ONE[3], "parentUuid": uuid("x")}
    report = await imported(log, write(tmp_path, [*ONE[:3], runs, further, answer("a2", "u2", "m2", "Two.", at=3)]))
    kept = {"CLAUDE_CONFIG_DIR": str(tmp_path / "home")}
    given = await hand_over(log, report.session, "claude-code", TO_CLAUDE_CODE, folder="/", environment=kept, at_us=1)
    follows = {one["uuid"]: one["parentUuid"] for one in read(Path(given.path)) if "uuid" in one}
    path = [uuid("a2")]
    while (above := follows[path[-1]]) is not None:
        path.append(above)
    assert path == [uuid(name) for name in ("a2", "u2", "a1", "u1")]
    assert follows[uuid("x")] == uuid("a1")


async def test_a_fork_is_a_session_like_any_other(files: list[Path], tmp_path: Path) -> None:
    (tmp_path / "x").mkdir()
    report = await check_first_class(files[2], tmp_path / "x")
    assert report.messages == 1


async def test_the_usage_of_a_family_counts_once(log: EventLog, files: list[Path]) -> None:
    for path in files:
        await imported(log, path)
    answers = 0
    for info in await log.sessions():
        own = await log.read(info.id, after=info.fork_seq, limit=1_000)
        answers += sum(isinstance(one.event, MessageAdopt) and one.event.message.role == "assistant" for one in own)
    assert answers == 2
