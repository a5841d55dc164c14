"""Sessions of Codex: an answer is its items and the count of its tokens; what was rolled back is a branch."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings, strategies as st

from eventsource.events import Compaction, ConfigChange, MessageAdopt
from eventsource.log import open_store
from eventsource.log.protocol import EventLog
from eventsource.messages import AssistantMessage, Message, ThinkingContent, ToolResultMessage, UserMessage
from projections import CONTEXT, history, parts, project
from replay.formats import ImportReport, detect, import_file
from replay.formats.codex.write import TO_CODEX, codex_parts
from replay.formats.to_agent import hand_over

Record = dict[str, Any]
META: Record = {"id": "0193", "timestamp": "2026-01-01T00:00:00.000Z", "cwd": "/work", "cli_version": "0.128.0"}


def record(kind: str, **payload: Any) -> Record:
    return {"timestamp": "2026-01-01T00:00:01.000Z", "type": kind, "payload": payload}


def item(kind: str, **fields: Any) -> Record:
    return record("response_item", type=kind, **fields)


def said(text: str, role: str = "user") -> Record:
    part = "output_text" if role == "assistant" else "input_text"
    return item("message", role=role, content=[{"type": part, "text": text}])


def called(call_id: str, **arguments: Any) -> Record:
    return item("function_call", name="shell", arguments=json.dumps(arguments), call_id=call_id)


def output(call_id: str, text: str) -> Record:
    return item("function_call_output", call_id=call_id, output=text)


def counted(total: int, last: int) -> Record:
    usage = {"input_tokens": last, "cached_input_tokens": 1, "output_tokens": 2, "total_tokens": last + 2}
    return record(
        "event_msg", type="token_count", info={"total_token_usage": {"input_tokens": total}, "last_token_usage": usage}
    )


HEAD = [record("session_meta", **META), record("turn_context", model="gpt-5", effort="high", cwd="/work")]
TURN = [
    said("look"),
    record("event_msg", type="user_message", message="look"),
    item("reasoning", summary=[{"type": "summary_text", "text": "Hm."}], content=None, encrypted_content="opaque"),
    called("x", cmd="ls"),
    record("event_msg", type="agent_message", message="I look."),
    called("y", cmd="pwd"),
    counted(10, 10),
    output("y", "/work"),
    output("x", "a.txt"),
    said("Done.", "assistant"),
    counted(30, 20),
]


async def put(log: EventLog, folder: Path, *records: Record) -> ImportReport:
    path = folder / "rollout-x.jsonl"
    _write(path, "".join(json.dumps(one) + "\n" for one in records))
    return await import_file(log, str(path))


def _write(path: Path, text: str) -> None:
    path.write_text(text)


def _lines(path: Path) -> list[Record]:
    return [json.loads(line) for line in path.read_text().splitlines()]


DONE = said("Done.", "assistant")


async def answers(log: EventLog, session: str) -> list[AssistantMessage]:
    """Every answer, those that a compaction took out of the context too."""
    said = [one.event.message for one in await log.read(session) if isinstance(one.event, MessageAdopt)]
    return [one for one in said if isinstance(one, AssistantMessage)]


async def messages(log: EventLog, session: str) -> list[Message]:
    view = project(CONTEXT, await log.read(session, limit=100_000))
    return [entry.message for entry in history(view) if entry.message is not None]


async def back(log: EventLog, session: str) -> list[Record]:
    return [json.loads(line) async for line in codex_parts(log, session)]


async def test_the_items_of_one_answer_are_one_message_with_its_tokens(log: EventLog, tmp_path: Path) -> None:
    report = await put(log, tmp_path, *HEAD, *TURN)
    first, second = (one for one in await messages(log, report.session) if isinstance(one, AssistantMessage))
    assert [one.id for one in first.tool_calls] == ["x", "y"]
    assert [one.thinking for one in first.content if isinstance(one, ThinkingContent)] == ["Hm."]
    assert second.text == "Done."
    assert [one.usage and (one.usage.input_tokens, one.usage.cache_read_tokens) for one in (first, second)] == [
        (9, 1),
        (19, 1),
    ]
    assert (await back(log, report.session)) == [*HEAD, *TURN]


async def test_a_result_names_its_call_in_whatever_order_they_come(log: EventLog, tmp_path: Path) -> None:
    report = await put(log, tmp_path, *HEAD, *TURN)
    results = [
        (one.event.message.tool_call_id, one.event.message.tool_name, one.event.call and one.event.call.content_index)
        for one in await log.read(report.session)
        if isinstance(one.event, MessageAdopt) and isinstance(one.event.message, ToolResultMessage)
    ]
    assert results == [("y", "shell", 2), ("x", "shell", 1)]


async def test_tokens_that_are_counted_behind_the_results_are_the_answers_and_part_nothing(
    log: EventLog, tmp_path: Path
) -> None:
    told = said("<environment_context>here</environment_context>")
    records = [
        *HEAD,
        told,
        said("look"),
        called("x"),
        output("x", "a.txt"),
        counted(10, 10),
        said("Done.", "assistant"),
    ]
    report = await put(log, tmp_path, *records, said("more"))
    assert len(report.branches) == 1
    assert [type(one).__name__ for one in await messages(log, report.session)] == [
        *("UserMessage", "UserMessage", "AssistantMessage", "ToolResultMessage", "AssistantMessage", "UserMessage"),
    ]
    (first, _) = (one for one in await messages(log, report.session) if isinstance(one, AssistantMessage))
    assert first.usage is not None
    assert (first.usage.input_tokens, report.title) == (9, "look")
    assert await back(log, report.session) == [*records, said("more")]


EARLIER = [
    said("look"),
    record("event_msg", type="agent_message", message="I look."),
    counted(10, 10),
    said("I look.", "assistant"),
    called("x", cmd="ls"),
    output("x", "a.txt"),
    called("y", cmd="pwd"),
    output("y", "/work"),
    record("turn_context", model="gpt-5", cwd="/work"),
    counted(10, 10),
    record("event_msg", type="agent_message", message="Done."),
    counted(30, 20),
    said("Done.", "assistant"),
]
"""As 0.40 to 0.61 wrote a turn: tokens before the answer that they are of, and each result behind its call."""


async def test_tokens_that_are_counted_before_an_answer_are_its_own(log: EventLog, tmp_path: Path) -> None:
    report = await put(log, tmp_path, *HEAD, *EARLIER)
    first, second = (one for one in await messages(log, report.session) if isinstance(one, AssistantMessage))
    assert [one.id for one in first.tool_calls] == ["x", "y"]
    assert [(one.text, one.usage and one.usage.input_tokens) for one in (first, second)] == [
        ("I look.", 9),
        ("Done.", 19),
    ]
    assert await back(log, report.session) == [*HEAD, *EARLIER]


async def test_tokens_of_a_compaction_are_no_answers(log: EventLog, tmp_path: Path) -> None:
    shortened = record("compacted", message="Birds.", replacement_history=[])
    report = await put(log, tmp_path, *HEAD, *EARLIER, said("more"), counted(60, 30), shortened, counted(100, 40), DONE)
    counts = [one.usage and one.usage.input_tokens for one in await answers(log, report.session)]
    assert counts == [9, 19, 39]


async def test_a_later_version_that_goes_on_with_a_file_counts_behind_its_answers(
    log: EventLog, tmp_path: Path
) -> None:
    more = [
        said("more"),
        DONE,
        counted(60, 30),
        said("and more"),
        called("z"),
        counted(100, 40),
        output("z", "b"),
        DONE,
    ]
    report = await put(log, tmp_path, *HEAD, *EARLIER, *more, counted(150, 50))
    counts = [one.usage and one.usage.input_tokens for one in await answers(log, report.session)]
    assert counts == [9, 19, 29, 39, 49]


@pytest.mark.parametrize("turn", [TURN, EARLIER], ids=["now", "until-0.61"])
async def test_a_file_that_grows_record_by_record_is_the_same_session(
    log: EventLog, tmp_path: Path, turn: list[Record]
) -> None:
    path, records = tmp_path / "rollout-x.jsonl", [*HEAD, *turn, said("more")]
    session = ""
    for end in range(len(HEAD), len(records) + 1):
        _write(path, "".join(json.dumps(one) + "\n" for one in records[:end]))
        session = (await import_file(log, str(path), growing=True)).session
    assert await back(log, session) == records
    assert [one.id for one in await log.sessions()] == [session]
    whole = await import_file(log, str(path), again=True)
    assert await messages(log, session) == await messages(log, whole.session)


async def test_a_session_is_called_by_what_was_asked_and_not_by_what_the_editor_said(
    log: EventLog, tmp_path: Path
) -> None:
    editor = "# Context from my IDE setup:\n\n## Open tabs:\n- a.py: a.py\n\n"
    report = await put(log, tmp_path, *HEAD, said(f"{editor}## My request for Codex:\nWhy two lists?\n"))
    assert report.title == "Why two lists?"
    assert await back(log, report.session) == [*HEAD, said(f"{editor}## My request for Codex:\nWhy two lists?\n")]


async def test_the_model_the_level_and_the_instructions_are_in_force(log: EventLog, tmp_path: Path) -> None:
    meta = record("session_meta", **META, base_instructions={"text": "Be brief."}, git={"branch": "main"})
    report = await put(log, tmp_path, meta, HEAD[1], *TURN)
    changes = [one.event for one in await log.read(report.session) if isinstance(one.event, ConfigChange)]
    assert [change.system_prompt for change in changes if change.system_prompt] == ["Be brief."]
    assert [change.model.model for change in changes if change.model] == ["gpt-5"]
    info = await log.info(report.session)
    assert (info.title, info.agent, info.folder, info.branch, info.source) == (
        "look",
        "codex",
        "/work",
        "main",
        "codex:0193",
    )


async def test_a_compaction_that_is_a_list_is_the_whole_context(log: EventLog, tmp_path: Path) -> None:
    kept = [said("look")["payload"], said("In short: done.", "assistant")["payload"]]
    compacted = record("compacted", message="", replacement_history=kept)
    report = await put(log, tmp_path, *HEAD, *TURN, compacted, said("more"))
    recorded = await log.read(report.session)
    shown = [part.message for part in parts(project(CONTEXT, recorded))]
    assert [type(one).__name__ for one in shown] == ["UserMessage", "AssistantMessage", "UserMessage"]
    assert sum(isinstance(one.event, Compaction) for one in recorded) == 1
    assert await back(log, report.session) == [*HEAD, *TURN, compacted, said("more")]


async def test_what_was_rolled_back_is_a_branch(log: EventLog, tmp_path: Path) -> None:
    rolled = record("event_msg", type="thread_rolled_back", num_turns=1)
    records = [*HEAD, *TURN, said("wrong way"), said("Wrong.", "assistant"), rolled, said("right way")]
    report = await put(log, tmp_path, *records)
    texts = [
        [one.content for one in await messages(log, branch.session) if isinstance(one, UserMessage)]
        for branch in report.branches
    ]
    assert [[part[0].text for part in branch] for branch in texts] == [["look", "right way"], ["look", "wrong way"]]  # type: ignore[union-attr]  # texts only
    assert await back(log, report.session) == records


async def test_a_result_in_json_says_whether_it_failed(log: EventLog, tmp_path: Path) -> None:
    told = json.dumps({"output": "no such file", "metadata": {"exit_code": 2}})
    report = await put(log, tmp_path, *HEAD, said("look"), called("x"), output("x", told))
    (result,) = (one for one in await messages(log, report.session) if isinstance(one, ToolResultMessage))
    assert (result.is_error, result.content[0].text) == (True, "no such file")  # type: ignore[union-attr]  # a text
    assert await back(log, report.session) == [*HEAD, said("look"), called("x"), output("x", told)]


def test_files_of_codex_are_known(tmp_path: Path) -> None:
    _write(tmp_path / "a.jsonl", json.dumps(HEAD[0]) + "\n")
    assert detect(str(tmp_path / "a.jsonl")) == "codex"


JSON: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 3) | st.text("ab", max_size=2),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from("ab"), inner, max_size=2),
    max_leaves=4,
)
PARTS = st.fixed_dictionaries(
    {"type": st.sampled_from(["input_text", "output_text", "input_image", "refusal", "odd"])},
    optional={"text": st.text("ab", max_size=2) | JSON, "image_url": st.just("data:image/png;base64,AA==") | JSON},
)
PAYLOADS = st.fixed_dictionaries(
    {
        "type": st.sampled_from(
            [
                *("message", "reasoning", "function_call", "function_call_output", "custom_tool_call"),
                *("custom_tool_call_output", "web_search_call", "token_count", "user_message", "thread_rolled_back"),
                *("agent_message", "tool_search_output", "thread_name_updated", "odd"),
            ]
        )
    },
    optional={
        "role": st.sampled_from(["user", "assistant", "developer"]) | JSON,
        "content": st.lists(PARTS, max_size=2) | JSON,
        "summary": st.lists(st.fixed_dictionaries({"type": st.just("summary_text"), "text": st.text("ab")})) | JSON,
        "encrypted_content": JSON,
        "name": st.just("shell") | JSON,
        "arguments": st.just("{}") | JSON,
        "input": JSON,
        "call_id": st.sampled_from("xy") | JSON,
        "output": st.text("ab") | JSON,
        "info": st.fixed_dictionaries({"total_token_usage": st.fixed_dictionaries({"n": st.integers(0, 2)})}) | JSON,
        "num_turns": st.integers(0, 3) | JSON,
        "thread_name": JSON,
        "id": st.text("ab") | JSON,
        "status": JSON,
        "replacement_history": JSON,
        "message": JSON,
        "model": st.just("gpt-5") | JSON,
        "effort": st.just("high") | JSON,
    },
)
RECORDS = st.fixed_dictionaries(
    {
        "type": st.sampled_from(["response_item", "event_msg", "turn_context", "compacted", "session_meta", "odd"]),
        "payload": PAYLOADS | JSON,
    },
    optional={"timestamp": st.just("2026-01-01T00:00:00.000Z") | JSON},
)


@given(st.lists(RECORDS, min_size=1, max_size=8))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
async def test_whatever_a_file_holds_is_written_back_as_it_was_read(tmp_path: Path, records: list[Record]) -> None:
    async with open_store() as log:
        report = await put(log, tmp_path, HEAD[0], *records)
        found = await back(log, report.session)
        assert json.dumps(found, sort_keys=True) == json.dumps([HEAD[0], *records], sort_keys=True)
        for info in await log.sessions():
            project(CONTEXT, await log.read(info.id, limit=1_000))
        assert not (await put(log, tmp_path, HEAD[0], *records)).branches


FIRST: list[Record] = [
    {"id": "0200", "timestamp": "2025-07-01T10:00:00.000Z", "instructions": "Be brief.", "git": {"branch": "main"}},
    {"record_type": "state"},
    *(one["payload"] for one in (said("look"), TURN[2], called("x", cmd="ls"), output("x", "a.txt"))),
    {"record_type": "state"},
    said("Done.", "assistant")["payload"],
]
"""A file as Codex wrote it before each record had its time and its type around it."""


async def test_a_file_of_the_first_versions_is_read_and_written_back(log: EventLog, tmp_path: Path) -> None:
    report = await put(log, tmp_path, *FIRST)
    told = await messages(log, report.session)
    assert [type(one).__name__ for one in told] == [
        *("UserMessage", "AssistantMessage", "ToolResultMessage", "AssistantMessage"),
    ]
    info = await log.info(report.session)
    assert (info.title, info.branch, info.source, report.kept) == ("look", "main", "codex:0200", ())
    assert info.created_at_us == 1751364000000000
    changes = [one.event.system_prompt for one in await log.read(report.session) if isinstance(one.event, ConfigChange)]
    assert changes == ["Be brief."]
    assert await back(log, report.session) == FIRST
    assert not (await put(log, tmp_path, *FIRST)).branches
    home = {"CODEX_HOME": str(tmp_path / "home")}
    given = await hand_over(log, report.session, "codex", TO_CODEX, folder="/there", environment=home, at_us=1)
    records = _lines(Path(given.path))
    assert [one["type"] for one in records] == ["session_meta", *["response_item"] * 5]
    assert all(one["timestamp"] for one in records)


async def test_a_document_of_the_very_first_version_is_read(log: EventLog, tmp_path: Path) -> None:
    path = tmp_path / "rollout-2025-05-01-0200.json"
    items = [one for one in FIRST[1:] if "type" in one]
    _write(path, json.dumps({"session": {"id": "0200", "timestamp": FIRST[0]["timestamp"]}, "items": items}, indent=1))
    assert detect(str(path)) == "codex"
    report = await import_file(log, str(path))
    assert (report.messages, report.title, report.kept) == (4, "look", ())
    assert not (await import_file(log, str(path))).branches


async def test_what_is_not_understood_is_kept_and_named(log: EventLog, tmp_path: Path) -> None:
    image = {"type": "input_image", "image_url": "https://a.example/x.png"}
    records = [
        record("session_meta", **{**META, "cli_version": "1.0.0"}),
        item("message", role="user", content=[{"type": "input_text", "text": "look"}, image]),
        record("hologram", a=1),
        item("hologram_item", a=2),
        item("message", role="oracle", content="x"),
        output("nobody", "text"),
        {"timestamp": "soon", "type": "response_item", "payload": 7},
    ]
    report = await put(log, tmp_path, *records)
    assert [(note.number, note.problem) for note in report.kept] == [
        (1, "1 record of version '1.0.0', which is newer than what is known here (0)"),
        (2, "1 record with a part of type 'input_image', which no model is sent from here"),
        (3, "1 record of type 'hologram', which is not known here"),
        (4, "1 record with an item of type 'hologram_item', which is not known here"),
        (5, "1 record of the role 'oracle', which goes on as the user's"),
        (6, "1 record with a result of a call that is nowhere before it"),
        (7, "1 record whose time cannot be read"),
        (7, "1 record of type 'response_item' without its payload"),
    ]
    assert await back(log, report.session) == records


async def test_a_compaction_without_a_list_keeps_what_people_said_and_its_summary(
    log: EventLog, tmp_path: Path
) -> None:
    told = said("<environment_context>here</environment_context>")
    compacted = record("compacted", message="In short: done.")
    records = [
        *HEAD,
        said("Be careful.", "developer"),
        told,
        *TURN,
        compacted,
        said("more"),
        compacted,
        said("and now"),
    ]
    report = await put(log, tmp_path, *records)
    shown = [part.message for part in parts(project(CONTEXT, await log.read(report.session)))]
    texts = ["".join(getattr(block, "text", "") for block in getattr(one, "content", ())) for one in shown]
    assert texts == [
        *(
            "Be careful.",
            "<environment_context>here</environment_context>",
            "look",
            "more",
            "In short: done.",
            "and now",
        ),
    ]
    assert await back(log, report.session) == records


async def test_a_compaction_without_a_list_keeps_no_more_than_codex_does(log: EventLog, tmp_path: Path) -> None:
    compacted = record("compacted", message="In short.")
    report = await put(log, tmp_path, *HEAD, said("first"), said("x" * 100_000), said("last"), compacted)
    shown = [part.message for part in parts(project(CONTEXT, await log.read(report.session)))]
    texts = ["".join(getattr(block, "text", "") for block in getattr(one, "content", ())) for one in shown]
    assert [text[-4:] for text in texts] == ["xxxx", "last", "ort."]
    assert "tokens truncated" in texts[0]
    assert len(texts[0]) < 81_000
