"""What of a message counts when two are compared, and how a comparison is written for a person."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING

import msgspec

from eventsource.messages import (
    AssistantMessage,
    CustomMessage,
    ImageContent,
    Message,
    ProviderContent,
    TextContent,
    ThinkingContent,
    ToolCall,
    ToolResultMessage,
    Usage,
    UserMessage,
)
from projections.calls import CallView
from projections.context import Entry
from projections.transcript import TranscriptMessage, text_of

if TYPE_CHECKING:
    from .diff import Pair, SessionDiff, Side

_SHOWN_SAME = 60
"""Characters shown of a message that both sides have."""


def fingerprint(entry: Entry, edit: Entry | None, calls: Sequence[CallView]) -> bytes:
    """Digest what was said, and what became of it: not who counted the tokens, nor under which ids and seqs."""
    compared = [
        _neutral(entry.message),
        entry.interrupted,
        edit is not None,
        _neutral(edit.message) if edit is not None else None,
        [(call.name, canonical(call.arguments), call.status, call.refused) for call in calls],
    ]
    return hashlib.sha256(msgspec.json.encode(compared)).digest()


def canonical(arguments: str) -> str:
    """Write JSON arguments in one way, whatever their spaces and the order of their keys; other text as it is."""
    with suppress(ValueError):
        return json.dumps(json.loads(arguments or "{}"), sort_keys=True, separators=(",", ":"))
    return arguments


def readable(said: TranscriptMessage, entry: Entry, edit: Entry | None, calls: Sequence[CallView]) -> tuple[str, ...]:
    """Write a message as the lines whose difference is shown."""
    lines = [f"(thinks) {line}" for line in said.thinking.splitlines()]
    lines += said.text.splitlines()
    for call in calls:
        refused = f" [{call.refused}]" if call.refused else f" [{call.status}]" if call.status != "done" else ""
        lines.append(f"calls {call.name}({canonical(call.arguments)}){refused}")
    if isinstance(entry.message, CustomMessage):
        lines.append(bytes(entry.message.body).decode())
    elif entry.message is not None and not isinstance(entry.message.content, str):
        images = [block for block in entry.message.content if isinstance(block, ImageContent)]
        lines += [f"[{one.media_type}, SHA-256 {hashlib.sha256(one.data.encode()).hexdigest()[:16]}]" for one in images]
    if said.note or said.is_error:
        lines.append(f"[{said.note or 'an error'}]")
    if edit is not None:
        shown = text_of(edit.message) if edit.message is not None else ""
        lines.append(f"[replaced for the model by: {shown}]" if edit.message is not None else "[hidden from the model]")
    return tuple(lines)


def _neutral(message: Message | None) -> object:
    match message:
        case None:
            return None
        case CustomMessage():
            return ["custom", message.kind, canonical(bytes(message.body).decode())]
        case AssistantMessage():
            return ["assistant", [_block(block) for block in message.content], message.stop_reason, message.error]
        case ToolResultMessage():
            content = [_block(block) for block in message.content]
            details = canonical(bytes(message.details).decode()) if message.details else ""
            return ["tool_result", message.tool_name, content, details, message.is_error]
        case UserMessage(content=str(text)):
            return ["user", [["text", text]]]
        case UserMessage():
            return ["user", [_block(block) for block in message.content if not isinstance(block, str)]]


def _block(block: TextContent | ImageContent | ThinkingContent | ToolCall | ProviderContent) -> list[object]:
    match block:
        case TextContent(text=text):
            return ["text", text]
        case ImageContent(media_type=media_type, data=data):
            return ["image", media_type, data]
        case ThinkingContent(thinking=thinking, redacted=redacted):
            return ["thinking", thinking, redacted]
        case ToolCall(name=name, arguments=arguments):
            return ["call", name, canonical(arguments)]
        case ProviderContent(api=api, block=raw):
            return ["provider", api, canonical(bytes(raw).decode())]


def pretty(found: SessionDiff) -> str:
    """Write a comparison for a terminal: what is equal in a line, what differs in full, totals at the end."""
    return "\n".join(_pretty(found)) + "\n"


def _pretty(found: SessionDiff) -> Iterator[str]:
    yield _shared(found)
    yield f"left   {_name(found.left)}"
    yield f"right  {_name(found.right)}"
    if not found:
        yield "no difference"
    for config in found.config:
        yield ""
        yield f"~ {config.field.replace('_', ' ')}"
        yield from _hunks(config.lines)
    for pair in found.pairs:
        yield from _pretty_pair(pair)
    if found.next is not None:
        ours, theirs = found.left_out
        yield ""
        yield f"… {ours:,} messages on the left and {theirs:,} on the right come behind; sums are those of the whole"
    if found.left.usage is None:
        return
    yield ""
    rows = [("", "left", "right"), *_totals(found.left, found.right)]
    widths = [max(len(row[column]) for row in rows) for column in range(3)]
    for what, left, right in rows:
        yield f"{what:<{widths[0]}}  {left:>{widths[1]}}  {right:>{widths[2]}}"


def _shared(found: SessionDiff) -> str:
    """Describe what both begin with."""
    number = found.same_messages
    messages = "the first message is" if number == 1 else f"the first {number:,} messages are"
    if found.shared_seq:
        begun = f"{messages} the same" if number else "no message is the same"
        return f"{begun}, fork at seq {found.shared_seq}"
    alike = f"{messages} alike" if number else "they begin differently"
    return f"no event in common, compared by what was said: {alike}"


def _pretty_pair(pair: Pair) -> Iterator[str]:
    said = pair.left or pair.right
    if said is None:
        return
    seqs = " | ".join(str(one.seq) if one is not None else "-" for one in (pair.left, pair.right))
    who = f"{said.role} {said.tool}".strip()
    if pair.kind == "same":
        first = said.text.strip().splitlines()[:1] or [f"calls {name}" for _, name, _ in said.calls[:1]] or [""]
        text = first[0] if len(first[0]) <= _SHOWN_SAME else first[0][: _SHOWN_SAME - 1] + "…"
        yield f"= {who} {seqs}  {text}".rstrip()
        return
    yield ""
    yield f"{ {'changed': '~', 'left': '-', 'right': '+'}[pair.kind] } {who} {seqs}"
    yield from _hunks(pair.lines)


def _hunks(lines: Sequence[str]) -> Iterator[str]:
    """Write a difference's lines, with a mark where lines are left out."""
    for number, line in enumerate(lines):
        if not line.startswith("@@"):
            yield f"    {line}"
        elif number:
            yield "    …"


