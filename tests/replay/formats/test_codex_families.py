"""Files of Codex that belong together: forks are forks of what they go on from, sub-agents hang from their calls."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from eventsource.events import MessageAdopt
from eventsource.log import open_store
from eventsource.log.protocol import EventLog
from eventsource.messages import ToolResultMessage
from projections import CONTEXT, history, project
from refold import open_log
from replay.formats import ImportReport, import_file
from replay.formats.codex.family import file_of
from replay.formats.codex.file import CODEX
from replay.formats.codex.write import TO_CODEX, codex_parts
from replay.formats.finding import Finder
from replay.formats.to_agent import hand_over

from .first_class import check_first_class

Record = dict[str, Any]
UPTO = "forked_from_ordinal_exclusive"


def record(kind: str, at: int = 1, **payload: Any) -> Record:
    return {"timestamp": f"2026-01-01T00:00:0{at}.000Z", "type": kind, "payload": payload}


def meta(session: str, **more: Any) -> Record:
    return record("session_meta", id=session, cwd="/work", cli_version="0.171.0", **more)


def said(text: str, role: str = "user", at: int = 1) -> Record:
    part = "output_text" if role == "assistant" else "input_text"
    return record("response_item", at, type="message", role=role, content=[{"type": part, "text": text}])


def called(call: str, name: str = "spawn_agent") -> Record:
    return record("response_item", type="function_call", name=name, arguments="{}", call_id=call)


def output(call: str, text: str) -> Record:
    return record("response_item", type="function_call_output", call_id=call, output=text)


def counted(total: int) -> Record:
    usage = {"input_tokens": total, "output_tokens": 2}
    return record("event_msg", type="token_count", info={"total_token_usage": usage, "last_token_usage": usage})


def agent(session: str, begun_by: str, **more: Any) -> Record:
    spawn = {"thread_spawn": {"parent_thread_id": begun_by, "depth": 1}}
    return meta(session, parent_thread_id=begun_by, source={"subagent": spawn}, **more)


def write(folder: Path, records: Sequence[Record], *, first: int | None = None, day: str = "01") -> Path:
    """Write a session's file where Codex would; `first`: the ordinal of its first record."""
    path = folder / "2026" / "01" / day / f"rollout-x-{records[0]['payload']['id']}.jsonl"
    path.parent.mkdir(parents=True, exist_ok=True)
    numbered = records if first is None else [one | {"ordinal": place} for place, one in enumerate(records, first)]
    path.write_text("".join(json.dumps(one) + "\n" for one in numbered))
    return path


async def heard(log: EventLog, session: str) -> list[str]:
    view = project(CONTEXT, await log.read(session, limit=10_000))
    found = [entry.message for entry in history(view)]
    return ["".join(getattr(block, "text", "") for block in getattr(one, "content", ())) for one in found]


async def back(log: EventLog, session: str) -> list[Record]:
    return [json.loads(line) async for line in codex_parts(log, session)]


def lines(path: Path) -> list[Record]:
    return [json.loads(line) for line in path.read_text().splitlines()]


async def imported(log: EventLog, path: Path) -> ImportReport:
    return await import_file(log, str(path))


@pytest.fixture
def names() -> list[str]:
    return [str(uuid4()) for _ in range(4)]


@pytest.fixture
def forks(tmp_path: Path, names: list[str]) -> list[Path]:
    """A session, a fork of it, and a fork of that one, as Codex 0.171 writes them."""
    one, two, three = names[:3]
    return [
        write(tmp_path, [meta(one), said("one"), said("two"), said("never heard")], first=0),
        write(tmp_path, [meta(two, forked_from_id=one, **{UPTO: 3}), said("three"), said("no")], first=3, day="02"),
        write(tmp_path, [meta(three, forked_from_id=two, **{UPTO: 5}), said("four")], first=5, day="02"),
    ]


async def test_a_fork_brings_the_sessions_it_goes_on_from_and_is_a_fork_of_them(
    log: EventLog, forks: list[Path], names: list[str]
) -> None:
    report = await imported(log, forks[2])
    assert [(one.source, one.title) for one in (report, *report.others)] == [
        (f"codex:{names[2]}", "four"),
        (f"codex:{names[0]}", "one"),
        (f"codex:{names[1]}", "three"),
    ]
    info = await log.info(report.session)
    above = await log.info(info.parent or "")
    assert (info.title, info.source, above.source) == ("four", f"codex:{names[2]}", f"codex:{names[1]}")
    assert (await log.info(above.parent or "")).source == f"codex:{names[0]}"
    assert await heard(log, info.id) == ["one", "two", "three", "four"]
    assert await heard(log, above.id) == ["one", "two", "three", "no"]
    assert await heard(log, above.parent or "") == ["one", "two", "never heard"]
    assert (report.known, report.lost, (await log.verify()).ok) == (False, (), True)


