"""What every provider refuses, whatever protocol it speaks."""

from __future__ import annotations

from .limits import ANTHROPIC, CHAT, GOOGLE, RESPONSES, Rule

_EVERY = (ANTHROPIC, RESPONSES, CHAT, GOOGLE)
_ANTHROPIC = "https://docs.anthropic.com/en/api/messages"
_CHAT = "https://platform.openai.com/docs/api-reference/chat/create"
_RESPONSES = "https://platform.openai.com/docs/api-reference/responses/create"
_GOOGLE = "https://ai.google.dev/api/caching"
_READ = "2026-11"

EVERY_RULES: tuple[Rule, ...] = (
    Rule(
        name="every-message",
        apis=_EVERY,
        says="a request holds a message beside the system's",
        sets={"some_message": True},
        source=f"{_ANTHROPIC}#body-messages; {_CHAT}; {_RESPONSES}; "
        "https://ai.google.dev/api/generate-content (`contents is not specified`)",
        read=_READ,
    ),
    Rule(
        name="every-unique-ids",
        apis=_EVERY,
        says="no two calls have one id",
        sets={"unique_ids": True},
        source=f"{_ANTHROPIC} (`tool_use` ids must be unique); {_CHAT}; {_RESPONSES}; {_GOOGLE}#FunctionCall",
        read=_READ,
    ),
    Rule(
        name="every-choice",
        apis=_EVERY,
        says="a tool can be chosen only where there are tools",
        sets={"choice_needs_tools": True},
        source=f"{_ANTHROPIC}#body-tool-choice; {_CHAT}; {_RESPONSES}; {_GOOGLE}#ToolConfig",
        read=_READ,
    ),
    Rule(
        name="every-block",
        apis=(ANTHROPIC, RESPONSES, GOOGLE),
        says="a block of the provider's own is an object with a type (Google: that holds something)",
        sets={"known_blocks": True},
        source=f"{_ANTHROPIC}; {_RESPONSES}; {_GOOGLE}#Part",
        read=_READ,
    ),
    Rule(
        name="every-draft",
        apis=(ANTHROPIC, RESPONSES, CHAT),
        says="a tool's schema is JSON Schema of the draft 2020-12: no lists as `items`, no types of its own making",
        sets={"modern_schemas": "plain"},
        source="https://github.com/anthropics/claude-code/issues/586; https://github.com/blurrah/mcp-graphql/issues/14",
        read=_READ,
    ),
)
