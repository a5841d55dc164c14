"""`refold continue`: on from wherever a session's log stops."""

from __future__ import annotations

import json

import pytest

from tests.refold.cli.reading import events, roles
from tests.refold.shell import Shell

AGENT = """
from refold import Agent, tool
from eventsource.models.scripted.script import call
from eventsource.models.scripted import scripted

@tool(effect="pure")
def weather(city: str) -> str:
    return "12 C, rain"

agent = Agent(scripted([call("weather", {"city": "Oslo"})], "Take a coat.", by="request"), tools=[weather])
broken = 3
"""


def test_continue_of_a_complete_answer_does_nothing_and_says_so(shell: Shell) -> None:
    session = shell.said("Oslo?")
    before = events(shell, session)
    result = shell("continue", session, "-m", "scripted")
    assert (result.exit_code, result.stdout) == (0, "")
    assert "nothing to continue" in result.stderr
    assert events(shell, session) == before


def test_continue_with_a_prompt_says_it(shell: Shell) -> None:
    session = shell.said("Oslo?")
    said = shell.good("continue", session, "-m", f"scripted:{shell.script}", "--prompt", "A coat?")
    assert said == "Yes, take a coat.\n"


def test_a_scripted_session_is_not_continued_by_nobody(shell: Shell) -> None:
    session = shell.said("Oslo?")
    result = shell("continue", session, "--prompt", "A coat?")
    assert result.exit_code == 2
    assert "say who answers now" in result.stderr
    assert roles(shell, session) == ["user", "assistant"]


@pytest.mark.slow
def test_a_session_with_tools_needs_its_agent_or_goes_on_without_them(
    shell: Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    (shell.folder / "an_agent_of_mine.py").write_text(AGENT)
    monkeypatch.chdir(shell.folder)
    run = json.loads(shell.good("run", "A coat?", "--agent", "an_agent_of_mine:agent", "--json"))
    session, seen = run["id"], len(events(shell, run["id"]))
    assert run["text"] == "Take a coat."
    refused = shell("continue", session, "-m", "scripted", "--prompt", "Sure?")
    assert refused.exit_code == 2
    assert "--agent" in refused.stderr
    assert len(events(shell, session)) == seen
    assert "12 C, rain" in shell.good("calls", session)
    fork = shell.good("fork", session, "--at", "9").strip()
    assert shell.good("continue", fork, "--agent", "an_agent_of_mine:agent") == "Take a coat.\n"
    assert shell.good("continue", session, "-m", "scripted", "--no-tools", "--prompt", "Sure?").startswith("(scripted)")
