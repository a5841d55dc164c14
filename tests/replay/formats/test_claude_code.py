"""Sessions of Claude Code become sessions and forks: a batch of calls is one path, rewinds are branches."""

from __future__ import annotations

import json
from collections.abc import Sequence
from itertools import count
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, given, settings, strategies as st

from eventsource.events import Compaction, ConfigChange, Custom, MessageAdopt, ModelRef
from eventsource.log import open_store
from eventsource.log.protocol import EventLog
from eventsource.message_text import role_of, whole_text
from eventsource.messages import AssistantMessage, Message, ToolResultMessage, UserMessage
from projections import CONTEXT, history, parts, project
from replay.formats import ImportReport, detect, import_file
from replay.formats.claude_code.write import claude_code_parts

Record = dict[str, Any]
SESSION = "0a1b2c3d-4e5f-4061-8071-2a3b4c5d6e7f"
_times = count(1)


def record(name: str, parent: str | None, kind: str, **fields: Any) -> Record:
    time = f"2026-01-01T00:00:{next(_times) % 60:02d}.000Z"
    shared = {"isSidechain": False, "userType": "external", "cwd": "/work", "sessionId": SESSION, "version": "2.1.14"}
    named = {"parentUuid": parent, "uuid": name, "timestamp": time, "type": kind}
    return {**named, **shared, "gitBranch": "main", **fields}


def prompt(name: str, parent: str | None, text: str, **fields: Any) -> Record:
    return record(name, parent, "user", message={"role": "user", "content": text}, **fields)


def answer(name: str, parent: str | None, answer_id: str, *blocks: Record, **usage: int) -> Record:
    counts = {"input_tokens": 5, "output_tokens": 7} | usage
    message = {"id": answer_id, "type": "message", "role": "assistant", "model": "claude-x", "content": list(blocks)}
    return record(name, parent, "assistant", message={**message, "stop_reason": None, "usage": counts})


def text(said: str) -> Record:
    return {"type": "text", "text": said}


def call(call_id: str, tool: str = "Bash", **arguments: Any) -> Record:
    return {"type": "tool_use", "id": call_id, "name": tool, "input": arguments}


def result(name: str, parent: str, call_id: str, said: str = "done", **fields: Any) -> Record:
    block = {"tool_use_id": call_id, "type": "tool_result", "content": said}
    return record(name, parent, "user", message={"role": "user", "content": [block]}, **fields)


async def put(log: EventLog, folder: Path, *records: Record) -> ImportReport:
    path = folder / f"{SESSION}.jsonl"
    _write(path, records)
    return await import_file(log, str(path))


def _write(path: Path, records: Sequence[Record]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(one) + "\n" for one in records))


async def said(log: EventLog, session: str) -> list[Message]:
    view = project(CONTEXT, await log.read(session, limit=100_000))
    return [entry.message for entry in history(view) if entry.message is not None]


async def words(log: EventLog, session: str) -> list[object]:
    return [message.content for message in await said(log, session) if isinstance(message, UserMessage)]


async def back(log: EventLog, session: str) -> list[Record]:
    return [json.loads(line) async for line in claude_code_parts(log, session)]


BATCH = (
    prompt("p", None, "look"),
    answer("a1", "p", "m1", text("I look.")),
    answer("a2", "a1", "m1", call("x")),
    answer("a3", "a2", "m1", call("y")),
    result("r1", "a2", "x", toolUseResult={"stdout": "1"}),
    result("r2", "a3", "y"),
    answer("b", "r2", "m2", text("Done.")),
)


async def test_the_records_of_one_answer_are_one_message_and_its_usage_counts_once(
    log: EventLog, tmp_path: Path
) -> None:
    report = await put(log, tmp_path, *BATCH)
    first, second = (one for one in await said(log, report.session) if isinstance(one, AssistantMessage))
    assert [first.text, [one.id for one in first.tool_calls], second.text] == ["I look.", ["x", "y"], "Done."]
    assert (await log.info(report.session)).input_tokens == 10


