"""`refold context`: the request as it was sent, or would be."""

from __future__ import annotations

import json

from tests.refold.cli.reading import events
from tests.refold.shell import Shell


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
