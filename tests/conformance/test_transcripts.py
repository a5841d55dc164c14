"""Real session files of other agents: imported, they say what independent counts say, and nothing of them is lost."""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec
import pytest

from eventsource.envelope import Recorded
from eventsource.errors import TranscriptError
from eventsource.events import Compaction, Custom, MessageAdopt
from eventsource.log import open_store
from eventsource.log.protocol import EventLog
from eventsource.machine.evolve import fold
from eventsource.machine.state import Phase
from eventsource.messages import AssistantMessage, ThinkingContent, ToolResultMessage, UserMessage
from projections import CONTEXT, history, project
from refold import Agent, open_log
from refold.testing import scripted
from replay.formats import import_file
from replay.formats.claude_code.write import claude_code_parts
from replay.formats.codex.write import codex_parts
from replay.formats.gemini.write import gemini_parts
from replay.formats.jsonl import read_lines

DATA = Path(os.environ.get("REFOLD_DATA", Path(__file__).parents[3] / "shared" / "data")).resolve()
TRANSCRIPTS = DATA / "transcripts"
FILES = {
    name: sorted((TRANSCRIPTS / name).glob("*.jsonl")) + sorted((TRANSCRIPTS / name / "individual").glob("*.jsonl"))
    for name in ("claude-code", "codex")
}
DOCUMENTS = {
    name: sorted((TRANSCRIPTS / name).glob("*.json")) + sorted((TRANSCRIPTS / name / "individual").glob("*.json"))
    for name in ("gemini-cli",)
}
LINES = [path for files in FILES.values() for path in files]
ALL = [*LINES, *(path for files in DOCUMENTS.values() for path in files)]
WRITERS: Mapping[str, Callable[[EventLog, str], AsyncIterator[bytes]]] = {
    "claude-code": claude_code_parts,
    "codex": codex_parts,
    "gemini-cli": gemini_parts,
}
EXPECTED = json.loads(text.read_text()) if (text := TRANSCRIPTS / "expectations.json").is_file() else {}
if not ALL:
    pytest.skip(f"needs recorded sessions; there are none in {DATA} (set REFOLD_DATA)", allow_module_level=True)


def name_of(path: Path) -> str:
    return str(path.relative_to(TRANSCRIPTS))


def format_of(path: Path) -> str:
    return name_of(path).split("/")[0]


def expected(form: str) -> list[Path]:
    return [path for path in {**FILES, **DOCUMENTS}[form] if name_of(path) in EXPECTED]


def content(path: Path) -> bytes:
    return path.read_bytes()


def records(data: bytes) -> list[Mapping[str, Any]]:
    """Return the records of JSON Lines; of a document its one value."""
    try:
        return [json.loads(data)]
    except ValueError:
        found = read_lines(data, lambda fields: isinstance(fields.get("type"), str))
        return [record.fields for record in found.records]


async def own_events(log: EventLog) -> list[Recorded]:
    return [
        one
        for info in await log.sessions(limit=1_000)
        for one in await log.read(info.id, after=info.fork_seq, limit=1_000_000)
    ]


async def adopted(log: EventLog, *, without: Sequence[str] = ()) -> list[MessageAdopt]:
    events = [one.event for one in await own_events(log)]
    return [event for event in events if isinstance(event, MessageAdopt) and event.origin.entry not in without]


def calls_and_results(events: Sequence[MessageAdopt]) -> tuple[Counter[str], Counter[str]]:
    calls = [
        block.id for one in events if isinstance(one.message, AssistantMessage) for block in one.message.tool_calls
    ]
    results = [one.message.tool_call_id for one in events if isinstance(one.message, ToolResultMessage)]
    return Counter(calls), Counter(results)