async def test_parallel_calls_are_one_path_and_each_result_names_its_call(log: EventLog, tmp_path: Path) -> None:
    report = await put(log, tmp_path, *BATCH)
    assert len(report.branches) == 1
    adopted = [one for one in await log.read(report.session) if isinstance(one.event, MessageAdopt)]
    places = [
        (one.event.call.content_index if one.event.call else None, one.event.message.tool_name)
        for one in adopted
        if isinstance(one.event, MessageAdopt) and isinstance(one.event.message, ToolResultMessage)
    ]
    assert places == [(1, "Bash"), (2, "Bash")]


async def test_an_answer_whose_first_call_is_answered_before_its_second_is_written_is_still_one(
    log: EventLog, tmp_path: Path
) -> None:
    p, a1, a2, a3, r1, r2, b = BATCH
    report = await put(log, tmp_path, p, a1, a2, r1, a3, r2, b)
    assert [type(one).__name__ for one in await said(log, report.session)] == [
        "UserMessage",
        "AssistantMessage",
        "ToolResultMessage",
        "ToolResultMessage",
        "AssistantMessage",
    ]
    assert await back(log, report.session) == [p, a1, a2, r1, a3, r2, b]


async def test_a_rewind_is_a_branch_and_what_stands_beside_the_conversation_is_none(
    log: EventLog, tmp_path: Path
) -> None:
    beside = record("s", "b", "system", subtype="turn_duration", durationMs=5)
    progress = record("g", "a2", "progress", data={"type": "hook_progress"})
    snapshot = {"type": "file-history-snapshot", "messageId": "p", "snapshot": {}, "isSnapshotUpdate": False}
    records = [snapshot, *BATCH, progress, beside, prompt("n", "b", "new"), prompt("o", "b", "other")]
    report = await put(log, tmp_path, *records)
    assert [(branch.parent is None, branch.messages) for branch in report.branches] == [(True, 6), (False, 1)]
    assert await words(log, report.session) == ["look", "other"]
    assert await words(log, report.branches[1].session) == ["look", "new"]
    assert await back(log, report.session) == records


async def test_what_hangs_from_the_last_message_that_a_compaction_keeps_is_said_behind_the_summary(
    log: EventLog, tmp_path: Path
) -> None:
    kept = {"preservedSegment": {"headUuid": "b", "anchorUuid": "s", "tailUuid": "b"}}
    boundary = record("c", None, "system", subtype="compact_boundary", logicalParentUuid="b", compactMetadata=kept)
    records = [
        prompt("a", None, "one"),
        answer("b", "a", "m1", text("One.")),
        boundary,
        prompt("s", "c", "so far", isCompactSummary=True),
        prompt("d", "b", "two"),
    ]
    report = await put(log, tmp_path, *records)
    sent = [whole_text(part.message) for part in parts(project(CONTEXT, await log.read(report.session, limit=99)))]
    assert (len(report.branches), sent[1:], "so far" in sent[0]) == (1, ["One.", "two"], True)
    assert await back(log, report.session) == records


async def test_what_a_command_put_out_may_be_named_last_of_what_a_compaction_keeps(
    log: EventLog, tmp_path: Path
) -> None:
    output = "<local-command-stdout>Not enough messages to compact.</local-command-stdout>"
    put_out = record("l", "b", "system", subtype="local_command", content=output)
    kept = {
        "preservedSegment": {"headUuid": "e", "anchorUuid": "s", "tailUuid": "l"},
        "preservedMessages": {"anchorUuid": "s", "uuids": ["e", "l"]},
    }
    records = [
        prompt("a", None, "one"),
        answer("b", "a", "m1", text("One.")),
        put_out,
        answer("e", "b", "m2", text("No response requested.")),
        record("c", None, "system", subtype="compact_boundary", logicalParentUuid="l", compactMetadata=kept),
        prompt("s", "c", "so far", isCompactSummary=True),
        prompt("d", "e", "two"),
    ]
    report = await put(log, tmp_path, *records)
    sent = [whole_text(part.message) for part in parts(project(CONTEXT, await log.read(report.session, limit=99)))]
    assert ("so far" in sent[0], sent[-2:]) == (True, ["No response requested.", "two"])
    assert "one" not in sent
    assert await back(log, report.session) == records


