"""An append's events as the log keeps them: canonical bytes and hashes for facts, JSON lines for updates."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from hashlib import sha256
from itertools import groupby
from typing import NamedTuple, TypeAlias

import msgspec

from ..admission import Admitted, check_readable, redact_event
from ..codec import encode
from ..envelope import Restored
from ..errors import ArgumentError, EventTooLargeError, InvalidTextError
from ..events import (
    UPDATE_TYPES,
    ContextEdit,
    Event,
    EventBase,
    Inserted,
    MessageAdopt,
    MessageStart,
    MessageUpdate,
    ModelRequest,
    QueuePush,
    ToolExecutionEnd,
)
from ..messages import AssistantMessage, CustomMessage, ImageContent, Message, UserContent
from ..user_code.argument_types import shown
from .digest import admitted_lines, update_lines

LIMIT_BYTES = 64 * 2**20
MOST_NEWS = 10_000
"""Events that an append is compared with when it may follow what others appended; with more it is refused."""
UPDATES = frozenset(UPDATE_TYPES)
IMAGE_HOLDERS = frozenset((QueuePush, MessageAdopt, ContextEdit, ToolExecutionEnd, ModelRequest))
_IMAGE_MARK = b'"type":"image"'
OnImage: TypeAlias = Callable[[ImageContent], ImageContent]


class Fact(NamedTuple):
    """A fact ready to be stored.

    `body`: its canonical bytes, an image's data standing as the SHA-256 of it in hex; `body_sha256`: B.
    `images`: (SHA-256, data) of each image in it. `updates_sha256`: U, if it is given. `erased`: the body is what an
    erase left, B that of what it was.
    """

    at_us: int
    event: Event
    body: bytes
    body_sha256: bytes
    images: tuple[tuple[bytes, bytes], ...]
    updates_sha256: bytes | None = None
    erased: bool = False


class Updates(NamedTuple):
    """Updates without a fact between them, and their JSON lines."""

    events: Sequence[tuple[int, Event]]
    lines: bytes


class Dropped(NamedTuple):
    """Updates without content: their times."""

    times: Sequence[int]


AppendPart: TypeAlias = Fact | Updates | Dropped


def size_of(part: AppendPart) -> int:
    """Count a part's events."""
    if isinstance(part, Fact):
        return 1
    return len(part.events if isinstance(part, Updates) else part.times)


def encode_append(
    session: str, events: Sequence[tuple[int, Event]], *, durable: bool, limit_bytes: int
) -> list[Fact | Updates]:
    """Encode and hash what will be appended; everything that can be refused without the log is refused here.

    Raises: ArgumentError; ValueError when `durable` is false and a fact is given, other than an assistant's start;
        EventTooLargeError; InvalidTextError.
    """
    if not _are_admitted(events):  # somebody's own append: secrets stay out all the same
        events = [pair if type(pair) is Admitted else (pair[0], redact_event(pair[1])) for pair in events]
    parts: list[Fact | Updates] = []
    begin = 0
    for n in [n for n, pair in enumerate(events) if type(pair[1]) not in UPDATES]:
        if begin < n:
            parts.append(_updates(session, events[begin:n], limit_bytes))
        pair = events[n]
        event = pair[1]
        begin = n + 1
        if not durable and not (isinstance(event, MessageStart) and event.role == "assistant"):
            raise ValueError(
                f"durable=False is for updates and an assistant's message_start, not for {type(event).__name__}"
            )
        parts.append(_fact(session, pair, limit_bytes))
    if begin < len(events):
        parts.append(_updates(session, events[begin:], limit_bytes))
    return parts


def _are_admitted(events: Sequence[tuple[int, Event]]) -> bool:
    """Check that these are pairs. Returns: whether all have been admitted."""
    found = True
    if not isinstance(events, list | tuple):
        raise ArgumentError("append", "events", "a list of pairs (at_us, event)", shown(events))
    for n, pair in enumerate(events):
        if type(pair) is Admitted:
            continue
        if type(pair) is not tuple or len(pair) != 2 or type(pair[0]) is not int or not isinstance(pair[1], EventBase):
            raise ArgumentError("append", f"events[{n}]", "a pair (at_us, event)", shown(pair))
        found = False
    return found