async def test_a_fork_that_is_imported_again_has_nothing_new_and_one_that_grew_goes_on(
    log: EventLog, forks: list[Path]
) -> None:
    first = await imported(log, forks[2])
    for path in forks:
        again = await imported(log, path)
        assert (again.known, again.branches, again.others) == (True, (), ())
    grown = forks[2].read_text() + json.dumps(said("five") | {"ordinal": 7}) + "\n"
    forks[2].write_text(grown)
    again = await imported(log, forks[2])
    assert ([one.session for one in again.branches], again.known) == ([first.session], True)
    assert (await heard(log, first.session))[-2:] == ["four", "five"]


async def test_a_session_goes_on_though_a_fork_begins_at_its_end(
    log: EventLog, tmp_path: Path, names: list[str]
) -> None:
    one, two = names[:2]
    path = write(tmp_path, [meta(one), said("one")], first=0)
    fork = write(tmp_path, [meta(two, forked_from_id=one, **{UPTO: 2}), said("aside")], first=2)
    aside = await imported(log, fork)
    path.write_text(path.read_text() + json.dumps(said("two") | {"ordinal": 2}) + "\n")
    main = await imported(log, path)
    assert (len(main.branches), main.session) == (1, (await log.info(aside.session)).parent)
    assert (await heard(log, main.session), await heard(log, aside.session)) == (["one", "two"], ["one", "aside"])


async def test_each_file_of_a_line_of_forks_is_written_back_as_it_was(log: EventLog, forks: list[Path]) -> None:
    report = await imported(log, forks[2])
    two = (await log.info(report.session)).parent or ""
    one = (await log.info(two)).parent or ""
    for session, path in zip((one, two, report.session), forks, strict=True):
        assert await back(log, session) == lines(path)


async def test_what_a_file_does_not_say_any_more_is_taken_from_the_log(log: EventLog, forks: list[Path]) -> None:
    await imported(log, forks[1])
    for gone in forks[:2]:
        gone.unlink()
    report = await imported(log, forks[2])
    assert (await heard(log, report.session), report.lost) == (["one", "two", "three", "four"], ())
    assert (await log.info(report.session)).parent


async def test_a_fork_of_a_session_that_is_nowhere_is_one_of_its_own_and_says_so(
    log: EventLog, forks: list[Path], names: list[str]
) -> None:
    text = forks[0].read_text()
    forks[0].unlink()
    report = await imported(log, forks[1])
    (lost,) = report.lost
    assert f"it goes on from session {names[0]}, which is neither in this log nor has a file" in lost.problem
    assert (await heard(log, report.session), (await log.info(report.session)).parent) == (["three", "no"], None)
    forks[0].write_text(text)
    again = await imported(log, forks[1])
    assert (again.session, again.known, again.branches, again.lost) == (report.session, True, (), ())


async def test_a_copy_of_a_fork_holds_all_of_it(log: EventLog, forks: list[Path]) -> None:
    await imported(log, forks[2])
    copy = await import_file(log, str(forks[2]), again=True)
    assert (await heard(log, copy.session), copy.others) == (["one", "two", "three", "four"], ())
    assert (await log.info(copy.session)).parent is None


async def test_files_that_are_called_otherwise_find_each_other_too(
    log: EventLog, tmp_path: Path, forks: list[Path]
) -> None:
    for number, path in enumerate(forks):
        path.rename(tmp_path / f"{number}.jsonl")
    report = await imported(log, tmp_path / "2.jsonl")
    assert (await heard(log, report.session), len(report.others)) == (["one", "two", "three", "four"], 2)


@pytest.fixture
def copied(tmp_path: Path, names: list[str]) -> list[Path]:
    """A session, and a fork that begins with a copy of its first turn, as Codex wrote them before 0.171."""
    one, two = names[:2]
    turn = [said("one"), said("Hm.", "assistant"), counted(9), record("event_msg", type="task_complete")]
    begin = record("event_msg", type="task_started")
    first = [meta(one), begin, *turn, begin, said("two"), said("Two.", "assistant"), counted(20)]
    copy = [one | {"timestamp": "2026-01-02T00:00:00.000Z"} for one in (meta(one), *turn[:3])]
    other = [
        meta(two, forked_from_id=one, git={"branch": "aside"}),
        *copy,
        begin,
        said("aside"),
        said("Yes.", "assistant"),
    ]
    return [write(tmp_path, first), write(tmp_path, other, day="02")]


