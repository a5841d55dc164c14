"""`refold label`: titles and bookmarks."""

from __future__ import annotations

from tests.refold.shell import Shell


def test_labels_name_sessions_and_seqs(shell: Shell) -> None:
    session = shell.said("Oslo?")
    shell.good("label", session, "Cold cities")
    shell.good("label", session, "here", "--at", "4")
    assert "[4 here]" in shell.good("tree", "Cold cities")
    shell.good("label", session, "", "--at", "4")
    assert "[4 here]" not in shell.good("tree", "Cold cities")
    assert shell("label", session, "x", "--at", "999").exit_code == 3
