"""Sessions of opencode: a database or files of JSON; sub-sessions are children, compactions keep what it keeps."""

from __future__ import annotations

import json
import sqlite3
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings, strategies as st

from eventsource.errors import TranscriptError
from eventsource.events import Compaction, MessageAdopt
from eventsource.log import open_store
from eventsource.log.protocol import EventLog
from eventsource.machine.evolve import fold
from eventsource.messages import (
    AssistantMessage,
    ImageContent,
    Message,
    ThinkingContent,
    ToolResultMessage,
    UserMessage,
)
from projections import CONTEXT, USAGE, history, parts, project
from replay.formats import detect, import_file
from replay.formats.finding import Finder, FoundFile
from tests.replay.formats.first_class import check_first_class
from tests.replay.formats.opencode_store import MAIN, ROWS, Record, store


def upto(count: int) -> dict[str, list[Record]]:
    """Return the rows of the first messages alone."""
    messages = ROWS["message"][:count]
    ids = {one["id"] for one in messages}
    return {**ROWS, "message": messages, "part": [one for one in ROWS["part"] if one["message_id"] in ids]}


def spread(folder: Path, rows: dict[str, list[Record]]) -> Path:
    """Write rows as the files in which opencode kept sessions before. Returns: that of the main session."""
    for row in rows["session"]:
        times = {"created": row["time_created"], "updated": row["time_updated"]}
        info = {"id": row["id"], "title": row["title"], "directory": row["directory"], "projectID": "p", "time": times}
        more = {"parentID": row["parent_id"]} if row.get("parent_id") else {}
        _write(folder / "session" / "p" / f"{row['id']}.json", {**info, **more})
    for row in rows["message"]:
        named = {"id": row["id"], "sessionID": row["session_id"]}
        _write(folder / "message" / row["session_id"] / f"{row['id']}.json", {**row["data"], **named})
    for row in rows["part"]:
        named = {"id": row["id"], "sessionID": row["session_id"], "messageID": row["message_id"]}
        _write(folder / "part" / row["message_id"] / f"{row['id']}.json", {**row["data"], **named})
    return folder / "session" / "p" / f"{MAIN}.json"


def _write(path: Path, value: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value))


async def said(log: EventLog, session: str) -> list[Message]:
    view = project(CONTEXT, await log.read(session, limit=100_000))
    return [entry.message for entry in history(view) if entry.message is not None]


async def words(log: EventLog, session: str) -> list[str]:
    found: list[str] = []
    for one in await said(log, session):
        if isinstance(one, AssistantMessage):
            found += [one.text] if one.text else []
            found += [f"→{block.name}" for block in one.tool_calls] + ([one.error] if one.error else [])
        elif isinstance(one, ToolResultMessage):
            found.append(f"←{one.tool_name}{'!' if one.is_error else ''}")
        elif isinstance(one, UserMessage):
            found.append("".join(getattr(part, "text", "[image]") for part in one.content))
    return found


TOLD = [
    *('"TOOL: echo hi; ls"', "I run it.", "→bash", "←bash", "After the tool 3.", '"READ it"', "→read", "←read!"),
    *('"EDIT it"', "→write", "←write", "After the tool 3.", '"SUB agent"', "→task", "←task", "After the tool 6."),
    *('"FAIL please"', "Bad thing", "After", "Answer 8.", "What did we do so far?", "Title or summary 1"),
    *("After compaction[image]", "Answer 2.", "TOOL: sleep 20", "I run it.", "→bash", "Aborted", "←bash"),
]


@pytest.mark.parametrize("kept", ["database", "files"])
async def test_a_session_says_what_opencode_kept_of_it(log: EventLog, tmp_path: Path, kept: str) -> None:
    path = store(tmp_path / "opencode.db", ROWS) if kept == "database" else spread(tmp_path / "storage", ROWS)
    report = await import_file(log, str(path))
    assert await words(log, report.session) == TOLD
    info = await log.info(report.session)
    assert (info.title, info.agent, info.folder, info.model) == (
        *("Title or summary 1", "opencode", "/home/me/project"),
        "local/m1",
    )
    usage = project(USAGE, await log.read(report.session, limit=1_000)).total
    row = next(one for one in ROWS["session"] if one["id"] == MAIN)
    assert (usage.input_tokens, usage.cache_read_tokens) == (row["tokens_input"], row["tokens_cache_read"])
    assert usage.output_tokens == row["tokens_output"] + row["tokens_reasoning"]
    assert usage.cost_microusd == round(row["cost"] * 1e6)
    messages = await said(log, report.session)
    assert any(isinstance(block, ThinkingContent) for one in messages for block in getattr(one, "content", ()))
    assert any(isinstance(block, ImageContent) for one in messages for block in getattr(one, "content", ()))
    assert [one.stop_reason for one in messages if isinstance(one, AssistantMessage) and one.error] == [
        "error",
        "aborted",
    ]


