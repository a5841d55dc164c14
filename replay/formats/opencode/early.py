"""Messages of the first opencode (0.1), whose parts stand within them: read as those that came after."""

from __future__ import annotations

from collections.abc import Mapping

from ..fields import fields_of, list_of, text_of
from ..jsonl import Fields

_OF_ANSWER = ("system", "path", "cost", "summary", "tokens", "modelID", "providerID")


def is_early(fields: Fields) -> bool:
    """Return whether a document is a message with its parts."""
    metadata = fields_of(fields.get("metadata"))
    return isinstance(fields.get("parts"), list) and isinstance(metadata.get("sessionID"), str) and "time" in metadata


def read_early(fields: Fields) -> tuple[Fields, list[object]]:
    """Read a message as opencode itself does when it moves its files to their next place: what it is, and its parts."""
    metadata = fields_of(fields.get("metadata"))
    answer = fields_of(metadata.get("assistant"))
    info = {name: value for name, value in fields.items() if name not in ("parts", "metadata")}
    info |= {"sessionID": metadata.get("sessionID"), "time": metadata.get("time")}
    info |= {name: answer[name] for name in _OF_ANSWER if name in answer}
    if metadata.get("error"):
        info["error"] = metadata["error"]
    tools = fields_of(metadata.get("tool"))
    return info, [_part(part, tools) for part in list_of(fields.get("parts"))]


def _part(part: object, tools: Mapping[str, object]) -> object:
    match part:
        case {"type": "tool-invocation", "toolInvocation": dict(invoked)}:
            call_id = text_of(invoked.get("toolCallId"))
            return {
                "type": "tool",
                "callID": call_id,
                "tool": invoked.get("toolName"),
                "state": _state(invoked, fields_of(tools.get(call_id))),
            }
        case {"type": "file", "mediaType": str(mime)}:
            return {**{name: value for name, value in fields_of(part).items() if name != "mediaType"}, "mime": mime}
        case _:
            return part


def _state(invoked: Fields, told: Fields) -> Fields:
    metadata = {name: value for name, value in told.items() if name not in ("title", "time")}
    ran = {name: told[name] for name in ("title", "time") if name in told}
    state = {"input": invoked.get("args"), **ran, **({"metadata": metadata} if metadata else {})}
    if invoked.get("state") != "result":
        return {"status": "pending" if invoked.get("state") == "partial-call" else "running", **state}
    if told.get("error") is True:
        return {"status": "error", "error": invoked.get("result"), **state}
    return {"status": "completed", "output": invoked.get("result"), **state}
