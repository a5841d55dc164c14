"""Sessions of Gemini CLI: messages come again, are taken back and replaced; results stand inside their calls."""

from __future__ import annotations

import json
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings, strategies as st

from eventsource.events import Compaction, MessageAdopt, MessageEnd, Origin
from eventsource.log import open_store
from eventsource.log.protocol import EventLog
from eventsource.messages import (
    AssistantMessage,
    ImageContent,
    Message,
    TextContent,
    ToolCall,
    ToolResultMessage,
    UserMessage,
)
from projections import CONTEXT, USAGE, history, parts, project
from projections.pairing import NO_RESULT
from refold import Agent, open_log, tool
from refold.testing import call as call_of, scripted
from replay.formats import ImportReport, detect, import_file
from replay.formats.finding import Finder, FoundFile
from replay.formats.gemini.write import gemini_parts

Record = dict[str, Any]
SESSION = "0a1b2c3d-4e5f-4061-8071-2a3b4c5d6e7f"
META: Record = {"sessionId": SESSION, "projectHash": "aa", "startTime": "2026-01-01T00:00:00.000Z", "kind": "main"}
_times = count(1)


def message(name: str, kind: str, content: Any, **fields: Any) -> Record:
    return {
        "id": name,
        "timestamp": f"2026-01-01T00:00:{next(_times) % 60:02d}.000Z",
        "type": kind,
        "content": content,
    } | fields


def asked(name: str, text: str) -> Record:
    return message(name, "user", [{"text": text}])


def answer(name: str, text: str, *calls: Record, tokens: int = 0, **fields: Any) -> Record:
    counts = {"input": tokens, "output": 2, "cached": 1, "thoughts": 3, "tool": 0, "total": tokens + 5}
    more = ({"tokens": counts} if tokens else {}) | ({"toolCalls": list(calls)} if calls else {})
    return message(name, "gemini", text, thoughts=[], model="gemini-2.5-pro", **more, **fields)


def response(call_id: str, output: str, kind: str = "output") -> Record:
    return {"functionResponse": {"id": call_id, "name": "run", "response": {kind: output}}}


def call(call_id: str, output: str | None = "done", **fields: Any) -> Record:
    result = None if output is None else [response(call_id, output)]
    return {"id": call_id, "name": "run", "args": {"command": "ls"}, "result": result, "status": "success"} | fields


def put_list(*messages: Record) -> Record:
    return {"$set": {"messages": list(messages), "lastUpdated": "2026-01-01T00:01:00.000Z"}}


async def put(log: EventLog, folder: Path, *records: Record) -> ImportReport:
    path = folder / "chats" / f"session-2026-01-01T00-00-{SESSION[:8]}.jsonl"
    _write(path, *records)
    return await import_file(log, str(path))


def _write(path: Path, *records: Record) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(one) + "\n" for one in records))


async def said(log: EventLog, session: str) -> list[Message]:
    view = project(CONTEXT, await log.read(session, limit=100_000))
    return [entry.message for entry in history(view) if entry.message is not None]


async def words(log: EventLog, session: str) -> list[str]:
    """Tell in short what is in a session: texts, calls with `→`, results with `←`."""
    found: list[str] = []
    for one in await said(log, session):
        match one:
            case AssistantMessage():
                found += [one.text] if one.text else []
                found += [f"→{block.id}" for block in one.tool_calls]
            case ToolResultMessage():
                found.append(f"←{one.tool_call_id}")
            case UserMessage(content=str(text)):
                found.append(text)
            case UserMessage(content=content):
                found.append("".join(getattr(part, "text", "[image]") for part in content))
            case _:
                pass
    return found


async def back(log: EventLog, session: str) -> list[Record]:
    whole = b"".join([part async for part in gemini_parts(log, session)])
    return [json.loads(line) for line in whole.splitlines()]


