"""`refold run`: a prompt is answered, in a new session or in one that is there."""

from __future__ import annotations

from tests.refold.cli.reading import roles
from tests.refold.shell import Shell


def test_run_prints_the_answer_and_nothing_else_on_stdout(shell: Shell) -> None:
    result = shell("run", "Oslo?", "-m", f"scripted:{shell.script}")
    assert (result.exit_code, result.stdout) == (0, "Oslo is cold and wet.\n")
    assert "done" in result.stderr


def test_run_goes_on_in_the_session_that_is_named(shell: Shell) -> None:
    first = shell.said("Oslo?", "--session", "oslo")
    second = shell.said("And a coat?", "--session", "oslo")
    assert first == second
    assert roles(shell, "oslo") == ["user", "assistant", "user", "assistant"]
    assert "take a coat" in shell.good("show", first[:6])


def test_a_short_name_begins_a_session_and_a_beginning_of_an_id_says_where_it_goes_on(shell: Shell) -> None:
    first = shell.said("Oslo?", "--session", "oslo")
    script = f"scripted:{shell.script}"
    shell.good("run", "Another.", "-m", script, "-c", first[:5])
    assert roles(shell, "oslo") == ["user", "assistant"]
    told = shell("run", "And a coat?", "-m", script, "-c", first[:6])
    assert (told.exit_code, f"goes on in {first}, oslo" in told.stderr) == (0, True)
    assert roles(shell, "oslo") == ["user", "assistant"] * 2
    assert "goes on in" not in shell("run", "So?", "-m", "scripted", "-c", "oslo").stderr


def test_run_reads_the_prompt_from_stdin(shell: Shell) -> None:
    shell.good("run", "-", "-m", f"scripted:{shell.script}", "--session", "oslo", input="Is it cold?\n")
    assert "Is it cold?" in shell.good("show", "oslo")


def test_a_system_prompt_is_kept_until_another_is_given(shell: Shell) -> None:
    shell.said("Oslo?", "--session", "oslo", "--system", "Be brief.")
    shell.said("And a coat?", "--session", "oslo")
    shown = shell.json("context", "oslo")
    assert isinstance(shown, dict)
    assert shown["request"]["system_prompt"] == "Be brief."


def test_a_run_that_fails_says_why_and_exits_with_1(shell: Shell) -> None:
    script = shell.folder / "fails.json"
    script.write_text('[["Well, ", {"fail": "overloaded"}]]')
    result = shell("run", "Oslo?", "-m", f"scripted:{script}", "--session", "oslo")
    assert result.exit_code == 1
    assert "overloaded" in result.stderr
    assert "overloaded" in shell.good("show", "oslo")
    assert shell("continue", "oslo", "-m", f"scripted:{shell.script}").exit_code == 0


def test_the_model_scripted_says_that_nobody_was_called(shell: Shell) -> None:
    said = shell.good("run", "Is anybody there?", "-m", "scripted")
    assert said.startswith("(scripted) No model was called.")
    assert "Is anybody there?" in said