async def test_a_compaction_stands_for_what_was_said_before_but_for_what_it_keeps(
    log: EventLog, tmp_path: Path
) -> None:
    kept = {"trigger": "auto", "preTokens": 99, "preservedMessages": {"anchorUuid": "s", "uuids": ["b"]}}
    boundary = record("c", None, "system", subtype="compact_boundary", logicalParentUuid="b", compactMetadata=kept)
    summary = prompt("s", "c", "In short: looked.", isCompactSummary=True)
    records = [*BATCH, boundary, summary, prompt("n", "s", "go on")]
    report = await put(log, tmp_path, *records)
    recorded = await log.read(report.session)
    (compaction,) = (one.event for one in recorded if isinstance(one.event, Compaction))
    assert (compaction.summary, compaction.tokens_before) == ("In short: looked.", 99)
    assert len(parts(project(CONTEXT, recorded))) == 3
    assert len(report.branches) == 1
    assert await back(log, report.session) == records


async def test_what_was_typed_while_the_agent_worked_is_said_once(log: EventLog, tmp_path: Path) -> None:
    queued = {"type": "queue-operation", "operation": "remove", "content": "also this", "sessionId": SESSION}
    attached = record("q", "b", "attachment", attachment={"type": "queued_command", "prompt": "also this"})
    alone = await put(log, tmp_path, *BATCH, queued)
    assert await words(log, alone.session) == ["look", "also this"]
    async with open_store() as other:
        both = await put(other, tmp_path, *BATCH, queued, attached)
        assert await words(other, both.session) == ["look", "also this"]


async def test_a_session_has_its_title_agent_folder_branch_and_model(log: EventLog, tmp_path: Path) -> None:
    meta = prompt("m", None, "Caveat: not typed", isMeta=True)
    command = prompt("k", "m", "<command-name>/model</command-name><command-args></command-args>")
    first = prompt("p", "k", "Fix the bug")
    records = [meta, command, first, answer("a", "p", "m1", text("Yes."))]
    report = await put(log, tmp_path, *records)
    info = await log.info(report.session)
    assert (info.title, info.agent, info.folder, info.branch) == ("Fix the bug", "claude-code", "/work", "main")
    assert info.source == f"claude-code:{SESSION}"
    changes = [one.event.model for one in await log.read(report.session) if isinstance(one.event, ConfigChange)]
    assert changes == [ModelRef(api="anthropic-messages", provider="anthropic", model="claude-x")]
    named = {"type": "custom-title", "customTitle": "My work", "sessionId": SESSION}
    again = await put(log, tmp_path, *records, named)
    assert (again.entries, (await log.info(report.session)).title) == (1, "My work")


async def test_a_failed_request_is_an_error_and_not_sent_to_a_model(log: EventLog, tmp_path: Path) -> None:
    failed = answer("e", "p", "m1", text("API Error: 529"))
    failed = {**failed, "isApiErrorMessage": True, "message": {**failed["message"], "model": "<synthetic>"}}
    report = await put(log, tmp_path, prompt("p", None, "hi"), failed)
    (found,) = (one for one in await said(log, report.session) if isinstance(one, AssistantMessage))
    assert (found.stop_reason, found.error) == ("error", "API Error: 529")
    assert (await log.info(report.session)).model == ""