@pytest.mark.parametrize("path", expected("claude-code"), ids=name_of)
async def test_the_counts_of_a_file_of_claude_code_come_out(path: Path) -> None:
    wanted = EXPECTED[name_of(path)]
    async with open_store() as log:
        await import_file(log, str(path))
        events = await adopted(log)
        others = [one.event for one in await own_events(log) if isinstance(one.event, Custom)]
    answers = [one.message for one in events if isinstance(one.message, AssistantMessage)]
    calls, results = calls_and_results(events)
    assert len({one.response_id for one in answers} - {""}) == wanted["assistant_api_messages"]
    assert (calls.total(), results.total()) == (wanted["tool_uses"], wanted["tool_results"])
    thought = sum(isinstance(block, ThinkingContent) for one in answers for block in one.content)
    assert thought == wanted["thinking_blocks"]
    assert sum(b'"compact_boundary"' in bytes(one.data) for one in others) == wanted["compact_boundaries"]  # type: ignore[arg-type]  # of an import each has data
    used = Counter[str]()
    for answer in answers:
        if answer.usage is not None:
            used["input_tokens"] += answer.usage.input_tokens
            used["output_tokens"] += answer.usage.output_tokens
            used["cache_read_input_tokens"] += answer.usage.cache_read_tokens
            used["cache_creation_input_tokens"] += answer.usage.cache_write_tokens
    assert {name: used[name] for name in wanted["usage_dedup_by_message_id"]} == wanted["usage_dedup_by_message_id"]


@pytest.mark.parametrize("path", expected("codex"), ids=name_of)
async def test_the_counts_of_a_file_of_codex_come_out(path: Path) -> None:
    wanted = EXPECTED[name_of(path)]
    compacted = [
        f"line {record.number}"
        for record in read_lines(content(path), lambda fields: "type" in fields).records
        if record.fields.get("type") == "compacted"
    ]
    async with open_store() as log:
        await import_file(log, str(path))
        events = await adopted(log, without=compacted)
        compactions = sum(isinstance(one.event, Compaction) for one in await own_events(log))
    calls, results = calls_and_results(events)
    assert (calls.total(), compactions) == (wanted["tool_calls"], wanted["compactions"])
    assert sorted(set(calls) - set(results)) == sorted(wanted["dangling_tool_calls"])
    assert sorted(set(results) - set(calls)) == sorted(wanted["orphan_outputs"])
    said = [one.message for one in events if isinstance(one.message, UserMessage)]
    assert sum(not isinstance(one.raw, bytes) for one in said) >= wanted["user_response_items"]


@pytest.mark.parametrize("path", [path for path in ALL if path.name.startswith("real-")], ids=name_of)
async def test_nothing_of_a_real_file_is_not_understood(path: Path) -> None:
    async with open_store() as log:
        assert (await import_file(log, str(path))).kept == ()


@pytest.mark.parametrize("path", expected("gemini-cli"), ids=name_of)
async def test_the_counts_of_a_file_of_gemini_cli_come_out(path: Path) -> None:
    wanted = EXPECTED[name_of(path)]
    async with open_store() as log:
        await import_file(log, str(path))
        events = await adopted(log)
    answers = [one.message for one in events if isinstance(one.message, AssistantMessage)]
    said = [one.message for one in events if isinstance(one.message, UserMessage)]
    assert (len(said), len(answers)) == (wanted["types"]["user"], wanted["types"]["gemini"])
    calls, results = calls_and_results(events)
    assert calls.total() == results.total() == wanted["tool_calls"]
    failed = sum(isinstance(one.message, ToolResultMessage) and one.message.is_error for one in events)
    assert failed == sum(wanted["tool_status"].get(status, 0) for status in ("error", "cancelled"))
    assert sum(isinstance(block, ThinkingContent) for one in answers for block in one.content) == wanted["thoughts"]
    used = Counter[str]()
    for usage in [one.usage for one in answers if one.usage is not None]:
        used["input"] += usage.input_tokens + usage.cache_read_tokens
        used["output"] += usage.output_tokens - usage.reasoning_tokens
        used["cached"] += usage.cache_read_tokens
        used["thoughts"] += usage.reasoning_tokens
        used["total"] += usage.total_tokens
    assert used == {name: count for name, count in wanted["tokens"].items() if name != "tool"}