def _name(side: Side) -> str:
    title = f"  {side.title}" if side.title else ""
    return f"{side.session}{title}  {side.head} events, {side.status}"


def _totals(left: Side, right: Side) -> Iterator[tuple[str, str, str]]:
    def row(what: str, one: str, other: str) -> tuple[str, str, str]:
        return what, one, other

    used = [side.usage or Usage() for side in (left, right)]
    yield row("messages", str(left.messages), str(right.messages))
    yield row("model calls", str(left.model_calls), str(right.model_calls))
    yield row("tool calls", str(left.tool_calls), str(right.tool_calls))
    yield row("input tokens", *(f"{usage.input_tokens:,}" for usage in used))
    yield row("cached tokens", *(f"{usage.cache_read_tokens:,}" for usage in used))
    yield row("output tokens", *(f"{usage.output_tokens:,}" for usage in used))
    yield row("cost", _cost(left), _cost(right))
    yield row("model time", _time(left.model_us), _time(right.model_us))
    yield row("tool time", _time(left.tool_us), _time(right.tool_us))


def _cost(side: Side) -> str:
    cost = side.usage.cost_microusd if side.usage is not None else None
    if cost is None:
        return "unknown" if side.unpriced else "$0"
    return f"{'over ' if side.unpriced else ''}${cost / 1_000_000:,.4f}"


def _time(us: int | None) -> str:
    return f"{(us or 0) / 1_000_000:.1f} s"
