"""`refold backup`: a log of its own."""

from __future__ import annotations

from tests.refold.shell import Shell


def test_a_backup_is_a_log_and_never_replaces_a_file(shell: Shell) -> None:
    session = shell.said("Oslo?")
    copy = shell.folder / "copy.db"
    shell.good("backup", copy)
    assert session in shell.good("ls", "--db", copy)
    again = shell("backup", copy)
    assert again.exit_code == 4
    assert str(copy) in again.stderr