async def test_a_message_that_comes_again_with_its_results_is_the_same_message(log: EventLog, tmp_path: Path) -> None:
    first = answer("b", "I look.", tokens=10)
    whole = {**first, "toolCalls": [call("x"), call("y", "no such file", status="error")]}
    records = [
        META,
        asked("a", "look"),
        first,
        {"$set": {"lastUpdated": "now"}},
        whole,
        answer("c", "Done.", tokens=20),
    ]
    report = await put(log, tmp_path, *records)
    assert await words(log, report.session) == ["look", "I look.", "→x", "→y", "←x", "←y", "Done."]
    results = [one for one in await said(log, report.session) if isinstance(one, ToolResultMessage)]
    assert [one.is_error for one in results] == [False, True]
    usage = project(USAGE, await log.read(report.session))
    assert (usage.total.input_tokens, usage.total.cache_read_tokens, usage.total.output_tokens) == (28, 2, 10)
    assert await back(log, report.session) == records


async def test_a_result_names_its_call(log: EventLog, tmp_path: Path) -> None:
    report = await put(log, tmp_path, META, asked("a", "look"), answer("b", "Hm.", call("x"), call("y")))
    adopted = [one for one in await log.read(report.session) if isinstance(one.event, MessageAdopt)]
    answers = [one.seq for one in adopted if isinstance(one.event.message, AssistantMessage)]  # type: ignore[union-attr]  # chosen above
    places = [one.event.call for one in adopted]  # type: ignore[union-attr]  # chosen above
    assert [(one.message_seq, one.content_index) for one in places if one] == [(answers[0], 1), (answers[0], 2)]


async def test_a_call_has_its_own_result_where_those_of_others_stand_with_it(log: EventLog, tmp_path: Path) -> None:
    image = {"inlineData": {"mimeType": "image/png", "data": "aW1n"}}
    given = [response("x", "done"), image, response("y", "no such file", "error")]  # as a resumed session has it
    calls = call("x", result=given), call("y", result=given, status="error")
    report = await put(log, tmp_path, META, asked("a", "look"), answer("b", "", *calls), answer("c", "Done."))
    adopted = [one.event for one in await log.read(report.session) if isinstance(one.event, MessageAdopt)]
    results = [one.message for one in adopted if isinstance(one.message, ToolResultMessage)]
    told = TextContent(text="done"), ImageContent(data="aW1n", media_type="image/png")
    assert [(one.content, one.is_error) for one in results] == [
        (told, False),
        ((TextContent(text="no such file"),), True),
    ]


async def test_an_image_belongs_to_the_result_before_it_or_that_it_stands_in(log: EventLog, tmp_path: Path) -> None:
    image = {"inlineData": {"mimeType": "image/png", "data": "aW1n"}}
    within = {"functionResponse": {**response("y", "two")["functionResponse"], "parts": [image]}}  # of Gemini 3
    told = message("r", "user", [response("x", "one"), image, within, {"text": "and"}, image])
    records = [META, asked("a", "look"), answer("b", "", call("x", None), call("y", None)), told]
    report = await put(log, tmp_path, *records)
    adopted = [one.event.message for one in await log.read(report.session) if isinstance(one.event, MessageAdopt)]
    shown = ImageContent(data="aW1n", media_type="image/png")
    results = [one.content for one in adopted if isinstance(one, ToolResultMessage)]
    assert results == [(TextContent(text="one"), shown), (TextContent(text="two"), shown)]
    assert [one.content for one in adopted if isinstance(one, UserMessage)][1:] == [(TextContent(text="and"), shown)]
    assert await back(log, report.session) == records


async def test_results_that_are_told_once_more_in_a_message_are_not_said_again(log: EventLog, tmp_path: Path) -> None:
    told = message("r", "user", [response("x", "done")])
    records = [META, asked("a", "look"), answer("b", "", call("x")), told, answer("c", "Done.")]
    report = await put(log, tmp_path, *records)
    assert await words(log, report.session) == ["look", "→x", "←x", "Done."]
    open_call = [META, asked("a", "look"), answer("b", "", call("x", None)), told, answer("c", "Done.")]
    async with open_store() as other:
        report = await put(other, tmp_path, *open_call)
        assert await words(other, report.session) == ["look", "→x", "←x", "Done."]
        assert await back(other, report.session) == open_call


