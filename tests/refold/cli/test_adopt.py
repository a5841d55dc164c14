"""`refold adopt`: messages of another session."""

from __future__ import annotations

import pytest

from tests.refold.cli.reading import fork_with_another_answer, seqs
from tests.refold.shell import Shell


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
