"""`refold diff`: two sessions side by side."""

from __future__ import annotations

import json

from tests.refold.cli.reading import fork_with_another_answer
from tests.refold.shell import Shell


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