async def test_of_results_that_are_told_once_more_beside_a_new_one_that_one_is_said(
    log: EventLog, tmp_path: Path
) -> None:
    image = {"inlineData": {"mimeType": "image/png", "data": "aW1n"}}
    refused = response("z", "Unauthorized tool call: 'z' is not available to this agent.", "error")
    told = message("r", "user", [response("x", "done"), image, refused, refused, {"text": "and"}, image])
    given = call("x", result=[response("x", "done"), image])
    records = [META, asked("a", "look"), answer("b", "", given), told, answer("c", "Done.")]
    report = await put(log, tmp_path, *records)
    assert [note.problem for note in report.kept] == ["1 record with a result of a call that is nowhere before it"]
    adopted = [one.event.message for one in await log.read(report.session) if isinstance(one.event, MessageAdopt)]
    assert [one.tool_call_id for one in adopted if isinstance(one, ToolResultMessage)] == ["x", "z"]
    shown = TextContent(text="and"), ImageContent(data="aW1n", media_type="image/png")
    assert [one.content for one in adopted if isinstance(one, UserMessage)][1:] == [shown]
    assert await back(log, report.session) == records


async def test_results_that_messages_give_twice_are_said_once_and_an_id_may_come_again(tmp_path: Path) -> None:
    called = [{"functionCall": {"id": "x", "name": "run", "args": {"command": "ls"}}}]
    answered = [message(name, "user", [response("x", "done")]) for name in ("b_response", "r", "e_response", "s")]
    first, again = message("b", "gemini", called), message("e", "gemini", called)
    # as a session that began with a command (`/nothing`) is written when it is resumed: without what was asked
    resumed = put_list(first, *answered[:2], asked("d", "again"), again, *answered[2:])
    async with open_store() as log:
        report = await put(log, tmp_path, META, resumed, answer("f", "Done."))
        assert report.kept == ()
        assert await words(log, report.session) == ["→x", "←x", "again", "→x", "←x", "Done."]
        assert await back(log, report.session) == [META, resumed, *(await back(log, report.session))[2:]]


async def test_what_is_taken_back_becomes_a_fork(log: EventLog, tmp_path: Path) -> None:
    records = [
        *(META, asked("a", "one"), answer("b", "First."), asked("c", "two"), answer("d", "Second.")),
        *({"$rewindTo": "c"}, asked("e", "three"), answer("f", "Third.")),
    ]
    report = await put(log, tmp_path, *records)
    assert await words(log, report.session) == ["one", "First.", "three", "Third."]
    (fork,) = (one for one in report.branches if one.parent)
    assert await words(log, fork.session) == ["one", "First.", "two", "Second."]
    assert await back(log, report.session) == records


async def test_a_rewind_to_what_is_not_there_takes_all_back(log: EventLog, tmp_path: Path) -> None:
    records = [META, asked("a", "one"), {"$rewindTo": "nowhere"}, asked("b", "two")]
    report = await put(log, tmp_path, *records)
    assert await words(log, report.session) == ["two"]
    assert await back(log, report.session) == records


async def test_a_message_that_says_something_else_stands_on_another_branch_with_what_follows_it(
    log: EventLog, tmp_path: Path
) -> None:
    records = [
        META,
        asked("a", "one"),
        answer("b", "First."),
        asked("c", "two"),
        answer("b", "Other."),
        asked("d", "x"),
    ]
    report = await put(log, tmp_path, *records)
    assert await words(log, report.session) == ["one", "Other.", "two", "x"]
    (fork,) = (one for one in report.branches if one.parent)
    assert await words(log, fork.session) == ["one", "First.", "two"]
    assert await back(log, report.session) == records


async def test_a_list_of_the_same_messages_changes_nothing_and_another_one_parts_where_it_differs(
    log: EventLog, tmp_path: Path
) -> None:
    start = [META, put_list(asked("s", "<session_context>here</session_context>")), asked("a", "one")]
    context, one = start[1]["$set"]["messages"][0], start[2]
    looked = answer("b", "Look.", call("x"), tokens=10)
    resumed = {
        **looked,
        "content": [{"text": "Look."}, {"functionCall": {"id": "x", "name": "run", "args": {"command": "ls"}}}],
    }
    told = message("b_response", "user", [response("x", "done")])
    same = [*start, looked, put_list(context, one, resumed, told), asked("c", "two")]
    report = await put(log, tmp_path, *same)
    expected = ["<session_context>here</session_context>", "one", "Look.", "→x", "←x", "two"]
    assert (len(report.branches), await words(log, report.session)) == (1, expected)
    assert await back(log, report.session) == same
    parted = [
        *same,
        put_list(context, one),
        asked("d", "three"),
        put_list(context, asked("n", "new"), answer("m", "Yes.")),
    ]
    report = await put(log, tmp_path, *parted)
    found = [await words(log, info.id) for info in await log.sessions()]
    assert expected in found
    assert [*expected[:2], "three"] in found
    assert [expected[0], "new", "Yes."] in found
    assert await back(log, report.session) == parted
    usages = [project(USAGE, await log.read(info.id, after=info.fork_seq)).total for info in await log.sessions()]
    assert sum(one.input_tokens for one in usages) == 9


