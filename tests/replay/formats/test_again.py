"""A session file that is imported again adds what is new, parts where it parts, and says when there is nothing new."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, given, settings, strategies as st

from eventsource.events import Custom, Label, MessageAdopt
from eventsource.log import open_store
from eventsource.log.protocol import EventLog
from eventsource.messages import UserMessage
from projections import CONTEXT, history, project
from replay.formats import ImportReport, import_file
from replay.formats.format import SourceSession
from replay.formats.importing import import_sessions
from replay.formats.pi.file import PI
from replay.formats.pi.write import export_pi

Line = dict[str, Any]
HEADER: Line = {"type": "session", "version": 3, "id": "s1", "timestamp": "2026-01-01T00:00:00.000Z", "cwd": "/tmp"}


def said(name: str, parent: str | None, text: str = "") -> Line:
    time = "2026-01-01T00:00:01.000Z"
    message = {"role": "user", "content": text or name}
    return {"type": "message", "id": name, "parentId": parent, "timestamp": time, "message": message}


async def put(log: EventLog, folder: Path, *lines: Line) -> ImportReport:
    path = folder / "session.jsonl"
    _write(path, "".join(json.dumps(line) + "\n" for line in (HEADER, *lines)))
    return await import_file(log, str(path))


def _write(path: Path, text: str) -> None:
    path.write_text(text)


async def texts(log: EventLog, session: str) -> list[object]:
    view = project(CONTEXT, await log.read(session, limit=100_000))
    return [entry.message.content for entry in history(view) if isinstance(entry.message, UserMessage)]


async def test_the_same_file_again_adds_nothing_and_says_so(log: EventLog, tmp_path: Path) -> None:
    lines = [said("a", None), said("b", "a"), said("c", "a")]
    first = await put(log, tmp_path, *lines)
    heads = [(info.id, info.head) for info in await log.sessions()]
    again = await put(log, tmp_path, *lines)
    assert (first.known, first.entries) == (False, 3)
    assert (again.known, again.entries, again.branches, again.session) == (True, 0, (), first.session)
    assert [(info.id, info.head) for info in await log.sessions()] == heads


async def test_what_tells_no_time_is_as_old_as_its_file(log: EventLog, tmp_path: Path) -> None:
    path = tmp_path / "session.jsonl"
    lines = [{"type": "message", "message": {"role": "user", "content": text}} for text in ("a", "b")]
    _write(path, "".join(json.dumps(line) + "\n" for line in lines))
    os.utime(path, (1_700_000_000, 1_700_000_000))
    report = await import_file(log, str(path), format="pi")
    info = await log.info(report.session)
    assert (info.created_at_us, info.updated_at_us) == (1_700_000_000_000_000, 1_700_000_000_000_000)
    back = [json.loads(line) for line in (await export_pi(log, report.session)).splitlines()[1:]]
    assert [one | line for one, line in zip(back, lines, strict=True)] == back, "no time was invented"
    assert not any("timestamp" in one for one in back)


async def test_what_was_added_to_a_file_is_added_to_its_session(log: EventLog, tmp_path: Path) -> None:
    first = await put(log, tmp_path, said("a", None), said("b", "a"))
    again = await put(log, tmp_path, said("a", None), said("b", "a"), said("c", "b"))
    assert (again.entries, [branch.session for branch in again.branches]) == (1, [first.session])
    assert await texts(log, first.session) == ["a", "b", "c"]
    assert [info.id for info in await log.sessions()] == [first.session]


async def test_a_branch_that_was_added_becomes_a_fork_and_a_longer_one_goes_on(log: EventLog, tmp_path: Path) -> None:
    lines = [said("a", None), said("b", "a"), said("c", "a")]
    first = await put(log, tmp_path, *lines)
    fork = first.branches[1].session
    again = await put(log, tmp_path, *lines, said("d", "b"), said("e", "a"), said("f", "c"))
    assert await texts(log, first.session) == ["a", "c", "f"]
    assert await texts(log, fork) == ["a", "b", "d"]
    (new,) = (branch for branch in again.branches if branch.session not in (first.session, fork))
    assert await texts(log, new.session) == ["a", "e"]


async def test_entries_that_part_from_what_is_there_become_a_fork(log: EventLog, tmp_path: Path) -> None:
    first = await put(log, tmp_path, said("a", None), said("b", "a"), said("c", "b"))
    again = await put(log, tmp_path, said("a", None), said("b", "a", "changed"), said("c", "b"), said("d", "c"))
    assert await texts(log, first.session) == ["a", "b", "c"]
    (fork,) = again.branches
    assert (fork.parent, await texts(log, fork.session)) == (first.session, ["a", "changed", "c", "d"])


async def test_what_was_gone_on_with_here_is_left_alone_and_the_file_goes_on_beside_it(
    log: EventLog, tmp_path: Path
) -> None:
    first = await put(log, tmp_path, said("a", None), said("b", "a"))
    await log.append(first.session, [(1, Custom(kind="mine"))])
    again = await put(log, tmp_path, said("a", None), said("b", "a"), said("c", "b"))
    (fork,) = again.branches
    assert (fork.parent, await texts(log, fork.session)) == (first.session, ["a", "b", "c"])
    assert await texts(log, first.session) == ["a", "b"]
    once_more = await put(log, tmp_path, said("a", None), said("b", "a"), said("c", "b"), said("d", "c"))
    assert [branch.session for branch in once_more.branches] == [fork.session]


async def test_a_fork_that_somebody_made_here_is_not_taken_for_a_branch_of_the_file(
    log: EventLog, tmp_path: Path
) -> None:
    first = await put(log, tmp_path, said("a", None), said("b", "a"))
    head = (await log.info(first.session)).head
    mine = await log.fork(first.session, head, at_us=1)
    await log.append(mine.id, [(1, Label(text="mine"))])
    again = await put(log, tmp_path, said("a", None), said("b", "a"), said("c", "b"))
    assert [branch.session for branch in again.branches] == [first.session]


async def test_a_session_that_was_deleted_here_is_imported_anew(log: EventLog, tmp_path: Path) -> None:
    first = await put(log, tmp_path, said("a", None))
    await log.delete(first.session)
    assert not (await put(log, tmp_path, said("a", None))).known


NAMES = "abcdefgh"


@st.composite
def trees(draw: st.DrawFn) -> list[Line]:
    """Draw a file: each entry follows one that stands before it, or begins anew."""
    size = draw(st.integers(1, len(NAMES)))
    parents = [draw(st.sampled_from([None, *NAMES[:number]])) for number in range(size)]
    return [said(name, parent) for name, parent in zip(NAMES, parents, strict=False)]


@given(trees(), st.data())
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
async def test_a_file_imported_as_it_grows_holds_what_it_holds_imported_at_once(
    tmp_path: Path, lines: list[Line], data: st.DataObject
) -> None:
    cuts = sorted(data.draw(st.sets(st.integers(1, len(lines)), max_size=3)))
    async with open_store() as log:
        for cut in cuts:
            await put(log, tmp_path, *lines[:cut])
        grown = await put(log, tmp_path, *lines)
        found = sorted([await texts(log, info.id) for info in await log.sessions()], key=str)
        back = await export_pi(log, grown.session)
    async with open_store() as log:
        await put(log, tmp_path, *lines)
        wanted = sorted([await texts(log, info.id) for info in await log.sessions()], key=str)
    assert all(one in found for one in wanted)
    assert [json.loads(line) for line in back.splitlines()] == [HEADER, *lines]


async def test_a_file_of_many_batches_is_whole_and_found_again(log: EventLog, tmp_path: Path) -> None:
    names = [f"n{number}" for number in range(2_500)]
    lines = [said(name, before) for name, before in zip(names, [None, *names], strict=False)]
    first = await put(log, tmp_path, *lines)
    assert (first.entries, await texts(log, first.session)) == (2_500, names)
    adopted = [one for one in await log.read(first.session, limit=10_000) if isinstance(one.event, MessageAdopt)]
    assert len(adopted) == 2_500
    assert (await put(log, tmp_path, *lines, said("last", names[-1]))).entries == 1


async def test_of_several_sessions_in_one_file_each_is_reported_titled_and_found_again(
    log: EventLog, tmp_path: Path
) -> None:
    sources: list[SourceSession] = []
    for name in "xyz":
        path = tmp_path / f"{name}.jsonl"
        lines = [HEADER | {"id": name}, *([] if name == "y" else [said("a", None, f"I am {name}.")])]
        _write(path, "".join(json.dumps(line) + "\n" for line in lines))
        sources += PI.sessions(path, growing=False)
    reports = await import_sessions(log, sources, path="all.db", session="mine")
    assert [(one.session, one.title, one.source) for one in reports] == [
        ("mine", "I am x.", "pi:x"),
        ("mine-2", "I am z.", "pi:z"),
    ]
    assert [await texts(log, one.session) for one in reports] == [["I am x."], ["I am z."]]
    again = await import_sessions(log, sources, path="all.db")
    assert [(one.session, one.known, one.branches) for one in again] == [("mine", True, ()), ("mine-2", True, ())]
    await log.delete("mine")
    left = await import_sessions(log, sources, path="all.db", without={"pi:x"})
    assert [(one.session, one.branches) for one in left] == [("", ()), ("mine-2", ())]
    assert [info.id for info in await log.sessions()] == ["mine-2"]


async def test_entries_of_pi_that_are_not_understood_are_kept_and_named(log: EventLog, tmp_path: Path) -> None:
    odd = {**said("b", "a"), "message": {"role": "oracle"}}
    lines = [said("a", None), {**said("h", "a"), "type": "hologram"}, odd, {**said("c", "b"), "timestamp": 5}]
    path = tmp_path / "session.jsonl"
    _write(path, "".join(json.dumps(line) + "\n" for line in ({**HEADER, "version": 9}, *lines)))
    report = await import_file(log, str(path))
    assert {(note.number, note.problem) for note in report.kept} == {
        (2, "4 records of version 9 of pi's format; 3 is the newest that is known here"),
        (3, "1 record of type 'hologram', which is not known here"),
        (4, "1 record with a message of the role 'oracle', which is not known here"),
        (5, "1 record whose time cannot be read"),
    }
    assert not (await import_file(log, str(path))).kept, "nothing is new"
