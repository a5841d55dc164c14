"""A session of a client is called by what a person said first, not by what programs put around it."""

from __future__ import annotations

import pytest

from eventsource.codec import to_json
from eventsource.messages import AssistantMessage, Message, TextContent, UserMessage
from refold.http.proxy.titles import title_of_prompts


def prompt(*texts: str, role: str = "") -> Message:
    content = tuple(TextContent(text=text) for text in texts)
    return UserMessage(content=content, raw=to_json({"role": role})) if role else UserMessage(content=content)


REMINDER = "<system-reminder>\nAs you answer, you can use the following context:\n# currentDate\n</system-reminder>\n"


@pytest.mark.parametrize(
    ("messages", "title"),
    [
        ([prompt(REMINDER, "Mend the tests.\nAll of them."), prompt("Agents: a, b", role="system")], "Mend the tests."),
        ([prompt("Skills: x", role="system"), prompt(REMINDER + "Mend the tests.")], "Mend the tests."),
        (
            [prompt("<environment_context>\n  <cwd>/w</cwd>\n</environment_context>"), prompt("Look around")],
            "Look around",
        ),
        ([prompt("# AGENTS.md instructions for /w\n\n<INSTRUCTIONS>Be kind</INSTRUCTIONS>"), prompt("Hi")], "Hi"),
        ([prompt("# Context from my IDE:\n- a.py\n\n## My request for Codex:\nRename it")], "Rename it"),
        ([prompt("<command-name>/review</command-name><command-args>the parser</command-args>")], "the parser"),
        ([prompt(REMINDER), AssistantMessage(content=(TextContent(text="Yes?"),))], "<system-reminder>"),
        ([AssistantMessage(content=(TextContent(text="Yes?"),))], ""),
    ],
)
def test_a_title_is_what_a_person_typed_first(messages: list[Message], title: str) -> None:
    found = title_of_prompts(messages)
    assert found.startswith(title)
    assert bool(found) == bool(title)
