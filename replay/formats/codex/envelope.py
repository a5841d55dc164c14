"""Records of Codex as its later versions write them; until September 2025 an item stood in a line by itself."""

from __future__ import annotations

from ..fields import fields_of, text_of
from ..jsonl import Fields

_ITEMS = frozenset(
    (
        *("message", "reasoning", "local_shell_call", "function_call", "function_call_output", "web_search_call"),
        *("custom_tool_call", "custom_tool_call_output"),
    )
)
_STATE = "record_type"  # of a line that says how far the session was when it was written


def is_bare_header(fields: Fields) -> bool:
    """Return whether an object is the first line of a file of the first versions: it has no type."""
    match fields:
        case {"id": str(), "timestamp": str()} if "type" not in fields and "role" not in fields:
            return "instructions" in fields or "git" in fields
        case _:
            return False


def is_bare(fields: Fields) -> bool:
    """Return whether an object is a line of the first versions."""
    kind = fields.get("type")
    return (isinstance(kind, str) and kind in _ITEMS and "payload" not in fields) or is_bare_header(fields)


def is_state(fields: Fields) -> bool:
    """Return whether an object is what the first versions noted beside the conversation."""
    return isinstance(fields.get(_STATE), str) and "type" not in fields


def enveloped(fields: Fields) -> Fields:
    """Return a record as later versions write it; another one as it is."""
    if ("payload" in fields and "type" in fields) or not is_bare(fields):
        return fields
    kind = "session_meta" if is_bare_header(fields) else "response_item"
    time = {"timestamp": fields["timestamp"]} if "timestamp" in fields else {}
    return {**time, "type": kind, "payload": fields}


def kind_of(fields: Fields) -> str:
    """Return the type of a record."""
    return text_of(enveloped(fields).get("type"))


def payload_of(fields: Fields) -> Fields:
    """Return what a record holds."""
    return fields_of(enveloped(fields).get("payload"))
