"""A shell offers ids and titles where a session is named, and is never told of an error."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from refold.cli.group import SECTIONS, module_of, refold
from tests.refold.shell import Shell

COMMANDS = [command for _, listed in SECTIONS for command in listed]


def offered(shell: Shell, *words: str, log: Path | None = None, kind: str = "bash") -> list[str]:
    env = {
        "_REFOLD_COMPLETE": f"{kind}_complete",
        "COMP_WORDS": " ".join(["refold", *words]),
        "COMP_CWORD": str(len(words) if kind != "fish" else words[-1]),
        "REFOLD_DB": str(log or shell.folder / "refold.db"),
    }
    result = CliRunner(env=env).invoke(refold, [])
    assert (result.exit_code, result.stderr) == (0, "")
    return result.stdout.split("\n")[:-1] if result.stdout.strip() else []


@pytest.mark.parametrize("words", [["show"], ["diff", "x"], ["run", "--session"], ["adopt", "x", "--from"]])
def test_ids_and_titles_are_offered_where_a_session_is_named(shell: Shell, words: list[str]) -> None:
    session = shell.said("Oslo?")
    shell.good("label", session, "Coats in Oslo")
    assert offered(shell, *words, session[:3]) == [f"plain,{session}"]
    assert offered(shell, *words, "Coa") == ["plain,Coats in Oslo"]
    assert offered(shell, *words, "la")[:1] == ["plain,last"]


def test_names_of_commands_are_offered(shell: Shell) -> None:
    assert sorted(offered(shell, "re")) == ["plain,record", "plain,reexecute", "plain,replay", "plain,resume-in"]
    assert "plain,--help" in offered(shell, "--")


@pytest.mark.parametrize("kind", ["zsh", "fish"])
def test_a_shell_that_shows_more_is_told_the_title_of_an_id(shell: Shell, kind: str) -> None:
    session = shell.said("Oslo?")
    said = "\n".join(offered(shell, "show", session[:3], kind=kind))
    assert session in said
    assert "Oslo?" in said


def test_a_log_that_is_missing_or_none_offers_nothing_and_says_nothing(shell: Shell) -> None:
    assert offered(shell, "show", "abc", log=shell.folder / "missing.db") == []
    broken = shell.folder / "broken.db"
    broken.write_bytes(b"no log " * 1000)
    assert offered(shell, "show", "abc", log=broken) == []


@pytest.mark.parametrize("kind", ["bash", "zsh", "fish"])
def test_the_line_that_installs_it_prints_a_script(kind: str) -> None:
    result = CliRunner(env={"_REFOLD_COMPLETE": f"{kind}_source"}).invoke(refold, [])
    assert (result.exit_code, "refold" in result.stdout) == (0, True)


LOADED = """
import atexit, sys
from refold.cli import main
atexit.register(lambda: print("\\n".join(sorted(sys.modules))))
main()
"""


@pytest.mark.parametrize("words", ["refold s", "refold show ", "refold run -c ", "refold chat --session "])
def test_completing_loads_nothing_that_prints(words: str, tmp_path: Path) -> None:
    """It is waited for at every press of a key."""
    env = {"_REFOLD_COMPLETE": "bash_complete", "COMP_WORDS": words, "COMP_CWORD": str(words.count(" "))}
    command = [sys.executable, "-c", LOADED]
    run = subprocess.run(command, env={**os.environ, **env}, cwd=tmp_path, capture_output=True, text=True)
    loaded = set(run.stdout.split("\n"))
    assert {"refold.cli.group", "click"} <= loaded, run.stderr
    assert {"rich", "prompt_toolkit", "httpx", "pydantic", "jsonschema"} & loaded == set()
    named = {name for name, _ in COMMANDS if f"refold.cli.{module_of(name)}" in loaded}
    assert named == {words.split()[1]} - {"s"}
