"""What an operator hears through `logging`: quiet by default, with session and seq."""

from __future__ import annotations

import logging
import subprocess
import sys

import pytest

from eventsource.models.scripted.script import call
from eventsource.models.secrets import Secrets
from eventsource.runner.hooks import Hooks
from eventsource.tools.tool import tool
from tests.running import Bench, scripted

PROGRAM = """
import asyncio
from refold import Agent, tool
from eventsource.models.scripted.script import call, fail
from eventsource.models.scripted import ScriptedModel

@tool
def broken() -> str:
    raise KeyError("k")

run = asyncio.run(Agent(ScriptedModel([[call("broken")], [fail("overloaded")]]), tools=[broken]).run("Go."))
print(run.status)
"""


@tool
async def broken() -> str:
    """Raise."""
    raise KeyError("k")


async def test_a_runs_start_its_end_and_what_fails_are_logged_with_session_and_seq(
    caplog: pytest.LogCaptureFixture,
) -> None:
    bench = Bench(scripted([call("broken")], "Done."), tools=[broken])
    with caplog.at_level(logging.INFO, "eventsource"):
        await bench.run("Go.")
    records = [record for record in caplog.records if record.name.startswith("eventsource")]
    said = [record.getMessage() for record in records]
    assert len(said) == 3
    assert said[0].endswith("run started (prompt)")
    assert said[1].endswith("tool broken failed: KeyError: 'k'")
    assert said[2].endswith("run ended: stop")
    assert [(vars(record)["session"], vars(record)["seq"] > 0) for record in records] == [("oslo", True)] * 3


@pytest.mark.slow
def test_nothing_is_printed_by_a_program_that_sets_no_logging_up() -> None:
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, timeout=120, check=False)
    assert (done.stdout, done.stderr) == ("error\n", "")


async def test_what_a_callback_raises_is_logged_with_its_traceback_and_without_keys(
    caplog: pytest.LogCaptureFixture,
) -> None:
    def refuse(request: object) -> None:
        raise KeyError("sk-planted-0123456789")

    def stop(ended: object) -> bool:
        raise ValueError("no stop")

    hooks = Hooks(before_tool_call=refuse, should_stop_after_turn=stop)
    bench = Bench(scripted([call("broken")], "Done."), tools=[broken], hooks=hooks)
    Secrets().add("sk-planted-0123456789")
    with caplog.at_level(logging.WARNING, "eventsource"):
        await bench.run("Go.")
    raised = [record for record in caplog.records if "Traceback" in record.getMessage()]
    assert ["in refuse" in raised[0].getMessage(), "in stop" in raised[1].getMessage()] == [True, True]
    assert "ValueError: no stop" in raised[1].getMessage()
    assert all(vars(record)["session"] == "oslo" and vars(record)["seq"] > 0 for record in raised)
    assert "planted" not in caplog.text