async def test_a_sub_session_is_a_child_of_the_call_that_began_it(log: EventLog, tmp_path: Path) -> None:
    report = await import_file(log, str(store(tmp_path / "opencode.db", ROWS)))
    (child,) = report.children
    assert (await log.info(child.session)).started_by == report.session
    assert await words(log, child.session) == ["Count files", "Answer 5."]
    adopted = [one.event for one in await log.read(report.session, limit=1_000) if isinstance(one.event, MessageAdopt)]
    assert [one.child for one in adopted if one.child] == [child.session]
    again = await import_file(log, str(spread(tmp_path / "storage", ROWS)))
    assert (again.session, again.known, again.branches, again.children[0].branches) == (report.session, True, (), ())


async def test_what_a_compaction_keeps_stays_in_the_context(log: EventLog, tmp_path: Path) -> None:
    report = await import_file(log, str(store(tmp_path / "opencode.db", upto(len(ROWS["message"]) - 2))))
    events = await log.read(report.session, limit=1_000)
    assert [one.event.summary for one in events if isinstance(one.event, Compaction)] == ["Title or summary 1"]
    asked = [getattr(one.message, "text", "") or one.message.content[0].text for one in parts(project(CONTEXT, events))]  # type: ignore[union-attr]  # messages with texts
    assert asked == ["What did we do so far?", "Title or summary 1", "After compaction", "Answer 2."]
    kept = json.loads(json.dumps(ROWS))
    for part in kept["part"]:
        if part["data"]["type"] == "compaction":
            part["data"]["tail_start_id"] = "msg_221d998ff0017dT9qzq23cRZ80"
    async with open_store() as other:
        report = await import_file(other, str(store(tmp_path / "other.db", kept)))
        view = parts(project(CONTEXT, await other.read(report.session, limit=1_000)))
        assert [getattr(one.message, "text", "") for one in view][1:4] == ["Answer 8.", "", "Title or summary 1"]


async def test_a_store_that_grows_adds_what_is_new_though_opencode_changes_what_it_wrote(
    log: EventLog, tmp_path: Path
) -> None:
    path = tmp_path / "opencode.db"
    for count in range(1, len(ROWS["message"]) + 1):
        rows = json.loads(json.dumps(upto(count)))
        last = rows["message"][-1]["data"]
        if last["role"] == "user":
            last.pop("summary", None)  # comes once the answer is there
        rows["session"][0]["title"] = "New session" if count < 4 else rows["session"][0]["title"]
        if last["role"] == "assistant":
            unfinished = json.loads(json.dumps(rows))
            unfinished["message"][-1]["data"]["time"].pop("completed")
            unfinished["message"][-1]["data"].pop("error", None)
            unfinished["message"][-1]["time_updated"] = int(time.time() * 1000)
            report = await import_file(log, str(store(path, unfinished)))
            assert [note.problem for one in (report, *report.children) for note in one.recovered] == [
                "the last answer may go on, and is left for the next time"
            ]
        report = await import_file(log, str(store(path, rows)))
    await import_file(log, str(store(path, ROWS)))
    assert len(await log.sessions()) == 2
    assert await words(log, report.session) == TOLD
    assert (await log.info(report.session)).title == "Title or summary 1"


def forked(count: int, own: list[str], session: str = "ses_fork", base: str = MAIN, rows: Any = ROWS) -> Any:
    """Add a copy of a session's first messages, as `opencode run --fork` makes it, and prompts of its own."""
    rows = json.loads(json.dumps(rows))
    (row,) = (one for one in rows["session"] if one["id"] == base)
    begun = max(one["time_created"] for one in rows["message"]) + 1
    rows["session"].append({**row, "id": session, "title": f"{row['title']} (fork #1)", "time_created": begun})
    copied = [one for one in rows["message"] if one["session_id"] == base][:count]
    for place, one in enumerate(copied):
        name = f"msg_{session}{place:02}"
        data = {**one["data"], **({"parentID": f"msg_{session}00"} if "parentID" in one["data"] else {})}
        rows["message"].append({**one, "id": name, "session_id": session, "data": data})
        for part in [part for part in rows["part"] if part["message_id"] == one["id"]]:
            rows["part"].append({**part, "id": f"{part['id']}{session}", "message_id": name, "session_id": session})
    for place, words in enumerate(own, count):
        name, times = f"msg_{session}{place:02}", {"time_created": begun + place, "time_updated": begun + place}
        data = {"role": "user", "time": {"created": begun + place}}
        rows["message"].append({"id": name, "session_id": session, "data": data, **times})
        part = {"id": f"prt_{name}", "message_id": name, "session_id": session, "data": {"type": "text", "text": words}}
        rows["part"].append({**part, **times})
    return json.loads(json.dumps(rows))  # so that no copy shares anything


