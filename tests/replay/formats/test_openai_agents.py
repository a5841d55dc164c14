"""Databases of the OpenAI Agents SDK: a session for each of theirs; answers are their items, branches are forks."""

from __future__ import annotations

import json
import random
import sqlite3
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings, strategies as st

from eventsource.errors import TranscriptError
from eventsource.events import MessageAdopt
from eventsource.log import open_store
from eventsource.log.protocol import EventLog
from eventsource.machine.evolve import fold
from eventsource.messages import AssistantMessage, Message, ThinkingContent, ToolResultMessage, UserMessage
from projections import CONTEXT, history, project
from replay.formats import detect, import_file
from replay.formats.dialect import InContext, PathState
from replay.formats.openai_agents.dialect import OpenAIAgentsDialect
from replay.formats.openai_agents.rows import Rows
from replay.formats.walk import in_file_order, walk_family

from .first_class import check_first_class

FIXTURES = Path(__file__).parent / "fixtures"
Item = dict[str, Any]
TABLES = """
CREATE TABLE {0}sessions (session_id TEXT PRIMARY KEY, created_at TIMESTAMP, updated_at TIMESTAMP);
CREATE TABLE {0}messages (id INTEGER PRIMARY KEY AUTOINCREMENT, session_id TEXT NOT NULL, message_data TEXT NOT NULL,
    created_at TIMESTAMP, FOREIGN KEY (session_id) REFERENCES {0}sessions (session_id));
"""


def database(path: Path, script: str) -> Path:
    """Make a database as the SDK does, which turns the write-ahead log on."""
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA journal_mode=WAL")
        connection.executescript(script)
    return path


def fixture(folder: Path, name: str) -> Path:
    return database(folder / f"{name}.db", (FIXTURES / f"{name}.sql").read_text())


def chat(path: Path, items: Sequence[object], *, session: str = "s", prefix: str = "agent_") -> Path:
    """Add items to a session of a database."""
    if not path.exists():
        database(path, TABLES.format(prefix))
    with closing(sqlite3.connect(path)) as connection, connection:
        at = "2026-01-01 00:00:00"
        connection.execute(f"INSERT OR IGNORE INTO {prefix}sessions VALUES (?, ?, ?)", (session, at, at))
        for item in items:
            data = item if isinstance(item, bytes) else json.dumps(item)
            insert = f"INSERT INTO {prefix}messages (session_id, message_data, created_at) VALUES (?, ?, ?)"
            connection.execute(insert, (session, data, at))
    return path


def beside(path: Path) -> list[str]:
    return sorted(one.name for one in path.parent.glob(f"{path.stem}*"))


def execute(path: Path, *statements: str) -> None:
    with closing(sqlite3.connect(path)) as connection, connection:
        for statement in statements:
            connection.execute(statement)


async def messages(log: EventLog, session: str) -> list[Message]:
    view = project(CONTEXT, await log.read(session, limit=1_000))
    return [one.message for one in history(view) if one.message is not None]


async def texts(log: EventLog, session: str) -> list[object]:
    return [
        one.content if isinstance(one, UserMessage) else one.text
        for one in await messages(log, session)
        if isinstance(one, UserMessage | AssistantMessage)
    ]


async def test_each_session_of_a_database_becomes_one_with_its_answers_and_results(
    log: EventLog, tmp_path: Path
) -> None:
    report = await import_file(log, str(fixture(tmp_path, "openai-agents")))
    (other,) = report.others
    assert [one.title for one in (report, other)] == ["Weather in Oslo and Rome?", "I want this back."]
    said = await messages(log, report.session)
    assert [type(one).__name__ for one in said] == [
        *("UserMessage", "AssistantMessage", "ToolResultMessage", "ToolResultMessage", "AssistantMessage"),
        *("UserMessage", "AssistantMessage", "ToolResultMessage", "AssistantMessage"),
    ]
    answer, first, second = said[1:4]
    assert isinstance(answer, AssistantMessage)
    assert isinstance(first, ToolResultMessage)
    assert isinstance(second, ToolResultMessage)
    assert isinstance(answer.content[0], ThinkingContent)
    assert [call.name for call in answer.tool_calls] == ["weather", "weather"]
    assert [one.tool_name for one in (first, second)] == ["weather", "weather"]
    assert second.content[0].text == '{"output": "Sunny in Rome", "metadata": {"exit_code": 1}}'  # type: ignore[union-attr]  # a text
    shown = (await messages(log, other.session))[0]
    assert [type(part).__name__ for part in shown.content] == ["TextContent", "ImageContent"]  # type: ignore[union-attr]  # of a user
    info = await log.info(report.session)
    assert (info.agent, info.source.split(" ")[0]) == ("openai-agents", "openai-agents:user-1")


