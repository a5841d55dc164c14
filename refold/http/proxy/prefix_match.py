"""How far a request agrees with a session from the beginning: digests of messages, each with all before it. Pure."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence

import msgspec
from msgspec.structs import replace

from eventsource.events import ToolExecutionStart
from eventsource.machine.refusals import ABORTED, ABORTED_RUNNING, LOST_CHILD, UNKNOWN_OUTCOME, refusal_result
from eventsource.messages import (
    AssistantMessage,
    CustomMessage,
    ImageContent,
    Message,
    ToolResultMessage,
    UserContent,
    UserMessage,
)
from eventsource.models.scripted.script import plain_arguments
from projections.context import ContextView, parts
from projections.pairing import ContextMessage

_REFUSED = refusal_result(ToolExecutionStart(message_seq=0, content_index=0, name="", refused="aborted"))
_MADE = {result.content for result in (ABORTED, ABORTED_RUNNING, LOST_CHILD, UNKNOWN_OUTCOME, _REFUSED)}
"""Results that the machine made, and no client knows."""


def expected_messages(view: ContextView) -> list[ContextMessage]:
    """List what a client of this session would send back: its context, but for what only the log knows of."""
    return [part for part in parts(view) if part.seq and _reaches_client(part.message)]


def with_tools(messages: Sequence[Message]) -> list[Message]:
    """Name the tools of a request's results, which most protocols say with the calls alone."""
    names: dict[str, str] = {}
    told: list[Message] = []
    for message in messages:
        if isinstance(message, AssistantMessage):
            names |= {call.id: call.name for call in message.tool_calls}
        if isinstance(message, ToolResultMessage) and not message.tool_name:
            message = replace(message, tool_name=names.get(message.tool_call_id, ""))
        told.append(message)
    return told


def in_call_order(messages: Sequence[Message]) -> list[Message]:
    """Put the results of a request in the order of their calls; a result that is said twice is said once."""
    told: list[Message] = []
    order: dict[str, int] = {}
    for message in messages:
        if isinstance(message, AssistantMessage):
            order = {call.id: place for place, call in enumerate(message.tool_calls)}
        if isinstance(message, ToolResultMessage):
            end = len(told)
            while end and _after(told[end - 1], message, order):
                end -= 1
            if not _is_repeated(told, end, message):
                told.insert(end, message)
        else:
            told.append(message)
    return told


def speaking(messages: Sequence[Message]) -> list[Message]:
    """Leave out answers that say nothing: some clients send them again, others do not."""
    return [message for message in messages if _reaches_client(message)]


def _is_repeated(told: Sequence[Message], end: int, message: ToolResultMessage) -> bool:
    """Return whether the results before a place hold one already."""
    while end and isinstance(before := told[end - 1], ToolResultMessage):
        if message.tool_call_id and before.tool_call_id == message.tool_call_id and before.content == message.content:
            return True
        end -= 1
    return False


def _after(before: Message, message: ToolResultMessage, order: dict[str, int]) -> bool:
    known = order.get(message.tool_call_id)
    other = order.get(before.tool_call_id) if isinstance(before, ToolResultMessage) else None
    return known is not None and other is not None and other > known


def _reaches_client(message: Message) -> bool:
    match message:
        case AssistantMessage():
            return bool(message.text.strip() or message.tool_calls)
        case ToolResultMessage():
            return not is_made(message)
        case CustomMessage():
            return False
        case UserMessage():
            return True


def is_made(message: ToolResultMessage) -> bool:
    """Return whether the machine made a result, and no client knows it."""
    return message.content in _MADE


def prefix_digests(messages: Sequence[Message]) -> list[bytes]:
    """Digest each message together with all before it: equal digests are equal conversations up to there."""
    return digest_chain([message_digest(message) for message in messages])


def digest_chain(digests: Sequence[bytes]) -> list[bytes]:
    """Digest each of some digests together with all before it."""
    chain: list[bytes] = []
    digest = b""
    for one in digests:
        digest = hashlib.sha256(digest + one).digest()
        chain.append(digest)
    return chain


def message_digest(message: Message) -> bytes:
    """Hash what counts of a message: not its ids and signatures, which clients drop, nor how arguments are spaced."""
    match message:
        case AssistantMessage():
            said: object = [(call.name, plain_arguments(call.arguments)) for call in message.tool_calls]
            whole = ["assistant", message.text.strip(), said]
        case UserMessage(content=content):
            whole = ["user", [content] if isinstance(content, str) else _parts(content), _raw(message)]
        case ToolResultMessage(content=content):
            whole = ["result", _parts(content)]
        case CustomMessage(kind=kind, body=body):
            whole = ["custom", kind, bytes(body).decode()]
    return hashlib.sha256(json.dumps(whole).encode()).digest()


def _parts(content: Sequence[UserContent]) -> list[object]:
    said: list[object] = []
    for part in content:
        if isinstance(part, ImageContent):
            said.append(["image", part.data])
        elif part.text and isinstance(part.raw, msgspec.UnsetType):
            said.append(part.text)
        elif part.text:
            said.append([part.text, _raw(part)])
    return said


def _raw(value: UserMessage | UserContent) -> str:
    return "" if isinstance(value.raw, msgspec.UnsetType) else bytes(value.raw).decode()


def shared_prefix(one: Sequence[bytes], other: Sequence[bytes]) -> int:
    """Count the messages that two conversations share from their beginning, by their prefix digests."""
    return next((n for n, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), min(len(one), len(other)))


def forkable(own: Sequence[ContextMessage], shared: int) -> int:
    """Count the messages that a fork may keep of those shared: a batch of results is kept whole, or not at all."""
    if shared < len(own) and isinstance(own[shared].message, ToolResultMessage):
        while shared and isinstance(own[shared - 1].message, ToolResultMessage):
            shared -= 1
    return shared


def as_on_record(view: ContextView, messages: Sequence[Message]) -> list[Message]:
    """Put the context's own objects in the place of a request's messages that say the same, in order."""
    there = [(message_digest(part.message), part.message) for part in parts(view)]
    sent: list[Message] = []
    begin = 0
    for message in messages:
        wanted = message_digest(message)
        found = next((place for place in range(begin, len(there)) if there[place][0] == wanted), None)
        sent.append(message if found is None else there[found][1])
        begin = begin if found is None else found + 1
    return sent
