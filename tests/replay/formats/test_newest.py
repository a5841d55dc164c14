"""Files that other versions of the agents wrote say more than those that are recorded: it is read, and written back."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from eventsource.events import ConfigChange, MessageAdopt, Origin
from eventsource.log.protocol import EventLog
from eventsource.machine.evolve import fold
from eventsource.message_text import whole_text
from eventsource.messages import AssistantMessage, TextContent, ToolCall, ToolResultMessage, UserMessage
from projections import CONTEXT, parts, project
from replay.formats import detect, import_file
from replay.formats.claude_code.write import claude_code_parts
from replay.formats.gemini.write import gemini_parts
from replay.formats.pi.write import export_pi

from .first_class import check_first_class

FIXTURES = Path(__file__).parent / "fixtures"
PI = FIXTURES / "pi-1.6.0.jsonl"
CHECKPOINT = FIXTURES / "gemini-checkpoint-0.30.1.json"
FIRST, FORK = sorted(FIXTURES.glob("claude-code-2.1.332/*.jsonl"))


def _records(path: Path) -> list[Any]:
    return [json.loads(line) for line in path.read_text().splitlines()]


async def test_a_session_of_pi_1_6(log: EventLog, tmp_path: Path) -> None:
    report = await import_file(log, str(PI))
    assert (report.kept, report.lost, len(report.branches)) == ((), (), 1)
    recorded = await log.read(report.session)
    config = fold(recorded).config
    assert (config.system_prompt or "").startswith("You are a coding assistant running inside pi")
    assert [tool.name for tool in config.tools or ()] == ["read", "bash", "edit", "write"]
    told = [whole_text(part.message) for part in parts(project(CONTEXT, recorded))]
    assert told[-3:-1] == ["Third, in short", "Three, in short."]
    assert [json.loads(line) for line in (await export_pi(log, report.session)).splitlines()] == _records(PI)
    await check_first_class(PI, tmp_path)


async def test_a_session_of_claude_code_2_1_332_and_its_fork(log: EventLog, tmp_path: Path) -> None:
    report = await import_file(log, str(FORK))
    info = await log.info(report.session)
    assert info.parent is not None
    for session, path in ((info.parent, FIRST), (info.id, FORK)):
        assert [json.loads(line) async for line in claude_code_parts(log, session)] == _records(path)
        recorded = await log.read(session)
        config = fold(recorded).config
        assert (config.system_prompt or "").startswith("You are a Claude agent")
        assert [tool.name for tool in config.tools or ()] == ["Agent", "Bash", "Edit"]
        changes = [one for one in recorded if isinstance(one.event, ConfigChange) and one.event.tools is not None]
        assert len(changes) == 1
    assert (report.kept, report.lost) == ((), ())
    await check_first_class(FORK, tmp_path)


async def _checkpoint(log: EventLog, session: str) -> Any:
    return json.loads(b"".join([part async for part in gemini_parts(log, session)]))


async def test_a_session_that_gemini_cli_saved_with_chat_save(log: EventLog, tmp_path: Path) -> None:
    report = await import_file(log, str(CHECKPOINT))
    assert (report.format, report.title, report.kept, report.lost) == ("gemini", "Run two commands", (), ())
    assert (await log.info(report.session)).folder == "/home/someone/osprey"
    context = parts(project(CONTEXT, await log.read(report.session)))
    results = [one.message for one in context if isinstance(one.message, ToolResultMessage)]
    assert [(one.tool_call_id, one.is_error) for one in results] == [
        *(("call_1_2", False), ("call_1_3", False), ("call_2_0", True), ("call_3_0", False)),
    ]
    assert await _checkpoint(log, report.session) == json.loads(CHECKPOINT.read_text())
    await check_first_class(CHECKPOINT, tmp_path)


async def test_a_saved_session_is_the_same_whether_it_is_a_list_or_has_grown_and_is_written_as_it_was(
    log: EventLog, tmp_path: Path
) -> None:
    history = json.loads(CHECKPOINT.read_text())["history"]
    path = tmp_path / "checkpoint-one.json"  # as the first versions wrote it
    path.write_text(json.dumps(history[:3]))
    first = await import_file(log, str(path))
    grown = [*history, {"role": "user", "parts": [{"text": "And now?"}]}, {"role": "model", "parts": [{"text": "No."}]}]
    path.write_text(json.dumps(grown))
    again = await import_file(log, str(path))
    assert (again.session, again.known, again.kept, again.lost) == (first.session, True, (), ())
    assert [branch.session for branch in again.branches] == [first.session]
    assert await _checkpoint(log, first.session) == grown
    asked = AssistantMessage(content=(ToolCall(id="x", name="run", arguments="{}"),), stop_reason="tool_use")
    given = ToolResultMessage(tool_call_id="x", tool_name="run", content=(TextContent(text="done"),))
    origin = Origin(source="test", session="s", entry="e")
    for message in (asked, given):
        await log.append(first.session, [(1, MessageAdopt(message=message, origin=origin))])
    told = (await _checkpoint(log, first.session))[len(grown) :]
    assert told == [
        {"role": "model", "parts": [{"functionCall": {"id": "x", "name": "run", "args": {}}}]},
        {"role": "user", "parts": [{"functionResponse": {"id": "x", "name": "run", "response": {"output": "done"}}}]},
    ]


async def test_what_a_saved_session_holds_that_is_no_message_of_google_stays_as_it_was(
    log: EventLog, tmp_path: Path
) -> None:
    asked = {"role": "user", "parts": [{"text": "Where?"}], "ts": 7}
    said = {"history": [asked, {"role": "gemini", "parts": [{"text": "There."}], "ts": 9}]}
    path = tmp_path / "checkpoint-one.json"
    path.write_text(json.dumps(said))
    report = await import_file(log, str(path))
    assert await _checkpoint(log, report.session) == said
    prompt = UserMessage(content=(TextContent(text="And then?"),))
    origin = Origin(source="test", session="s", entry="e")
    await log.append(report.session, [(1, MessageAdopt(message=prompt, origin=origin))])
    grown = [*said["history"], {"role": "user", "parts": [{"text": "And then?"}]}]
    assert await _checkpoint(log, report.session) == {"history": grown}


async def test_messages_of_others_that_have_roles_and_parts_are_none_of_google(tmp_path: Path) -> None:
    path = tmp_path / "messages.json"
    for part in ({"kind": "text", "text": "hi"}, {"type": "text", "text": "hi"}):
        path.write_text(json.dumps([{"role": "user", "parts": [part], "messageId": "m"}]))
        assert detect(str(path)) != "gemini"
    path.write_text(json.dumps([{"role": "user", "parts": [{"text": "hi"}]}]))
    assert detect(str(path)) == "gemini"
