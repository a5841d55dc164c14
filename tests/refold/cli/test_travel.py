"""Comparing, adopting, explaining, compacting and writing pages from the command line."""

from __future__ import annotations

import json

import pytest

from tests.refold.shell import Shell


def fork_with_another_answer(shell: Shell, session: str) -> str:
    transcript = shell.json("show", session)
    assert isinstance(transcript, dict)
    answer = transcript["transcript"][1]["seq"]
    forked = shell.json("fork", session, "--before", answer)
    assert isinstance(forked, dict)
    other = shell.folder / "other.json"
    other.write_text(json.dumps([["Facts only."]]))
    shell.good("continue", forked["id"], "-m", f"scripted:{other}")
    return str(forked["id"])


def seqs(shell: Shell, session: str) -> list[int]:
    document = shell.json("show", session)
    assert isinstance(document, dict)
    return [said["seq"] for said in document["transcript"]]


def test_diff_shows_what_two_branches_say_differently(shell: Shell) -> None:
    one = shell.said("Oslo?")
    fork = fork_with_another_answer(shell, one)
    differing = shell("diff", one, fork)
    assert differing.exit_code == 1
    assert "-Oslo is cold and wet." in differing.stdout
    assert "+Facts only." in differing.stdout
    found = json.loads(shell("diff", one, fork, "--json").stdout)
    assert [pair["kind"] for pair in found["pairs"]] == ["changed"]
    assert "no difference" in shell.good("diff", one, one)


def test_diff_begins_with_what_both_share_and_says_by_its_exit_code_whether_they_differ(shell: Shell) -> None:
    one = shell.said("Oslo?")
    fork = fork_with_another_answer(shell, one)
    differing = shell("diff", one, fork)
    at = shell.json("show", fork)
    assert isinstance(at, dict)
    assert differing.stdout.splitlines()[0] == f"the first message is the same, fork at seq {at['fork_seq']}"
    same = shell("diff", one, one)
    assert (same.exit_code, same.stdout.splitlines()[0][:26]) == (0, "the first 2 messages are t")
    other = shell("diff", one, shell.said("Oslo?"))
    assert other.stdout.splitlines()[0].endswith("compared by what was said: the first 2 messages are alike")
    assert shell("diff", one, "nobody").exit_code > 1
    assert shell("diff", one).exit_code > 1


def test_adopt_takes_messages_by_seq_and_by_range(shell: Shell) -> None:
    one = shell.said("Oslo?")
    fork = fork_with_another_answer(shell, one)
    answer = seqs(shell, fork)[-1]
    assert "1 event adopted" in shell.good("adopt", one, "--from", fork, answer)
    assert "Facts only." in shell.good("show", one)
    other = shell.said("Bergen?")
    taken = shell.json("adopt", other, "--from", one, f"1..{seqs(shell, one)[1]}")
    assert isinstance(taken, dict)
    assert len(taken["seqs"]) == 2
    shell.good("replay", other)


@pytest.mark.parametrize(("word", "said"), [("x", "expected a seq"), ("999", "no message of this name")])
def test_adopt_says_what_is_no_message(shell: Shell, word: str, said: str) -> None:
    one, other = shell.said("Oslo?"), shell.said("Bergen?")
    result = shell("adopt", one, "--from", other, word)
    assert result.exit_code != 0
    assert said in result.stderr


def test_why_says_where_each_part_of_a_request_comes_from(shell: Shell) -> None:
    one = shell.said("Oslo?")
    answer = seqs(shell, one)[1]
    shown = shell.good("why", one, answer)
    assert "its digest is the recorded one" in shown
    assert "prompt queued at" in shown
    assert shell.json("why", one) == shell.json("why", one, answer)  # the last answer, unless told
    found = shell.json("why", one, answer)
    assert isinstance(found, dict)
    assert (found["seq"], found["digest"]) == (answer, "equal")
    assert shell("why", one, 999).exit_code != 0


def test_compact_writes_a_summary_and_keeps_the_history(shell: Shell) -> None:
    one = shell.said("Oslo?")
    summary = shell.folder / "summary.json"
    summary.write_text(json.dumps([["Asked about Oslo."]]))
    result = shell("compact", one, "--keep", 0, "-m", f"scripted:{summary}")
    assert (result.exit_code, result.stdout) == (0, "Asked about Oslo.\n")
    assert "Oslo is cold and wet." in shell.good("show", one)
    assert "Oslo is cold and wet." not in shell.good("context", one)
    again = shell("compact", one, "--keep", 0, "-m", f"scripted:{summary}")
    assert (again.exit_code, again.stdout) == (1, "")


def test_show_writes_a_page(shell: Shell) -> None:
    one = shell.said("Oslo?")
    file = shell.folder / "page.html"
    assert shell.good("show", one, "--html", file) == ""
    assert "Oslo is cold and wet." in file.read_text(encoding="utf-8")
    assert shell.good("show", one, "--html", "-").startswith("<!doctype html>")
