"""The way back: a fork with another tool result goes on in the agent it came from, which sends it to its model."""

from __future__ import annotations

from pathlib import Path

import pytest

from eventsource.messages import ToolResultMessage
from eventsource.models.scripted.rules import rule
from eventsource.models.scripted.script import call
from refold import open_log
from replay.formats import FORMATS, import_file
from replay.formats.to_agent import hand_over

from .compare import conversation, exchanges
from .programs import PROGRAMS, Program, Turn
from .running import Ran, proxied, run_turns

AGENTS = {form.name: form.to_agent for form in FORMATS if form.to_agent is not None}
KEPT_IN = {
    "CLAUDE_CONFIG_DIR": ".claude",
    "CODEX_HOME": ".codex",
    "GEMINI_CLI_HOME": ".",
    "PI_CODING_AGENT_DIR": ".pi/agent",
}


@pytest.mark.slow
@pytest.mark.parametrize("program", [one for one in PROGRAMS if one.name in AGENTS], ids=lambda program: program.name)
async def test_the_agent_goes_on_from_the_edited_result(program: Program, tmp_path: Path) -> None:
    if program.missing:
        pytest.skip(program.missing)
    ran = Ran(home=tmp_path / "home", work=tmp_path / "work")
    ran.work.mkdir()
    tool, argument = program.shell
    script = [
        rule(["Let me look.", call(tool, {argument: "echo osprey-8"})], said="What is there"),
        rule("It is what you say.", said="What was it"),
        rule("I looked.", said="osprey-8"),
    ]
    async with open_log(tmp_path / "log.db") as log:
        async with proxied(log, script) as url:
            await run_turns(program, [Turn(prompt="What is there?")], url, ran)
        report = await import_file(log.store, str(ran.files[-1]))
        fork = await (await log.find(report.session)).fork()
        (result,) = [one for one in await fork.messages() if isinstance(one.message, ToolResultMessage)]
        await fork.replace(result, "a heron, as edited")
        environment = {variable: str(ran.home / folder) for variable, folder in KEPT_IN.items()}
        given = await hand_over(
            log.store,
            fork.id,
            program.name,
            AGENTS[program.name],
            folder=str(ran.work),
            environment=environment,
            at_us=log.clock(),
        )
        before = ran.files[-1].read_bytes()
        ran.session = Path(given.path)
        ran.files.append(ran.session)
    async with open_log(tmp_path / "again.db") as log:
        async with proxied(log, script) as url:
            await run_turns(program, [Turn(prompt="What was it?", resume=True)], url, ran)
        asked = await exchanges(log)
    said = [(one.kind, one.text) for one in conversation(asked[-1]) if one.kind not in ("system", "thought")]
    results = [text for kind, text in said if kind in ("result", "failed")]
    assert results == ["a heron, as edited"]
    assert [text for kind, text in said if kind == "reply"] == ["Let me look.", "I looked.", "It is what you say."]
    assert not any("osprey-8" in text for kind, text in said if kind != "call")
    assert ran.files[0].read_bytes() == before
    assert ran.outputs[-1].strip() == "It is what you say."
