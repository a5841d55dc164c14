"""What a wire protocol is to the transport: a pure codec that writes requests and reads answers."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Protocol

from ..events import ModelRef
from ..request import Request
from .protocol import StreamEvent
from .transport.failures import Failure
from .transport.sse import ServerEvent


class Reader(Protocol):
    """Reads one answer. Pure: the same events in the same order give the same stream, however the body was cut."""

    @property
    def failure(self) -> Failure | None:
        """The error the provider sent inside the stream, if one came."""
        ...

    @property
    def done(self) -> bool:
        """True when the answer is complete and nothing that follows matters; the transport stops reading."""
        ...

    def feed(self, event: ServerEvent) -> list[StreamEvent]:
        """Read one server-sent event, or one element of a JSON array (then only `data` is set).

        Returns: at most one StreamStart, then MessageUpdates, and StreamUsages anywhere; never the end. Never raises.
        """
        ...

    def finish(self, problem: str = "", *, aborted: bool = False) -> list[StreamEvent]:
        """Read the end of the body: ends the open blocks and, last, the message (StreamEnd).

        After a terminal event the message is good whatever the transport says (`problem`). Else it ends with stop
        reason aborted, or error with, in this order, the provider's words, the problem, or that the stream was cut.
        """
        ...


class Codec(Protocol):
    """One wire protocol, spoken one way. Pure; never raises for what a history holds."""

    @property
    def name(self) -> str:
        """The protocol's name, `ModelRef.api`."""
        ...

    @property
    def version(self) -> int:
        """Raised whenever the same request gives another body."""
        ...

    def encode(self, request: Request) -> bytes:
        """Write the body: JSON, the same bytes for the same request.

        Raises: ModelOptionsError.
        """
        ...

    def path(self, model: ModelRef) -> str:
        """The path (and query) below the base URL, beginning with a slash."""
        ...

    def headers(self, request: Request, api_key: str) -> Mapping[str, str]:
        """The protocol's own headers, the key's included; an empty key gives none for it."""
        ...

    def reader(self, request: Request) -> Reader:
        """Begin to read the answer to a request."""
        ...


def event_object(event: ServerEvent) -> dict[str, object] | Failure:
    """Read an event's data as a JSON object, or say what it was instead."""
    try:
        value = json.loads(event.data, parse_constant=_refuse)
    except (ValueError, RecursionError):
        return Failure(message=f"the stream holds a line that is not JSON: {event.data[:500]}", kind="invalid_stream")
    if isinstance(value, dict):
        return value
    return Failure(message=f"the stream holds a value that is not an object: {event.data[:500]}", kind="invalid_stream")


def json_object(text: str) -> dict[str, object] | None:
    """Read a text that should be a JSON object; NaN and its like are no JSON."""
    try:
        value = json.loads(text, parse_constant=_refuse)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def _refuse(constant: str) -> object:
    raise ValueError(f"{constant} is not JSON")


def inner(value: Mapping[str, object], name: str) -> dict[str, object]:
    """Read a field that should be an object; anything else reads as an empty one."""
    found = value.get(name)
    return found if isinstance(found, dict) else {}


def text_of(value: Mapping[str, object], name: str) -> str:
    """Read a field that should be a text; anything else reads as an empty one."""
    found = value.get(name)
    return found if isinstance(found, str) else ""


def count(value: Mapping[str, object], name: str) -> int:
    """Read a field that should be a count; anything else reads as 0."""
    found = value.get(name)
    return int(found) if isinstance(found, int | float) and found > 0 else 0
