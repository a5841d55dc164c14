"""What is not understood of a record of Codex: a new type, a newer version, a value where another belongs."""

from __future__ import annotations

from collections.abc import Iterator

from ..fields import fields_of, list_of, shown, text_of, unknown_type
from ..jsonl import Fields
from ..times import read_time
from .envelope import enveloped, is_state
from .items import is_readable, is_result, is_said_by_model

_TYPES = frozenset(
    (
        *("session_meta", "turn_context", "response_item", "event_msg", "compacted", "world_state", "realtime_item"),
        *("inter_agent_communication", "inter_agent_communication_metadata", "token_usage_record", "id_allocation"),
        *("dynamic_tools_updated", "security_risk_score", "tool_call", "tool_result", "error"),
    )
)
"""Types that Codex writes: those of 0.171, and what older ones wrote."""
_SILENT = ("agent_message", "ghost_snapshot", "configuration_update", "compaction_trigger", "context_compaction")
"""Items that say nothing to a model."""
_ROLES = ("user", "assistant", "developer", "system")
_NEWEST = 0  # version of Codex: what stands before its first point


def unclear_in(fields: Fields) -> Iterator[str]:
    """Say what is not understood of a record."""
    fields = enveloped(fields)
    kind, payload = fields.get("type"), fields.get("payload")
    if is_state(fields) or (kind is None and fields.get("role") in _ROLES):  # as the first versions wrote messages
        return
    if text_of(kind) not in _TYPES:
        yield unknown_type(kind)
    if "timestamp" in fields and read_time(fields["timestamp"]) is None:
        yield "whose time cannot be read"
    if kind in ("response_item", "session_meta", "turn_context", "compacted") and not isinstance(payload, dict):
        yield f"of type {shown(kind)} without its payload"
    elif kind == "session_meta":
        version = text_of(fields_of(payload).get("cli_version"))
        major = version.partition(".")[0]
        if major.isdecimal() and int(major[:9]) > _NEWEST:
            yield f"of version {shown(version)}, which is newer than what is known here ({_NEWEST})"
    elif kind == "response_item":
        yield from _in_item(fields_of(payload))


def _in_item(item: Fields) -> Iterator[str]:
    kind = item.get("type")
    if kind == "message":
        if item.get("role") not in _ROLES:
            yield f"of the role {shown(item.get('role'))}, which goes on as the user's"
        content = item.get("content")
        if not isinstance(content, str | list):
            yield "whose content is neither a text nor a list"
        parts = () if item.get("role") == "assistant" else list_of(content)
        for part in parts:
            if not is_readable(fields_of(part)):
                yield f"with a part of type {shown(fields_of(part).get('type'))}, which no model is sent from here"
    elif not (is_said_by_model(item) or is_result(item) or kind in _SILENT):
        yield f"with an item {unknown_type(kind)}"