async def test_a_fork_that_begins_with_a_copy_is_a_fork_where_the_copy_ends(log: EventLog, copied: list[Path]) -> None:
    report = await imported(log, copied[1])
    info = await log.info(report.session)
    assert (await heard(log, info.id), info.title) == (["one", "Hm.", "aside", "Yes."], "aside")
    assert (info.folder, info.branch) == ("/work", "aside")
    assert await heard(log, info.parent or "") == ["one", "Hm.", "two", "Two."]
    own = await log.read(info.id, after=info.fork_seq, limit=1_000)
    adopted = [one for one in own if isinstance(one.event, MessageAdopt)]
    assert len(adopted) == 2, "what it shares stands in the log once"
    assert not (await imported(log, copied[1])).branches


async def test_a_fork_with_a_copy_is_written_back_with_what_it_copied(log: EventLog, copied: list[Path]) -> None:
    report = await imported(log, copied[1])
    found = await back(log, report.session)
    written = lines(copied[1])
    more = [one for one in found if one["payload"] not in [each["payload"] for each in written]]
    assert [one["payload"]["type"] for one in more] == ["task_complete"], "the other session's, which was not copied"
    assert [one["payload"] for one in written if one not in found] == [one["payload"] for one in written[1:5]]
    copied[1].write_text("".join(json.dumps(one) + "\n" for one in found))
    async with open_store() as other:
        assert await heard(other, (await imported(other, copied[1])).session) == ["one", "Hm.", "aside", "Yes."]


async def test_a_fork_that_copies_nothing_known_is_a_session_of_its_own(
    log: EventLog, tmp_path: Path, names: list[str]
) -> None:
    write(tmp_path, [meta(names[0]), said("one")])
    path = write(tmp_path, [meta(names[1], forked_from_id=names[0]), said("quite other")])
    report = await imported(log, path)
    assert (await heard(log, report.session), (await log.info(report.session)).parent) == (["quite other"], None)
    assert not (await imported(log, path)).branches


async def test_a_fork_given_to_codex_is_a_session_without_another(
    log: EventLog, tmp_path: Path, forks: list[Path], names: list[str]
) -> None:
    report = await imported(log, forks[2])
    home = {"CODEX_HOME": str(tmp_path / "home")}
    given = await hand_over(log, report.session, "codex", TO_CODEX, folder="/there", environment=home, at_us=1)
    first, *rest = lines(Path(given.path))
    assert (first["payload"]["id"], first["payload"]["cwd"]) == (given.id, "/there")
    assert not {UPTO, "forked_from_id"} & first["payload"].keys()
    assert [one["payload"].get("type") for one in rest] == ["message"] * 4
    assert [one["ordinal"] for one in (first, *rest)] == [0, 1, 2, 3, 4]


async def test_a_sub_agent_whose_parent_stands_in_its_source_alone_is_a_child(
    log: EventLog, tmp_path: Path, names: list[str]
) -> None:
    spawn = {"thread_spawn": {"parent_thread_id": names[0], "depth": 1}}
    write(tmp_path, [meta(names[1], source={"subagent": spawn}), said("dig"), said("Dug.", "assistant")])
    answer = json.dumps({"agent_id": names[1]})
    main = write(tmp_path, [meta(names[0]), said("send one"), called("c"), output("c", answer)])
    report = await imported(log, main)
    (child,) = report.children
    assert (await log.info(child.session)).started_by == report.session


async def test_why_names_of_each_message_the_file_that_it_came_from(tmp_path: Path, forks: list[Path]) -> None:
    async with open_log(tmp_path / "log.db") as log:
        report = await imported(log.store, forks[1])
        told = await (await log.find(report.session)).why(at=(await log.store.info(report.session)).head)
    parts = [part for part in told.parts if part.origin is not None]
    assert [Path(part.file).name for part in parts] == [forks[0].name] * 2 + [forks[1].name] * 2
    assert [part.origin and part.origin.entry for part in parts] == ["line 2", "line 3", "line 2", "line 3"]


@pytest.fixture
def agents(tmp_path: Path, names: list[str]) -> list[Path]:
    """A session that begins two sub-agents, of which one begins another one and one was told what was said before."""
    main, one, two, below = names
    began = {"type": "CollabAgentToolCall", "id": "y", "tool": "spawn_agent", "receiver_thread_ids": [two]}
    files = [
        [
            *(meta(main), said("send two"), called("x"), called("y"), called("z", "wait_agent")),
            record("event_msg", type="item_completed", item=began),
            output("x", json.dumps({"agent_id": one, "nickname": "Bo"})),
            output("y", "begun"),
            output("z", json.dumps({"status": {one: "done"}})),
        ],
        [agent(one, main), said("dig"), called("x"), output("x", json.dumps({"agent_id": below}))],
        [
            agent(two, main, forked_from_id=main, subagent_history_start_ordinal=3),
            *(meta(main), said("send two"), said("look")),
        ],
        [agent(below, one), said("dig deeper")],
    ]
    return [write(tmp_path, records, first=0) for records in files]


