"""`refold decide`: what a session waits for."""

from __future__ import annotations

from tests.refold.shell import Shell


def test_decide_names_what_a_session_waits_for(shell: Shell) -> None:
    session = shell.said("Oslo?")
    result = shell("decide", session, "deploy", "true")
    assert result.exit_code == 2
    assert "waits for nothing" in result.stderr
