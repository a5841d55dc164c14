"""What a session holds, read through the command."""

from __future__ import annotations

import json

from tests.refold.shell import Shell


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
