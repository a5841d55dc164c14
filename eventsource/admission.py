"""The one door into the log: an event is repaired, brought into canonical form, redacted and encoded here, once.

What has passed it is an `Admitted`: the store takes its bytes as they are. Whether the event may follow is asked by
whoever folds it (`evolve`), in the same breath.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import cache
from typing import TypeVar, final

import msgspec
from msgspec.structs import replace

from .codec import clean_text
from .errors import InvalidTextError
from .events import (
    UPDATE_TYPES,
    AbortRequest,
    AgentEnd,
    AgentStart,
    ConfigChange,
    Event,
    Fork,
    Label,
    MessageAdopt,
    MessageEnd,
    MessageStart,
    MessageUpdate,
    ModelRequest,
    QueuePush,
    ToolExecutionStart,
    TurnEnd,
    TurnStart,
)
from .messages import AssistantMessage
from .models.secrets import are_known_absent, redact_json, redact_known

Redact = Callable[[str], str]
S = TypeVar("S")
T = TypeVar("T")

_ENCODER = msgspec.json.Encoder()
_DECODER: msgspec.json.Decoder[Event] = msgspec.json.Decoder(Event)
# Events that hold what a caller made: their fields may equal a default without being it.
_HOLDERS = frozenset((AbortRequest, ConfigChange, MessageAdopt, MessageEnd, ModelRequest, QueuePush))
_NO_JSON = frozenset((AgentStart, AgentEnd, TurnStart, TurnEnd, MessageStart, ToolExecutionStart, Fork, Label))
_UPDATES = frozenset(UPDATE_TYPES)

# What an event is found by, and what must go back byte for byte.
_IDENTIFIERS = frozenset(
    (
        *("key", "task", "child", "parent", "session", "runner", "name", "tool_name", "id", "tool_call_id", "kind"),
        *("api", "provider", "model", "response_id", "body_codec", "prices", "media_type", "data", "signature"),
    )
)
_LITERAL = re.compile(r"\bLiteral\b")


@final
class Admitted(tuple[int, Event]):
    """A pair (at_us, event) that has passed the door: repaired, canonical, without known secrets, sure to be read back.

    `body`: its canonical bytes. `redacted`: it told a secret, for which a mark stands now.
    """

    body: bytes
    redacted: bool = False

    def __new__(cls, at_us: int, event: Event, body: bytes, *, redacted: bool = False) -> Admitted:
        """Keep the bytes beside the pair."""
        made = tuple.__new__(cls, (at_us, event))
        made.body = body
        if redacted:
            made.redacted = True
        return made

    @property
    def event(self) -> Event:
        """What happened."""
        return self[1]


def admit(at_us: int, event: Event, redact: Redact | None = None) -> Admitted:
    """Make an event what the log keeps.

    Args:
        redact: replaces what the caller knows to be secret, besides what this process knows.

    Raises: InvalidTextError when it holds JSON that is none.
    """
    try:
        body = _ENCODER.encode(event)
    except UnicodeEncodeError:
        event = repair(event)
        body = _ENCODER.encode(event)
    kind = type(event)
    if kind is MessageUpdate and event.block is msgspec.UNSET:  # type: ignore[union-attr]  # it is one
        return Admitted(at_us, event, body)
    # the encoder tells a default by identity: it writes a text that equals one and was made at run time
    given = _read_back(event, body) if kind in _HOLDERS else event
    event = given if are_known_absent(body, redact) else redact_event(given, redact)
    redacted = event is not given and event != given
    if redacted or kind in _HOLDERS:
        body = _ENCODER.encode(event)
    if redacted or kind not in _HOLDERS:  # those were read back just now
        check_readable(event, body)
    return Admitted(at_us, event, body, redacted=redacted)


def check_readable(event: Event, body: bytes) -> None:
    """Refuse what could be written but never read again: JSON kept as received that is none."""
    if type(event) not in _NO_JSON:
        _read_back(event, body)


def _read_back(event: Event, body: bytes) -> Event:
    try:
        return _DECODER.decode(body if body.isascii() else body.decode())
    except msgspec.DecodeError as error:
        found = f"{error}: {body.decode()}"[:200]
        raise InvalidTextError(type(event).__name__, f"cannot be read back from JSON: {found}") from error
    except UnicodeDecodeError as error:
        raise InvalidTextError(type(event).__name__, "holds JSON that is not UTF-8") from error


def repair(value: T) -> T:
    """Repair every text within a message, an event or a part of one, as `clean_text` does."""
    try:
        _ENCODER.encode(value)
    except UnicodeEncodeError:
        repaired = _repair(value)
        return repaired if isinstance(repaired, type(value)) else value
    return value


def _repair(value: object) -> object:
    if isinstance(value, str):
        return clean_text(value)
    if isinstance(value, tuple):
        return tuple(map(_repair, value))
    if isinstance(value, msgspec.Struct):
        return replace(value, **{name: _repair(getattr(value, name)) for name in value.__struct_fields__})
    return value


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
        text = bytes(value).decode("utf-8", "surrogateescape")  # what is no UTF-8 is refused when it is read back
        redacted = redact_json(text, redact)
        return value if redacted == text else msgspec.Raw(redacted.encode("utf-8", "surrogateescape"))
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