async def test_a_list_that_begins_with_a_snapshot_is_a_compaction(log: EventLog, tmp_path: Path) -> None:
    snapshot = asked("z", "<state_snapshot>All is well.</state_snapshot>")
    kept = answer("d", "Second.", tokens=10)
    records = [
        *(META, asked("a", "one"), answer("b", "First."), asked("c", "two"), kept),
        *(put_list(snapshot, answer("y", "Got it."), kept), asked("e", "three")),
    ]
    report = await put(log, tmp_path, *records)
    assert (len(report.branches), (await words(log, report.session))[:4]) == (1, ["one", "First.", "two", "Second."])
    events = await log.read(report.session)
    assert [one.event.summary for one in events if isinstance(one.event, Compaction)] == [
        "<state_snapshot>All is well.</state_snapshot>"
    ]
    view = project(CONTEXT, events)
    assert [one.message.text for one in parts(view) if isinstance(one.message, AssistantMessage)] == [
        "Got it.",
        "Second.",
    ]
    assert project(USAGE, events).total.input_tokens == 9
    assert await back(log, report.session) == records
    again = [*records, put_list(snapshot, answer("y", "Got it."), kept, records[-1]), asked("f", "four")]
    report = await put(log, tmp_path, *again)
    assert (len(await log.sessions()), (await words(log, report.session))[-2:]) == (1, ["three", "four"])


@pytest.mark.parametrize("growing", [True, False], ids=["while it is written", "whenever it rests"])
async def test_a_file_that_is_followed_line_by_line_parts_nowhere(log: EventLog, tmp_path: Path, growing: bool) -> None:
    records: list[Record] = [META, put_list(asked("s", "<session_context>here</session_context>"))]
    for number in range(3):
        first = answer(f"b{number}", "I look.", tokens=10)
        whole = {**first, "toolCalls": [call(f"x{number}")]}
        told = message(f"r{number}", "user", [response(f"x{number}", "done")])
        records += [asked(f"a{number}", "look"), first, {"$set": {"lastUpdated": "t"}}, whole, told]
        records += [answer(f"c{number}", "Done.", tokens=20), {"$set": {"lastUpdated": "u"}}]
    path = tmp_path / "session.jsonl"
    for size in range(1, len(records) + 1):
        _write(path, *records[:size])
        await import_file(log, str(path), growing=growing)
    report = await import_file(log, str(path))
    assert [info.title for info in await log.sessions()] == ["look"]
    turn = ["look", "I look.", "→x0", "←x0", "Done."]
    assert (await words(log, report.session))[1:6] == turn
    assert project(USAGE, await log.read(report.session, limit=1_000)).total.output_tokens == 3 * 10
    assert await back(log, report.session) == records


async def test_a_sub_agent_is_a_child_of_the_call_that_began_it(log: EventLog, tmp_path: Path) -> None:
    agent = {**META, "sessionId": "agent-1", "kind": "subagent", "directories": ["/work"]}
    _write(tmp_path / "chats" / SESSION / "agent-1.jsonl", agent, asked("s1", "count"), answer("s2", "Three."))
    report = await put(log, tmp_path, META, asked("a", "go"), answer("b", "", call("x", agentId="agent-1")))
    (child,) = report.children
    info = await log.info(child.session)
    assert (info.started_by, info.folder, await words(log, child.session)) == (
        report.session,
        "/work",
        ["count", "Three."],
    )
    adopted = [one.event for one in await log.read(report.session) if isinstance(one.event, MessageAdopt)]
    assert [one.child for one in adopted if one.child] == [child.session]
    found = [one for one in Finder().among([tmp_path]) if isinstance(one, FoundFile)]
    assert [one.path.parent.name for one in found] == ["chats"]


