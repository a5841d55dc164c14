"""`refold show`: what was said, every event, and one page."""

from __future__ import annotations

import json
from typing import Any

from tests.refold.cli.reading import events, roles
from tests.refold.shell import Shell


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


def test_a_call_that_came_without_its_result_says_so(shell: Shell) -> None:
    asked: dict[str, Any] = {"role": "assistant", "content": None, "tool_calls": []}
    for number, name in enumerate(("bash", "read")):
        function = {"name": name, "arguments": "{}"}
        asked["tool_calls"].append({"id": f"c{number}", "type": "function", "function": function})
    told = {"role": "tool", "tool_call_id": "c1", "content": "its lines"}
    file = shell.folder / "cut.json"
    file.write_text(json.dumps({"messages": [{"role": "user", "content": "Look."}, asked, told]}), encoding="utf-8")
    session = shell.good("import", file).split()[0]
    shown = shell.good("show", session)
    assert "bash: no result on record" in shown
    assert "read: no result" not in shown


def test_what_only_the_provider_reads_is_shown_and_whole_on_request(shell: Shell) -> None:
    parts = [
        {"part_kind": "builtin-tool-call", "tool_name": "web_search", "args": "o" * 300 + "slo", "tool_call_id": "c"},
        {"part_kind": "text", "content": "Cold."},
    ]
    history = [
        {"kind": "request", "parts": [{"part_kind": "user-prompt", "content": "Oslo?"}]},
        {"kind": "response", "parts": parts},
    ]
    file = shell.folder / "history.json"
    file.write_text(json.dumps(history), encoding="utf-8")
    session = shell.good("import", file).split()[0]
    for words in (("show", session), ("context", session)):
        assert "· builtin-tool-call {" in shell.good(*words)
        assert "oslo" not in shell.good(*words)
        assert "oslo" in shell.good(*words, "--full").replace("\n", "").replace(" ", "")


def test_show_writes_a_page(shell: Shell) -> None:
    one = shell.said("Oslo?")
    file = shell.folder / "page.html"
    assert shell.good("show", one, "--html", file) == ""
    assert "Oslo is cold and wet." in file.read_text(encoding="utf-8")
    assert shell.good("show", one, "--html", "-").startswith("<!doctype html>")