async def test_a_sub_agent_in_a_file_of_its_own_is_a_child_of_the_call_that_began_it(
    log: EventLog, tmp_path: Path
) -> None:
    asked = answer("a", "p", "m1", call("t", "Task", prompt="search", description="s"))
    told = result("r", "a", "t", "found", toolUseResult={"agentId": "abc123", "status": "completed"})
    child = [
        {**prompt("c1", None, "search"), "isSidechain": True, "agentId": "abc123"},
        {**answer("c2", "c1", "m9", text("found")), "isSidechain": True, "agentId": "abc123"},
    ]
    _write(tmp_path / SESSION / "subagents" / "agent-abc123.jsonl", child)
    report = await put(log, tmp_path, prompt("p", None, "go"), asked, told)
    (below,) = report.children
    (adopted,) = (
        one.event
        for one in await log.read(report.session)
        if isinstance(one.event, MessageAdopt) and isinstance(one.event.message, ToolResultMessage)
    )
    info = await log.info(below.session)
    assert (adopted.child, info.started_by, below.messages) == (info.id, report.session, 2)
    await log.delete(report.session)
    again = await put(log, tmp_path, prompt("p", None, "go"), asked, told)
    assert (again.known, again.children[0].known, again.children[0].session) == (False, True, info.id)
    assert [one.event.child for one in await log.read(again.session) if isinstance(one.event, MessageAdopt)][
        2
    ] == info.id


async def test_a_sub_agents_sub_agent_is_its_child(log: EventLog, tmp_path: Path) -> None:
    def agent(name: str, *records: Record) -> None:
        said = [{**one, "isSidechain": True, "agentId": name} for one in records]
        _write(tmp_path / SESSION / "subagents" / f"agent-{name}.jsonl", said)

    def asks(prefix: str, child: str) -> list[Record]:
        asked = answer(f"{prefix}a", f"{prefix}p", f"m{prefix}", call(f"{prefix}t", "Agent", prompt="dig"))
        told = result(f"{prefix}r", f"{prefix}a", f"{prefix}t")
        if prefix == "0":
            return [asked, {**told, "toolUseResult": {"agentId": child}}]
        (block,) = told["message"]["content"]
        block["content"] = [text("found"), text(f"agentId: {child} (use SendMessage to go on)")]
        return [asked, told]

    agent("aaa", prompt("1p", None, "dig"), *asks("1", "bbb"))
    agent("bbb", prompt("2p", None, "dig"))
    report = await put(log, tmp_path, prompt("0p", None, "go"), *asks("0", "aaa"))
    started = {one.session[-3:]: (await log.info(one.session)).started_by for one in report.children}
    assert started == {"aaa": report.session, "bbb": f"{report.session}-aaa"}


async def test_a_sub_agent_in_the_same_file_is_found_by_what_it_is_told(log: EventLog, tmp_path: Path) -> None:
    asked = answer("a", "p", "m1", call("t", "Task", prompt="search", description="s"))
    records = [
        prompt("p", None, "go"),
        asked,
        {**prompt("c1", None, "search"), "isSidechain": True},
        {**answer("c2", "c1", "m9", text("found")), "isSidechain": True},
        result("r", "a", "t", "found"),
    ]
    report = await put(log, tmp_path, *records)
    (below,) = report.children
    assert await words(log, below.session) == ["search"]
    assert (await log.info(below.session)).started_by == report.session
    assert [one.event.child for one in await log.read(report.session) if isinstance(one.event, MessageAdopt)] == [
        "",
        "",
        below.session,
    ]
    assert await back(log, report.session) == records


def test_files_of_claude_code_are_known(tmp_path: Path) -> None:
    _write(tmp_path / "a.jsonl", BATCH)
    assert detect(str(tmp_path / "a.jsonl")) == "claude-code"
    _write(tmp_path / "b.jsonl", [{"type": "summary", "summary": "s", "leafUuid": "x"}, *BATCH])
    assert detect(str(tmp_path / "b.jsonl")) == "claude-code"


