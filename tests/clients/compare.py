"""Two accounts of the same run: what passed on the wire, by the proxy's log, and what the program's own file says.

An account is a set of conversations: what a model was sent and what it answered, longest first, without those that
another one begins with. Both accounts must be the same, but for what a table of differences allows.
"""

from __future__ import annotations

import difflib
import hashlib
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple, TypeAlias

import msgspec

from eventsource.envelope import Recorded
from eventsource.events import Compaction, MessageAdopt, MessageEnd, ModelRequest
from eventsource.messages import (
    AssistantMessage,
    ImageContent,
    Message,
    TextContent,
    ThinkingContent,
    ToolCall,
    ToolResultMessage,
    UserMessage,
)
from eventsource.request import Request
from projections import CONTEXT, project
from projections.context import parts
from refold import Log

UNSEEN = re.compile(r"[\u200b-\u200d\ufeff\u200e\u200f]|<!--.*?-->", re.DOTALL)
"""What shows nothing: a text of nothing else is taken for an empty one."""


class Said(NamedTuple):
    """One thing in a conversation: a prompt's text, a reply's, a thought, a call, a result's text, a picture.

    A prompt that no person said is of the kind `system`.
    """

    kind: str
    text: str
    call: str = ""


Conversation: TypeAlias = tuple[Said, ...]


class Exchange(NamedTuple):
    """A request, as the program sent it, and what was answered."""

    request: Request
    answer: AssistantMessage | None


def said(message: Message) -> Iterator[Said]:
    """Take a message apart; what was interrupted or failed is marked as cut."""
    match message:
        case UserMessage(content=content):
            parts = (TextContent(text=content),) if isinstance(content, str) else content
            yield from _shown("prompt" if isinstance(message.raw, msgspec.UnsetType) else "system", parts)
        case ToolResultMessage():
            kind = "failed" if message.is_error else "result"
            yield from _shown(kind, message.content or (TextContent(text=""),), message.tool_call_id)
        case AssistantMessage():
            cut = "cut " if message.stop_reason in ("error", "aborted") else ""
            for block in message.content:
                match block:
                    case TextContent(text=text):
                        yield Said(f"{cut}reply", text)
                    case ThinkingContent(thinking=thinking):
                        yield Said(f"{cut}thought", thinking)
                    case ToolCall(id=call, name=name, arguments=arguments):
                        yield Said(f"{cut}call", f"{name} {_plain(arguments)}", call)
                    case _:
                        yield Said(f"{cut}opaque", bytes(block.block).decode())
        case _:
            yield Said("custom", message.kind)


def _shown(kind: str, content: Sequence[object], call: str = "") -> Iterator[Said]:
    for part in content:
        if isinstance(part, TextContent):
            yield Said(kind, part.text, call)
        elif isinstance(part, ImageContent):  # a protocol may have no place for one in a result
            yield Said("picture", hashlib.sha256(part.data.encode()).hexdigest())


def _plain(arguments: str) -> str:
    try:
        return json.dumps(json.loads(arguments or "{}"), sort_keys=True)
    except ValueError:
        return arguments


async def exchanges(log: Log) -> list[Exchange]:
    """Read what passed the proxy, in the order in which it was asked."""
    found: list[tuple[int, Exchange]] = []
    for info in await log.store.sessions(limit=1_000):
        session = await log.find(info.id)
        asked: tuple[int, Request] | None = None
        for recorded in await log.store.read(info.id, after=info.fork_seq, limit=1_000_000):
            match recorded.event:
                case ModelRequest():
                    if asked is not None:
                        found.append((asked[0], Exchange(asked[1], None)))
                    asked = recorded.at_us, await session.request(at=recorded.seq)
                case MessageEnd(message=AssistantMessage() as answer) if asked is not None:
                    found.append((asked[0], Exchange(asked[1], answer)))
                    asked = None
        if asked is not None:
            found.append((asked[0], Exchange(asked[1], None)))
    return [exchange for _, exchange in sorted(found, key=lambda one: one[0])]


def conversation(exchange: Exchange) -> Conversation:
    """Write an exchange as a conversation."""
    answered = (exchange.answer,) if exchange.answer is not None else ()
    return _conversation((*exchange.request.messages, *answered))


