"""`refold ls`: sessions, the latest first."""

from __future__ import annotations

import json

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


def test_ls_finds_sessions_by_agent_folder_branch_and_model(shell: Shell) -> None:
    shell.said("Oslo?")
    said = {"role": "assistant", "model": "claude-opus-4-5", "content": [{"type": "text", "text": "Warm."}]}
    record = {
        "type": "assistant",
        "uuid": "2",
        "parentUuid": None,
        "message": said,
        "timestamp": "2026-01-01T00:00:00Z",
    }
    place = {"sessionId": "s", "cwd": str(shell.folder / "project"), "gitBranch": "coats", "version": "2.1.14"}
    (shell.folder / "s.jsonl").write_text(json.dumps({**place, **record}) + "\n")
    found = shell.json("import", shell.folder / "s.jsonl")
    assert isinstance(found, list)
    for words in (("--agent", "claude-code"), ("--folder", shell.folder), ("--branch", "coats"), ("--model", "OPUS")):
        rows = shell.json("ls", *words)
        assert isinstance(rows, list)
        assert [row["id"] for row in rows] == [found[0]["id"]], words
    assert shell.json("ls", "--folder", shell.folder / "project" / "below") == []
    assert "No session is like that" in shell("ls", "--branch", "coat").stderr
