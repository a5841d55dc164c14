"""`refold fork`: a session from any seq of another."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.refold.cli.reading import events, seq_of
from tests.refold.shell import Shell


def test_a_fork_inside_an_answer_continues_with_the_answer_made_anew(shell: Shell) -> None:
    session = shell.said("Oslo?")
    forked = shell("fork", session, "--at", seq_of(shell, session, "cold "))
    fork = forked.stdout.strip()
    assert forked.stdout == f"{fork}\n"
    assert f"continue {fork}" in forked.stderr
    continued = shell("continue", fork, "-m", f"scripted:{shell.script}")
    assert (continued.exit_code, continued.stdout) == (0, "Oslo is cold and wet.\n")
    assert "broke off here" in continued.stderr
    assert (
        shell.good("context", session, "--json").partition('"request"')[2]
        == (shell.good("context", fork, "--json").partition('"request"')[2])
    )
    assert f"at {seq_of(shell, session, 'cold ')}  {fork}" in shell.good("tree", session)


@pytest.mark.slow
def test_every_seq_of_a_run_is_a_place_to_fork_at_and_continue_from(shell: Shell) -> None:
    session = shell.said("Oslo?")
    head = len(events(shell, session))
    for seq in range(0, head + 1, 3):
        fork = shell.good("fork", session, "--at", seq).strip()
        assert shell("continue", fork, "-m", f"scripted:{shell.script}").exit_code == 0
        assert "no difference" in shell.good("replay", fork)
    assert "no defect" in shell.good("verify")


AGENT = """
from refold import Agent, Request, ToolResultMessage, tool
from refold.testing import Answer, ScriptedModel, call


@tool
def mail(to: str) -> str:
    \"\"\"Send a mail.\"\"\"
    with open("sent.txt", "a") as file:
        file.write(to)
    return "sent"


def respond(request: Request) -> Answer:
    return "Sent." if isinstance(request.messages[-1], ToolResultMessage) else [call("mail", {"to": "A"})]


agent = Agent(ScriptedModel(respond), tools=[mail])
"""


@pytest.mark.parametrize(
    ("repeated", "sent", "status"), [("recorded", "A", "done"), ("live", "AA", "done"), ("ask", "A", "waiting")]
)
def test_a_fork_is_told_what_becomes_of_calls_that_were_made(
    shell: Shell, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, repeated: str, sent: str, status: str
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    module = f"mailing_{repeated}"
    (tmp_path / f"{module}.py").write_text(AGENT)
    shell.good("run", "Write to A.", "--agent", f"{module}:agent", "--session", "mails")
    fork = shell.good("fork", "mails", "--at", "6", "--repeated", repeated).strip()
    told = shell.json("continue", fork, "--agent", f"{module}:agent")
    assert isinstance(told, dict)
    assert told["status"] == status
    assert (tmp_path / "sent.txt").read_text() == sent