async def test_a_branch_is_a_fork_and_the_usage_of_a_turn_counts_once(log: EventLog, tmp_path: Path) -> None:
    report = await import_file(log, str(fixture(tmp_path, "openai-agents-branches")))
    main, fork = (branch.session for branch in report.branches)
    assert await texts(log, main) == [
        *("Weather in Oslo?", "", "Sunny."),
        *("How do I get there by sea?", "Take the boat."),
    ]
    assert (await texts(log, fork))[3:] == ["How do I get there?", "Take the train."]
    used = [
        one.event.message.usage
        for branch in report.branches
        for one in await log.read(branch.session, after=(await log.info(branch.session)).fork_seq)
        if isinstance(one.event, MessageAdopt) and isinstance(one.event.message, AssistantMessage)
    ]
    assert [
        one and (one.input_tokens, one.cache_read_tokens, one.output_tokens, one.reasoning_tokens) for one in used
    ] == [
        *(None, (120, 80, 40, 10)),
        *((60, 40, 20, 5), (60, 40, 20, 5)),
    ]


@pytest.mark.slow
@pytest.mark.parametrize("name", ["openai-agents", "openai-agents-branches"])
async def test_what_comes_from_a_database_can_do_what_every_session_can(name: str, tmp_path: Path) -> None:
    await check_first_class(fixture(tmp_path, name), tmp_path)


async def test_what_a_session_got_is_added_and_what_took_the_place_of_others_is_a_fork(
    log: EventLog, tmp_path: Path
) -> None:
    said = [
        {"role": "user", "content": "one"},
        {"role": "assistant", "content": "1"},
        {"role": "user", "content": "two"},
    ]
    path = chat(tmp_path / "a.db", said)
    first = await import_file(log, str(path))
    chat(path, [{"role": "assistant", "content": "2"}])
    grown = await import_file(log, str(path))
    assert [branch.session for branch in grown.branches] == [first.session]
    assert await texts(log, first.session) == ["one", "1", "two", "2"]
    execute(path, "DELETE FROM agent_messages WHERE id >= 3")
    assert not (await import_file(log, str(path))).branches
    chat(path, [{"role": "user", "content": "three"}])
    (fork,) = (await import_file(log, str(path))).branches
    assert await texts(log, fork.session) == ["one", "1", "three"]
    execute(path, "DELETE FROM agent_messages", "UPDATE agent_sessions SET created_at = '2027-01-01 00:00:00'")
    chat(path, [{"role": "user", "content": "anew"}])
    anew = await import_file(log, str(path))
    assert (anew.known, await texts(log, anew.session)) == (False, ["anew"])


async def test_tables_of_another_name_are_known_and_nothing_is_written_beside_the_file(
    log: EventLog, tmp_path: Path
) -> None:
    path = chat(tmp_path / "chats.sqlite", [{"role": "user", "content": "hi"}], prefix="my_")
    before = path.read_bytes()
    assert detect(str(path)) == "openai-agents"
    report = await import_file(log, str(path))
    assert (report.title, path.read_bytes(), beside(path)) == ("hi", before, ["chats.sqlite"])


async def test_what_only_the_write_ahead_log_holds_is_read_too(log: EventLog, tmp_path: Path) -> None:
    path = chat(tmp_path / "a.db", [{"role": "user", "content": "one"}])
    with closing(sqlite3.connect(path)) as connection:
        insert = "INSERT INTO agent_messages (session_id, message_data) VALUES ('s', ?)"
        with connection:
            connection.execute(insert, (json.dumps({"role": "assistant", "content": "1"}),))
        assert (tmp_path / "a.db-wal").stat().st_size
        report = await import_file(log, str(path))
    assert await texts(log, report.session) == ["one", "1"]


async def test_rows_that_are_no_items_are_named_and_encrypted_ones_are_kept(log: EventLog, tmp_path: Path) -> None:
    locked = {"__enc__": 1, "v": 1, "kid": "hkdf-v1", "payload": "gAAAA"}
    said: list[object] = [{"role": "user", "content": "one"}, b"{oops", b"[1]", b"", locked]
    deep = b'{"role":"user","content":' + b"[" * 900 + b"]" * 900 + b"}"
    report = await import_file(log, str(chat(tmp_path / "a.db", [*said, deep])))
    assert [note.number for note in report.lost] == [2, 3, 4, 6]
    assert [(note.number, note.problem) for note in report.kept] == [(5, "1 record with encrypted content")]
    assert await texts(log, report.session) == ["one"]


