"""What a model is to the loop: a stream of what it says, in which failures are data."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Protocol, TypeAlias

import msgspec

from ..events import MessageUpdate, ModelRef
from ..messages import AssistantMessage, Usage
from ..request import Request


class StreamStart(msgspec.Struct, frozen=True, kw_only=True):
    """The model began to answer; what it says of itself, where it differs from the request."""

    api: str = ""
    provider: str = ""
    model: str = ""


class StreamUsage(msgspec.Struct, frozen=True, kw_only=True):
    """What the provider says the call has used so far; the last one counts if the answer never comes to its end."""

    usage: Usage


class StreamRetry(msgspec.Struct, frozen=True, kw_only=True):
    """The call failed before anything was handed on and may be made again, not before a time (UTC microseconds)."""

    cause: str
    not_before_us: int = 0


class StreamEnd(msgspec.Struct, frozen=True, kw_only=True):
    """The answer is complete, well or badly: `message` is the whole of it, also with stop reason error."""

    message: AssistantMessage


StreamEvent: TypeAlias = StreamStart | MessageUpdate | StreamUsage | StreamRetry | StreamEnd


class WireBody(msgspec.Struct, frozen=True):
    """A request as it goes over the wire, and the codec's name and version (`anthropic-messages/1`)."""

    codec: str
    body: bytes


class CallOptions(msgspec.Struct, frozen=True, kw_only=True):
    """What belongs to one call and never to the log: the key, the abort signal, which attempt of its turn it is."""

    api_key: str | None = None
    signal: asyncio.Event | None = None
    attempt: int = 1

    def __repr__(self) -> str:
        return f"CallOptions(attempt={self.attempt})"


class Model(Protocol):
    """Something that answers requests."""

    @property
    def ref(self) -> ModelRef:
        """Which model this is."""
        ...

    def encode(self, request: Request) -> WireBody | None:
        """Build the wire body, for its digest; None when the model has no wire."""
        ...

    def stream(self, request: Request, options: CallOptions) -> AsyncIterator[StreamEvent]:
        """Ask the model.

        Yields at most one StreamStart first, then updates whose deltas join to the final message's content, and
        ends with exactly one StreamEnd; or yields a single StreamRetry and nothing else. StreamUsages may stand
        anywhere before that. Raises nothing a provider causes: its failures are a StreamEnd with stop reason error
        and the provider's words. Closing the iterator (`aclose`) ends the call at once.
        """
        ...
