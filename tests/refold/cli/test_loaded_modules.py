"""A command loads what it uses: everything else would be waited for each time."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from refold import Agent, open_log
from refold.testing import scripted

ROOT = Path(__file__).parents[3]
LOADED = """
import atexit, sys
from refold.cli import main
sys.argv[0] = "refold"
atexit.register(lambda: print("\\n" + "\\n".join(sorted(sys.modules))))
main()
"""
PACKAGES = {"httpx", "pydantic", "jsonschema", "prompt_toolkit", "email", "html"}
RUNS = {"refold.agent", "refold.compaction", "refold.session_runner", "refold.functional", "eventsource.runner.loop"}
MODELS = {"eventsource.models.catalog", "eventsource.models.wire", "eventsource.models.transport"}
REPLAY = {"replay.html", "replay.why", "replay.diff", "replay.replay", "replay.adopt", "replay.formats"}
OTHERS = {"eventsource.runner.recorder", "eventsource.log.memory", "refold.tasks.context", "refold.tasks.worker"}
UNUSED = PACKAGES | RUNS | MODELS | REPLAY | OTHERS


async def make_log(path: Path) -> None:
    async with open_log(path) as log:
        await Agent(scripted("Take a coat.")).run("Do I need a coat?", session=await log.session("oslo"))


def loaded(path: Path, *words: str, code: int = 0) -> set[str]:
    command = [sys.executable, "-c", LOADED, "--db", str(path), *words]
    run = subprocess.run(command, cwd=ROOT, env=dict(os.environ), capture_output=True, text=True)
    assert run.returncode == code, run.stderr
    return set(run.stdout.split("\n"))


@pytest.mark.slow
@pytest.mark.parametrize(
    "words", [["ls"], ["search", "coat"], ["show", "oslo"], ["tree", "oslo"], ["label", "oslo", "x"], ["verify"]]
)
async def test_a_command_that_reads_loads_nothing_that_runs_or_replays(words: list[str], tmp_path: Path) -> None:
    await make_log(tmp_path / "log.db")
    found = loaded(tmp_path / "log.db", *words)
    assert f"refold.cli.{words[0]}" in found
    assert sorted(UNUSED & found) == []


@pytest.mark.slow
async def test_a_command_that_replays_loads_what_replays_and_nothing_else_of_it(tmp_path: Path) -> None:
    await make_log(tmp_path / "log.db")
    assert UNUSED & loaded(tmp_path / "log.db", "replay", "oslo") == {"replay.replay"}


@pytest.mark.slow
def test_a_page_is_listened_for_before_what_answers_is_loaded(tmp_path: Path) -> None:
    """A port that is taken ends it there: by then nothing is loaded that serves, runs, or reads session files."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        found = loaded(tmp_path / "log.db", "ui", "--port", port, code=2)
    assert "refold.cli.ui" in found
    servers = {"starlette", "uvicorn", "refold.http.api.api", "refold.views.index", "replay.formats.formats"}
    assert sorted((servers | UNUSED) & found) == []


@pytest.mark.slow
def test_help_loads_neither_a_command_nor_a_log_nor_an_event_loop(tmp_path: Path) -> None:
    found = loaded(tmp_path / "none.db", "--help")
    assert "refold.cli.group" in found
    assert sorted({"asyncio", "sqlite3", "rich", "refold.log", "eventsource.codec", "eventsource.events"} & found) == []
    assert sorted(UNUSED & found) == []


@pytest.mark.slow
@pytest.mark.parametrize("name", ["eventsource", "projections", "replay", "refold", "refold.tasks"])
def test_importing_a_package_loads_none_of_its_names(name: str) -> None:
    code = f"import {name}, sys; print('\\n'.join(sys.modules))"
    run = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    packages = {"eventsource", "projections", "replay", "refold", "refold.tasks", "eventsource.lazy_names"}
    own = {one for one in run.stdout.split() if one.split(".")[0] in packages}
    assert own <= packages, run.stderr
    assert {"msgspec", "asyncio", "sqlite3"} & set(run.stdout.split()) == set()


@pytest.mark.slow
def test_a_program_that_reads_a_log_loads_nothing_that_runs_agents() -> None:
    code = "from refold import open_log; import sys; print('\\n'.join(sys.modules))"
    run = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert "refold.log" in run.stdout.split(), run.stderr
    assert sorted(UNUSED & set(run.stdout.split())) == []