@pytest.mark.parametrize("size", [20, 100, 5_000])
async def test_a_database_that_is_cut_off_is_a_sentence(size: int, log: EventLog, tmp_path: Path) -> None:
    path = fixture(tmp_path, "openai-agents")
    cut = path.read_bytes()[:size]
    path.write_bytes(cut)
    with pytest.raises(TranscriptError):
        await import_file(log, str(path), format="openai-agents")


async def test_a_database_without_such_tables_is_no_session(log: EventLog, tmp_path: Path) -> None:
    path = database(tmp_path / "a.db", "CREATE TABLE messages (id INTEGER, text TEXT);")
    with pytest.raises(TranscriptError, match="is not a session this program can read"):
        await import_file(log, str(path))
    path = database(tmp_path / "b.db", TABLES.format("agent_"))
    with pytest.raises(TranscriptError, match="holds no session"):
        await import_file(log, str(path))


@pytest.mark.slow
async def test_a_damaged_database_is_a_sentence_or_an_import(tmp_path: Path) -> None:
    whole = {name: fixture(tmp_path, name).read_bytes() for name in ("openai-agents", "openai-agents-branches")}
    path = tmp_path / "damaged.db"
    for number in range(40):
        chance = random.Random(number)
        data = bytearray(whole[chance.choice(sorted(whole))])
        for _ in range(chance.choice((1, 8, 200))):
            data[chance.randrange(100, len(data))] = chance.randrange(256)
        path.write_bytes(data)
        async with open_store() as log:
            try:
                report = await import_file(log, str(path))
            except TranscriptError:
                continue
            for info in await log.sessions(limit=1_000):
                fold(await log.read(info.id, limit=1_000_000))
            assert report.session


class Writing(OpenAIAgentsDialect):
    """Writes rows back, which the program itself does not."""

    def new_name(self, session: str, seq: int) -> str:
        return ""

    def write_new(self, event: InContext, at_us: int, name: str, state: PathState) -> list[dict[str, object]]:
        return []


JSON: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 3) | st.text("ab", max_size=2),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from("ab"), inner, max_size=2),
    max_leaves=4,
)
PARTS = st.fixed_dictionaries(
    {"type": st.sampled_from(["input_text", "output_text", "input_image", "refusal", "odd"]) | JSON},
    optional={"text": st.text("ab", max_size=2) | JSON, "image_url": st.just("data:image/png;base64,AA==") | JSON},
)
TYPES = ("message", "reasoning", "function_call", "function_call_output", "custom_tool_call", "compaction", "odd")
ITEMS = st.fixed_dictionaries(
    {},
    optional={
        "type": st.sampled_from([*TYPES, "computer_call_output", "mcp_approval_request"]) | JSON,
        "role": st.sampled_from(["user", "assistant", "system"]) | JSON,
        "content": st.text("ab") | st.lists(PARTS, max_size=2) | JSON,
        "summary": st.lists(st.fixed_dictionaries({"type": st.just("summary_text"), "text": st.text("ab")})) | JSON,
        "name": st.just("shell") | JSON,
        "arguments": st.just("{}") | JSON,
        "call_id": st.sampled_from("xy") | JSON,
        "output": st.text("ab") | st.lists(PARTS, max_size=2) | JSON,
        "provider_data": st.just({"model": "gpt-5"}) | JSON,
        "id": st.text("ab") | JSON,
    },
)


@given(st.lists(ITEMS, min_size=1, max_size=6))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
async def test_whatever_rows_hold_is_kept_whole(tmp_path: Path, items: list[Item]) -> None:
    path = tmp_path / "a.db"
    path.unlink(missing_ok=True)
    chat(path, items)
    async with open_store() as log:
        report = await import_file(log, str(path))
        walks = await walk_family(log, report.session, Writing({}, rows=Rows("s", "")))
        assert json.dumps(list(in_file_order(walks)), sort_keys=True) == json.dumps(items, sort_keys=True)
        for info in await log.sessions():
            project(CONTEXT, await log.read(info.id, limit=1_000))
        assert not (await import_file(log, str(path))).branches


async def test_items_that_are_neither_messages_nor_results_are_kept_and_named(log: EventLog, tmp_path: Path) -> None:
    report = await import_file(log, str(chat(tmp_path / "a.db", [{"role": "user", "content": "hi"}, {"x": 1}])))
    assert [note.problem for note in report.kept] == ["1 record with neither a message nor a result"]
    for name in ("openai-agents", "openai-agents-branches"):
        report = await import_file(log, str(fixture(tmp_path, name)))
        assert not any(one.kept for one in (report, *report.others))
