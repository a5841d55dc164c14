"""A session that pi forked begins with a copy of the one that its header names: here it is a fork of that."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from eventsource.log import open_store
from eventsource.log.protocol import EventLog
from eventsource.messages import UserMessage
from projections import CONTEXT, history, project
from replay.formats import ImportReport, import_file
from replay.formats.pi.write import TO_PI, pi_parts
from replay.formats.to_agent import hand_over

from .first_class import check_first_class

Record = dict[str, Any]


def header(session: str, **more: Any) -> Record:
    time = f"2026-01-0{session[-1]}T00:00:00.000Z"
    return {"type": "session", "version": 3, "id": session, "timestamp": time, "cwd": "/work", **more}


def said(name: str, parent: str | None, text: str) -> Record:
    message = {"role": "user", "content": text, "timestamp": 1}
    return {"type": "message", "id": name, "parentId": parent, "timestamp": "2026-01-01T00:00:01Z", "message": message}


ONE = [header("s1"), said("a", None, "one"), said("b", "a", "two"), said("c", "b", "never heard")]


@pytest.fixture
def files(tmp_path: Path) -> list[Path]:
    two = [header("s2", parentSession=str(tmp_path / "s1.jsonl"), cwd="/other"), *ONE[1:3], said("d", "b", "aside")]
    three = [header("s3", parentSession="/gone/s2.jsonl"), *two[1:], said("e", "d", "further")]
    return [write(tmp_path, one) for one in (ONE, two, three)]


def write(folder: Path, records: Sequence[Record]) -> Path:
    path = folder / f"{records[0]['id']}.jsonl"
    path.write_text("".join(json.dumps(one) + "\n" for one in records))
    return path


def lines(path: Path) -> list[Record]:
    return [json.loads(line) for line in path.read_text().splitlines()]


async def imported(log: EventLog, path: Path) -> ImportReport:
    return await import_file(log, str(path))


async def words(log: EventLog, session: str) -> list[object]:
    view = project(CONTEXT, await log.read(session, limit=10_000))
    return [one.message.content for one in history(view) if isinstance(one.message, UserMessage)]


async def back(log: EventLog, session: str) -> list[Record]:
    return [json.loads(part) async for part in pi_parts(log, session)]


async def test_a_fork_is_a_fork_of_what_it_copied_which_comes_with_it(log: EventLog, files: list[Path]) -> None:
    third = await log.info((await imported(log, files[2])).session)
    second = await log.info(third.parent or "")
    first = await log.info(second.parent or "")
    assert [one.source for one in (first, second, third)] == ["pi:s1", "pi:s2", "pi:s3"]
    assert [one.folder for one in (first, second, third)] == ["/work", "/other", "/work"]
    assert [one.title for one in (first, second, third)] == ["one", "aside", "further"]
    assert [await words(log, one.id) for one in (first, second, third)] == [
        ["one", "two", "never heard"],
        ["one", "two", "aside"],
        ["one", "two", "aside", "further"],
    ]
    for info, path in zip((first, second, third), files, strict=True):
        assert await back(log, info.id) == lines(path)
        assert not (await imported(log, path)).branches


async def test_each_goes_on_by_itself(log: EventLog, files: list[Path], tmp_path: Path) -> None:
    second = await imported(log, files[1])
    first = await imported(log, write(tmp_path, [*ONE, said("f", "c", "three")]))
    later = await imported(log, write(tmp_path, [*lines(files[1]), said("g", "d", "last")]))
    assert await words(log, first.session) == ["one", "two", "never heard", "three"]
    assert (later.session, await words(log, second.session)) == (second.session, ["one", "two", "aside", "last"])


async def test_a_fork_of_a_file_that_is_gone_or_of_another_copy_is_a_session_of_its_own(
    log: EventLog, files: list[Path], tmp_path: Path
) -> None:
    write(tmp_path, [ONE[0], said("x", None, "another")])
    other = await imported(log, files[1])
    assert (await words(log, other.session), (await log.info(other.session)).parent) == (["one", "two", "aside"], None)
    files[1].unlink()
    alone = await imported(log, files[2])
    assert (len(await words(log, alone.session)), (await log.info(alone.session)).parent) == (4, None)


async def test_a_fork_goes_on_when_the_files_before_it_are_gone(
    log: EventLog, files: list[Path], tmp_path: Path
) -> None:
    third = await imported(log, files[2])
    for gone in files[:2]:
        gone.unlink()
    assert not (await imported(log, files[2])).branches
    later = await imported(log, write(tmp_path, [*lines(files[2]), said("g", "e", "last")]))
    assert [one.session for one in later.branches] == [third.session]
    assert await words(log, third.session) == ["one", "two", "aside", "further", "last"]


async def test_what_a_copy_says_otherwise_is_its_own_with_all_that_follows_it(log: EventLog, tmp_path: Path) -> None:
    write(tmp_path, ONE)
    edited = [header("s2", parentSession="/gone/s1.jsonl"), ONE[1], said("b", "a", "two, as edited"), ONE[3]]
    report = await imported(log, write(tmp_path, edited))
    assert await words(log, report.session) == ["one", "two, as edited", "never heard"]
    assert ((await log.info(report.session)).parent is not None, await back(log, report.session)) == (True, edited)


async def test_a_fork_is_given_to_pi_with_all_that_it_copied(log: EventLog, files: list[Path], tmp_path: Path) -> None:
    report = await imported(log, files[1])
    kept = {"PI_CODING_AGENT_DIR": str(tmp_path / "home")}
    given = await hand_over(log, report.session, "pi", TO_PI, folder="/there", environment=kept, at_us=1)
    found = lines(Path(given.path))
    assert [one["type"] for one in found] == ["session", "message", "message", "message"]
    async with open_store() as other:
        assert await words(other, (await imported(other, Path(given.path))).session) == ["one", "two", "aside"]


async def test_a_fork_is_a_session_like_any_other(files: list[Path], tmp_path: Path) -> None:
    (tmp_path / "x").mkdir()
    assert (await check_first_class(files[2], tmp_path / "x")).messages == 1
