"""The demo: what its tools may read, what its model says, and that it works in any folder."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from eventsource.errors import ToolFailure
from refold import open_log
from refold.demo import QUESTION, agent, demo_model, echo_model, list_files, read_file
from tests.refold.shell import Shell


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Stand in an empty folder, beside which something lies that nobody may read."""
    folder = tmp_path / "here"
    folder.mkdir()
    (tmp_path / "secret.txt").write_text("nobody may read this")
    monkeypatch.chdir(folder)
    return folder


def test_a_folder_is_listed_in_order_without_hidden_names(here: Path) -> None:
    for name in ("b.txt", "a.txt", ".hidden", "line\nbreak.txt"):
        (here / name).write_text("")
    (here / "sub").mkdir()
    assert list_files(".") == "a.txt\nb.txt\nline?break.txt\nsub/"
    assert list_files("sub") == "(empty)"


def test_of_a_large_folder_some_names_are_told_and_the_rest_is_counted(here: Path) -> None:
    for number in range(60):
        (here / f"{number:02}.txt").write_text("")
    listed = str(list_files(".")).split("\n")
    assert listed[:2] == ["00.txt", "01.txt"]
    assert (len(listed), listed[-1]) == (41, "... and 20 more")


@pytest.mark.parametrize("name", ["..", "../secret.txt", "/etc/passwd", "sub/../../secret.txt", "link.txt"])
def test_nothing_outside_the_folder_is_read(name: str, here: Path) -> None:
    (here / "link.txt").symlink_to(here.parent / "secret.txt")
    with pytest.raises(ToolFailure, match="only this folder"):
        read_file(name)
    with pytest.raises(ToolFailure, match="only this folder"):
        list_files(name)


def test_what_is_no_text_is_refused_with_a_reason(here: Path) -> None:
    (here / "image.bin").write_bytes(b"\x89PNG\0\0")
    (here / "loop").symlink_to(here / "loop")
    os.mkfifo(here / "pipe")  # reading it would wait for ever
    for name, says in (("image.bin", "no text"), ("pipe", "no such file"), ("gone", "no such file"), ("loop", "loop")):
        with pytest.raises(ToolFailure, match=says):
            read_file(name)
    with pytest.raises(ToolFailure):
        read_file("nul\0byte")


def test_of_a_long_text_the_beginning_is_read_also_when_it_ends_within_a_letter(here: Path) -> None:
    (here / "long.txt").write_text("é" * 5_000)
    assert read_file("long.txt") == "é" * 1_000


async def asked(question: str = QUESTION) -> str:
    async with open_log() as log:
        quick = agent.replace(model=demo_model(pace_ms=0))
        return (await quick.run(question, session=await log.session())).text


async def test_the_model_reads_what_tells_most_and_says_how_it_begins(here: Path) -> None:
    (here / "zebra.py").write_text("stripes = 12  # of a zebra, counted")
    (here / "README.md").write_text("# Zebras\n\nA program that counts the stripes.\n")
    (here / "sub").mkdir()
    said = await asked()
    assert "2 files and 1 folder" in said
    assert "README.md begins: “A program that counts the stripes.”" in said
    assert "zebra.py begins: “stripes = 12" in await asked("What does zebra.py say?")


async def test_an_empty_folder_and_an_unreadable_file_are_said_to_be_so(here: Path) -> None:
    assert "empty" in await asked()
    (here / "README.md").write_bytes(b"\0")
    assert "README.md could not be read (README.md: it is no text)" in await asked()


async def test_a_folder_that_is_gone_is_an_answer_too(here: Path) -> None:
    os.rmdir(here)
    assert "could not look into this folder" in await asked()


async def test_the_stand_in_says_what_it_was_asked(here: Path) -> None:
    async with open_log() as log:
        run = await agent.replace(model=echo_model(), tools=()).run("Anybody?", session=await log.session())
    assert run.text.startswith("(scripted) No model was called. You said: “Anybody?”")


@pytest.mark.slow
def test_the_demo_shows_a_run_its_log_a_replay_and_a_fork_and_can_be_repeated(here: Path, shell: Shell) -> None:
    (here / "notes.txt").write_text("These are notes on nothing in particular.")
    for _ in range(2):
        shown = shell.good("demo")
        assert "19 decisions predicted, no difference" in shown
        assert "broke off here" in shown
        assert "1 file. notes.txt begins: “These are notes" in shown  # the fork's answer, in one line
    rows = json.loads(shell.good("ls", "--json"))
    assert [row["title"] for row in rows] == ["demo, in one line", "demo"] * 2
    assert len(list(here.iterdir())) == 1
    tries = [line.split("   ")[0].split() for line in shown[shown.index("Try next") :].splitlines()[1:]]
    assert [words[1] for words in tries] == ["ui", "show", "show", "replay", "context", "fork", "continue"]
    for words in tries[1:]:  # the first one serves until it is stopped
        fast = ["--speed", "1000"] if words[1] == "replay" else []
        spoken = [word.strip("'") for word in words[1:] if word != "here?'"]
        assert shell(*spoken, *fast).exit_code == 0, words


@pytest.mark.slow
def test_the_demo_says_it_in_json_too(here: Path, shell: Shell) -> None:
    document = json.loads(shell.good("demo", "--json"))
    assert document["replayed"] is True
    assert document["log"] == str(shell.folder / "refold.db")
    assert {row["id"] for row in json.loads(shell.good("ls", "--json"))} == {document["id"], document["fork"]["id"]}
