"""Sessions of pi become sessions and forks, and nothing of them is lost on the way."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, given, settings, strategies as st

from eventsource.codec import encode, read_object
from eventsource.envelope import Recorded
from eventsource.events import (
    Compaction,
    ConfigChange,
    Custom,
    Event,
    Fork,
    Label,
    MessageAdopt,
    MessageEnd,
    MessageStart,
    ModelRef,
    Place,
    QueuePush,
)
from eventsource.log import open_store
from eventsource.log.protocol import EventLog
from eventsource.machine.evolve import fold
from eventsource.machine.state import Phase
from eventsource.messages import AssistantMessage, TextContent, ToolResultMessage, Usage, UserMessage
from projections import CONTEXT, history, parts, project
from replay.formats import ImportReport, import_file
from replay.formats.jsonl import read_lines
from replay.formats.pi.dialect import is_record
from replay.formats.pi.write import export_pi

Line = dict[str, Any]
TIME = "2026-01-01T00:00:0{}.000Z"
HEADER: Line = {"type": "session", "version": 3, "id": "0193", "timestamp": TIME.format(0), "cwd": "/tmp"}


def entry(name: str, parent: str | None, **fields: Any) -> Line:
    return {"type": "message", "id": name, "parentId": parent, "timestamp": TIME.format(1), **fields}


def user(name: str, parent: str | None, text: str) -> Line:
    return entry(name, parent, message={"role": "user", "content": text, "timestamp": 1_700_000_000_123})


def calls(name: str, parent: str | None, *ids: str) -> Line:
    content = [{"type": "toolCall", "id": one, "name": "ls", "arguments": {"n": i}} for i, one in enumerate(ids)]
    usage = {"input": 1, "output": 2, "cacheRead": 3, "cacheWrite": 4, "totalTokens": 10, "cost": {"total": 0.0125}}
    said = {"role": "assistant", "content": content, "api": "a", "provider": "p", "model": "m", "stopReason": "toolUse"}
    return entry(name, parent, message={**said, "usage": usage})


def result(name: str, parent: str | None, call_id: str) -> Line:
    said = {"role": "toolResult", "toolCallId": call_id, "toolName": "ls", "content": [], "isError": False}
    return entry(name, parent, message={**said, "details": {"exit": 0}})


async def put(log: EventLog, folder: Path, *lines: Line, header: Line | None = HEADER) -> ImportReport:
    path = folder / "session.jsonl"
    text = "".join(json.dumps(line) + "\n" for line in ([header] if header else []) + list(lines))
    _write(path, text)
    return await import_file(log, str(path))


def _write(path: Path, text: str) -> None:
    path.write_text(text)


async def events(log: EventLog, report: ImportReport, branch: int = 0) -> tuple[Recorded, ...]:
    return await log.read(report.branches[branch].session)


def lines_of(body: bytes) -> list[Mapping[str, Any]]:
    return [dict(record.fields) for record in read_lines(body, is_record).records]


async def test_an_imported_session_is_legal_and_idle(log: EventLog, tmp_path: Path) -> None:
    report = await put(log, tmp_path, user("a", None, "q"), calls("b", "a", "x"), result("c", "b", "x"))
    state = fold(await events(log, report))
    assert (state.phase, state.config.model) == (Phase.IDLE, ModelRef(api="a", provider="p", model="m"))


async def test_a_message_comes_with_its_own_time_and_origin(log: EventLog, tmp_path: Path) -> None:
    report = await put(log, tmp_path, user("a", None, "q"))
    (adopted,) = (one.event for one in await events(log, report) if isinstance(one.event, MessageAdopt))
    assert adopted.sent_at_us == 1_700_000_000_123_000
    assert (adopted.origin.source, adopted.origin.session, adopted.origin.entry) == ("pi", "0193", "a")


async def test_every_leaf_becomes_a_fork_and_the_last_entry_is_the_session(log: EventLog, tmp_path: Path) -> None:
    lines = [user("a", None, "q"), user("b", "a", "left"), user("c", "a", "right"), user("d", None, "anew")]
    report = await put(log, tmp_path, *lines, user("e", "c", "last"))
    assert [(branch.leaf, branch.parent is None, branch.messages) for branch in report.branches] == [
        ("e", True, 3),
        ("b", False, 1),
        ("d", False, 1),
    ]
    said = []
    for number in range(3):
        recorded = await events(log, report, number)
        view = project(CONTEXT, recorded)
        said.append([part.message.content for part in parts(view)])  # type: ignore[union-attr]  # users only
        assert sum(isinstance(one.event, Fork) for one in recorded) == (number > 0)
    assert said == [["q", "right", "last"], ["q", "left"], ["anew"]]
    assert lines_of(await export_pi(log, report.branches[1].session)) == [HEADER, *lines, user("e", "c", "last")]


async def test_a_result_names_the_call_it_answers_also_where_ids_repeat(log: EventLog, tmp_path: Path) -> None:
    lines = [calls("a", None, "x", "x"), result("b", "a", "x"), result("c", "b", "x"), calls("d", "c", "x")]
    report = await put(log, tmp_path, *lines, result("e", "d", "x"), result("f", "e", "x"), result("g", "f", "other"))
    adopted = [one for one in await events(log, report) if isinstance(one.event, MessageAdopt)]
    named = {one.event.origin.entry: one.seq for one in adopted if isinstance(one.event, MessageAdopt)}
    found = [
        one.event.call
        for one in adopted
        if isinstance(one.event, MessageAdopt) and isinstance(one.event.message, ToolResultMessage)
    ]
    a, d = named["a"], named["d"]
    assert found == [
        Place(message_seq=a, content_index=0),
        Place(message_seq=a, content_index=1),
        Place(message_seq=d, content_index=0),
        None,
        None,
    ]


async def test_the_model_and_the_thinking_level_are_those_in_force_at_each_seq(log: EventLog, tmp_path: Path) -> None:
    chosen = {**entry("b", "a"), "type": "model_change", "provider": "anthropic", "modelId": "new"}
    level = {**entry("c", "b"), "type": "thinking_level_change", "thinkingLevel": "high"}
    report = await put(log, tmp_path, calls("a", None), chosen, level, calls("d", "c"))
    changes = [one.event for one in await events(log, report) if isinstance(one.event, ConfigChange)]
    first, second, third, fourth = changes
    assert first.model == fourth.model == ModelRef(api="a", provider="p", model="m")
    assert second.model == ModelRef(api="anthropic-messages", provider="anthropic", model="new")
    assert read_object(third.options) == {"thinking": "high"}


async def test_a_compaction_keeps_from_the_entry_it_names_and_nothing_when_that_is_not_there(
    log: EventLog, tmp_path: Path
) -> None:
    summary = {"type": "compaction", "summary": "s", "tokensBefore": 9, "fromHook": False, "details": {"read": []}}
    first = {**entry("c", "b"), **summary, "firstKeptEntryId": "b"}
    other = {**entry("d", "c"), **summary, "firstKeptEntryId": "gone"}
    report = await put(log, tmp_path, user("a", None, "1"), user("b", "a", "2"), first, other)
    recorded = await events(log, report)
    kept, none = (one.event for one in recorded if isinstance(one.event, Compaction))
    names = {one.event.origin.entry: one.seq for one in recorded if isinstance(one.event, MessageAdopt)}
    assert (kept.first_kept_seq, none.first_kept_seq, kept.tokens_before) == (names["b"], 0, 9)
    assert read_object(kept.details) == {"read": []}


async def test_a_bookmark_is_set_at_its_target_also_on_another_branch(log: EventLog, tmp_path: Path) -> None:
    near = {**entry("d", "b"), "type": "label", "targetId": "a", "label": "start"}
    far = {**entry("e", "d"), "type": "label", "targetId": "c", "label": "left"}
    lines = [user("a", None, "1"), user("c", "a", "left"), user("b", "a", "right"), near, far]
    report = await put(log, tmp_path, *lines)
    main, fork = await events(log, report), await events(log, report, 1)
    at = {one.event.origin.entry: one.seq for one in (*main, *fork) if isinstance(one.event, MessageAdopt)}
    labels = [
        [(one.event.text, one.event.target_seq) for one in own if isinstance(one.event, Label)] for own in (main, fork)
    ]
    assert labels[0] == [("start", at["a"]), ("1", 0)]
    assert labels[1] == [("left", at["c"]), ("left", 0)], "a branch is called by what was said first on it"


async def test_the_name_of_a_session_becomes_its_title(log: EventLog, tmp_path: Path) -> None:
    name = {**entry("b", "a"), "type": "session_info", "name": "Coats in Oslo"}
    report = await put(log, tmp_path, user("a", None, "1"), name)
    assert report.title == "Coats in Oslo"
    assert (await log.info(report.session)).title == "Coats in Oslo"


async def test_figures_of_a_usage_are_kept_and_its_price_counted_in_millionths(log: EventLog, tmp_path: Path) -> None:
    report = await put(log, tmp_path, calls("a", None))
    (said,) = (entry.message for entry in history(project(CONTEXT, await events(log, report))))
    assert isinstance(said, AssistantMessage)
    assert isinstance(said.usage, Usage)
    assert (said.usage.cost_microusd, said.usage.cache_write_tokens) == (12_500, 4)
    assert read_object(said.usage.raw) == {"totalTokens": 10, "cost": {"total": 0.0125}}


async def test_an_entry_whose_parent_line_was_lost_follows_the_entry_before_it(log: EventLog, tmp_path: Path) -> None:
    path = tmp_path / "session.jsonl"
    torn = json.dumps(user("b", "a", "2"))[:50]
    _write(
        path, "\n".join([json.dumps(HEADER), json.dumps(user("a", None, "1")), torn, json.dumps(user("c", "b", "3"))])
    )
    report = await import_file(log, str(path))
    assert [(note.number, note.text) for note in report.lost] == [(3, torn)]
    assert "'b' is missing" in report.recovered[0].problem
    assert len(parts(project(CONTEXT, await events(log, report)))) == 2
    kept = [one.event for one in await events(log, report) if isinstance(one.event, Custom)]
    assert {"line": 3, "text": torn} in [read_object(event.data) for event in kept]


async def test_a_version_1_file_is_a_chain_and_its_compaction_counts_lines(log: EventLog, tmp_path: Path) -> None:
    lines = [{k: v for k, v in user("", None, text).items() if k not in ("id", "parentId")} for text in "abc"]
    compaction = {"type": "compaction", "timestamp": TIME.format(2), "summary": "s", "tokensBefore": 1}
    lines.append({**compaction, "firstKeptEntryIndex": 3})
    header = {"type": "session", "id": "x", "timestamp": TIME.format(0), "cwd": "/", "provider": "p"}
    report = await put(log, tmp_path, *lines, header=header)
    assert len(parts(project(CONTEXT, await events(log, report)))) == 2
    assert lines_of(await export_pi(log, report.session)) == [header, *lines]
    upgraded = lines_of(await export_pi(log, report.session, version=3))
    assert [line.get("id") for line in upgraded[1:]] == ["e00001", "e00002", "e00003", "e00004"]
    assert [line.get("parentId") for line in upgraded[1:]] == [None, "e00001", "e00002", "e00003"]
    assert upgraded[4]["firstKeptEntryId"] == "e00003"
    assert "firstKeptEntryIndex" not in upgraded[4]


async def test_what_was_said_after_the_import_is_exported_too(log: EventLog, tmp_path: Path) -> None:
    report = await put(log, tmp_path, user("a", None, "1"))
    head = (await log.info(report.session)).head
    more: list[Event] = [
        QueuePush(queue="prompt", message=UserMessage(content="more")),
        MessageStart(role="input", push_seq=head + 1),
        MessageEnd(),
        MessageEnd(message=AssistantMessage(content=(TextContent(text="done"),), usage=Usage(input_tokens=1))),
    ]
    await log.append(report.session, [(1_800_000_000_000_000, event) for event in more])
    *_, asked, answered = lines_of(await export_pi(log, report.session))
    assert (asked["parentId"], answered["parentId"]) == ("a", asked["id"])
    assert asked["message"] == {"role": "user", "content": "more", "timestamp": 1_800_000_000_000}
    assert answered["message"]["usage"]["totalTokens"] == 1


JSON: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)
NAMES = st.sampled_from(
    [
        "role",
        "content",
        "type",
        "text",
        "id",
        "name",
        "arguments",
        "usage",
        "input",
        "cost",
        "stopReason",
        "timestamp",
        "details",
        "isError",
        "summary",
        "customType",
        "provider",
        "model",
        "api",
        "thinking",
        "thinkingSignature",
        "data",
        "mimeType",
        "fromId",
        "label",
        "targetId",
        "message",
        "toolCallId",
    ]
)
TYPES = st.sampled_from(
    [
        "message",
        "compaction",
        "branch_summary",
        "custom_message",
        "custom",
        "label",
        "session_info",
        "model_change",
        "other",
    ]
)
ROLES = st.sampled_from(
    ["user", "assistant", "toolResult", "bashExecution", "custom", "branchSummary", "hookMessage", "strange"]
)
BLOCKS = st.fixed_dictionaries(
    {"type": st.sampled_from(["text", "thinking", "toolCall", "image", "odd"])},
    optional={
        "text": st.text(max_size=3),
        "thinking": st.text(max_size=3),
        "id": JSON,
        "name": JSON,
        "arguments": JSON,
    },
)
MESSAGES = st.builds(
    lambda role, fields, content: {**fields, "role": role, "content": content},
    ROLES,
    st.dictionaries(NAMES, JSON, max_size=6),
    st.lists(BLOCKS, max_size=3) | JSON,
)
ENTRIES = st.builds(
    lambda kind, fields, message: {"timestamp": TIME.format(3), **fields, "type": kind, "message": message},
    TYPES,
    st.dictionaries(NAMES | st.sampled_from(["parentId", "timestamp", "firstKeptEntryId", "extra"]), JSON, max_size=5),
    MESSAGES | JSON,
)


@given(st.lists(ENTRIES, min_size=1, max_size=6), st.sampled_from([None, 2, 3]))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
async def test_whatever_an_entry_holds_is_written_back_as_it_was_read(
    tmp_path: Path, entries: list[Line], version: int | None
) -> None:
    header = {**HEADER, "version": version} if version else {k: v for k, v in HEADER.items() if k != "version"}
    async with open_store() as log:
        report = await put(log, tmp_path, *entries, header=header)
        assert json.dumps(lines_of(await export_pi(log, report.session)), sort_keys=True) == (
            json.dumps([header, *entries], sort_keys=True)
        )
        for branch in report.branches:
            for recorded in await log.read(branch.session):
                assert encode(recorded.event)
