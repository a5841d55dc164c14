"""`--db` names a file or a URL."""

from __future__ import annotations

import pytest

from tests.refold.shell import Shell


def test_the_command_line_takes_urls_too(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(shell.folder)
    shell.good("demo", "--db", "sqlite:///other.db")
    assert shell.good("ls", "--db", "other.db") == shell.good("ls", "--db", "sqlite:///other.db") != ""
    for place in ("mysql://me:hunter2@host/db", "redis://me:hunter2@host/db"):
        for result in (shell("ls", "--db", place), shell("demo", "--db", place), shell("run", "hello", "--db", place)):
            assert result.exit_code == 4
            assert "this release has no such store" in result.stderr
            assert "hunter2" not in result.stderr + result.stdout
