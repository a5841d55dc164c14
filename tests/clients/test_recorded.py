"""`refold record -- PROGRAM` points each program at a proxy of its own, and what it says is on record."""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path

import pytest

from eventsource.messages import AssistantMessage, ToolResultMessage
from eventsource.models.scripted.rules import rule
from eventsource.models.scripted.script import call
from refold import open_log

from .programs import PROGRAMS, Program, Turn
from .running import LIMIT_S, provided

ROOT = Path(__file__).parents[2]
MAIN = "from refold.cli import main; main()"


@pytest.mark.slow
@pytest.mark.parametrize("program", PROGRAMS, ids=lambda program: program.name)
async def test_a_program_that_is_run_by_record_is_recorded(program: Program, tmp_path: Path) -> None:
    if program.missing:
        pytest.skip(program.missing)
    home, work = tmp_path / "home", tmp_path / "work"
    for folder in (home, work):
        folder.mkdir()
    tool, argument = program.shell
    script = [
        rule(["Let me look.", call(tool, {argument: "echo osprey-8"})], said="What is there"),
        rule("An osprey.", said="osprey-8"),
    ]
    async with provided(script) as url:
        environment = {"PATH": os.environ["PATH"], "HOME": str(home), **program.settle(home, url)}
        environment |= {"PYTHONPATH": str(ROOT), "REFOLD_DB": str(tmp_path / "log.db"), "NO_COLOR": "1"}
        line = [str(program.path), *program.command(Turn(prompt="What is there?"), None)]
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-c", MAIN, "record", "--", *line),
            cwd=work,
            env=environment,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        async with asyncio.timeout(LIMIT_S):
            output, errors = await process.communicate()
    assert (process.returncode, output.decode().splitlines()[-1:]) == (0, ["An osprey."]), errors.decode()
    assert "no request came through" not in errors.decode()
    async with open_log(tmp_path / "log.db") as log:
        (session,) = [one for one in await log.sessions() if (await one.info()).title.startswith("What is there")]
        said = [one.message for one in await session.messages()]
        assert not (await session.info()).open
    assert [one.text for one in said if isinstance(one, AssistantMessage)] == ["Let me look.", "An osprey."]
    (result,) = [one for one in said if isinstance(one, ToolResultMessage)]
    assert "osprey-8" in str(result.content)
