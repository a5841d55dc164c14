"""Queues from the command line: who takes what, and how they stand."""

from __future__ import annotations

import json
from pathlib import Path
from uuid import uuid4

import pytest

from tests.refold.shell import Shell

APP = """
from refold.tasks import TaskContext, task

@task(id="draw", payload=str, queue="gpu")
async def draw(ctx: TaskContext, what: str) -> str:
    return f"a picture of {what}"

@task(id="plain", payload=str)
async def plain(ctx: TaskContext, what: str) -> str:
    return what
"""


@pytest.fixture
def app(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> str:
    name = f"app_{uuid4().hex[:8]}"  # a module is imported once in a process
    (shell.folder / f"{name}.py").write_text(APP)
    monkeypatch.chdir(shell.folder)
    monkeypatch.syspath_prepend(str(shell.folder))
    return name


def test_a_worker_takes_from_its_queues_and_keeps_to_their_limits(shell: Shell, app: str) -> None:
    run = shell.good("trigger", f"{app}:draw", "Oslo").strip()
    assert shell("worker", app, "--until-idle", "--queue", "default").exit_code == 0
    assert json.loads(shell.good("runs", run, "--json"))["status"] == "due"
    shell("worker", app, "--until-idle", "--queue", "gpu", "--queue", "default", "--limit", "gpu=0")
    assert json.loads(shell.good("runs", run, "--json"))["status"] == "due"
    shell("worker", app, "--until-idle", "--queue", "gpu", "--limit", "gpu=1")
    assert json.loads(shell.good("runs", run, "--json"))["result"] == "a picture of Oslo"


def test_check_tells_a_line_of_each_queue_and_ends_with_1_when_something_is_late(shell: Shell, app: str) -> None:
    assert shell.good("ls") == ""
    assert "Nothing is due" in shell("worker", "--check").stderr
    shell.good("trigger", f"{app}:draw", "Oslo")
    shell.good("trigger", f"{app}:draw", "Bergen")
    shell.good("trigger", f"{app}:plain", "Oslo")
    found = shell("worker", "--check")
    assert found.exit_code == 0
    assert [line.split()[:4] for line in found.stdout.splitlines()] == [
        ["queue", "due", "running", "workers"],
        ["default", "1", "0", "0"],
        ["gpu", "2", "0", "0"],
    ]
    late = shell("worker", "--check", "--late", "0s")
    assert late.exit_code == 1
    assert late.stderr.count("and 0 workers of it at work") == 2
    one = shell("worker", "--check", "--late", "0s", "--queue", "idle", "--json")
    assert one.exit_code == 0
    assert json.loads(one.stdout) == [
        {"queue": "idle", "due": 0, "waited_us": 0, "running": 0, "owners": [], "late": False}
    ]


def test_check_makes_no_log(shell: Shell, tmp_path: Path) -> None:
    missing = tmp_path / "typo.db"
    assert shell("worker", "--check", "--db", missing).exit_code == 3
    assert not missing.exists()


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["worker"], "name a module of tasks"),
        (["worker", "app", "--check"], "--check runs nothing; leave out MODULE"),
        (["worker", "--check", "--concurrency", "10"], "leave out --concurrency"),
        (["worker", "--check", "--queue", "two words"], "printable characters without spaces"),
        (["worker", "app", "--late", "1m"], "--late goes with --check"),
        (["worker", "{}", "--queue", "two words"], "printable characters without spaces"),
        (["worker", "{}", "--limit", "gpu"], "expected QUEUE=N"),
        (["worker", "{}", "--engine", "dbos://h"], "write temporal://HOST:7233/NAMESPACE"),
        (["worker", "{}", "--engine", "temporal://h", "--limit", "gpu=4"], "--limit goes without --engine"),
        (["worker", "{}", "--engine", "temporal://h", "--until-idle"], "--until-idle goes without --engine"),
        (["worker", "--check", "--engine", "temporal://h"], "leave out --engine"),
        (["worker", "{}", "--queue", "gpu", "--limit", "cpu=4"], "it takes nothing from queue cpu"),
    ],
)
def test_what_cannot_be_meant_is_refused(shell: Shell, app: str, words: list[str], told: str) -> None:
    result = shell(*(word.format(app) for word in words))
    assert result.exit_code == 2
    assert told in result.stderr
