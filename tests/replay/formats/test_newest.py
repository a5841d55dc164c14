"""Files that newer versions of the agents wrote say more than those that are recorded: it is read, and written back."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from eventsource.events import ConfigChange
from eventsource.log.protocol import EventLog
from eventsource.machine.evolve import fold
from eventsource.message_text import whole_text
from projections import CONTEXT, parts, project
from replay.formats import import_file
from replay.formats.claude_code.write import claude_code_parts
from replay.formats.pi.write import export_pi

from .first_class import check_first_class

FIXTURES = Path(__file__).parent / "fixtures"
PI = FIXTURES / "pi-1.6.0.jsonl"
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
