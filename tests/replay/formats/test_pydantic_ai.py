"""Histories of Pydantic AI: requests and responses become messages, and nothing of them is lost."""

from __future__ import annotations

import json
import random
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings, strategies as st

from eventsource.errors import TranscriptError
from eventsource.events import ConfigChange, MessageAdopt
from eventsource.log import open_store
from eventsource.log.protocol import EventLog
from eventsource.machine.evolve import fold
from eventsource.message_text import role_of, text_of
from eventsource.messages import (
    AssistantMessage,
    ImageContent,
    Message,
    ProviderContent,
    ThinkingContent,
    ToolResultMessage,
    UserMessage,
)
from projections import CONTEXT, history, project
from replay.formats import ImportReport, detect, import_file
from replay.formats.dialect import InContext, PathState
from replay.formats.pydantic_ai.dialect import PydanticAIDialect
from replay.formats.walk import in_file_order, walk_family

from .first_class import check_first_class

FIXTURES = Path(__file__).parent / "fixtures"
NAMES = ("pydantic-ai", "pydantic-ai-test-model")
Record = dict[str, Any]
AT = "2026-01-01T00:00:00.000001Z"


class Writing(PydanticAIDialect):
    """Writes a session back with nothing that was recorded here."""

    def new_name(self, session: str, seq: int) -> str:
        return ""

    def write_new(self, event: InContext, at_us: int, name: str, state: PathState) -> list[Record]:
        return []


def whole(name: str) -> Any:
    return json.loads((FIXTURES / f"{name}.json").read_text())


async def put(log: EventLog, folder: Path, value: object) -> ImportReport:
    path = folder / "messages.json"
    _write(path, json.dumps(value) if not isinstance(value, str) else value)
    return await import_file(log, str(path))


def _write(path: Path, text: str) -> None:
    path.write_text(text)


async def back(log: EventLog, session: str) -> list[Record]:
    return list(in_file_order(await walk_family(log, session, Writing({}))))


async def messages(log: EventLog, session: str) -> list[Message]:
    view = project(CONTEXT, await log.read(session, limit=1_000))
    return [one.message for one in history(view) if one.message is not None]


def request(*parts: Record, **fields: Any) -> Record:
    return {"kind": "request", "parts": list(parts), "timestamp": AT, **fields}


def response(*parts: Record, **fields: Any) -> Record:
    return {"kind": "response", "parts": list(parts), "timestamp": AT, "model_name": "gpt-5", "usage": {}, **fields}


def said(text: object) -> Record:
    return {"part_kind": "user-prompt", "content": text, "timestamp": AT}


def text(content: str) -> Record:
    return {"part_kind": "text", "content": content}


async def test_a_history_that_the_library_wrote_says_what_happened(log: EventLog, tmp_path: Path) -> None:
    report = await put(log, tmp_path, whole("pydantic-ai"))
    found = await messages(log, report.session)
    assert [type(one).__name__ for one in found] == [
        *("UserMessage", "AssistantMessage", "ToolResultMessage", "ToolResultMessage", "AssistantMessage"),
        *("ToolResultMessage", "AssistantMessage", "UserMessage", "AssistantMessage"),
    ]
    answer, oslo, atlantis, searched = found[1:5]
    assert isinstance(answer, AssistantMessage)
    assert isinstance(answer.content[0], ThinkingContent)
    assert (answer.content[0].signature, answer.response_id, answer.stop_reason) == ("c2ln", "msg_1", "tool_use")
    assert answer.usage is not None
    assert (answer.usage.input_tokens, answer.usage.cache_read_tokens, answer.usage.reasoning_tokens) == (60, 40, 5)
    assert [call.arguments for call in answer.tool_calls] == ['{"city":"Oslo"}', '{"city": "Atlantis"}']
    assert isinstance(oslo, ToolResultMessage)
    assert isinstance(atlantis, ToolResultMessage)
    assert [(one.tool_call_id, one.is_error) for one in (oslo, atlantis)] == [("c1", False), ("c2", True)]
    assert isinstance(searched, AssistantMessage)
    assert [type(block) for block in searched.content[:2]] == [ProviderContent, ProviderContent]
    image = found[7].content[1]  # type: ignore[union-attr]  # of a user
    assert isinstance(image, ImageContent)
    recorded = [one.event for one in await log.read(report.session)]
    assert [one.system_prompt for one in recorded if isinstance(one, ConfigChange) and one.system_prompt] == [
        "You tell the weather.\n\nBe brief."
    ]
    places = [one.call for one in recorded if isinstance(one, MessageAdopt) and one.call is not None]
    assert [place.content_index for place in places] == [2, 3, 2]
    info = await log.info(report.session)
    assert (info.agent, info.source) == ("pydantic-ai", f"pydantic-ai:{whole('pydantic-ai')[0]['conversation_id']}")
    assert detect(str(FIXTURES / "pydantic-ai.json")) == "pydantic-ai"