JSON: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 3) | st.text("ab", max_size=2),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from("ab"), inner, max_size=2),
    max_leaves=4,
)
BLOCKS = st.fixed_dictionaries(
    {"type": st.sampled_from(["text", "thinking", "tool_use", "tool_result", "image", "odd"])},
    optional={
        "text": st.text("ab", max_size=2) | JSON,
        "thinking": st.text("ab", max_size=2),
        "signature": JSON,
        "id": st.sampled_from("xy") | JSON,
        "tool_use_id": st.sampled_from("xy") | JSON,
        "name": st.sampled_from(["Bash", "Task"]) | JSON,
        "input": JSON,
        "content": JSON | st.lists(st.fixed_dictionaries({"type": st.just("text"), "text": st.text("ab")}), max_size=2),
        "is_error": JSON,
        "source": JSON,
    },
)
MESSAGES = st.fixed_dictionaries(
    {"role": st.sampled_from(["user", "assistant"]), "content": st.lists(BLOCKS, max_size=3) | st.text("ab") | JSON},
    optional={
        "id": st.sampled_from(["m1", "m2"]) | JSON,
        "model": JSON,
        "usage": JSON,
        "stop_reason": JSON,
    },
)
RECORDS = st.fixed_dictionaries(
    {"type": st.sampled_from(["user", "assistant", "system", "attachment", "summary", "queue-operation", "odd"])},
    optional={
        "uuid": st.sampled_from("abcdef") | JSON,
        "parentUuid": st.sampled_from("abcdef") | JSON,
        "logicalParentUuid": st.sampled_from("abcdef"),
        "subtype": st.sampled_from(["compact_boundary", "api_error", "local_command"]),
        "sessionId": st.just("s") | JSON,
        "message": MESSAGES | JSON,
        "timestamp": st.just("2026-01-01T00:00:00.000Z") | JSON,
        "isSidechain": st.booleans() | JSON,
        "isMeta": st.booleans() | JSON,
        "isCompactSummary": st.booleans() | JSON,
        "compactMetadata": JSON,
        "toolUseResult": JSON,
        "attachment": JSON,
        "operation": st.just("remove"),
        "content": st.text("ab", max_size=2) | JSON,
        "customTitle": JSON,
        "cwd": JSON,
        "agentId": JSON,
    },
)


@given(st.lists(RECORDS, min_size=1, max_size=8))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
async def test_whatever_a_file_holds_is_written_back_as_it_was_read(tmp_path: Path, records: list[Record]) -> None:
    first = {"type": "user", "uuid": "first", "sessionId": "s", "parentUuid": None, "message": {"role": "user"}}
    async with open_store() as log:
        report = await put(log, tmp_path, first, *records)
        found = await back(log, report.session)
        assert json.dumps(found, sort_keys=True) == json.dumps([first, *records], sort_keys=True)
        for info in await log.sessions():
            project(CONTEXT, await log.read(info.id, limit=1_000))
        again = await put(log, tmp_path, first, *records)
        assert (again.known, again.entries) == (True, 0)


async def test_what_is_written_beside_the_conversation_parts_nothing_however_the_file_grows(
    log: EventLog, tmp_path: Path
) -> None:
    queued = {"type": "queue-operation", "operation": "enqueue", "sessionId": SESSION}
    snapshot = {"type": "file-history-snapshot", "messageId": "u1", "snapshot": {}}
    records = [
        *(queued, prompt("u1", None, "hi"), snapshot, answer("a1", "u1", "m1", text("ho")), queued, queued),
        *(prompt("u2", "a1", "more"), snapshot, prompt("u3", "u1", "other")),
    ]
    for size in range(1, len(records) + 1):
        report = await put(log, tmp_path, *records[:size])
    assert len(await log.sessions()) == 2
    assert await words(log, report.session) == ["hi", "more"]
    assert (await back(log, report.session)) == records