def encode_restored(session: str, events: Sequence[Restored], *, limit_bytes: int) -> list[AppendPart]:
    """Encode and hash what another log held. Raises: ValueError; EventTooLargeError; InvalidTextError."""
    parts: list[AppendPart] = []
    for (dropped, is_update), group in groupby(events, lambda one: (one.event is None, type(one.event) in UPDATES)):
        run = list(group)
        whole = [(one.at_us, one.event) for one in run if one.event is not None]
        if dropped:
            parts.append(Dropped([one.at_us for one in run]))
        elif is_update:
            parts.append(_updates(session, whole, limit_bytes))
        else:
            parts += [_restored(session, one, event, limit_bytes) for one, (_, event) in zip(run, whole, strict=True)]
    missing = False
    for part in parts:
        if missing and isinstance(part, Fact) and part.updates_sha256 is None:
            raise ValueError("a fact behind updates whose content is gone needs the digest of all of them")
        missing = isinstance(part, Dropped) or (missing and isinstance(part, Updates))
    return parts


def _restored(session: str, given: Restored, event: Event, limit_bytes: int) -> Fact:
    updates = bytes.fromhex(given.updates_sha256) if given.updates_sha256 else None
    if not given.body_sha256:
        return _fact(session, (given.at_us, event), limit_bytes)._replace(updates_sha256=updates)
    body = encode(event)
    if len(body) > limit_bytes:
        raise EventTooLargeError(session, type(event).__name__, len(body), limit_bytes)
    return Fact(given.at_us, event, body, bytes.fromhex(given.body_sha256), (), updates, erased=True)


def _fact(session: str, pair: tuple[int, Event], limit_bytes: int) -> Fact:
    at_us, event = pair
    kind = type(event)
    images: list[tuple[bytes, bytes]] = []
    stored = event
    is_admitted = type(pair) is Admitted
    if kind in IMAGE_HOLDERS and (type(pair) is not Admitted or _IMAGE_MARK in pair.body):
        stored = map_images(event, lambda image: _by_hash(image, images))
    body = pair.body if type(pair) is Admitted and stored is event else encode(stored)
    size = len(body)
    if images:
        size += sum(len(data) for _, data in images)
    if size > limit_bytes:
        raise EventTooLargeError(session, kind.__name__, size, limit_bytes)
    if not is_admitted:
        check_readable(event, body)
    return Fact(at_us, event, body, sha256(body).digest(), tuple(images))


def _updates(session: str, run: Sequence[tuple[int, Event]], limit_bytes: int) -> Updates:
    admitted = [pair for pair in run if type(pair) is Admitted]
    lines = admitted_lines(admitted) if len(admitted) == len(run) else update_lines(run)
    for _, event in run if len(lines) > limit_bytes else ():
        if (size := len(encode(event))) > limit_bytes:
            raise EventTooLargeError(session, type(event).__name__, size, limit_bytes)
    for pair in run if len(admitted) < len(run) else ():
        if type(pair) is not Admitted and (type(pair[1]) is not MessageUpdate or pair[1].block is not msgspec.UNSET):
            check_readable(pair[1], encode(pair[1]))
    return Updates(run, lines)


def _by_hash(image: ImageContent, images: list[tuple[bytes, bytes]]) -> ImageContent:
    try:
        data = image.data.encode()
    except UnicodeEncodeError as error:
        raise InvalidTextError("ImageContent", "the data is no base64 text") from error
    digest = sha256(data)
    images.append((digest.digest(), data))
    return msgspec.structs.replace(image, data=digest.hexdigest())


def has_images(event: Event, body: bytes) -> bool:
    """Return whether a stored fact names images."""
    return type(event) in IMAGE_HOLDERS and _IMAGE_MARK in body


def map_images(event: Event, change: OnImage) -> Event:
    """Build the event with each image changed; the event itself when it holds none."""
    match event:
        case QueuePush(message=message) | MessageAdopt(message=message):
            changed = _in_message(message, change)
            return event if changed is message else msgspec.structs.replace(event, message=changed)
        case ContextEdit(replacement=message) if message is not None:
            changed = _in_message(message, change)
            return event if changed is message else msgspec.structs.replace(event, replacement=changed)
        case ToolExecutionEnd(result=result) if result is not None:
            content = _in_content(result.content, change)
            if content is result.content:
                return event
            return msgspec.structs.replace(event, result=msgspec.structs.replace(result, content=content))
        case ModelRequest(selection=selection) if selection is not None:
            parts = tuple(
                Inserted(message=_in_message(part.message, change)) if isinstance(part, Inserted) else part
                for part in selection
            )
            return msgspec.structs.replace(event, selection=parts)
        case _:
            return event


def _in_message(message: Message, change: OnImage) -> Message:
    if isinstance(message, AssistantMessage | CustomMessage) or isinstance(message.content, str):
        return message
    content = _in_content(message.content, change)
    return message if content is message.content else msgspec.structs.replace(message, content=content)


def _in_content(content: tuple[UserContent, ...], change: OnImage) -> tuple[UserContent, ...]:
    if not any(isinstance(block, ImageContent) for block in content):
        return content
    return tuple(change(block) if isinstance(block, ImageContent) else block for block in content)