async def _by_source(log: EventLog) -> dict[str, Any]:
    return {one.source.removeprefix("opencode:"): one for one in await log.sessions()}


async def test_a_fork_of_opencode_is_a_fork_and_its_tokens_count_once(log: EventLog, tmp_path: Path) -> None:
    path = tmp_path / "opencode.db"
    report = await import_file(log, str(store(path, forked(4, ["Another way", "And on"]))))
    main, fork = (await _by_source(log))[MAIN], (await _by_source(log))["ses_fork"]
    assert (main.id, fork.parent, fork.title) == (report.session, main.id, f"{main.title} (fork #1)")
    own = [one.event for one in await log.read(fork.id, after=fork.fork_seq, limit=1_000)]
    assert [one.origin.session for one in own if isinstance(one, MessageAdopt)] == ["ses_fork"] * 2
    assert await words(log, fork.id) == [*TOLD[:6], "Another way", "And on"]
    assert await words(log, main.id) == TOLD
    assert not (await import_file(log, str(path))).branches
    rows = forked(6, ["Third"], session="ses_again", base="ses_fork", rows=forked(4, ["Another way", "And on", "Now"]))
    await import_file(log, str(store(path, rows)))
    third = (await _by_source(log))["ses_again"]
    assert (third.parent, len(await log.sessions())) == (fork.id, 4)
    assert await words(log, third.id) == [*TOLD[:6], "Another way", "And on", "Third"]
    assert (await words(log, fork.id))[6:] == ["Another way", "And on", "Now"]


async def test_a_fork_that_says_nothing_of_its_own_yet_is_one_once_it_does(log: EventLog, tmp_path: Path) -> None:
    path = store(tmp_path / "opencode.db", forked(len(ROWS["message"]), []))
    await import_file(log, str(path))
    assert "ses_fork" not in await _by_source(log)
    await import_file(log, str(store(path, forked(4, ["Another way"]))))
    assert await words(log, (await _by_source(log))["ses_fork"].id) == [*TOLD[:6], "Another way"]


async def test_sessions_that_were_begun_at_the_same_time_are_no_forks(log: EventLog, tmp_path: Path) -> None:
    rows = forked(4, ["Another way"])
    (said,) = (one for one in rows["part"] if one["message_id"] == "msg_ses_fork00")
    said["data"]["text"] = "Something else"
    await import_file(log, str(store(tmp_path / "opencode.db", rows)))
    other = (await _by_source(log))["ses_fork"]
    assert (other.parent, await words(log, other.id)) == (None, ["Something else", *TOLD[1:6], "Another way"])


async def test_a_message_by_itself_is_imported_with_its_session_alone(log: EventLog, tmp_path: Path) -> None:
    path = tmp_path / "message.json"
    _write(path, {"id": "m", "role": "user", "sessionID": "s", "time": {"created": 1}})
    assert detect(str(path)) == "opencode"
    with pytest.raises(TranscriptError, match="name the file of its session"):
        await import_file(log, str(path))
    assert not [*Finder().among([tmp_path])]


async def test_an_answer_of_several_steps_is_as_many_messages(log: EventLog, tmp_path: Path) -> None:
    tool = {"type": "tool", "tool": "bash", "callID": "x", "state": {"status": "completed", "input": {}, "output": "a"}}
    finish = {"type": "step-finish", "reason": "stop", "tokens": {"input": 10, "output": 2}, "cost": 0.001}
    steps = [{"type": "step-start"}, tool, finish, {"type": "step-start"}, {"type": "text", "text": "Done."}, finish]
    info = {"id": "s", "title": "T", "directory": "/w", "time": {"created": 1_700_000_000_000}}
    answer = {"id": "b", "role": "assistant", "time": {"created": 1_700_000_000_000, "completed": 1_700_000_001_000}}
    messages = [
        {"info": {"id": "a", "role": "user", "time": {}}, "parts": [{"type": "text", "text": "go"}]},
        {"info": {**answer, "tokens": {"input": 20, "output": 4}, "cost": 0.002}, "parts": steps},
    ]
    _write(tmp_path / "export.json", {"info": info, "messages": messages})
    assert detect(str(tmp_path / "export.json")) == "opencode"
    report = await import_file(log, str(tmp_path / "export.json"))
    assert await words(log, report.session) == ["go", "→bash", "←bash", "Done."]
    usage = project(USAGE, await log.read(report.session)).total
    assert (usage.input_tokens, usage.output_tokens, usage.cost_microusd) == (20, 4, 2_000)