async def test_an_answer_grows_into_one_message_though_each_of_its_records_says_why_it_stopped(
    log: EventLog, tmp_path: Path
) -> None:
    said = [
        answer("a1", "p", "m", text("Both.")),
        answer("a2", "a1", "m", call("x")),
        answer("a3", "a2", "m", call("y")),
    ]
    for one in said:
        one["message"]["stop_reason"] = "tool_use"
    calls = [*said[:2], result("r1", "a2", "x"), said[2], result("r2", "a3", "y")]
    records = [prompt("p", None, "look"), *calls, prompt("q", "r2", "thanks")]
    path, session = tmp_path / "s.jsonl", ""
    for end in range(1, len(records) + 1):
        _write(path, records[:end])
        session = (await import_file(log, str(path), growing=True)).session
    assert [one.id for one in await log.sessions()] == [session]
    assert await back(log, session) == records


async def test_what_claude_code_keeps_of_its_requests_is_known_and_stays_beside(log: EventLog, tmp_path: Path) -> None:
    kinds = ("api-request", "api-request-shape", "api-request-blob", "tools-used", "cost-state", "atis-latch")
    kept = [{"type": kind, "sessionId": "s"} for kind in kinds]
    records = [prompt("p", None, "look"), *kept, answer("a", "p", "m", text("Done."))]
    report = await put(log, tmp_path, *records)
    assert (report.kept, len(report.branches)) == ((), 1)
    assert await back(log, report.session) == records


async def test_the_system_prompt_and_the_tools_of_a_request_are_known_where_claude_code_keeps_them(
    log: EventLog, tmp_path: Path
) -> None:
    def shape(name: str, *texts: str, tools: Sequence[object] = ()) -> Record:
        said = {"system": [{"type": "text", "text": one} for one in texts], "tools": list(tools)}
        return {"type": "api-request-shape", "sessionId": "s", "shapeHash": name, "shape": said}

    def request(name: str) -> Record:
        return {"type": "api-request", "sessionId": "s", "shapeHash": name}

    look = {"name": "Look", "description": "Looks.", "input_schema": {"type": "object", "properties": {}}}
    records = [
        *(prompt("p", None, "look"), shape("one", "You look.", "Here.", tools=[look, {"name": "web_search"}])),
        *(request("one"), answer("a", "p", "m", text("Done.")), prompt("q", "a", "more"), request("one")),
        *(answer("b", "q", "n", text("More.")), prompt("r", "b", "else"), shape("two", "You rest."), request("two")),
        *(answer("c", "r", "o", text("Else.")), prompt("t", "c", "again"), request("one"), request("unknown")),
        answer("d", "t", "v", text("Again.")),
    ]
    session = (await put(log, tmp_path, *records)).session
    changes = [
        (one.event.system_prompt, [tool.name for tool in one.event.tools or ()])
        for one in await log.read(session, limit=100)
        if isinstance(one.event, ConfigChange) and one.event.model is None
    ]
    assert changes == [("You look.\nHere.", ["Look"]), ("You rest.", []), ("You look.\nHere.", ["Look"])]
    assert await back(log, session) == records


async def test_what_an_answer_had_said_when_it_was_cut_is_told_to_the_model_unless_it_was_only_shown(
    log: EventLog, tmp_path: Path
) -> None:
    cut = [
        {**answer(name, "p", name, text(said)), "isAbortedMidStream": True} for name, said in (("a", "I"), ("b", "We"))
    ]
    records = [
        prompt("p", None, "look"),
        cut[0],
        prompt("q", "a", "well?"),
        {**cut[1], "parentUuid": "q", "isVirtual": True},
    ]
    session = (await put(log, tmp_path, *records)).session
    view = project(CONTEXT, await log.read(session, limit=100))
    assert [whole_text(part.message) for part in parts(view)] == ["look", "I", "well?"]
    answers = [one.message for one in history(view) if isinstance(one.message, AssistantMessage)]
    stops = [(one.stop_reason, one.raw_stop_reason) for one in answers]
    assert stops == [("stop", "aborted"), ("aborted", "")]
    assert await back(log, session) == records


