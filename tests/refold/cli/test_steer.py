"""`refold steer`: a text for a run."""

from __future__ import annotations

from tests.refold.shell import Shell


def test_steering_an_idle_session_is_heard_when_it_goes_on(shell: Shell) -> None:
    session = shell.said("Oslo?")
    result = shell("steer", session, "And a coat?")
    assert "does not run now" in result.stderr
    assert shell.good("continue", session, "-m", f"scripted:{shell.script}") == "Yes, take a coat.\n"
    assert shell("abort", session).exit_code == 1
