"""Running, reading, forking, continuing and replaying from the command line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.refold.shell import Shell

AGENT = """
from refold import Agent, tool
from eventsource.models.scripted.script import call
from eventsource.models.scripted import scripted

@tool(effect="pure")
def weather(city: str) -> str:
    return "12 C, rain"

agent = Agent(scripted([call("weather", {"city": "Oslo"})], "Take a coat.", by="request"), tools=[weather])
broken = 3
"""


def events(shell: Shell, session: str) -> list[dict[str, object]]:
    shown = shell.json("show", session, "--updates")
    assert isinstance(shown, dict)
    return [{"seq": one["seq"], **one["event"]} for one in shown["events"]]


def seq_of(shell: Shell, session: str, text: str) -> int:
    """Find the piece of an answer that says this."""
    return next(int(str(one["seq"])) for one in events(shell, session) if one.get("delta") == text)


def roles(shell: Shell, session: str, *words: str | int) -> list[str]:
    document = shell.json("context", session, *words)
    assert isinstance(document, dict)
    return [message["role"] for message in document["request"]["messages"]]


def test_run_prints_the_answer_and_nothing_else_on_stdout(shell: Shell) -> None:
    result = shell("run", "Oslo?", "-m", f"scripted:{shell.script}")
    assert (result.exit_code, result.stdout) == (0, "Oslo is cold and wet.\n")
    assert "done" in result.stderr


def test_run_goes_on_in_the_session_that_is_named(shell: Shell) -> None:
    first = shell.said("Oslo?", "--session", "oslo")
    second = shell.said("And a coat?", "--session", "oslo")
    assert first == second
    assert roles(shell, "oslo") == ["user", "assistant", "user", "assistant"]
    assert "take a coat" in shell.good("show", first[:6])


def test_a_short_name_begins_a_session_and_a_beginning_of_an_id_says_where_it_goes_on(shell: Shell) -> None:
    first = shell.said("Oslo?", "--session", "oslo")
    script = f"scripted:{shell.script}"
    shell.good("run", "Another.", "-m", script, "-c", first[:5])
    assert roles(shell, "oslo") == ["user", "assistant"]
    told = shell("run", "And a coat?", "-m", script, "-c", first[:6])
    assert (told.exit_code, f"goes on in {first}, oslo" in told.stderr) == (0, True)
    assert roles(shell, "oslo") == ["user", "assistant"] * 2
    assert "goes on in" not in shell("run", "So?", "-m", "scripted", "-c", "oslo").stderr


def test_run_reads_the_prompt_from_stdin(shell: Shell) -> None:
    shell.good("run", "-", "-m", f"scripted:{shell.script}", "--session", "oslo", input="Is it cold?\n")
    assert "Is it cold?" in shell.good("show", "oslo")


def test_a_system_prompt_is_kept_until_another_is_given(shell: Shell) -> None:
    shell.said("Oslo?", "--session", "oslo", "--system", "Be brief.")
    shell.said("And a coat?", "--session", "oslo")
    shown = shell.json("context", "oslo")
    assert isinstance(shown, dict)
    assert shown["request"]["system_prompt"] == "Be brief."


def test_a_run_that_fails_says_why_and_exits_with_1(shell: Shell) -> None:
    script = shell.folder / "fails.json"
    script.write_text('[["Well, ", {"fail": "overloaded"}]]')
    result = shell("run", "Oslo?", "-m", f"scripted:{script}", "--session", "oslo")
    assert result.exit_code == 1
    assert "overloaded" in result.stderr
    assert "overloaded" in shell.good("show", "oslo")
    assert shell("continue", "oslo", "-m", f"scripted:{shell.script}").exit_code == 0


def test_the_model_scripted_says_that_nobody_was_called(shell: Shell) -> None:
    said = shell.good("run", "Is anybody there?", "-m", "scripted")
    assert said.startswith("(scripted) No model was called.")
    assert "Is anybody there?" in said


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


def test_show_gives_the_seqs_that_fork_takes(shell: Shell) -> None:
    session = shell.said("Oslo?")
    shown = shell.json("show", session)
    assert isinstance(shown, dict)
    answer = shown["transcript"][-1]
    assert answer["role"] == "assistant"
    fork = shell.good("fork", session, "--before", answer["seq"]).strip()
    assert roles(shell, fork) == ["user"]
    assert f"{answer['seq']}  assistant" in shell.good("show", session)
    assert "assistant" not in shell.good("show", session, "--at", answer["seq"] - 1)


def test_show_lists_facts_or_each_streamed_piece(shell: Shell) -> None:
    session = shell.said("Oslo?")
    facts, everything = shell.good("show", session, "--events"), shell.good("show", session, "--updates")
    assert "model_request" in facts
    assert "message_update" not in facts
    assert "text_delta[0] 'cold '" in everything
    assert len(everything.splitlines()) == len(events(shell, session))
    assert len(shell.good("show", session, "--updates", "--last", "4").splitlines()) == 4
    assert shell("show", session, "--events", "--at", "999").exit_code == 3


def test_signs_that_steer_a_terminal_are_shown_and_not_sent(shell: Shell) -> None:
    session = shell.said("Clear \x1b[2J\x9b2J the screen \u202eback", "--session", "a\x1b[31mb")
    for words in (("show", session), ("show", session, "--events"), ("context", session), ("ls",), ("tree",)):
        printed = shell.good(*words)
        assert not set(printed) & {"\x1b", "\x9b", "\u202e"}
        assert "␛[" in printed


def test_context_is_what_was_sent_at_a_past_call_and_what_would_be_sent_elsewhere(shell: Shell) -> None:
    session = shell.said("Oslo?", "--session", "oslo")
    shell.said("And a coat?", "--session", "oslo")
    asked = [one for one in events(shell, session) if one["type"] == "model_request"]
    document = shell.json("context", session, "--at", str(asked[0]["seq"]))
    assert isinstance(document, dict)
    assert document["request_sha256"] == asked[0]["request_sha256"]
    assert [message["role"] for message in document["request"]["messages"]] == ["user"]
    assert "1/1  user" in shell.good("context", session, "--at", str(asked[0]["seq"]))
    assert shell("context", session, "--at", "9999").exit_code == 3


def test_the_wire_body_of_a_provider_is_printed_as_it_would_be_sent(shell: Shell) -> None:
    source = shell.folder / "pi.jsonl"
    source.write_text(
        "\n".join(
            json.dumps(line)
            for line in (
                {"type": "session", "id": "s", "timestamp": "2026-01-01T00:00:00.000Z", "cwd": "/", "provider": "x"},
                {
                    "type": "model_change",
                    "timestamp": "2026-01-01T00:00:00.000Z",
                    "provider": "anthropic",
                    "modelId": "claude-sonnet-4-5",
                },
                {
                    "type": "message",
                    "timestamp": "2026-01-01T00:00:01.000Z",
                    "message": {"role": "user", "content": "Oslo?", "timestamp": 1767225601000},
                },
            )
        )
    )
    imported = shell.json("import", source)
    assert isinstance(imported, list)
    body = json.loads(shell.good("context", imported[0]["id"], "--wire"))
    assert body["model"] == "claude-sonnet-4-5"
    assert body["messages"][0]["role"] == "user"
    scripted = shell("context", shell.said("Oslo?"), "--wire")
    assert (scripted.exit_code, scripted.stdout) == (2, "")


def test_a_fork_inside_an_answer_continues_with_the_answer_made_anew(shell: Shell) -> None:
    session = shell.said("Oslo?")
    forked = shell("fork", session, "--at", seq_of(shell, session, "cold "))
    fork = forked.stdout.strip()
    assert forked.stdout == f"{fork}\n"
    assert f"continue {fork}" in forked.stderr
    continued = shell("continue", fork, "-m", f"scripted:{shell.script}")
    assert (continued.exit_code, continued.stdout) == (0, "Oslo is cold and wet.\n")
    assert "broke off here" in continued.stderr
    assert (
        shell.good("context", session, "--json").partition('"request"')[2]
        == (shell.good("context", fork, "--json").partition('"request"')[2])
    )
    assert f"at {seq_of(shell, session, 'cold ')}  {fork}" in shell.good("tree", session)


@pytest.mark.slow
def test_every_seq_of_a_run_is_a_place_to_fork_at_and_continue_from(shell: Shell) -> None:
    session = shell.said("Oslo?")
    head = len(events(shell, session))
    for seq in range(0, head + 1, 3):
        fork = shell.good("fork", session, "--at", seq).strip()
        assert shell("continue", fork, "-m", f"scripted:{shell.script}").exit_code == 0
        assert "no difference" in shell.good("replay", fork)
    assert "no defect" in shell.good("verify")


def test_continue_of_a_complete_answer_does_nothing_and_says_so(shell: Shell) -> None:
    session = shell.said("Oslo?")
    before = events(shell, session)
    result = shell("continue", session, "-m", "scripted")
    assert (result.exit_code, result.stdout) == (0, "")
    assert "nothing to continue" in result.stderr
    assert events(shell, session) == before


def test_continue_with_a_prompt_says_it(shell: Shell) -> None:
    session = shell.said("Oslo?")
    said = shell.good("continue", session, "-m", f"scripted:{shell.script}", "--prompt", "A coat?")
    assert said == "Yes, take a coat.\n"


def test_a_scripted_session_is_not_continued_by_nobody(shell: Shell) -> None:
    session = shell.said("Oslo?")
    result = shell("continue", session, "--prompt", "A coat?")
    assert result.exit_code == 2
    assert "say who answers now" in result.stderr
    assert roles(shell, session) == ["user", "assistant"]


@pytest.mark.slow
def test_a_session_with_tools_needs_its_agent_or_goes_on_without_them(
    shell: Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    (shell.folder / "an_agent_of_mine.py").write_text(AGENT)
    monkeypatch.chdir(shell.folder)
    run = json.loads(shell.good("run", "A coat?", "--agent", "an_agent_of_mine:agent", "--json"))
    session, seen = run["id"], len(events(shell, run["id"]))
    assert run["text"] == "Take a coat."
    refused = shell("continue", session, "-m", "scripted", "--prompt", "Sure?")
    assert refused.exit_code == 2
    assert "--agent" in refused.stderr
    assert len(events(shell, session)) == seen
    assert "12 C, rain" in shell.good("calls", session)
    fork = shell.good("fork", session, "--at", "9").strip()
    assert shell.good("continue", fork, "--agent", "an_agent_of_mine:agent") == "Take a coat.\n"
    assert shell.good("continue", session, "-m", "scripted", "--no-tools", "--prompt", "Sure?").startswith("(scripted)")


def test_replay_proves_a_record_and_plays_it_as_it_was(shell: Shell) -> None:
    session = shell.said("Oslo?")
    report = shell.json("replay", session)
    assert isinstance(report, dict)
    assert report["difference"] is None
    assert report["given"] + report["predicted"] == len(events(shell, session))
    played = shell.good("replay", session, "--speed", "1000")
    assert "you: Oslo?\nOslo is cold and wet.\n" in played
    assert played.endswith("no difference\n")
    stepped = shell.good("replay", session, "--step", input="\n\nq\n")
    assert [line.split()[0] for line in stepped.splitlines()[:3]] == ["1", "2", "3"]
    assert shell("replay", session, "--speed", "2", "--step").exit_code == 2
    assert shell("replay", session, "--at", "9999").exit_code == 3


def test_a_defect_is_found_by_verify_and_exits_with_1(shell: Shell) -> None:
    import sqlite3

    session = shell.said("Oslo?")
    assert shell("verify", session).exit_code == 0
    path = shell.folder / "refold.db"
    connection = sqlite3.connect(path)
    triggers = [name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'")]
    for name in triggers:
        connection.execute(f'DROP TRIGGER "{name}"')
    connection.execute("UPDATE events SET body = replace(body, 'Oslo?', 'Rome?') WHERE body LIKE '%Oslo?%'")
    connection.commit()
    connection.close()
    result = shell("verify", session)
    assert result.exit_code == 1
    assert "defect" in result.stdout
    report = json.loads(shell("verify", "--json").stdout)
    assert report["ok"] is False


def test_search_finds_a_text_once_also_when_a_fork_shares_it(shell: Shell) -> None:
    session = shell.said("Oslo?")
    shell.good("fork", session)
    hits = shell.json("search", "COLD")
    assert isinstance(hits, list)
    assert [(hit["id"], hit["role"]) for hit in hits] == [(session, "assistant")]
    fork = shell.good("fork", session).strip()
    assert shell.good("search", "cold", "--session", fork)


def test_labels_name_sessions_and_seqs(shell: Shell) -> None:
    session = shell.said("Oslo?")
    shell.good("label", session, "Cold cities")
    shell.good("label", session, "here", "--at", "4")
    assert "[4 here]" in shell.good("tree", "Cold cities")
    shell.good("label", session, "", "--at", "4")
    assert "[4 here]" not in shell.good("tree", "Cold cities")
    assert shell("label", session, "x", "--at", "999").exit_code == 3


def test_a_session_with_forks_is_not_deleted_and_nothing_is_without_a_yes(shell: Shell) -> None:
    session = shell.said("Oslo?")
    fork = shell.good("fork", session).strip()
    assert shell("delete", session, "--yes").exit_code == 5
    assert shell("delete", fork).exit_code == 2
    shell.good("delete", fork, "--yes")
    shell.good("delete", session, "--yes")
    assert shell.json("ls") == []


def test_erased_words_are_gone_and_what_is_left_still_verifies(shell: Shell) -> None:
    session = shell.said("My password is hunter2", "--session", "secret")
    seq = next(one["seq"] for one in events(shell, session) if one["type"] == "queue_push")
    shell.good("erase", session, str(seq), "--yes", "--reason", "a password")
    assert "hunter2" not in shell.good("show", session, "--updates", "--full")
    assert "no defect" in shell.good("verify")
    assert "could not be checked" in shell.good("replay", session)
    assert shell("erase", session, "4", "--yes").exit_code == 3


def test_a_backup_is_a_log_and_never_replaces_a_file(shell: Shell) -> None:
    session = shell.said("Oslo?")
    copy = shell.folder / "copy.db"
    shell.good("backup", copy)
    assert session in shell.good("ls", "--db", copy)
    again = shell("backup", copy)
    assert again.exit_code == 4
    assert str(copy) in again.stderr


def test_steering_an_idle_session_is_heard_when_it_goes_on(shell: Shell) -> None:
    session = shell.said("Oslo?")
    result = shell("steer", session, "And a coat?")
    assert "does not run now" in result.stderr
    assert shell.good("continue", session, "-m", f"scripted:{shell.script}") == "Yes, take a coat.\n"
    assert shell("abort", session).exit_code == 1


def test_decide_names_what_a_session_waits_for(shell: Shell) -> None:
    session = shell.said("Oslo?")
    result = shell("decide", session, "deploy", "true")
    assert result.exit_code == 2
    assert "waits for nothing" in result.stderr


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
