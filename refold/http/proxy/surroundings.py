"""Where the agent of a client works, as the client tells its model: the folder, and its Git branch."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

import msgspec

from eventsource.messages import AssistantMessage, Message, TextContent, UserMessage

_FOLDER = re.compile(r"^[ \t]*(?:- )?(?:Primary working|Current working|Working) directory: (.+?)[ \t]*$", re.MULTILINE)
"""In the system prompts of Claude Code, opencode and pi (November 2026)."""
_BRANCH = re.compile(r"will not update during the conversation\.\s+Current branch: (\S+)[ \t]*$", re.MULTILINE)
"""What Claude Code says of Git, in its system prompt."""
_CODEX = re.compile(r"\s*<environment_context>.*?<cwd>([^<\n]+)</cwd>", re.DOTALL)
_GEMINI = re.compile(r"\s*<session_context>.*?Workspace Directories:\*\*\s+- (\S[^\n]*)", re.DOTALL)
_GEMINI_WHOLE = re.compile(rf"{_GEMINI.pattern}.*</session_context>\s*", re.DOTALL)
"""What Codex and Gemini CLI say in a message of their own, which begins so, before anybody speaks."""
_ABSOLUTE = re.compile(r"/|[A-Za-z]:[\\/]|\\\\")


class Surroundings(msgspec.Struct, frozen=True):
    """The folder in which an agent works, and its Git branch; empty: it is not said, or not in one voice."""

    folder: str = ""
    branch: str = ""


def read_surroundings(system_prompt: str, messages: Sequence[Message]) -> Surroundings:
    """Read where an agent works from the beginning of a conversation.

    Only what a program says by itself counts, in the words that it is known to use: a person may speak of any folder.
    """
    folders = {found[1] for found in _FOLDER.finditer(system_prompt)}
    for text in _first_texts(messages):
        found = _CODEX.match(text) or _GEMINI.match(text)
        if found is not None:
            folders.add(found[1].strip())
    folders = {one for one in folders if _ABSOLUTE.match(one)}
    branches = {found[1] for found in _BRANCH.finditer(system_prompt)}
    return Surroundings(_only(folders), _only(branches))


def without_surroundings(message: UserMessage) -> tuple[str, UserMessage] | None:
    """Split what Gemini CLI says of the folder off a prompt: each of its processes says it anew, as the folder is then.

    Returns: the folder, and what else the message says; None where it does not begin so.
    """
    content = (TextContent(text=message.content),) if isinstance(message.content, str) else message.content
    head = content[0] if content else None
    found = _GEMINI_WHOLE.fullmatch(head.text) if isinstance(head, TextContent) else None
    return (found[1].strip(), UserMessage(content=content[1:])) if found is not None else None


def _only(found: set[str]) -> str:
    return next(iter(found)) if len(found) == 1 else ""


def _first_texts(messages: Sequence[Message]) -> Iterator[str]:
    """Yield the texts before the first answer."""
    for message in messages:
        if isinstance(message, AssistantMessage):
            return
        if isinstance(message, UserMessage):
            content = message.content
            yield from (
                [content]
                if isinstance(content, str)
                else (part.text for part in content if isinstance(part, TextContent))
            )
