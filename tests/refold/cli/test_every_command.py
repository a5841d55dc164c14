"""What holds for every command: help, exit codes, JSON, where the log is, what goes to which stream."""

from __future__ import annotations

import io
import json
import shlex
from pathlib import Path

import click
import pytest

from eventsource import errors
from eventsource.events import MessageEnd, Retry
from eventsource.messages import AssistantMessage
from projections import LifecycleEvent
from refold.cli.exit_codes import MEANINGS, exit_code_of
from refold.cli.group import SECTIONS, refold, report
from refold.cli.terminal.console import open_console
from refold.cli.terminal.run_printer import RunPrinter
from tests.refold.shell import Shell

NAMES = [name for _, listed in SECTIONS for name, _ in listed]
COMMANDS = {name: refold.get_command(click.Context(refold), name) for name in NAMES}


def test_the_overview_begins_with_examples_and_says_what_exit_codes_mean(shell: Shell) -> None:
    shown = shell.good("--help")
    assert shown.startswith("Examples:\n  refold demo ")
    assert all(f"  {name} " in shown for name in NAMES)
    after = shown[shown.index("Exit codes:") :]
    assert all(f"{code}" in after for code in MEANINGS)


def test_the_documented_exit_codes_are_the_ones_there_are() -> None:
    page = (Path(__file__).parents[3] / "docs" / "command.md").read_text(encoding="utf-8")
    rows = [line.strip("| ").split(" | ") for line in page.splitlines() if line[:3].strip("| ").isdigit()]
    assert {int(code): meaning for code, meaning in rows} == MEANINGS


def test_without_arguments_the_overview_is_shown(shell: Shell) -> None:
    assert shell.good() == shell.good("--help") == shell.good("-h")


@pytest.mark.parametrize("name", NAMES)
def test_the_help_of_a_command_begins_with_examples_that_it_understands(name: str, shell: Shell) -> None:
    command = COMMANDS[name]
    assert command is not None
    shown = shell.good(name, "--help")
    assert shown.startswith(f"Examples:\n  refold {name}")
    assert "--json" in shown
    assert "--db" in shown
    for line, _ in getattr(command, "examples", ()):
        line = line.replace("$(refold fork ID --at 42)", "ID").partition(" > ")[0].partition(" < ")[0]
        _, called, *given = shlex.split(line)
        (COMMANDS[called] or command).make_context(called, given)  # raises for an option that is not there


@pytest.mark.parametrize("name", NAMES)
def test_the_overview_and_the_command_itself_are_one_list(name: str) -> None:
    command = COMMANDS[name]
    assert command is not None
    assert command.name == name
    assert command.help


def test_a_misspelt_command_is_answered_with_the_one_that_was_meant(shell: Shell) -> None:
    result = shell("sohw", "x")
    assert result.exit_code == 2
    assert "did you mean 'show'?" in result.stderr
    assert result.stdout == ""


@pytest.mark.parametrize(
    ("words", "code", "says"),
    [
        (("show", "nope"), 3, "no session 'nope'"),
        (("show",), 2, "missing argument 'SESSION'"),
        (("show", "x", "--att", "3"), 2, "--att"),
        (("import", "nope.jsonl"), 3, "nope.jsonl: cannot be read"),
        (("--db", "nope.db", "ls"), 3, "nope.db: there is no such log"),
        (("ls", "--db", ""), 2, "expected a file"),
        (("run", "hi"), 2, "say who answers"),
        (("run", "hi", "-m", "gpt-5"), 2, "expected vendor:model"),
        (("run", "hi", "-m", "nobody:gpt"), 2, "no vendor 'nobody'"),
        (("run", "hi", "-m", "scripted:nope.json"), 3, "nope.json: cannot be read"),
        (("run", "  ", "-m", "scripted"), 2, "the prompt is empty"),
        (("run", "hi", "--agent", "nope"), 2, "expected module:name"),
        (("run", "hi", "--agent", "nope.at.all:x"), 2, "no module 'nope.at.all'"),
        (("run", "hi", "--agent", "refold.demo:nothing"), 2, "expected an Agent; nothing is not there"),
        (
            ("run", "hi", "--agent", "refold.demo:echo_model"),
            2,
            "expected an Agent, or (agent, deps); echo_model is a ScriptedModel",
        ),
        (("search", ""), 2, "say what to look for"),
        (("search", "needle"), 1, "nowhere"),
    ],
)
def test_what_a_user_does_wrong_is_one_sentence_and_an_exit_code(
    words: tuple[str, ...], code: int, says: str, shell: Shell
) -> None:
    result = shell(*words)
    assert result.exit_code == code
    assert says in result.stderr
    assert "Traceback" not in result.stderr
    assert result.stdout == ""


def test_a_log_that_is_a_folder_or_a_text_file_is_said_to_be_none(shell: Shell) -> None:
    text = shell.folder / "notes.txt"
    text.write_text("no log at all\n" * 100)
    for path in (shell.folder, text):
        result = shell("ls", "--db", path)
        assert result.exit_code == 4
        assert str(path) in result.stderr
    assert text.read_text() == "no log at all\n" * 100