@pytest.mark.parametrize("name", NAMES)
async def test_what_the_library_wrote_is_written_back_as_it_was_read(name: str, log: EventLog, tmp_path: Path) -> None:
    report = await put(log, tmp_path, whole(name))
    assert await back(log, report.session) == whole(name)


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
async def test_a_history_can_do_what_every_session_can(name: str, tmp_path: Path) -> None:
    await check_first_class(FIXTURES / f"{name}.json", tmp_path)


@pytest.mark.parametrize("name", NAMES)
async def test_a_history_that_grows_adds_what_is_new_and_one_that_breaks_off_is_a_beginning(
    name: str, tmp_path: Path
) -> None:
    records = whole(name)
    async with open_store() as log:
        for count in range(1, len(records) + 1):
            report = await put(log, tmp_path, records[:count])
            assert [branch.parent for branch in report.branches] == [None]
        assert await back(log, report.session) == records
    written = json.dumps(records)
    for size in range(len(written) // 3, len(written), len(written) // 7):
        async with open_store() as log:
            cut = await put(log, tmp_path, written[:size])
            assert (cut.lost, cut.recovered) != ((), ())
            found = await messages(log, cut.session)
            assert all(not isinstance(one, UserMessage) or one.content for one in found)


async def test_instructions_that_change_are_in_force_from_there(log: EventLog, tmp_path: Path) -> None:
    records = [
        request({"part_kind": "system-prompt", "content": "You are A."}, said("one"), instructions="Be brief."),
        response(text("1")),
        request(said("two"), instructions="Be long."),
        response(text("2")),
        request({"part_kind": "system-prompt", "content": "Told later."}, said("three")),
    ]
    report = await put(log, tmp_path, records)
    changes = [one.event.system_prompt for one in await log.read(report.session) if isinstance(one.event, ConfigChange)]
    assert [one for one in changes if one is not None] == [
        "You are A.\n\nBe brief.",
        "You are A.\n\nBe long.",
        "You are A.",
    ]
    assert [one.content for one in await messages(log, report.session) if isinstance(one, UserMessage)] == [
        *("one", "two", "Told later.", "three")
    ]
    assert await back(log, report.session) == records


async def test_a_call_that_has_to_be_made_again_reads_as_the_library_tells_it(log: EventLog, tmp_path: Path) -> None:
    errors = [{"type": "int_parsing", "loc": ["n"], "msg": "no number", "input": "x", "ctx": {}}]
    again = {"part_kind": "retry-prompt", "tool_name": "f", "tool_call_id": "c", "content": errors}
    call = {"part_kind": "tool-call", "tool_name": "f", "tool_call_id": "c", "args": '{"n": "x"}'}
    records = [
        request(said("go")),
        response(call),
        request(again),
        response(text("no")),
        request(again | {"tool_name": None}),
    ]
    report = await put(log, tmp_path, records)
    result, told = [one for one in await messages(log, report.session) if not isinstance(one, AssistantMessage)][1:]
    assert isinstance(result, ToolResultMessage)
    assert isinstance(told, UserMessage)
    assert result.is_error
    assert result.content[0].text.startswith('1 validation error:\n```json\n[\n  {\n    "type": "int_parsing"')  # type: ignore[union-attr]  # a text
    assert str(told.content).endswith("Fix the errors and try again.")
    assert await back(log, report.session) == records


async def test_usage_as_older_versions_wrote_it_counts_too(log: EventLog, tmp_path: Path) -> None:
    old = {"requests": 1, "request_tokens": 7, "response_tokens": 3, "total_tokens": 10, "details": None}
    report = await put(log, tmp_path, [request(said("go")), response(text("1"), usage=old)])
    (answer,) = (one for one in await messages(log, report.session) if isinstance(one, AssistantMessage))
    assert answer.usage is not None
    assert (answer.usage.input_tokens, answer.usage.output_tokens) == (7, 3)


@pytest.mark.parametrize("body", ["[]", "[1]", '{"kind": "request", "parts": []}', '[{"kind": "request"}]', "[" * 900])
async def test_what_is_no_history_is_a_sentence(body: str, log: EventLog, tmp_path: Path) -> None:
    _write(tmp_path / "a.json", body)
    with pytest.raises(TranscriptError):
        await import_file(log, str(tmp_path / "a.json"))


VALUES: list[Any] = [None, True, 0, -1, 1e308, 2**70, "", "x" * 2_000, [], {}, [[]], {"kind": "binary"}, "retry-prompt"]


def places(value: Any) -> list[tuple[Any, Any]]:
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [place for key, item in items for place in ((value, key), *places(item))]


async def test_a_damaged_history_is_a_sentence_or_an_import(tmp_path: Path) -> None:
    for number in range(30):
        chance = random.Random(number)
        value = deepcopy(whole(chance.choice(NAMES)))
        for _ in range(chance.randint(1, 4)):
            holder, key = chance.choice(places(value))
            holder[key] = chance.choice(VALUES)
        async with open_store() as log:
            try:
                report = await put(log, tmp_path, value)
            except TranscriptError:
                continue
            for info in await log.sessions(limit=1_000):
                fold(await log.read(info.id, limit=1_000_000))
            assert json.dumps(await back(log, report.session), sort_keys=True) == json.dumps(
                [one for one in value if isinstance(one, dict)], sort_keys=True
            )


JSON: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 3) | st.text("ab-_", max_size=2),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from("ab"), inner, max_size=2),
    max_leaves=4,
)
KINDS = ("user-prompt", "system-prompt", "tool-return", "retry-prompt", "text", "thinking", "tool-call", "file", "odd")
PARTS = st.fixed_dictionaries(
    {"part_kind": st.sampled_from(KINDS) | JSON},
    optional={
        "content": st.text("ab")
        | st.lists(st.just({"kind": "binary", "data": "a-_b", "media_type": "image/png"}))
        | JSON,
        "tool_name": st.just("f") | JSON,
        "tool_call_id": st.sampled_from("xy") | JSON,
        "args": st.just('{"a":1}') | JSON,
        "signature": st.text("ab") | JSON,
        "id": st.just("redacted_thinking") | JSON,
        "outcome": st.sampled_from(["success", "failed"]) | JSON,
        "timestamp": st.just(AT) | JSON,
    },
)
RECORDS = st.fixed_dictionaries(
    {"kind": st.sampled_from(["request", "response"]) | JSON, "parts": st.lists(PARTS, max_size=3) | JSON},
    optional={
        "timestamp": st.just(AT) | JSON,
        "instructions": st.text("ab") | JSON,
        "usage": st.fixed_dictionaries({"input_tokens": st.integers(0, 3), "details": JSON}) | JSON,
        "model_name": st.just("gpt-5") | JSON,
        "provider_name": st.sampled_from(["openai", "anthropic"]) | JSON,
        "finish_reason": st.sampled_from(["stop", "error"]) | JSON,
        "state": st.just("interrupted") | JSON,
        "run_id": JSON,
        "conversation_id": st.text("ab") | JSON,
    },
)