async def test_what_gemini_cli_left_behind_is_imported_with_the_session_it_is_of(tmp_path: Path) -> None:
    context = put_list(asked("s", "<session_context>here</session_context>"))
    chats = tmp_path / ".gemini" / "tmp" / "work" / "chats"
    _write(chats / f"session-2026-01-01T00-00-{SESSION[:8]}.jsonl", META, context, asked("a", "one"))
    _write(chats / f"session-2026-01-01T00-05-{SESSION[:8]}.jsonl", META, context)
    (chats / "session-2026-01-02T00-00-11111111.json").write_text(json.dumps({**META, "messages": [asked("a", "one")]}))
    _write(chats / "session-2026-01-02T00-00-11111111.jsonl", META, asked("a", "one"))
    (chats.parent / ".project_root").write_text("/work\n")
    _, found = Finder().kept_by("gemini", {"GEMINI_CLI_HOME": str(tmp_path)})
    files = [one for one in found if isinstance(one, FoundFile)]
    assert sorted(one.path.name for one in files) == [
        f"session-2026-01-01T00-00-{SESSION[:8]}.jsonl",
        "session-2026-01-02T00-00-11111111.jsonl",
    ]
    assert {one.folder for one in files} == {"/work"}


async def test_a_document_that_only_grew_goes_on_in_the_same_session(log: EventLog, tmp_path: Path) -> None:
    path = tmp_path / "session-old.json"
    one, begun = asked("a", "one"), answer("b", "First.", tokens=10)
    called = begun | {"toolCalls": [call("x", None)]}
    told = begun | {"toolCalls": [call("x")]}
    more = [asked("c", "two"), answer("d", "Second."), asked("e", "three")]
    looks = [[one], [one, begun], [one, called], [one, told], [one, told, *more[:2]], [one, told, *more]]
    for place, messages in enumerate(looks):
        document = {**META, "messages": messages}
        _write_document(path, document)
        report = await import_file(log, str(path))
        assert (report.known, bool(report.branches)) == (place > 0, True), place
        assert not (await import_file(log, str(path))).branches, place
        assert json.loads(b"".join([part async for part in gemini_parts(log, report.session)])) == document
    assert [info.id for info in await log.sessions()] == [report.session]
    assert await words(log, report.session) == ["one", "First.", "→x", "←x", "two", "Second.", "three"]
    (counted,) = [
        one.usage for one in await said(log, report.session) if isinstance(one, AssistantMessage) and one.usage
    ]
    assert counted.input_tokens == 9


async def test_a_document_in_which_more_changed_than_its_end_parts(log: EventLog, tmp_path: Path) -> None:
    path = tmp_path / "session-old.json"
    messages = [asked("a", "one"), answer("b", "First."), asked("c", "two")]
    _write_document(path, {**META, "messages": messages})
    first = await import_file(log, str(path))
    for changed in ([asked("a", "uno"), *messages[1:]], [*messages[:2], asked("c", "zwei")], messages[:1]):
        _write_document(path, {**META, "messages": changed})
        await import_file(log, str(path))
        assert await words(log, first.session) == ["one", "First.", "two"]
    assert len(await log.sessions()) == 3


def _write_document(path: Path, document: Record) -> None:
    path.write_text(json.dumps(document))


async def test_a_document_goes_on_as_lines_in_the_same_session(log: EventLog, tmp_path: Path) -> None:
    messages = [asked("a", "one"), answer("b", "First.", call("x"), tokens=10)]
    document = {**META, "summary": "The title", "messages": messages}
    old = tmp_path / "session-old.json"
    old.write_text(json.dumps(document, indent=2))
    first = await import_file(log, str(old))
    assert (first.title, await words(log, first.session)) == ("The title", ["one", "First.", "→x", "←x"])
    assert json.loads(b"".join([part async for part in gemini_parts(log, first.session)])) == document
    _write(tmp_path / "session-old.jsonl", META, *messages, asked("c", "two"))
    report = await import_file(log, str(tmp_path / "session-old.jsonl"))
    assert (report.session, len(await log.sessions())) == (first.session, 1)
    assert (await words(log, report.session))[-1] == "two"