def test_every_error_of_the_library_has_an_exit_code_of_the_list() -> None:
    kinds = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, errors.RefoldError)]
    codes = {kind: exit_code_of(kind.__new__(kind)) for kind in kinds}
    assert set(codes.values()) <= set(MEANINGS)
    assert codes[errors.CorruptLogError] == 4
    assert codes[errors.LeaseHeldError] == 5
    assert codes[errors.UnknownSeqError] == 3


def test_reading_a_log_that_is_not_there_yet_finds_it_empty_and_makes_nothing(shell: Shell) -> None:
    assert shell.json("ls") == []
    result = shell("ls")
    assert (result.exit_code, result.stdout) == (0, "")
    assert "refold demo" in result.stderr
    assert not (shell.folder / "refold.db").exists()


@pytest.mark.parametrize("before", [True, False])
def test_db_counts_before_and_after_the_name_of_the_command_and_more_than_the_environment(
    before: bool, shell: Shell
) -> None:
    other = str(shell.folder / "other.db")
    words = ["--db", other, "run"] if before else ["run", "--db", other]
    shell.good(*words, "hi", "-m", "scripted")
    assert Path(other).exists()
    assert shell.json("ls") == []
    rows = json.loads(shell.good("--json", "--db", other, "ls"))
    assert [row["title"] for row in rows] == ["hi"]


def test_without_a_name_the_log_lies_in_the_users_data_folder(
    shell: Shell, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from refold.cli.arguments.log_file import log_file

    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    monkeypatch.delenv("REFOLD_DB", raising=False)
    found = log_file()
    assert found.path is not None
    assert (found.named_by, found.path.name) == ("nobody", "refold.db")
    assert found.path.is_relative_to(tmp_path)
    monkeypatch.setenv("REFOLD_DB", "~/mine.db")
    assert log_file().path == tmp_path / "mine.db"
    assert log_file("x.db").path == Path("x.db")


@pytest.mark.slow
def test_each_command_prints_exactly_one_json_document(shell: Shell) -> None:
    session = shell.said("A coat?")
    fork = json.loads(shell.good("fork", session, "--at", "9", "--json"))["id"]
    copy = shell.folder / "copy.db"
    exported = shell.folder / "session.jsonl"
    for words in (
        ("ls",),
        ("tree",),
        ("tree", session),
        ("search", "cold"),
        ("show", session),
        ("show", session, "--events"),
        ("show", session, "--updates"),
        ("context", session),
        ("calls", session),
        ("usage", session),
        ("timeline", session),
        ("replay", session),
        ("label", session, "Oslo"),
        ("steer", session, "And tomorrow?"),
        ("verify",),
        ("verify", session),
        ("backup", copy),
        ("export", session, "-o", exported),
        ("import", exported, "--db", shell.folder / "third.db"),
        ("continue", fork, "-m", "scripted"),
        ("erase", session, "3", "--yes"),
        ("delete", fork, "--yes"),
    ):
        document = json.loads(shell.good(*map(str, words), "--json"))
        assert isinstance(document, dict | list), words


def test_an_error_that_nobody_foresaw_is_a_sentence_too(capsys: pytest.CaptureFixture[str]) -> None:
    assert report(LookupError("nowhere")) == 1
    said = capsys.readouterr().err
    assert "LookupError: nowhere" in said
    assert "REFOLD_TRACE=1" in said


def test_a_traceback_is_shown_on_request(shell: Shell) -> None:
    with pytest.raises(errors.UnknownSessionError):
        shell("show", "nope", trace=True)


def test_a_run_says_that_the_model_is_asked_again_when_and_why(shell: Shell) -> None:
    shell.script.write_text(json.dumps([[{"retry": "529 overloaded_error: Overloaded"}], ["Yes."]]))
    ran = shell("run", "Do I need a coat?", "-m", f"scripted:{shell.script}")
    assert ran.stdout == "Yes.\n"
    assert "(the model's answer failed, asking again now: 529 overloaded_error: Overloaded)" in ran.stderr


def test_when_the_model_is_asked_again_is_told_as_a_time_from_then() -> None:
    told = io.StringIO()
    console = open_console(told)
    printer = RunPrinter(console, console)
    printer.print_event(LifecycleEvent(seq=1, at_us=1_000_000, event=Retry(cause="busy", not_before_us=3_500_000)))
    failed = AssistantMessage(stop_reason="error", error="cut in the middle")
    printer.print_event(LifecycleEvent(seq=2, at_us=1, event=MessageEnd(message=failed), message=failed))
    printer.print_event(LifecycleEvent(seq=3, at_us=2, event=Retry(cause="error")))
    assert told.getvalue().splitlines() == [
        "(the model's answer failed, asking again in 2.5 s: busy)",
        "(the model's answer failed, asking again now: cut in the middle)",
    ]