@given(st.lists(RECORDS, max_size=6))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
async def test_whatever_a_history_holds_is_written_back_as_it_was_read(tmp_path: Path, records: list[Record]) -> None:
    value = [request(said("go")), *records]
    async with open_store() as log:
        report = await put(log, tmp_path, value)
        assert json.dumps(await back(log, report.session), sort_keys=True) == json.dumps(value, sort_keys=True)
        for info in await log.sessions():
            project(CONTEXT, await log.read(info.id, limit=1_000))
        assert not (await put(log, tmp_path, value)).branches


async def test_parts_that_are_not_known_are_kept_and_named(log: EventLog, tmp_path: Path) -> None:
    said = {"part_kind": "user-prompt", "content": "Oslo?", "timestamp": AT}
    records = [request(said, {"part_kind": "hologram"}), {"kind": "riddle", "parts": []}]
    report = await put(log, tmp_path, records)
    assert [(note.number, note.problem) for note in report.kept] == [
        (1, "1 record with a part of kind 'hologram', which no model is sent from here"),
        (2, "1 record of kind 'riddle', which is no message"),
    ]
    assert await back(log, report.session) == records


@pytest.mark.parametrize("name", NAMES)
async def test_nothing_of_what_the_library_writes_is_not_understood(log: EventLog, name: str) -> None:
    assert (await import_file(log, str(FIXTURES / f"{name}.json"))).kept == ()


async def test_what_was_spoken_summed_up_or_instructed_anew_is_said_and_marks_are_not(
    log: EventLog, tmp_path: Path
) -> None:
    state = {"kind": "structured-content", "value": {"page": 3}, "tag": "state", "content": "<state>3</state>"}
    link = {"kind": "image-url", "url": "https://example.com/a.png"}
    parts = [
        {"part_kind": "user-prompt", "content": ["Look.", state, link, {"kind": "cache-point", "ttl": "5m"}]},
        {"part_kind": "speech", "speaker": "user", "transcript": "And here?"},
        {"part_kind": "compaction", "content": "They talked of Oslo."},
        {"part_kind": "instruction-delta", "id": "agent", "content": "Be brief."},
        {"part_kind": "instruction-delta", "id": "agent", "content": None},
        {"part_kind": "speech", "speaker": "user", "transcript": None, "audio": {"kind": "binary", "data": ""}},
    ]
    spoken = {"part_kind": "speech", "speaker": "assistant", "transcript": "I hear you."}
    records = [{"kind": "request", "parts": parts}, {"kind": "response", "parts": [spoken], "vendor_id": "r1"}]
    report = await put(log, tmp_path, records)
    said = await messages(log, report.session)
    assert [text_of(one) for one in said] == [
        "Look.\n<state>3</state>\n[image-url https://example.com/a.png: kept as it came]",
        *("And here?", "They talked of Oslo."),
        '<pyai:context id="agent">\nBe brief.\n</pyai:context>',
        '<pyai:context id="agent">\nThis context has been withdrawn.\n</pyai:context>',
        *("[speech: kept as it came]", "I hear you."),
    ]
    assert [role_of(one) for one in said if isinstance(one, UserMessage)] == [*["user"] * 3, *["system"] * 2, "user"]
    assert isinstance(said[-1], AssistantMessage)
    assert (said[-1].response_id, report.kept, await back(log, report.session)) == ("r1", (), records)
