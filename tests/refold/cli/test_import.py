"""`refold import`: session files of other programs."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.refold.cli.reading import roles
from tests.refold.shell import Shell


@pytest.mark.slow
def test_real_sessions_go_through_everything_the_help_promises(shell: Shell, data: Path) -> None:
    file = data / "transcripts" / "pi" / "v1-large-session.jsonl"
    imported = shell.json("import", file)
    assert isinstance(imported, list)
    session = imported[0]["id"]
    rows = shell.json("ls")
    assert isinstance(rows, list)
    head = rows[0]["head"]
    assert rows[0]["messages"] > 900
    assert len(shell.good("show", session).splitlines()) > 1000
    asked = next(one["seq"] for one in reversed(shell.json("show", session)["transcript"]) if one["role"] == "user")  # type: ignore[index]  # the document is an object
    assert roles(shell, session, "--at", asked)[-1] == "user"
    fork = shell.good("fork", session, "--at", asked).strip()
    assert shell.good("continue", fork, "-m", "scripted").startswith("(scripted)")
    for one in (session, fork):
        assert "no difference" in shell.good("replay", one)
    assert "no defect" in shell.good("verify")
    assert head > 1000


@pytest.mark.slow
def test_several_files_are_imported_though_one_of_them_is_none(shell: Shell, data: Path) -> None:
    good = data / "transcripts" / "pi" / "small-agent-sessions-stage0.jsonl"
    result = shell("import", shell.script, good, shell.folder / "nope.jsonl", "--json")
    document = json.loads(result.stdout)
    assert result.exit_code == 3
    assert ["id" in one for one in document] == [False, True, False]


@pytest.mark.slow
def test_damaged_lines_are_reported_with_their_numbers(shell: Shell, data: Path) -> None:
    lines = (data / "transcripts" / "pi" / "v1-history-session.jsonl").read_text().splitlines()
    torn = shell.folder / "torn.jsonl"
    torn.write_text("\n".join([*lines[:50], lines[50] + lines[51], lines[52][: len(lines[52]) // 2]]))
    result = shell("import", torn)
    assert result.exit_code == 0
    assert "recovered, line 51: 2 records" in result.stderr
    assert "lost, line 52: the last line is torn" in result.stderr
