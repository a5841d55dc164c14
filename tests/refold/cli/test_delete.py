"""`refold delete`: never without a yes, never one with forks."""

from __future__ import annotations

from tests.refold.shell import Shell


def test_a_session_with_forks_is_not_deleted_and_nothing_is_without_a_yes(shell: Shell) -> None:
    session = shell.said("Oslo?")
    fork = shell.good("fork", session).strip()
    assert shell("delete", session, "--yes").exit_code == 5
    assert shell("delete", fork).exit_code == 2
    shell.good("delete", fork, "--yes")
    shell.good("delete", session, "--yes")
    assert shell.json("ls") == []
