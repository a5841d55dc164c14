"""Tools on the command line: which there are, what a session needs to go on, and what is refused."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from refold.cli.arguments.tools import FILES
from refold.toolset import FILE_TOOLS
from tests.refold.shell import Shell

SERVER = Path(__file__).parents[1] / "mcp_server.py"
LOOKS: Sequence[object] = (
    ["Let me look.", {"call": "ls"}, {"call": "write", "arguments": {"path": "new.txt", "content": "new"}}],
    ["I have looked."],
    ["And now?", {"call": "read", "arguments": {"path": "new.txt"}}],
    ["It is new."],
)


@pytest.fixture
def shell(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Shell:
    """Make a shell in a folder of its own, with a script that uses tools."""
    work = tmp_path / "work"
    work.mkdir()
    (work / "notes.txt").write_text("notes")
    (tmp_path / "looks.json").write_text(json.dumps(LOOKS))
    (tmp_path / "shell.json").write_text(json.dumps([[{"call": "bash", "arguments": {"command": "pwd"}}], ["Done."]]))
    monkeypatch.chdir(work)
    return Shell(tmp_path)


def tools_in(shell: Shell, session: str) -> list[str]:
    shown = shell.json("context", session)
    assert isinstance(shown, dict)
    return [tool["name"] for tool in shown["request"]["tools"]]


def say(shell: Shell, *words: str | Path) -> str:
    return shell.good("run", "look", "-m", f"scripted:{shell.folder / 'looks.json'}", "-c", "s", *words)


def test_the_names_in_the_help_are_those_there_are() -> None:
    assert FILES == FILE_TOOLS


def test_tools_work_in_the_current_folder_or_in_the_one_that_is_named(shell: Shell) -> None:
    assert say(shell, "--tools").endswith("I have looked.\n")
    assert Path("new.txt").read_text() == "new"
    assert tools_in(shell, "s") == list(FILES)
    other = shell.folder / "other"
    other.mkdir()
    shell.good("run", "look", "-m", f"scripted:{shell.folder / 'looks.json'}", "--tools=all", "--root", other)
    assert (other / "new.txt").read_text() == "new"


def test_only_the_tools_that_were_named_are_there(shell: Shell) -> None:
    say(shell, "--tools", "ls,read")
    assert tools_in(shell, "s") == ["read", "ls"]
    assert not Path("new.txt").exists()
    shown = shell.json("calls", "s", "--failed")
    assert isinstance(shown, list)
    assert [call["name"] for call in shown] == ["write"]


def test_a_session_goes_on_with_the_tools_it_had(shell: Shell) -> None:
    say(shell, "--tools", "ls,write,read")
    refused = shell("continue", "s", "--prompt", "more")
    assert refused.exit_code == 2
    assert "--tools, else --agent module:name" in refused.stderr
    assert shell.good(
        "continue", "s", "--prompt", "more", "-m", f"scripted:{shell.folder / 'looks.json'}", "--tools"
    ).endswith("It is new.\n")
    assert tools_in(shell, "s") == ["read", "ls", "write"]
    assert "bye" in shell.good("run", "bye", "-c", "s", "-m", "scripted", "--tools", "read")
    assert tools_in(shell, "s") == ["read"]


def test_a_shell_is_there_only_if_it_was_asked_for(shell: Shell) -> None:
    script = f"scripted:{shell.folder / 'shell.json'}"
    refused = shell("run", "go", "-m", script, "--tools", "read,bash")
    assert refused.exit_code == 2
    assert "say --bash" in refused.stderr
    shell.good("run", "go", "-m", script, "--tools", "-c", "without")
    assert "bash" not in tools_in(shell, "without")
    run = shell("run", "go", "-m", script, "--bash", "-c", "with")
    assert str(Path.cwd()) in run.stderr
    assert tools_in(shell, "with") == ["bash"]
    lacking = shell("continue", "with", "--prompt", "more", "-m", script, "--tools")
    assert (lacking.exit_code, "--bash" in lacking.stderr) == (2, True)


def test_a_session_of_an_agents_tools_still_needs_the_agent(shell: Shell) -> None:
    shell.good("run", "What is here?", "--agent", "refold.demo:agent", "-c", "demo")
    refused = shell("run", "more", "-c", "demo", "-m", "scripted", "--tools")
    assert refused.exit_code == 2
    assert "the log calls for tool 'list_files'" in refused.stderr
    shell.good("run", "more", "-c", "demo", "-m", "scripted", "--tools", "read,ls")
    assert tools_in(shell, "demo") == ["read", "ls"]


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("--tools", "look around"), "--tools look around: expected some of read,ls,grep,write,edit; before a prompt"),
        (("--tools", "look around", "-m", "scripted"), "write --tools=all"),
        (("hi", "-m", "scripted", "--tools", "find"), "--tools find: expected some of read,ls"),
        (("hi", "-m", "scripted", "--root", "."), "--root goes with --tools or --bash"),
        (("hi", "-m", "scripted", "--tools", "--root", "nowhere"), "nowhere"),
        (("hi", "--agent", "refold.demo:agent", "--tools"), "an agent says itself which tools it has"),
        (("hi", "-m", "scripted", "--mcp", "no-such-program-at-all"), "MCP server no-such-program-at-all"),
        (("hi", "-m", "scripted", "--mcp", "'"), "cannot be read as a command"),
    ],
)
def test_what_cannot_be_is_said_in_a_sentence_and_makes_no_session(
    words: tuple[str, ...], says: str, shell: Shell
) -> None:
    result = shell("run", *words)
    assert result.exit_code == 2
    assert says in result.stderr
    assert "Traceback" not in result.stderr
    assert shell.json("ls") == []


def test_no_tools_and_tools_contradict_each_other(shell: Shell) -> None:
    say(shell, "--tools")
    result = shell("continue", "s", "--prompt", "x", "-m", "scripted", "--tools", "--no-tools")
    assert (result.exit_code, "--no-tools goes without --tools" in result.stderr) == (2, True)
    shell.good("continue", "s", "--prompt", "x", "-m", "scripted", "--no-tools")
    assert tools_in(shell, "s") == []


@pytest.mark.slow
def test_the_tools_of_an_mcp_server_stand_beside_the_others(shell: Shell) -> None:
    script = shell.folder / "weather.json"
    script.write_text(json.dumps([[{"call": "weather", "arguments": {"city": "Oslo"}}], ["Take a coat."]]))
    command = f"'{sys.executable}' '{SERVER}' stdio"
    run = shell("run", "A coat?", "-m", f"scripted:{script}", "--tools", "read", "--mcp", command, "-c", "m")
    assert run.stdout == "Take a coat.\n"
    assert "rain in Oslo for 1" in run.stderr
    assert {"read", "weather", "station_look"} <= {*tools_in(shell, "m")}
    twice = shell("run", "A coat?", "-m", "scripted", "--mcp", command, "--mcp", command)
    assert (twice.exit_code, "two tools are called" in twice.stderr) == (2, True)
