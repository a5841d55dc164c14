"""The command as a process: signals, pipes, time, and colours."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest
from click.testing import CliRunner

from refold.cli.group import refold as command_line

ROOT = Path(__file__).parents[3]
COMMAND = (sys.executable, "-c", "from refold.cli import main; main()")
pytestmark = pytest.mark.slow


@pytest.fixture
def environment(tmp_path: Path) -> Mapping[str, str]:
    """Give what a process is started with: a log of its own, and a script that never comes to its end."""
    (tmp_path / "stalls.json").write_text('[[{"say": ["One ", "two "], "unfinished": true}, {"stall": true}]]')
    (tmp_path / "long.json").write_text(json.dumps([["word "] * 400]))
    kept = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    return {**kept, "PYTHONPATH": str(ROOT), "REFOLD_DB": str(tmp_path / "refold.db"), "COLUMNS": "100"}


def start(environment: Mapping[str, str], *words: str) -> subprocess.Popen[str]:
    folder = Path(environment["REFOLD_DB"]).parent
    pipe = subprocess.PIPE
    return subprocess.Popen([*COMMAND, *words], cwd=folder, env=environment, stdout=pipe, stderr=pipe, text=True)


def run(environment: Mapping[str, str], *words: str) -> tuple[int, str, str]:
    process = start(environment, *words)
    out, err = process.communicate(timeout=60)
    return process.returncode, out, err


def asked(environment: Mapping[str, str], *words: str) -> tuple[int, str, str]:
    """Run a command line in this process, where nothing is claimed of it as a process."""
    done = CliRunner(env=environment).invoke(command_line, words)
    return done.exit_code, done.stdout, done.stderr


def streaming(environment: Mapping[str, str], session: str) -> subprocess.Popen[str]:
    """Start a run and wait until it has begun to answer."""
    process = start(environment, "run", "go", "-m", "scripted:stalls.json", "--session", session)
    assert process.stdout is not None
    assert process.stdout.read(8) == "One two "
    return process


def test_ctrl_c_aborts_a_run_keeps_its_session_and_says_how_to_go_on(environment: Mapping[str, str]) -> None:
    process = streaming(environment, "cut")
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "Next: refold continue " in err
    assert "Traceback" not in err
    assert "Request was aborted" in asked(environment, "show", "cut")[1]
    assert asked(environment, "replay", "cut")[0] == asked(environment, "verify")[0] == 0
    assert asked(environment, "continue", "cut", "-m", "scripted")[1].startswith("(scripted)")


def test_a_killed_run_is_unfinished_and_continues(environment: Mapping[str, str]) -> None:
    process = streaming(environment, "killed")
    process.kill()
    process.communicate(timeout=60)
    assert "killed" in asked(environment, "ls", "--open")[1]
    code, out, err = run(environment, "continue", "killed", "-m", "scripted")
    assert (code, out.startswith("(scripted)")) == (0, True)
    assert "One two" in err
    assert asked(environment, "ls", "--open", "--json")[1].split() == ["[]"]


def test_another_terminal_is_refused_and_can_abort(environment: Mapping[str, str]) -> None:
    process = streaming(environment, "busy")
    code, _, err = run(environment, "continue", "busy", "-m", "scripted")
    assert (code, "is being run by" in err) == (5, True)
    assert asked(environment, "delete", "busy", "--yes")[0] == 5
    assert run(environment, "abort", "busy")[0] == 0
    process.communicate(timeout=60)
    assert process.returncode == 130


@pytest.mark.parametrize(
    "words", [("run", "go", "-m", "scripted:long.json"), ("show", "long", "--updates"), ("--help",)]
)
def test_a_reader_that_leaves_is_no_error(words: tuple[str, ...], environment: Mapping[str, str]) -> None:
    script = Path(environment["REFOLD_DB"]).with_name("long.json")
    assert asked(environment, "run", "go", "-m", f"scripted:{script}", "--session", "long")[0] == 0
    process = start(environment, *words)
    assert process.stdout is not None
    assert process.stderr is not None
    process.stdout.read(5)
    process.stdout.close()
    assert (process.wait(timeout=60), "Error" in process.stderr.read()) == (0, False)
    process.stderr.close()
    assert asked(environment, "ls", "--open", "--json")[1].split() == ["[]"]


def test_a_full_disk_under_the_output_is_one_sentence(environment: Mapping[str, str]) -> None:
    if not Path("/dev/full").exists():
        pytest.skip("there is no /dev/full here")
    with Path("/dev/full").open("w") as full:
        done = subprocess.run([*COMMAND, "--help"], env=environment, stdout=full, stderr=subprocess.PIPE, text=True)
    assert (done.returncode, done.stderr) == (3, "refold: no space left on device\n")


def test_a_real_session_is_read_forked_replayed_and_verified(environment: Mapping[str, str], data: Path) -> None:
    file = data / "transcripts" / "pi" / "v1-large-session.jsonl"
    session = json.loads(asked(environment, "import", str(file), "--json")[1])[0]["id"]
    for words in (
        ("ls",),
        ("show", session),
        ("context", session, "--at", "500"),
        ("fork", session, "--at", "500"),
        ("replay", session),
        ("verify", session),
    ):
        code, printed, _ = asked(environment, *words)
        assert (code, bool(printed.strip())) == (0, True), words


def in_a_terminal(environment: Mapping[str, str], *words: str) -> str:
    """Run a command whose output is a terminal; give what that gets."""
    pty = pytest.importorskip("pty")
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [*COMMAND, *words], env={**environment, "TERM": "xterm-256color"}, stdin=theirs, stdout=theirs, stderr=theirs
    )
    os.close(theirs)
    shown = b""
    try:
        while piece := os.read(ours, 4096):
            shown += piece
    except OSError:  # how a terminal says that the other side is gone
        pass
    os.close(ours)
    assert process.wait(timeout=60) == 0
    return shown.decode()


def test_colours_are_for_terminals_that_want_them(environment: Mapping[str, str]) -> None:
    assert asked(environment, "run", "Oslo?", "-m", "scripted", "--session", "oslo")[0] == 0
    assert "\x1b[" in in_a_terminal(environment, "show", "oslo")
    assert "\x1b[" not in in_a_terminal({**environment, "NO_COLOR": "1"}, "show", "oslo")
    assert "\x1b[" not in run(environment, "show", "oslo")[1]


def test_a_line_of_ls_stays_within_the_terminal(environment: Mapping[str, str]) -> None:
    title = "A title that is a good deal longer than what a narrow terminal has room for"
    assert asked(environment, "run", "Oslo?", "-m", "scripted", "--session", title)[0] == 0
    narrow = in_a_terminal({**environment, "COLUMNS": "60", "NO_COLOR": "1"}, "ls")
    assert max(map(len, narrow.splitlines())) <= 60
    assert title in asked(environment, "ls")[1]
