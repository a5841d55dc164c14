"""`refold import`: session files of other programs, named, in a folder, or kept by an agent; once, again, or live."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import IO
from uuid import UUID

import pytest

from tests.refold.cli.kept_sessions import claude
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


def test_what_an_agent_keeps_of_this_folder_is_found_and_all_of_it_when_asked(
    shell: Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CLAUDE_CONFIG_DIR", str(shell.folder / ".claude"))
    claude(shell.folder, "here", "Fix the parser", where=str(Path.cwd()))
    claude(shell.folder, "far", "Write a page", where="/elsewhere")
    listed = shell("import", "--from", "claude-code", "--dry-run")
    assert "Fix the parser" in listed.stdout
    assert "Write a page" not in listed.stdout
    assert "1 session of this folder, and 1 of other folders" in listed.stderr
    assert shell("ls", "--json").stdout.strip() == "[]"
    assert "Fix the parser" in shell.good("import", "--from", "claude-code")
    done = shell("import", "--from", "claude-code", "--all")
    assert "Write a page" in done.stdout
    assert "1 session imported before, with nothing new" in done.stderr
    rows = shell.json("ls")
    assert isinstance(rows, list)
    assert {(row["agent"], row["source"]) for row in rows} == {
        ("claude-code", "claude-code:here"),
        ("claude-code", "claude-code:far"),
    }


def test_a_folder_is_read_without_what_is_no_session_in_it(shell: Shell) -> None:
    first = claude(shell.folder, "one", "First")
    claude(shell.folder, "two", "Second")
    (first.parent / "notes.json").write_text("{}")
    (first.parent / "notes.txt").write_text("no session")
    agent = first.parent / "one" / "subagents" / "agent-a1.jsonl"
    agent.parent.mkdir(parents=True)
    agent.write_text(first.read_text().replace('"uuid"', '"agentId": "a1", "isSidechain": true, "uuid"'))
    done = shell.json("import", shell.folder / ".claude")
    assert isinstance(done, list)
    assert sorted(one["title"] for one in done) == ["First", "Second"]
    assert [len(one["children"]) for one in done if one["title"] == "First"] == [1]


def test_sessions_of_a_folder_in_which_nothing_was_said_are_left_out_and_counted(shell: Shell) -> None:
    folder = shell.folder / "kept"
    folder.mkdir()
    name, other = (str(UUID(int=number)) for number in (1, 2))
    said = {"type": "user", "uuid": str(UUID(int=3)), "parentUuid": None, "sessionId": other}
    silent = {"type": "summary", "summary": "The lamp", "leafUuid": said["uuid"]}
    spoken = said | {"message": {"role": "user", "content": "hello"}}
    (folder / f"{name}.jsonl").write_text(json.dumps(silent) + "\n")
    (folder / f"{other}.jsonl").write_text(json.dumps(spoken) + "\n")
    for how in (["--dry-run"], ["--dry-run", "--json"], []):
        run = shell("import", str(folder), *how)
        assert "1 session in which nothing was said, left out" in run.stderr
    assert [one["title"] for one in json.loads(shell.good("ls", "--json"))] == ["hello"]
    assert "0 messages" in shell("import", str(folder / f"{name}.jsonl")).stderr


def test_old_files_are_left_out_when_a_time_is_given(shell: Shell) -> None:
    old = claude(shell.folder, "old", "Old")
    os.utime(old, (1_000_000_000, 1_000_000_000))
    claude(shell.folder, "new", "New")
    done = shell.json("import", shell.folder / ".claude", "--since", "7d")
    assert isinstance(done, list)
    assert [one["title"] for one in done] == ["New"]


def test_a_copy_is_made_when_asked(shell: Shell) -> None:
    file = claude(shell.folder, "one", "First")
    shell.good("import", file)
    assert "imported before; nothing new" in shell("import", file).stderr
    shell.good("import", file, "--again")
    rows = shell.json("ls")
    assert isinstance(rows, list)
    assert sorted(row["source"] for row in rows) == ["", "claude-code:one"]


@pytest.mark.parametrize(
    "words",
    [
        [],
        ["x.jsonl", "--from", "pi"],
        ["x.jsonl", "--all"],
        ["x.jsonl", "--watch", "--dry-run"],
        ["x.jsonl", "--format", "unknown"],
    ],
)
def test_options_that_do_not_go_together_are_refused(shell: Shell, words: list[str]) -> None:
    assert shell("import", *words).exit_code == 2


def test_a_format_that_the_file_does_not_have_is_said(shell: Shell) -> None:
    file = claude(shell.folder, "one", "First")
    refused = shell("import", file, "--format", "refold")
    assert refused.exit_code == 3
    assert str(file) in refused.stderr


def test_an_agent_that_keeps_nothing_here_is_said(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CLAUDE_CONFIG_DIR", str(shell.folder / "nothing"))
    refused = shell("import", "--from", "claude-code")
    assert refused.exit_code == 3
    assert "is where claude-code keeps its sessions, and it is not there; name files or folders" in refused.stderr


def test_a_session_of_claude_code_is_written_back_as_it_was_read(shell: Shell) -> None:
    file = claude(shell.folder, "one", "First", "Second")
    session = shell.json("import", file)[0]["id"]  # type: ignore[index]  # a list of reports
    written = shell.good("export", session, "--format", "claude-code")
    assert [json.loads(line) for line in written.splitlines()] == [
        json.loads(line) for line in file.read_text().splitlines()
    ]


@pytest.mark.slow
def test_what_is_written_to_a_file_that_is_followed_is_imported_and_a_deleted_session_stays_away(shell: Shell) -> None:
    file = claude(shell.folder, "one", "First")
    words = ["import", str(file), "--watch", "--db", str(shell.folder / "refold.db")]
    command = [sys.executable, "-c", "from refold.cli import main; main()", *words]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) as process:
        try:
            assert process.stderr is not None
            wait_for(process.stderr, "following")
            whole = claude(shell.folder, "one", "First", "Second").read_text()
            wait_for(process.stderr, "new: 1 message")
            file.write_text(whole + whole.splitlines()[0][:40])  # a line that has not come whole
            shell.good("delete", "First", "--yes")
            claude(shell.folder, "one", "First", "Second", "Third")
            wait_for(process.stderr, "does not come back")
        finally:
            process.send_signal(signal.SIGINT)
            process.wait(60)
    assert shell("ls", "--json").stdout.strip() == "[]"


def wait_for(lines: IO[str], wanted: str) -> None:
    """Read lines until one says what is wanted."""
    for line in lines:
        assert "lost" not in line
        if wanted in line:
            return
    pytest.fail(f"it never said {wanted!r}")


def test_why_says_once_from_which_file_and_of_each_part_which_record(shell: Shell) -> None:
    file = claude(shell.folder, "abc", "one", "two")
    found = shell.json("import", file)
    assert isinstance(found, list)
    said = shell.good("why", found[0]["id"])
    records = [json.loads(line)["uuid"] for line in file.read_text().splitlines()]
    assert said.count(str(file)) == 1
    assert f"from     claude-code abc, {file}" in said
    assert all(f"({record})" in said for record in records)
    parts = shell.json("why", found[0]["id"])
    assert isinstance(parts, dict)
    told = [part for part in parts["parts"] if part["what"] == "message"]
    assert [(one["origin"]["entry"], one["file"]) for one in told] == [(record, str(file)) for record in records]


def test_what_is_kept_and_not_understood_is_named_each_kind_once(shell: Shell) -> None:
    file = claude(shell.folder, "abc", "one", "two")
    records = [json.loads(line) for line in file.read_text().splitlines()]
    strange = [{**records[1], "uuid": f"x{number}", "type": "hologram"} for number in range(3)]
    orphan = {"type": "tool_result", "tool_use_id": "nobody", "content": [{"type": "video"}]}
    records += [*strange, {**records[1], "uuid": "r", "message": {"role": "user", "content": [orphan]}}]
    records += [{**records[1], "uuid": "n", "version": "9.0.1", "timestamp": 5, "message": 7}]
    file.write_text("".join(json.dumps(record) + "\n" for record in records))
    said = shell("import", file).stderr
    for line, what in (
        (3, "3 records of type 'hologram', which is not known here"),
        (6, "1 record with a block of type 'video', which no model is sent from here"),
        (6, "1 record with a result of a call that is nowhere before it"),
        (7, "1 record of version '9.0.1', which is newer than what is known here (2)"),
        (7, "1 record whose time cannot be read"),
        (7, "1 record of type 'user' without a message"),
    ):
        assert f"kept, not understood, line {line}: {what}" in said
    assert said.count("not understood") == 6
    assert "not understood" not in shell("import", file).stderr, "nothing is new"


def test_an_imported_session_is_found_by_the_name_of_its_file_too(shell: Shell) -> None:
    file = claude(shell.folder, "0f3c-a-name-of-claude-code", "What is here?")
    shell.good("import", file)
    assert "What is here?" in shell.good("ls")
    assert shell.good("show", file.stem) == shell.good("show", "What is here?")
