"""Today's agent against a recording, from the command line."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from tests.refold.shell import Shell

AGENT = """
from eventsource.models.scripted import scripted
from refold import Agent

agent = Agent(scripted(["Oslo ", "is cold."], by="request"), system="Be brief.")
"""


@pytest.fixture
def agents(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Write an agent and a changed one into modules that can be imported from here."""
    name = f"agents_{tmp_path.name}"
    (tmp_path / f"{name}.py").write_text(AGENT)
    (tmp_path / f"{name}_changed.py").write_text(AGENT.replace("brief", "long"))
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    return name


@pytest.fixture
def session(shell: Shell, agents: str) -> str:
    run = json.loads(shell.good("run", "Oslo?", "--agent", f"{agents}:agent", "--json"))
    return str(run["id"])


def test_the_same_agent_asks_the_same(shell: Shell, session: str, agents: str) -> None:
    shown = shell.good("reexecute", session, "--agent", f"{agents}:agent")
    assert shown == "1 model call and 0 tool calls as recorded, no difference\n"


def test_a_changed_agent_is_told_what_changed_by_exit_code_one(shell: Shell, session: str, agents: str) -> None:
    result = shell("reexecute", session, "--agent", f"{agents}_changed:agent")
    assert result.exit_code == 1
    assert "first difference: model call 1 asks something else than the recording at seq" in result.stdout
    assert "  -Be brief.\n  +Be long.\n" in result.stdout
    document = json.loads(shell("reexecute", session, "--agent", f"{agents}_changed:agent", "--json").stdout)
    assert (document["id"], document["mismatch"]["kind"]) == (None, "request")


def test_a_file_can_be_re_executed_too(shell: Shell, session: str, agents: str) -> None:
    file = shell.folder / "oslo.jsonl"
    shell.good("export", session, "-o", file)
    assert "no difference" in shell.good("reexecute", file, "--agent", f"{agents}:agent")
    assert "--force replaces it" in shell("export", session, "-o", file).stderr
    shell.good("export", session, "-o", file, "--force")


def test_what_went_live_can_be_kept(shell: Shell, session: str, agents: str) -> None:
    result = shell("reexecute", session, "--agent", f"{agents}_changed:agent", "--mode", "live", "--keep", "--json")
    assert result.exit_code == 1
    kept = json.loads(result.stdout)["id"]
    assert "Oslo is cold." in shell.good("show", kept)
    sys.modules.pop(agents, None)