async def test_a_failed_request_is_an_error_of_the_prompt_that_was_taken_back(log: EventLog, tmp_path: Path) -> None:
    context, one = asked("s", "<session_context>here</session_context>"), asked("a", "one")
    records = [
        *(META, put_list(context), one, answer("b", "First."), asked("c", "fail")),
        *(put_list(context, one, answer("b", "First.")), message("e", "error", "[API Error: no]"), asked("d", "two")),
        *(put_list(context, one, answer("b", "First."), asked("d", "two")), answer("f", "Second.")),
    ]
    report = await put(log, tmp_path, *records)
    assert (await words(log, report.session))[1:] == ["one", "First.", "two", "Second."]
    (fork,) = (one for one in report.branches if one.parent)
    assert (await words(log, fork.session))[1:] == ["one", "First.", "fail"]
    (*_, failed) = await said(log, fork.session)
    assert isinstance(failed, AssistantMessage)
    assert (failed.stop_reason, failed.error) == ("error", "[API Error: no]")
    assert await back(log, report.session) == records


async def test_an_image_that_a_tool_gave_is_read_by_the_model(log: EventLog, tmp_path: Path) -> None:
    image = {"inlineData": {"mimeType": "image/png", "data": "AAAA"}}
    records = [META, asked("a", "look"), message("i", "info", [image]), message("w", "warning", "careful")]
    report = await put(log, tmp_path, *records)
    (_, shown) = await said(log, report.session)
    assert isinstance(shown, UserMessage)
    assert [type(part) for part in shown.content] == [ImageContent]
    assert await back(log, report.session) == records


def test_files_of_gemini_cli_are_known(tmp_path: Path) -> None:
    path = tmp_path / "session.jsonl"
    for records in ([META], [asked("a", "x"), answer("b", "y")], [META, {"$rewindTo": "x"}]):
        _write(path, *records)
        assert detect(str(path)) == "gemini"
    for document in ({**META, "messages": []}, {"messages": [answer("b", "y")]}, answer("b", "y")):
        path.write_text(json.dumps(document, indent=1))
        assert detect(str(path)) == "gemini"
    path.write_text(json.dumps({"messages": [{"role": "user", "content": "hi"}]}))
    assert detect(str(path)) != "gemini"


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | st.text(st.characters(codec="utf-8"), max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=6,
)
IDS = st.sampled_from(["a", "b", "c", ""])
CALLS = st.fixed_dictionaries(
    {}, optional={"id": IDS | JSON, "name": st.just("run") | JSON, "args": JSON, "result": JSON, "status": JSON}
)
CONTENTS = (
    st.sampled_from(["", "x", "y", "<state_snapshot>z"])
    | st.lists(
        st.sampled_from(
            [{"text": "x"}, {"text": "y", "thought": True}, response("a", "done"), {"functionCall": {"id": "a"}}]
        )
        | JSON,
        max_size=3,
    )
    | JSON
)
MESSAGES = st.fixed_dictionaries(
    {"id": IDS, "type": st.sampled_from(["user", "gemini", "info", "error"]), "content": CONTENTS},
    optional={"toolCalls": st.lists(CALLS, max_size=2) | JSON, "thoughts": JSON, "tokens": JSON, "timestamp": JSON},
)
LISTS = st.fixed_dictionaries(
    {"$set": st.fixed_dictionaries({"messages": st.lists(MESSAGES | JSON, max_size=4) | JSON})}
)
RECORDS = (
    MESSAGES | LISTS | st.fixed_dictionaries({"$rewindTo": IDS | JSON}) | st.dictionaries(st.text(max_size=3), JSON)
)


@given(st.lists(RECORDS, max_size=6), st.data())
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
async def test_whatever_a_file_holds_is_written_back_as_it_was_read(
    tmp_path: Path, records: list[Record], data: st.DataObject
) -> None:
    path = tmp_path / "session.jsonl"
    cut = data.draw(st.integers(0, len(records)))
    async with open_store() as log:
        _write(path, META, *records[:cut])
        await import_file(log, str(path), format="gemini")
        _write(path, META, *records)
        report = await import_file(log, str(path), format="gemini")
        assert await back(log, report.session) == [META, *records]
        assert not (await import_file(log, str(path), format="gemini")).branches