async def test_a_sub_agent_hangs_from_the_call_that_began_it(
    log: EventLog, agents: list[Path], names: list[str]
) -> None:
    report = await imported(log, agents[0])
    below = {one.source: one for one in report.children}
    first, second, deep = (below[f"codex:{name}"].session for name in names[1:])
    starters = [(await log.info(one)).started_by for one in (first, second, deep)]
    assert starters == [report.session, report.session, first]
    events = [one.event for one in await log.read(report.session, limit=1_000)]
    results = [one for one in events if isinstance(one, MessageAdopt) and isinstance(one.message, ToolResultMessage)]
    assert [one.child for one in results] == [first, second, ""]
    assert [below[f"codex:{name}"].title for name in names[1:]] == ["dig", "look", "dig deeper"]
    assert not any(one.branches for one in ((await imported(log, agents[0])).children))
    assert await back(log, first) == lines(agents[1])


def test_a_folder_of_sessions_has_sub_agents_with_the_session_that_began_them(agents: list[Path]) -> None:
    found = [one.path for one in Finder().among([agents[0].parents[3]]) if not isinstance(one, Exception)]
    assert found == [agents[0]]
    assert set(CODEX.beside(agents[0])) == set(agents[1:])
    os.utime(agents[0], (1, 1))
    assert not [*CODEX.beside(agents[0])], "nobody writes there any more"
    agents[0].unlink()
    found = [one.path for one in Finder().among([agents[1].parents[3]]) if not isinstance(one, Exception)]
    assert set(found) == {agents[1], agents[2]}


async def test_a_sub_agent_that_is_imported_by_itself_is_below_a_session_that_is_there(
    log: EventLog, agents: list[Path], tmp_path: Path
) -> None:
    aside = tmp_path / "aside.jsonl"
    agents[1].rename(aside)
    main = await imported(log, agents[0])
    alone = await imported(log, aside)
    assert (await log.info(alone.session)).started_by == main.session


async def test_the_file_of_a_sub_agent_brings_the_session_that_began_it(log: EventLog, agents: list[Path]) -> None:
    deep = await imported(log, agents[3])
    (main,) = deep.others
    assert {one.source: one.session for one in main.children}[deep.source] == deep.session
    assert (await log.info(main.session)).source == f"codex:{agents[0].stem.removeprefix('rollout-x-')}"


@pytest.mark.parametrize("day", ["2026/11/27", "2026/11/28", "2026/11/29", "2026/03/03"])
def test_a_file_is_found_on_the_day_that_its_name_says_or_on_any_other(tmp_path: Path, day: str) -> None:
    session = "01a2225a-8e70-7112-aae5-35d24f7ce6bf"  # of 28 November 2026
    for number in range(3):
        write(tmp_path / "sessions", [meta(str(uuid4()))], day=f"0{number + 1}")
    wanted = tmp_path / "sessions" / day / f"rollout-x-{session}.jsonl"
    wanted.parent.mkdir(parents=True)
    wanted.touch()
    beside = tmp_path / "sessions" / "2026" / "01" / "01" / "rollout-y.jsonl"
    assert file_of(beside, session) == wanted
    assert file_of(beside, "ffffffff-ffff-7fff-8000-000000000000") is None


async def test_a_fork_of_a_sub_agent_brings_the_whole_family(
    log: EventLog, tmp_path: Path, agents: list[Path], names: list[str]
) -> None:
    own = str(uuid4())
    path = write(tmp_path, [meta(own, forked_from_id=names[1], **{UPTO: 2}), said("other")], first=2, day="02")
    report = await imported(log, path)
    info = await log.info(report.session)
    above = await log.info(info.parent or "")
    assert await heard(log, info.id) == ["dig", "other"]
    assert (above.source, (await log.info(above.started_by)).source) == (f"codex:{names[1]}", f"codex:{names[0]}")


async def test_sessions_that_name_each_other_end_somewhere(log: EventLog, tmp_path: Path, names: list[str]) -> None:
    one, two = names[:2]
    paths = [
        write(tmp_path, [meta(one, forked_from_id=two, **{UPTO: 3}), said("one")], first=0),
        write(tmp_path, [meta(two, forked_from_id=one, **{UPTO: 3}), said("two")], first=0),
    ]
    reports = [await imported(log, path) for path in paths]
    assert [await heard(log, report.session) for report in reports] == [["one"], ["two"]]
    round_ = [[agent(a, b), called("x"), output("x", json.dumps({"agent_id": b}))] for a, b in ((one, two), (two, one))]
    for records in round_:
        path = write(tmp_path, records, first=0, day="03")
    assert (await imported(log, path)).entries


async def test_every_session_of_a_family_is_one_like_any_other(
    tmp_path: Path, forks: list[Path], agents: list[Path]
) -> None:
    for number, path in enumerate((forks[2], agents[0])):
        (tmp_path / str(number)).mkdir()
        await check_first_class(path, tmp_path / str(number))
