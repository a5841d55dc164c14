"""What a wire protocol is to a server: it reads requests and writes answers. Pure, like the codecs it mirrors."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Literal, Protocol, TypeAlias

import msgspec

from eventsource.codec import clean_text, to_json
from eventsource.events import MessageUpdate
from eventsource.messages import AssistantMessage, TextContent, UserContent
from eventsource.models.transport.sse import ServerEvent
from eventsource.models.wire import event_object, text_of
from eventsource.request import Request

Form: TypeAlias = Literal["events", "array", "whole"]
JsonObject: TypeAlias = dict[str, object]

STATUS_KINDS: Mapping[int, str] = {
    400: "invalid_request_error",
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    413: "request_too_large",
    429: "rate_limit_error",
    529: "overloaded_error",
}
"""What Anthropic and OpenAI call an error of a status; any other is an `api_error`."""
_LINE_ENDS = "\x85\u2028\u2029"  # JSON escapes the others


class Asked(msgspec.Struct, frozen=True, kw_only=True):
    """A request as a client sent it.

    form: how it wants the answer: server-sent events, a JSON array that grows, or one JSON object.
    usage: a streamed answer ends with its usage. previous: the answer, kept at the server, that this goes on from.
    """

    request: Request
    form: Form = "whole"
    usage: bool = True
    previous: str = ""


class Answerer(Protocol):
    """Writes one streamed answer: each call gives the JSON objects that say it, in order."""

    def start(self) -> list[JsonObject]:
        """Begin the answer."""
        ...

    def update(self, update: MessageUpdate) -> list[JsonObject]:
        """Go on."""
        ...

    def end(self, message: AssistantMessage) -> list[JsonObject]:
        """End it, well or with an error."""
        ...


class Wire(Protocol):
    """One protocol. It takes any request that is a JSON object: what has no neutral form is kept as it came."""

    @property
    def api(self) -> str:
        """The protocol's name, `ModelRef.api`."""
        ...

    def read(self, path: str, body: Mapping[str, object], provider: str) -> Asked:
        """Read a request."""
        ...

    def answerer(self, asked: Asked, expected: AssistantMessage) -> Answerer:
        """Begin to write an answer that will come to the expected message; its response id names it."""
        ...

    def whole(self, asked: Asked, message: AssistantMessage) -> JsonObject:
        """Write an answer as one object."""
        ...

    def error(self, status: int, message: str) -> JsonObject:
        """Write the body of an HTTP error."""
        ...

    def frame(self, objects: Sequence[JsonObject], form: Form, *, first: bool) -> bytes:
        """Write objects as a piece of a streamed body."""
        ...

    def closing(self, form: Form) -> bytes:
        """Write the end of a streamed body."""
        ...


class Spelled:
    """A text that must come to a whole: deltas are handed on while they lead there, the rest at the end."""

    def __init__(self, whole: str) -> None:
        self.whole, self._said = whole, 0

    def add(self, delta: str) -> str:
        """Take a delta; give what may be said now."""
        if not self.whole.startswith(delta, self._said):
            return ""
        self._said += len(delta)
        return delta

    def rest(self) -> str:
        """Return what was not sent yet."""
        rest, self._said = self.whole[self._said :], len(self.whole)
        return rest


def server_sent(objects: Iterable[JsonObject], *, named: bool) -> bytes:
    """Write objects as server-sent events, named by their `type` or not; each stands on one line for every client."""
    lines = []
    for value in objects:
        if named:
            lines.append(f"event: {text_of(value, 'type')}\n".encode())
        lines.append(b"data: " + _escaped_line_ends(bytes(to_json(value))) + b"\n\n")
    return b"".join(lines)


def _escaped_line_ends(data: bytes) -> bytes:
    """Escape what some clients take for the end of a line; Google's for JavaScript does so, and asks again."""
    for sign in _LINE_ENDS if not data.isascii() else "":
        data = data.replace(sign.encode(), f"\\u{ord(sign):04x}".encode())
    return data


def read_body(body: bytes) -> JsonObject | None:
    """Read a request's body; None when it is no JSON object."""
    value = event_object(ServerEvent(data=body.decode("utf-8", "replace")))
    return value if isinstance(value, dict) else None


def objects(value: object) -> list[JsonObject]:
    """Read a list of objects; anything else in it, or instead of it, is left out."""
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def as_json(value: object) -> str:
    """Write a value as JSON text."""
    return bytes(to_json(value)).decode()


def without(value: Mapping[str, object], *names: str) -> JsonObject:
    """Leave fields out, and what marks a place for the provider's cache."""
    return {name: field for name, field in value.items() if name not in names and name != "cache_control"}


def rest_of(value: Mapping[str, object], *names: str) -> msgspec.Raw | msgspec.UnsetType:
    """Keep the fields that have no name here."""
    rest = without(value, *names)
    return to_json(rest) if rest else msgspec.UNSET


def foreign_part(part: object) -> UserContent:
    """Keep a part that has no neutral form as it came, with a text in its place for other models."""
    kind = (text_of(part, "type") if isinstance(part, dict) else "") or "part"
    kept = without(part) if isinstance(part, dict) else part
    return TextContent(text=f"[{kind}: kept as it came]", raw=to_json({"part": kept}))


def string(value: object) -> str:
    """Read a text; anything else is written as JSON, nothing as an empty text."""
    if isinstance(value, str):
        return clean_text(value)
    return "" if value is None else json.dumps(value, ensure_ascii=False)