def begun(exchange: Exchange) -> list[Conversation]:
    """Write an exchange whose answer failed as if each of its blocks had been the last: some programs keep these."""
    answer = exchange.answer
    if answer is None or answer.stop_reason not in ("error", "aborted"):
        return []
    whole = [answer.content[: end + 1] for end in range(len(answer.content))]
    kept = [msgspec.structs.replace(answer, content=content, stop_reason="stop") for content in whole]
    return [_conversation((*exchange.request.messages, one)) for one in kept]


async def contexts(log: Log) -> list[Conversation]:
    """Read the conversations of imported sessions: the last context of each, and those that were left on the way.

    These are the one before each compaction, and the one that each answer ended which was interrupted or failed.
    """
    found: list[Conversation] = []
    for info in await log.store.sessions(limit=1_000):
        events = await log.store.read(info.id, limit=1_000_000)
        for end, one in enumerate(events):
            match one.event:
                case Compaction():
                    found.append(_conversation(_context(events[:end])))
                case MessageAdopt(message=AssistantMessage(stop_reason="error" | "aborted") as cut):
                    found.append(_conversation((*_context(events[:end]), cut)))
                case _:
                    pass
        found.append(_conversation(_context(events)))
    return found


def _context(events: Sequence[Recorded]) -> list[Message]:
    return [part.message for part in parts(project(CONTEXT, events))]


def _conversation(messages: Sequence[Message]) -> Conversation:
    """Take messages apart, the results of an answer in the order of its calls: each account has them as they came.

    Answers that say nothing, or think and no more, are left out: some programs send them again, others do not.
    """
    told: list[Message] = []
    order: dict[str, int] = {}
    for message in messages:
        if isinstance(message, AssistantMessage):
            order = {call.id: place for place, call in enumerate(message.tool_calls)}
            if not UNSEEN.sub("", message.text).strip() and not message.tool_calls:
                continue
        begin = len(told)
        if isinstance(message, ToolResultMessage):
            while begin and _comes_after(told[begin - 1], message, order):
                begin -= 1
        told.insert(begin, message)
    return tuple(one for message in told for one in said(message))


def _comes_after(other: Message, result: ToolResultMessage, order: Mapping[str, int]) -> bool:
    own = order.get(result.tool_call_id, -1)
    return isinstance(other, ToolResultMessage) and order.get(other.tool_call_id, -1) > own


def headless(conversations: Sequence[Conversation]) -> tuple[list[Conversation], set[str]]:
    """Take off what a model is told before anybody speaks: on the wire, that is in the system prompt.

    Returns: the rest of each, and the texts that were taken off.
    """
    rest, heads = list[Conversation](), set[str]()
    for one in conversations:
        begin = next((n for n, part in enumerate(one) if part.kind != "system"), len(one))
        heads |= {part.text for part in one[:begin]}
        rest.append(one[begin:])
    return rest, heads


def longest(conversations: Sequence[Conversation]) -> list[Conversation]:
    """Leave out conversations that another one begins with, and those that were there already."""
    kept: list[Conversation] = []
    for one in sorted(dict.fromkeys(conversations), key=len, reverse=True):
        if one and not any(other[: len(one)] == one for other in kept):
            kept.append(one)
    return kept


def answered(said: Conversation) -> Conversation:
    """Leave out what stands behind the last thing that a model said: nothing shows whether it was sent."""
    end = max((n for n, one in enumerate(said, 1) if one.kind in ("reply", "thought", "call", "opaque")), default=0)
    return said[:end]


def parted(wire: Sequence[Conversation], file: Sequence[Conversation]) -> str:
    """Say where two accounts part, as far as a model answered; empty where they do not."""
    wire, file = list(map(answered, wire)), list(map(answered, file))
    missing = [one for one in longest(wire) if one not in longest(file)]
    more = [one for one in longest(file) if one not in longest(wire)]
    told = [_nearest("only on the wire", one, more or list(file)) for one in missing]
    told += [_nearest("only in the file", one, missing or list(wire)) for one in more]
    return "\n\n".join(told)


def _nearest(where: str, one: Conversation, others: Sequence[Conversation]) -> str:
    lines = [_line(part) for part in one]
    near = max(
        ([_line(part) for part in other] for other in others),
        key=lambda other: difflib.SequenceMatcher(None, lines, other).ratio(),
        default=[],
    )
    return "\n".join([f"{where}:", *difflib.unified_diff(near, lines, "the nearest of the other", where, n=2)])


def _line(part: Said) -> str:
    text = part.text if len(part.text) <= _SHOWN else f"{part.text[:_SHOWN]}... ({len(part.text)})"
    return f"{part.kind} {part.call} {text!r}"


_SHOWN = 200  # characters
