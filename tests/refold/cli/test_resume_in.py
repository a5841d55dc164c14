"""`refold resume-in`, `export --to-agent` and `fork --edit`: a session goes on in another agent."""

from __future__ import annotations

import json
import os
import re
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from tests.refold.shell import Shell

ROOT = Path(__file__).parents[3]
MAIN = "from refold.cli import main; main()"
AGENT = """#!{python}
import json, os, sys
print(json.dumps({{"arguments": sys.argv[1:], "folder": os.getcwd(), "read": sys.stdin.read()}}))
sys.exit(7)
"""


@pytest.fixture
def home(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Keep what agents keep in a folder of the test, and put agents on the PATH that say how they were called."""
    folder = shell.folder / "home"
    programs = shell.folder / "programs"
    programs.mkdir()
    for name in ("claude", "codex", "gemini", "pi"):
        (programs / name).write_text(AGENT.format(python=sys.executable))
        (programs / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{programs}{os.pathsep}{os.environ['PATH']}")
    for variable in ("CLAUDE_CONFIG_DIR", "CODEX_HOME", "GEMINI_CLI_HOME", "PI_CODING_AGENT_DIR"):
        monkeypatch.setenv(variable, str(folder))
    monkeypatch.chdir(shell.folder)
    return folder


def files(home: Path) -> list[Path]:
    return sorted(home.rglob("*.jsonl"))


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def seq_of(shell: Shell, session: str, text: str) -> str:
    """Find a message by a text of it."""
    shown = shell.good("show", session)
    found = re.findall(r"^ *(\d+)  \w.*\n((?:    .*\n)*)", shown, re.MULTILINE)
    return next(str(seq) for seq, said in found if text in said)


@pytest.mark.parametrize("agent", ["claude-code", "codex", "gemini", "pi"])
def test_a_session_is_written_and_the_agents_command_is_printed(agent: str, shell: Shell, home: Path) -> None:
    session = shell.said("Oslo?")
    told = shell("resume-in", agent, session)
    (file,) = files(home)
    assert "Oslo is cold and wet." in file.read_text()
    assert str(file) in told.stderr
    cd, folder, *command = shlex.split(told.stdout)
    assert (cd, folder, command[0]) == ("cd", str(shell.folder), "&&")
    named = {"pi": str(file), "gemini": lines(file)[0].get("sessionId")}.get(agent, file.stem[-36:])
    says = {
        "claude-code": ["claude", "--resume"],
        "codex": ["codex", "resume"],
        "gemini": ["gemini", "--resume"],
        "pi": ["pi", "--session"],
    }
    assert command[1:] == [*says[agent], named]
    document = shell.json("resume-in", agent, session)
    assert isinstance(document, dict)
    assert (document["messages"], document["lost"], len(files(home))) == (2, [], 2)
    assert document["command"][0] == command[1]


def test_the_agent_runs_in_its_folder_and_its_end_is_the_commands(shell: Shell, home: Path) -> None:
    work = shell.folder / "work"
    work.mkdir()
    session = shell.said("Oslo?")
    words = ["resume-in", "codex", session, "--run", "--folder", str(work), "--", "--model", "x"]
    line = [sys.executable, "-c", MAIN, "--db", str(shell.folder / "refold.db"), *words]
    run = subprocess.run(
        line, input="typed", capture_output=True, text=True, env={**os.environ, "PYTHONPATH": str(ROOT)}
    )
    (file,) = files(home)
    called = {"arguments": ["resume", file.stem[-36:], "--model", "x"], "folder": str(work), "read": "typed"}
    assert (run.returncode, json.loads(run.stdout)) == (7, called)


def test_a_signal_reaches_the_agent_and_says_how_it_ended(shell: Shell, home: Path, tmp_path: Path) -> None:
    session = shell.said("Oslo?")
    (shell.folder / "programs" / "claude").write_text(
        f"#!{sys.executable}\nimport pathlib, time\npathlib.Path({str(tmp_path / 'began')!r}).touch()\ntime.sleep(60)\n"
    )
    line = [
        sys.executable,
        "-c",
        MAIN,
        "--db",
        str(shell.folder / "refold.db"),
        "resume-in",
        "claude-code",
        session,
    ]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    with subprocess.Popen([*line, "--run"], env=environment, stderr=subprocess.DEVNULL, start_new_session=True) as run:
        while run.poll() is None and not (tmp_path / "began").exists():
            time.sleep(0.02)
        run.send_signal(signal.SIGTERM)
        assert run.wait(60) == 128 + signal.SIGTERM


def test_a_program_that_is_not_there_is_one_sentence(shell: Shell, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    session = shell.said("Oslo?")
    monkeypatch.setenv("PATH", str(shell.folder / "nothing"))
    told = shell("resume-in", "pi", session, "--run")
    assert told.exit_code == 3
    assert "pi: there is no such program here" in told.stderr


def test_a_session_without_a_message_is_given_to_nobody(shell: Shell, home: Path) -> None:
    session = shell.said("Oslo?")
    fork = shell.good("fork", session, "--at", "0").strip()
    told = shell("resume-in", "codex", fork)
    assert told.exit_code == 3
    assert "holds no message that a model reads" in told.stderr
    assert files(home) == []


def test_a_folder_that_is_not_here_is_named(shell: Shell, home: Path) -> None:
    path = shell.folder / "rollout.jsonl"
    meta = {"id": "0199", "timestamp": "2026-01-01T00:00:00Z", "cwd": "/no/such/folder", "cli_version": "0.1"}
    said = {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "Hello."}]}
    records = [("session_meta", meta), ("response_item", said)]
    path.write_text(
        "".join(
            json.dumps({"timestamp": "2026-01-01T00:00:00Z", "type": kind, "payload": payload}) + "\n"
            for kind, payload in records
        )
    )
    shell.good("import", path)
    told = shell("resume-in", "codex", "last")
    assert told.stdout.startswith("cd /no/such/folder && codex resume")
    assert "--folder names another one" in told.stderr
    assert "ends with a prompt that nobody answered" in told.stderr


def test_what_the_agent_lacks_is_said(shell: Shell, home: Path) -> None:
    session = shell.said("Oslo?", "--system", "Be brief.", "--bash")
    told = shell("resume-in", "claude-code", session)
    assert "not there: the system prompt" in told.stderr
    assert "not there: the tools (bash)" in told.stderr


def test_an_export_is_put_where_the_agent_looks(shell: Shell, home: Path) -> None:
    session = shell.said("Oslo?")
    path = shell.good("export", session, "--format", "codex", "--to-agent").strip()
    assert files(home) == [Path(path)]
    assert shell.json("export", session, "--format", "pi", "--to-agent") != {}
    for words in (
        ["--to-agent"],
        ["--format", "pi", "--to-agent", "-o", "x"],
        ["--format", "pi", "--to-agent", "--at", "3"],
    ):
        told = shell("export", session, *words)
        assert told.exit_code == 2
        assert "--to-agent" in told.stderr


def test_an_edited_answer_is_the_end_of_a_fork(shell: Shell, home: Path) -> None:
    session = shell.said("Oslo?")
    fork = shell.good("fork", session, "--edit", seq_of(shell, session, "cold"), "Oslo is warm.").strip()
    assert "Oslo is warm." in shell.good("context", fork)
    shell.good("resume-in", "claude-code", fork)
    said = [one["message"]["content"] for one in lines(files(home)[0])]
    assert said == ["Oslo?", [{"type": "text", "text": "Oslo is warm."}]]


def test_an_edited_prompt_waits_to_be_said(shell: Shell, home: Path) -> None:
    session = shell.said("Oslo?")
    shell.good("continue", session, "--prompt", "And Rome?", "-m", f"scripted:{shell.script}")
    fork = shell.good("fork", session, "--edit", seq_of(shell, session, "And Rome?"), "It's Bergen?").strip()
    command = shlex.split(shell.good("resume-in", "claude-code", fork))
    assert command[-1] == "It's Bergen?"
    assert [one["type"] for one in lines(files(home)[0])] == ["user", "assistant"]
    assert '"content": "It' not in shell.good("context", fork, "--json")


def test_an_edit_with_a_place_keeps_what_follows_it(shell: Shell, home: Path) -> None:
    session = shell.said("Oslo?")
    head = shell.json("show", session)
    assert isinstance(head, dict)
    prompt = seq_of(shell, session, "Oslo?")
    fork = shell.good("fork", session, "--edit", prompt, "Bergen?", "--at", head["head"]).strip()
    shell.good("resume-in", "pi", fork)
    told = [one["message"]["content"] for one in lines(files(home)[0])[1:]]
    assert told == ["Bergen?", [{"type": "text", "text": "Oslo is cold and wet."}]]


def test_an_edit_of_what_is_not_there_leaves_no_fork(shell: Shell, home: Path) -> None:
    session = shell.said("Oslo?")
    before = shell.json("ls")
    told = shell("fork", session, "--edit", "3", "x")
    assert told.exit_code == 3
    assert shell.json("ls") == before
    assert shell("fork", session, "--edit", "3", "x", "--before", "3").exit_code == 2
