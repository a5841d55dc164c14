"""Entries of a pi session file, read into events and written back."""

from __future__ import annotations

import msgspec

from eventsource.codec import from_json, read_object, to_json
from eventsource.events import Compaction, MessageAdopt, Origin, Place
from eventsource.messages import CustomMessage

from ..jsonl import Fields
from ..numbers import read_count
from ..times import write_time
from .messages import SOURCE, read_message, write_message

_ENVELOPE = ("type", "id", "parentId", "timestamp")
_MESSAGES = {"custom_message": "custom", "branch_summary": "branchSummary"}  # entry type -> role in the context


def read_entry(fields: Fields, origin: Origin, kept_seq: int) -> MessageAdopt | Compaction | None:
    """Read an entry that stands in the context; None for any other.

    `kept_seq`: where the entry lies that a compaction keeps first (0: it keeps nothing).
    """
    match fields:
        case {"type": "message", "message": {"role": "system"}}:
            return None  # a change of the configuration
        case {"type": "message", "message": dict(message)} if isinstance(message.get("role"), str):
            read, sent_at_us = read_message(message)
            return MessageAdopt(message=read, origin=origin, sent_at_us=sent_at_us)
        case {"type": "compaction", "summary": str(summary)}:
            details = to_json(fields["details"]) if "details" in fields else msgspec.UNSET
            tokens_before = read_count(fields.get("tokensBefore"))
            return Compaction(summary=summary, first_kept_seq=kept_seq, tokens_before=tokens_before, details=details)
        case {"type": "custom_message", "customType": str()} | {"type": "branch_summary", "summary": str()}:
            if fields.get("summary") == "":  # pi leaves an empty summary out of the context
                return None
            body = {name: value for name, value in fields.items() if name not in _ENVELOPE}
            kind = _MESSAGES[str(fields["type"])]
            return MessageAdopt(message=CustomMessage(kind=kind, body=to_json(body)), origin=origin)
        case _:
            return None


def write_entry(event: MessageAdopt | Compaction, at_us: int) -> dict[str, object]:
    """Write an entry as pi stores it, but for its id and its parent's."""
    time = {"timestamp": write_time(at_us)}
    if isinstance(event, Compaction):
        fields: dict[str, object] = {"type": "compaction", **time, "summary": event.summary}
        fields["tokensBefore"] = event.tokens_before
        if not isinstance(event.details, msgspec.UnsetType):
            fields["details"] = from_json(event.details)
        return fields
    message = event.message
    if isinstance(message, CustomMessage) and not event.sent_at_us:
        for kind, role in _MESSAGES.items():
            if message.kind == role:
                return {"type": kind, **time, **read_object(message.body)}
    return {"type": "message", **time, "message": write_message(message, event.sent_at_us)}


def origin_of(session: str, entry: str) -> Origin:
    """Return the origin of an entry."""
    return Origin(source=SOURCE, session=session, entry=entry)


def with_call(event: MessageAdopt, call: Place | None) -> MessageAdopt:
    """Add the place of the call that an adopted result answers."""
    return event if call is None else msgspec.structs.replace(event, call=call)