@given(st.lists(MESSAGES | JSON, max_size=5))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
async def test_whatever_a_document_holds_goes_in(tmp_path: Path, messages: list[Any]) -> None:
    path = tmp_path / "session.json"
    path.write_text(json.dumps({**META, "messages": [answer("z", "x"), *messages]}, indent=1))
    async with open_store() as log:
        report = await import_file(log, str(path))
        lost = sum(not isinstance(one, dict) for one in messages)
        assert len(report.lost) == lost
        whole = b"".join([part async for part in gemini_parts(log, report.session)])
        assert json.loads(whole)["messages"][1:] == [one for one in messages if isinstance(one, dict)]


@tool
def weather(city: str) -> str:
    """Tell the weather."""
    return f"Rain in {city}."


async def test_a_fork_that_was_gone_on_with_here_is_in_force_at_the_end_of_what_is_written(tmp_path: Path) -> None:
    records = [META, asked("a", "one"), answer("b", "First."), asked("c", "two"), answer("d", "Second.")]
    async with open_log(tmp_path / "log.db") as log:
        report = await put(log.store, tmp_path, *records)
        point = next(one.seq for one in await log.store.read(report.session) if _entry(one.event) == "b")
        fork = await log.store.fork(report.session, point, at_us=1)
        agent = Agent(
            scripted([call_of("weather", {"city": "Oslo"}, id="w")], "Take a coat."), tools=[weather], system="x"
        )
        await agent.run("And in Oslo?", session=await log.find(fork.id))
        written = await back(log.store, fork.id)
        assert await back(log.store, report.session) == records
    assert written[: len(records)] == records
    rest = written[len(records) :]
    assert rest[0] == {"$rewindTo": "c"}
    assert [one["content"] for one in rest[1:]] == ["And in Oslo?", "", "Take a coat."]
    (made,) = rest[2]["toolCalls"]
    assert (made["args"], made["status"]) == ({"city": "Oslo"}, "success")
    assert made["result"][0]["functionResponse"]["response"] == {"output": "Rain in Oslo."}
    async with open_store() as other:
        again = await put(other, tmp_path, *written)
        assert await words(other, again.session) == ["one", "First.", "And in Oslo?", "→w", "←w", "Take a coat."]


async def test_a_call_that_nobody_answered_is_written_with_a_result_that_says_so(tmp_path: Path) -> None:
    asks = AssistantMessage(content=(ToolCall(id="w", name="weather"),), stop_reason="tool_use", model="m")
    async with open_store() as log:
        info = await log.create()
        origin = Origin(source="elsewhere")
        said = (UserMessage(content="one"), asks, UserMessage(content="two"))
        await log.append(info.id, [(1, MessageAdopt(message=one, origin=origin)) for one in said])
        (_, _, answered, _) = await back(log, info.id)
    (made,) = answered["toolCalls"]
    assert made["status"] == "error"
    assert NO_RESULT in json.dumps(made["result"])


async def test_a_session_that_ran_here_is_written_with_its_compaction(tmp_path: Path) -> None:
    async with open_log(tmp_path / "log.db") as log:
        agent = Agent(scripted("First.", "Second.", "Third.", by="call"), system="x")
        session = await log.session()
        await agent.run("one", session=session)
        await agent.run("two", session=session)
        events = await log.store.read(session.id, limit=1_000)
        kept = max(one.seq for one in events if isinstance(one.event, MessageEnd))
        head = events[-1].seq
        await log.store.append(session.id, [(1, Compaction(summary="In short.", first_kept_seq=kept))], expected=head)
        await agent.run("three", session=await log.find(session.id))
        written = await back(log.store, session.id)
    assert written[0].keys() == {"sessionId", "projectHash", "startTime", "lastUpdated", "kind"}
    async with open_store() as other:
        again = await put(other, tmp_path, *written)
        view = project(CONTEXT, await other.read(again.session))
        texts = [getattr(one.message, "text", "") or getattr(one.message, "content", "") for one in parts(view)]
    assert texts == ["<state_snapshot>\nIn short.", "Second.", "three", "Third."]


def _entry(event: object) -> str:
    return event.origin.entry if isinstance(event, MessageAdopt) else ""
