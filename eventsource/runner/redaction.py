"""Known secrets out of events: every text of an event is searched before it is kept, whatever the event is."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import cache
from typing import TypeVar

import msgspec
from msgspec.structs import replace

from ..events import Event, MessageEnd, MessageUpdate
from ..messages import AssistantMessage
from ..models.secrets import redact_json, redact_known

Redact = Callable[[str], str]
S = TypeVar("S")

# What an event is found by, and what must go back byte for byte.
_IDENTIFIERS = frozenset(
    (
        *("key", "task", "child", "parent", "session", "runner", "name", "tool_name", "id", "tool_call_id", "kind"),
        *("api", "provider", "model", "response_id", "body_codec", "prices", "media_type", "data", "signature"),
    )
)
_LITERAL = re.compile(r"\bLiteral\b")


def redact_event(event: Event, redact: Redact | None = None) -> Event:
    """Replace what this process knows to be secret in an event; what a model says as it streams is left as it is.

    Args:
        redact: replaces what the caller knows besides.
    """
    both = redact_known if redact is None else lambda text: redact_known(redact(text))
    match event:
        case MessageUpdate():
            return event
        case MessageEnd(message=AssistantMessage() as message):
            rest = redact_value(replace(message, content=()), both)
            return replace(event, message=replace(rest, content=message.content))
        case _:
            return redact_value(event, both)


def redact_value(value: S, redact: Redact) -> S:
    """Replace secrets within a message, an event or a part of one; the value itself when there are none."""
    found = _redacted(value, redact)
    return found if isinstance(found, type(value)) else value


def _redacted(value: object, redact: Redact, *, is_json: bool = False) -> object:
    if isinstance(value, str):
        return redact_json(value, redact) if is_json else redact(value)
    if isinstance(value, msgspec.Raw):
        text = bytes(value).decode()
        redacted = redact_json(text, redact)
        return value if redacted == text else msgspec.Raw(redacted.encode())
    if isinstance(value, tuple):
        items = tuple(_redacted(item, redact) for item in value)
        return value if all(one is two for one, two in zip(items, value, strict=True)) else items
    if isinstance(value, msgspec.Struct):
        changed: dict[str, object] = {}
        for name in _searched(type(value)):
            before = getattr(value, name)
            after = _redacted(before, redact, is_json=name == "arguments")
            if after is not before:
                changed[name] = after
        return replace(value, **changed) if changed else value
    return value


@cache
def _searched(kind: type[msgspec.Struct]) -> tuple[str, ...]:
    """Name the fields of a struct that may hold words of somebody's."""
    fields = msgspec.structs.fields(kind)
    return tuple(
        field.name
        for field in fields
        if not (field.type in (str, str | None) and (field.name in _IDENTIFIERS or field.name.endswith("_sha256")))
        and not _LITERAL.search(str(field.type))
    )
