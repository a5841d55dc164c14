"""`refold why`: where each part of a request comes from."""

from __future__ import annotations

from tests.refold.cli.reading import seqs
from tests.refold.shell import Shell


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
