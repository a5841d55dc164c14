"""`refold erase`: words that are gone."""

from __future__ import annotations

from tests.refold.cli.reading import events
from tests.refold.shell import Shell


def test_erased_words_are_gone_and_what_is_left_still_verifies(shell: Shell) -> None:
    session = shell.said("My password is hunter2", "--session", "secret")
    seq = next(one["seq"] for one in events(shell, session) if one["type"] == "queue_push")
    shell.good("erase", session, str(seq), "--yes", "--reason", "a password")
    assert "hunter2" not in shell.good("show", session, "--updates", "--full")
    assert "no defect" in shell.good("verify")
    assert "could not be checked" in shell.good("replay", session)
    assert shell("erase", session, "4", "--yes").exit_code == 3
