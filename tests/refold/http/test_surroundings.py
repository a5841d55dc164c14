"""The folder and the branch of a client's session are what the client's program says, in words that it is known for."""

from __future__ import annotations

import pytest

from eventsource.messages import AssistantMessage, Message, TextContent, UserMessage
from refold import open_log
from refold.http import ProxyRecorder
from refold.http.proxy.surroundings import Surroundings, read_surroundings
from tests.refold.http.clients import ClaudeCode, first, prompt, told

CLAUDE = """You are an agent.
# Environment
You have been invoked in the following environment:
 - Primary working directory: /home/kim/coat
 - Is a git repository: true

This is the git status at the start. Note that this status will not update during the conversation.

Current branch: feature/x

Main branch (you will usually use this for PRs): main
"""
OPENCODE = "You are an agent.\n<env>\n  Working directory: C:\\coat\n  Is directory a git repo: no\n</env>"
PI = "Be brief.\nCurrent date: 2026-11-28\nCurrent working directory: /home/kim/coat"
CODEX = "<environment_context>\n  <cwd>/home/kim/coat</cwd>\n  <shell>bash</shell>\n</environment_context>"
GEMINI = "<session_context>\nThis is the Gemini CLI.\n- **Workspace Directories:**\n  - /home/kim/coat\n- **Directory"


@pytest.mark.parametrize(
    ("system", "said", "folder", "branch"),
    [
        (CLAUDE, [], "/home/kim/coat", "feature/x"),
        (OPENCODE, [], "C:\\coat", ""),
        (PI, [], "/home/kim/coat", ""),
        ("", [CODEX], "/home/kim/coat", ""),
        ("", ["Be careful.", GEMINI], "/home/kim/coat", ""),
        (PI, [CODEX], "/home/kim/coat", ""),
        (f"{PI}\nWorking directory: /elsewhere", [], "", ""),
        ("Working directory: ~/coat", [], "", ""),
        ("The working directory: /home/kim/coat is mine.", [], "", ""),
        ("", ["Working directory: /home/kim/coat\nCurrent branch: main"], "", ""),
        ("", [f"Look at this: {CODEX}"], "", ""),
        ("Current branch: main", [], "", ""),
    ],
)
def test_only_what_a_program_says_in_one_voice_counts(system: str, said: list[str], folder: str, branch: str) -> None:
    messages: list[Message] = [UserMessage(content=(TextContent(text=one),)) for one in said]
    assert read_surroundings(system, messages) == Surroundings(folder, branch)


def test_what_is_said_behind_an_answer_is_no_beginning() -> None:
    said: list[Message] = [UserMessage(content="Hi."), AssistantMessage(), UserMessage(content=CODEX)]
    assert read_surroundings("", said) == Surroundings()


async def test_a_session_that_is_recorded_is_found_by_its_folder_and_its_branch() -> None:
    async with open_log() as log:
        client = ClaudeCode(ProxyRecorder(log, lose=pytest.fail))
        talk = await client.ask([first("Look")], told("Looked."), system=CLAUDE)
        await client.ask([*talk, prompt("Again")], told("Again."), system=CLAUDE)
        (info,) = await log.store.sessions(folder="/home/kim", branch="feature/x")
        assert (info.title, info.folder, info.agent) == ("Look", "/home/kim/coat", "claude-code")
