"""What is not understood of a record of Claude Code: a new type, a newer version, a value where another belongs."""

from __future__ import annotations

from collections.abc import Iterator

from eventsource.messages import ImageContent, TextContent

from ..fields import fields_of, list_of, shown, text_of, unknown_type
from ..jsonl import Fields
from ..times import read_time
from .messages import read_block

_SAID = ("user", "assistant")
_TYPES = frozenset(
    (
        *_SAID,
        *("system", "attachment", "progress", "summary", "queue-operation", "file-history-snapshot", "tag", "result"),
        *("custom-title", "ai-title", "agent-name", "agent-color", "agent-setting", "last-prompt", "pr-link", "mode"),
        *(
            "permission-mode",
            "worktree-state",
            "bridge-session",
            "started",
            "relocated",
            "ended-by-model",
            "frame-link",
        ),
        *(
            "relocated",
            "isolation-latch",
            "speculation-accept",
            "attribution-snapshot",
            "content-replacement",
            "fork-context-ref",
        ),
        *("marble-origami-commit", "marble-origami-snapshot", "marble-origami-reset"),
        *("api-request", "api-request-shape", "api-request-blob", "api-request-resumed", "tools-used", "cost-state"),
        *("atis-latch", "file-history-delta", "continued-in", "derived-from", "history-suppression", "memory-mode"),
        *("artifact-comment-monitor", "artifact-autoreact-ledger", "data-flow-records", "data-flow-incomplete"),
        *("session-owner", "dev-mods", "observer-ref", "resume-head-vouch", "repl-mode", "hybrid-organization"),
    )
)
"""Types that Claude Code writes: those that 2.1.332 writes and 2.1.197 reads, and what older ones wrote."""
_NEWEST = 2  # version of Claude Code: what stands before its first point


def unclear_in(fields: Fields) -> Iterator[str]:
    """Say what is not understood of a record."""
    kind, version = fields.get("type"), text_of(fields.get("version"))
    if text_of(kind) not in _TYPES:
        yield unknown_type(kind)
    major = version.partition(".")[0]
    if major.isdecimal() and int(major[:9]) > _NEWEST:
        yield f"of version {shown(version)}, which is newer than what is known here ({_NEWEST})"
    if "timestamp" in fields and read_time(fields["timestamp"]) is None:
        yield "whose time cannot be read"
    if text_of(kind) in _SAID:
        message = fields.get("message")
        if isinstance(message, dict):
            yield from _in_content(message.get("content"), calls_too=kind == "assistant")
        else:
            yield f"of type {shown(kind)} without a message"


def _in_content(content: object, *, calls_too: bool) -> Iterator[str]:
    if not isinstance(content, str | list):
        yield "whose content is neither a text nor a list"
    for block in list_of(content):
        kind = fields_of(block).get("type")
        if kind == "tool_result":
            inner = fields_of(block).get("content")
            yield from _in_content(inner if inner is not None else "", calls_too=False)
        elif not calls_too and not isinstance(read_block(block), TextContent | ImageContent):
            yield f"with a block of type {shown(kind)}, which no model is sent from here"