async def test_that_a_sub_agent_has_ended_is_said_by_the_program_and_by_no_person(
    log: EventLog, tmp_path: Path
) -> None:
    ended = "<task-notification>\n<status>completed</status>\n</task-notification>"
    notice = {**prompt("n", "a", ended), "origin": {"kind": "task-notification"}}
    records = [notice | {"parentUuid": None}, prompt("p", "n", "look"), answer("a", "p", "m", text("Done."))]
    report = await put(log, tmp_path, *records)
    assert report.title == "look"
    view = project(CONTEXT, await log.read(report.session))
    said = [
        (role_of(one.message), whole_text(one.message)) for one in history(view) if isinstance(one.message, UserMessage)
    ]
    assert said == [("system", ended), ("user", "look")]
    assert await back(log, report.session) == records


async def test_that_something_has_ended_is_said_by_the_program_also_while_the_agent_works(
    log: EventLog, tmp_path: Path
) -> None:
    ended = "<task-notification>\n<status>completed</status>\n</task-notification>"
    mode = {"commandMode": "task-notification"}
    attached = record("q", "b", "attachment", attachment={"type": "queued_command", "prompt": ended, **mode})
    typed = record(
        "t", "q", "attachment", attachment={"type": "queued_command", "prompt": "And?", "commandMode": "prompt"}
    )
    removed = {"type": "queue-operation", "operation": "remove", "content": f"{ended}2", "sessionId": SESSION}
    report = await put(log, tmp_path, *BATCH, attached, typed, removed)
    view = project(CONTEXT, await log.read(report.session))
    said = [
        (role_of(one.message), whole_text(one.message)) for one in history(view) if isinstance(one.message, UserMessage)
    ]
    assert said[1:] == [("system", ended), ("user", "And?"), ("system", f"{ended}2")]


async def test_what_hangs_beside_a_session_that_was_gone_on_with_here_waits_and_what_is_said_becomes_a_fork(
    log: EventLog, tmp_path: Path
) -> None:
    report = await put(log, tmp_path, *BATCH)
    await log.append(report.session, [(1, Custom(kind="mine"))])
    beside = record("g", "b", "progress", data={})
    more = [record("h", "g", "progress", data={}), prompt("n", "g", "new"), prompt("o", "b", "other")]
    again = await put(log, tmp_path, *BATCH, beside, *more)
    assert [await words(log, branch.session) for branch in again.branches] == [["look", "other"], ["look", "new"]]
    assert (await log.info(report.session)).input_tokens == 10


async def test_what_a_local_command_put_out_is_told_to_the_model_where_the_session_goes_on_from_it(
    log: EventLog, tmp_path: Path
) -> None:
    def ran(name: str, parent: str, shown: str) -> Record:
        text = f"<local-command-stdout>{shown}</local-command-stdout>"
        return record(name, parent, "system", subtype="local_command", content=text, level="info", isMeta=False)

    records = [
        *(prompt("u1", None, "hi"), prompt("c1", "u1", "<command-name>/cost</command-name>"), ran("l1", "c1", "$1")),
        *(prompt("u2", "l1", "more"), prompt("c2", "u2", "<command-name>/context</command-name>")),
        *(ran("l2", "c2", "20 %"), answer("a1", "c2", "m1", text("No response requested.")), prompt("u3", "a1", "end")),
    ]
    report = await put(log, tmp_path, *records)
    assert len(report.branches) == 1
    assert await words(log, report.session) == [
        *("hi", "<command-name>/cost</command-name>", "<local-command-stdout>$1</local-command-stdout>", "more"),
        *("<command-name>/context</command-name>", "end"),
    ]
    assert await back(log, report.session) == records
    assert not (await put(log, tmp_path, *records)).branches
