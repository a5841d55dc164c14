"""`refold search`: a text, once."""

from __future__ import annotations

from tests.refold.shell import Shell


def test_search_finds_a_text_once_also_when_a_fork_shares_it(shell: Shell) -> None:
    session = shell.said("Oslo?")
    shell.good("fork", session)
    hits = shell.json("search", "COLD")
    assert isinstance(hits, list)
    assert [(hit["id"], hit["role"]) for hit in hits] == [(session, "assistant")]
    fork = shell.good("fork", session).strip()
    assert shell.good("search", "cold", "--session", fork)
