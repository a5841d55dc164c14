"""What a file names another one by may be anything: what no file can be called is nowhere, and ends nothing."""

from __future__ import annotations

import json
from contextlib import suppress
from pathlib import Path

import pytest

from eventsource.errors import TranscriptError
from eventsource.log.protocol import EventLog
from replay.formats import import_file
from replay.formats.finding import Finder, FoundFile

from .test_opencode_early import FIRST, project_of

NAMES = ["", ".", "..", "../up", "a/b", "a\\b", "a\0b", "x" * 5_000, "\ud800", "é" * 200]
IDS = ["empty", "here", "above", "way up", "below", "backslash", "null", "long", "half", "long in bytes"]
pytestmark = pytest.mark.parametrize("name", NAMES, ids=IDS)


async def found_and_imported(log: EventLog, folder: Path) -> int:
    """Import what is found in a folder. Returns: how many sessions there are."""
    for one in Finder().among([folder]):
        if isinstance(one, FoundFile):
            with suppress(TranscriptError):
                await import_file(log, str(one.path))
    return len(await log.sessions())


async def test_a_sub_agent_of_claude_code_that_names_its_session(name: str, log: EventLog, tmp_path: Path) -> None:
    said: dict[str, object] = {
        "uuid": "a",
        "parentUuid": None,
        "type": "user",
        "sessionId": name,
        "isSidechain": True,
        "agentId": "1",
    }
    said |= {"timestamp": "2026-01-01T00:00:00Z", "message": {"role": "user", "content": "Dig"}}
    (tmp_path / "agent-1.jsonl").write_text(json.dumps(said) + "\n")
    assert await found_and_imported(log, tmp_path) == 1


async def test_a_session_of_gemini_cli_that_names_the_folder_of_its_sub_agents(
    name: str, log: EventLog, tmp_path: Path
) -> None:
    message = {"id": "a", "timestamp": "2026-01-01T00:00:00Z", "type": "user", "content": "Hi"}
    whole = {"sessionId": name, "projectHash": "p", "startTime": "2026-01-01T00:00:00Z", "messages": [message]}
    path = tmp_path / "chats" / "session-1.json"
    path.parent.mkdir()
    path.write_text(json.dumps(whole))
    assert await found_and_imported(log, tmp_path) == 1


async def test_a_message_of_opencode_that_names_the_folder_of_its_parts(
    name: str, log: EventLog, tmp_path: Path
) -> None:
    path = project_of(tmp_path, FIRST)
    for one in (path.parents[1] / "message" / path.stem).glob("*.json"):
        one.write_text(json.dumps({**json.loads(one.read_text()), "id": name}))
    assert await found_and_imported(log, tmp_path) >= 1