@pytest.mark.parametrize("path", ALL, ids=name_of)
async def test_a_real_file_is_written_back_as_it_was_read(path: Path) -> None:
    async with open_store() as log:
        report = await import_file(log, str(path))
        back = b"".join([part async for part in WRITERS[format_of(path)](log, report.session)])
    assert [json.dumps(one, sort_keys=True) for one in records(back)] == [
        json.dumps(one, sort_keys=True) for one in records(content(path))
    ]


@pytest.mark.parametrize("path", ALL, ids=name_of)
async def test_an_imported_session_verifies_forks_replays_and_goes_on(path: Path, tmp_path: Path) -> None:
    async with open_log(tmp_path / "log.db") as log:
        report = await import_file(log.store, str(path))
        assert (await log.store.verify(report.session)).ok
        head = (await log.store.info(report.session)).head
        for seq in range(1, head + 1, max(1, head // 20)):
            fork = await log.store.fork(report.session, seq, at_us=1)
            assert fold(await log.store.read(fork.id, limit=1_000_000)).phase is Phase.IDLE
        session = await log.find(report.session)
        assert (await session.replay()).difference is None
        run = await Agent(scripted("Done."), system="Be brief.").run("Go on.", session=session)
        assert run.text == "Done."
        assert (await session.replay()).difference is None


@pytest.mark.parametrize("path", [*DOCUMENTS["gemini-cli"]], ids=name_of)
async def test_the_same_document_twice_adds_nothing_and_a_cut_one_is_a_beginning(path: Path, tmp_path: Path) -> None:
    data = content(path)
    async with open_store() as log:
        whole = await import_file(log, str(path))
        assert not (await import_file(log, str(path))).branches
        wanted = [str(one) for one in await told(log, whole.session)]
    cut_file = tmp_path / path.name
    for cut in range(len(data) // 8, len(data) - 2, len(data) // 8):
        _write(cut_file, data[:cut])
        async with open_store() as log:
            try:
                report = await import_file(log, str(cut_file), format="gemini")
            except TranscriptError:
                continue
            assert report.lost
            found = [str(one) for one in await told(log, report.session)]
            same = sum(one == other for one, other in zip(found, wanted, strict=False))
            assert same >= len(found) - 2, "only the last answer may be shorter, and a result of its last call"


@pytest.mark.parametrize("path", LINES, ids=name_of)
async def test_the_same_file_twice_adds_nothing_and_a_cut_one_is_a_beginning(path: Path, tmp_path: Path) -> None:
    lines = content(path).splitlines(keepends=True)
    step = max(2, len(lines) // 12)
    async with open_store() as log:
        whole = await import_file(log, str(path))
        assert not (await import_file(log, str(path))).branches
        wanted = [str(one) for one in await told(log, whole.session)]
    cut_file = tmp_path / path.name
    for cut in range(step, len(lines), step):
        _write(cut_file, b"".join(lines[:cut]))
        async with open_store() as log:
            report = await import_file(log, str(cut_file))
            for info in await log.sessions(limit=1_000):
                assert fold(await log.read(info.id, limit=1_000_000)).phase is Phase.IDLE
            if len(report.branches) == len(whole.branches) == 1:
                found = [str(one) for one in await told(log, report.session)]
                same = sum(one == other for one, other in zip(found, wanted, strict=False))
                assert same >= len(found) - 1, "only the last answer may be shorter"


def _write(path: Path, data: bytes) -> None:
    path.write_bytes(data)


async def told(log: EventLog, session: str) -> list[object]:
    view = project(CONTEXT, await log.read(session, limit=1_000_000))
    return [msgspec.json.encode(getattr(entry.message, "content", None)) for entry in history(view)]
