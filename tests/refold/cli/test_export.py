"""`refold export`: a session as a file, in the form that is asked for."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.refold.cli.reading import events
from tests.refold.http.unpacking import unpacked
from tests.refold.shell import Shell


@pytest.mark.parametrize("form", ["openai-chat", "anthropic", "pydantic-ai"])
def test_a_session_is_written_as_a_library_takes_it_also_up_to_a_seq(form: str, shell: Shell) -> None:
    session = shell.said("Oslo?", "--session", "oslo")
    shell.said("And a coat?", "--session", "oslo")
    whole = shell.good("export", session, "--format", form)
    json.loads(whole)
    assert ("Oslo?" in whole, "And a coat?" in whole) == (True, True)
    asked = [one["seq"] for one in events(shell, session) if one["type"] == "model_request"]
    early = shell.good("export", session, "--format", form, "--at", str(asked[0]))
    assert ("Oslo?" in early, "And a coat?" in early) == (True, False)
    if form != "anthropic":
        shell.good("export", session, "--format", form, "-o", str(shell.folder / "out.json"))
        report = shell.json("import", str(shell.folder / "out.json"))
        assert isinstance(report, list)
        assert (report[0]["format"], report[0]["title"]) == (form, "Oslo?")


def test_a_file_that_holds_all_branches_ends_at_no_seq(shell: Shell) -> None:
    session = shell.said("Oslo?")
    refused = shell("export", session, "--format", "pi", "--at", "3")
    assert refused.exit_code == 2
    assert "a file of pi holds all branches" in refused.stderr


def imported(shell: Shell, path: str) -> dict[str, Any]:
    reports = shell.json("import", path)
    assert isinstance(reports, list)
    assert isinstance(reports[0], dict)
    return reports[0]


def test_an_export_says_which_sessions_are_not_in_it(shell: Shell) -> None:
    file = shell.folder / "s1.jsonl"
    agent = shell.folder / "s1" / "subagents" / "agent-a1.jsonl"
    agent.parent.mkdir(parents=True)
    said = {"type": "user", "sessionId": "s1", "parentUuid": None, "message": {"role": "user", "content": "Look."}}
    file.write_text(json.dumps({**said, "uuid": "u1"}) + "\n")
    agent.write_text(json.dumps({**said, "uuid": "u2", "agentId": "a1", "isSidechain": True}) + "\n")
    report = imported(shell, str(file))
    for form in ("claude-code", "refold", "markdown"):
        told = shell("export", report["id"], "--format", form)
        assert "not in it: the session of its sub-agents" in told.stderr
    assert "not in it" not in shell("export", report["id"], "--format", "html").stderr
    assert "not in it" in shell("export", report["id"], "--format", "html", "--omit", "results").stderr
    child = report["children"][0]
    assert "not in it" not in shell("export", child["session"]).stderr
    written = shell.json("export", report["id"], "-o", str(shell.folder / "out.jsonl"))
    assert isinstance(written, dict)
    assert written["left_out"] == 1


@pytest.mark.parametrize("form", ["markdown", "html"])
def test_a_file_that_people_read_can_go_without_what_tools_answered(form: str, shell: Shell) -> None:
    session = shell.said("Oslo?")
    whole = shell.good("export", session, "--format", "markdown")
    less = shell.good("export", session, "--format", form, "--omit", "thinking", "--omit", "results")
    assert "Left out of this" not in whole
    assert "Left out of this: 0 tool results, 0 pieces of thinking." in less
    assert "Oslo?" in less


def test_a_file_that_a_program_reads_goes_without_nothing(shell: Shell) -> None:
    session = shell.said("Oslo?")
    refused = shell("export", session, "--format", "codex", "--omit", "results")
    assert refused.exit_code == 2
    assert "--omit goes with markdown, html" in " ".join(refused.stderr.split())
    refused = shell("export", session, "--format", "html", "--omit", "secrets")
    assert refused.exit_code == 2
    refused = shell("export", session, "--format", "pi", "--to-agent", "--omit", "results")
    assert "--at, --omit and --family" in " ".join(refused.stderr.split())


def test_branches_come_into_a_page_with_the_family(shell: Shell) -> None:
    session = shell.said("Oslo?")
    shell.good("fork", session, "--title", "other")
    alone = shell.good("export", session, "--format", "html")
    both = shell.good("export", session, "--format", "html", "--family")
    assert [len(unpacked(page.encode())["sessions"]) for page in (alone, both)] == [1, 2]
    assert "1 other session of its family" in unpacked(alone.encode())["without"]
    refused = shell("export", session, "--format", "markdown", "--family")
    assert refused.exit_code == 2
    assert "--family goes with --format html" in " ".join(refused.stderr.split())
    refused = shell("export", session, "--format", "pi", "--to-agent", "--family")
    assert "--omit and --family" in " ".join(refused.stderr.split())
