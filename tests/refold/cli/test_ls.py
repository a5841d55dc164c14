"""`refold ls`: sessions, the latest first."""

from __future__ import annotations

from tests.refold.shell import Shell


def test_ls_lists_the_latest_first_and_filters(shell: Shell) -> None:
    one, two = shell.said("Oslo?", "--session", "oslo"), shell.said("Rome?", "--session", "rome")
    rows = shell.json("ls")
    assert isinstance(rows, list)
    assert [row["id"] for row in rows] == [two, one]
    limited = shell("ls", "-n", "1")
    assert two in limited.stdout
    assert one not in limited.stdout
    assert "more" in limited.stderr
    assert one in shell.good("ls", "--title", "OSL")
    assert shell.json("ls", "--open") == []
