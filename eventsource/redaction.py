"""Secrets out of events: what tools, providers and callbacks say is searched for known values before it is kept."""

from __future__ import annotations

from collections.abc import Callable

import msgspec
from msgspec.structs import replace

from .events import (
    AbortRequest,
    Event,
    MessageEnd,
    Retry,
    StepEnd,
    TaskEnd,
    ToolExecutionEnd,
    ToolExecutionStart,
    ToolExecutionUpdate,
)

Redact = Callable[[str], str]


def redact_event(event: Event, redact: Redact) -> Event:
    """Redact the texts of an event that repeat what a process knows; what a model or a person said is left as it is."""
    match event:
        case ToolExecutionUpdate():
            return replace(event, partial=_redacted(event.partial, redact))
        case ToolExecutionEnd() if event.result is not None:
            return replace(event, result=_redacted(event.result, redact))
        case ToolExecutionStart() if event.reason:
            return replace(event, reason=redact(event.reason))
        case AbortRequest() if event.error:
            return replace(event, error=redact(event.error))
        case StepEnd() | TaskEnd() if event.error:
            return replace(event, error=redact(event.error))
        case Retry():
            return replace(event, cause=redact(event.cause))
        case MessageEnd(message=message) if message is not None and message.error:
            return replace(event, message=replace(message, error=redact(message.error)))
        case _:
            return event


def _redacted(value: object, redact: Redact) -> object:
    if isinstance(value, str):
        return redact(value)
    if isinstance(value, msgspec.Raw):
        return msgspec.Raw(redact(bytes(value).decode()).encode())
    if isinstance(value, tuple):
        return tuple(_redacted(item, redact) for item in value)
    if isinstance(value, msgspec.Struct):
        return replace(value, **{name: _redacted(getattr(value, name), redact) for name in value.__struct_fields__})
    return value