async def test_sessions_are_found_where_opencode_keeps_them_and_in_a_folder(tmp_path: Path) -> None:
    home = tmp_path / "opencode"
    home.mkdir()
    store(home / "opencode.db", ROWS)
    spread(home / "storage", ROWS)
    _, found = Finder().kept_by("opencode", {"XDG_DATA_HOME": str(tmp_path)})
    files = [one for one in found if isinstance(one, FoundFile)]
    assert sorted(one.path.name for one in files) == ["opencode.db", f"{MAIN}.json"]
    assert {one.path.name: dict(one.folders) for one in files}["opencode.db"] == {
        f"opencode:{MAIN}": "/home/me/project"
    }
    assert [one.path.name for one in Finder().among([tmp_path]) if isinstance(one, FoundFile)] != []
    assert {one.path for one in Finder().among([tmp_path]) if isinstance(one, FoundFile)} == {one.path for one in files}


EXPORT = Path(__file__).parent / "fixtures" / "opencode-export.json"  # of the same session, by `opencode export`


async def test_a_store_is_read_and_not_changed_and_its_sessions_are_like_others(tmp_path: Path) -> None:
    path = store(tmp_path / "opencode.db", ROWS)
    before = path.read_bytes()
    report = await check_first_class(path, tmp_path)
    assert (path.read_bytes(), report.kept, report.lost) == (before, (), ())
    (tmp_path / "other").mkdir()
    assert (await check_first_class(EXPORT, tmp_path / "other")).kept == ()


async def test_what_opencode_exports_is_the_same_session_as_the_one_in_its_store(log: EventLog, tmp_path: Path) -> None:
    report = await import_file(log, str(store(tmp_path / "opencode.db", ROWS)))
    again = await import_file(log, str(EXPORT))
    assert (again.session, again.known, again.branches) == (report.session, True, ())


def test_a_database_that_is_damaged_or_none_of_opencode_is_told(tmp_path: Path) -> None:
    other = tmp_path / "other.db"
    sqlite3.connect(other).execute("CREATE TABLE session (id)").connection.commit()
    with pytest.raises(TranscriptError):
        detect(str(other))


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | st.text(st.characters(codec="utf-8"), max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=6,
)
STATES = st.fixed_dictionaries(
    {}, optional={"status": st.sampled_from(["completed", "error"]) | JSON, "input": JSON, "time": JSON}
)
PARTS = st.fixed_dictionaries(
    {"type": st.sampled_from(["text", "tool", "reasoning", "file", "compaction", "step-start", "step-finish"]) | JSON},
    optional={
        "text": st.just("x") | JSON,
        "state": STATES | JSON,
        "tokens": JSON,
        "cost": JSON,
        "callID": st.just("c") | JSON,
    },
)
INFOS = st.fixed_dictionaries(
    {"role": st.sampled_from(["user", "assistant"]) | JSON},
    optional={"id": st.sampled_from(["a", "b"]) | JSON, "time": JSON, "error": JSON, "summary": JSON, "parentID": JSON},
)


@given(
    st.lists(
        st.fixed_dictionaries({"info": INFOS | JSON, "parts": st.lists(PARTS | JSON, max_size=4) | JSON}), max_size=4
    )
)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
async def test_whatever_an_export_holds_goes_in_once(tmp_path: Path, messages: list[Any]) -> None:
    info = {"id": "s", "title": "T", "directory": "/w", "time": {"created": 1}}
    first = {"info": {"role": "user", "id": "z"}, "parts": [{"type": "text", "text": "x"}]}
    path = tmp_path / "export.json"
    _write(path, {"info": info, "messages": [first, *messages]})
    async with open_store() as log:
        report = await import_file(log, str(path))
        for one in await log.sessions():
            fold(await log.read(one.id, limit=1_000))
        assert not (await import_file(log, str(path))).branches
        assert report.messages >= 1
