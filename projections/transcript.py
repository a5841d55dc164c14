"""A session as a person reads it: who said what, which tools were called, and what of it a model still sees."""

from __future__ import annotations

from collections.abc import Collection

import msgspec

from eventsource.codec import read_object, to_json
from eventsource.events import Place
from eventsource.message_text import role_of, text_of as text_of
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
    UserMessage,
)

from .context import ContextView, Entry, history, is_failed, messages


class TranscriptMessage(msgspec.Struct, frozen=True, kw_only=True):
    """One message of a transcript.

    `role`: user, assistant, tool_result, summary, the kind of an application's message, or the name in which a program
    said an input that is not the user's, as system. `tool`: whose result it is.
    `calls`: place in the content, tool and arguments of each call. `own`: place, kind and JSON of each block that only
    its provider reads, as a search that it made itself. `note`: failed, aborted or interrupted, and why.
    `seen`: a model would get it, whole or replaced.
    """

    seq: int
    at_us: int
    role: str
    text: str
    thinking: str = ""
    images: int = 0
    calls: tuple[tuple[int, str, str], ...] = ()
    own: tuple[tuple[int, str, str], ...] = ()
    tool: str = ""
    call: Place | None = None
    is_error: bool = False
    note: str = ""
    seen: bool = True


def read_transcript(view: ContextView, entries: Collection[Entry] | None = None) -> tuple[TranscriptMessage, ...]:
    """List what was said, in order, compacted and failed messages included; or only some entries of the history."""
    seen = {part.seq: part.message for part in messages(view, entries)}
    said = []
    for entry in history(view) if entries is None else entries:
        if entry.message is not None:
            standing = seen.get(entry.seq)
            sees = standing is not None and not is_failed(standing)
            said.append(_said(entry, entry.message, seen=sees))
    return tuple(said)


def with_text(message: Message, text: str) -> Message:
    """Return a message with another text: it keeps its role and calls, not its thinking, images and signatures."""
    block = TextContent(text=text)
    match message:
        case UserMessage():
            return UserMessage(content=text)
        case AssistantMessage():
            calls = tuple(part for part in message.content if isinstance(part, ToolCall))
            return msgspec.structs.replace(message, content=(block, *calls) if text else calls, raw=msgspec.UNSET)
        case ToolResultMessage():
            return msgspec.structs.replace(message, content=(block,), details=msgspec.UNSET)
        case CustomMessage():
            body = read_object(message.body)
            return msgspec.structs.replace(
                message, body=to_json({**body, "summary" if "summary" in body else "content": text})
            )


def _said(entry: Entry, message: Message, *, seen: bool) -> TranscriptMessage:
    said = TranscriptMessage(
        seq=entry.seq, at_us=entry.at_us, role="user", text=text_of(message), call=entry.call, seen=seen
    )
    change = msgspec.structs.replace
    match message:
        case UserMessage(content=content):
            images = sum(isinstance(block, ImageContent) for block in content)
            return change(said, role=role_of(message), images=images)
        case ToolResultMessage(tool_name=tool, is_error=is_error, content=content):
            images = sum(isinstance(block, ImageContent) for block in content)
            return change(said, role="tool_result", tool=tool, is_error=is_error, images=images)
        case CustomMessage(kind=kind):
            return change(said, role="summary" if entry.summary else kind)
        case AssistantMessage(content=content):
            calls = tuple(
                (index, block.name, block.arguments)
                for index, block in enumerate(content)
                if isinstance(block, ToolCall)
            )
            thinking = "\n".join(block.thinking for block in content if isinstance(block, ThinkingContent))
            own = own_blocks(message)
            return change(said, role="assistant", calls=calls, own=own, thinking=thinking, note=_note(entry, message))


def own_blocks(message: AssistantMessage) -> tuple[tuple[int, str, str], ...]:
    """List the blocks of an answer that only its provider reads: place in the content, kind and JSON of each."""
    return tuple(
        (index, _kind(block), bytes(block.block).decode())
        for index, block in enumerate(message.content)
        if isinstance(block, ProviderContent)
    )


def _kind(block: ProviderContent) -> str:
    """Return what a block calls itself, or else the protocol that it is of."""
    said = read_object(block.block)
    kinds = [said.get(name) for name in ("type", "part_kind")]
    return next((kind for kind in kinds if isinstance(kind, str) and kind), block.api)


def _note(entry: Entry, message: AssistantMessage) -> str:
    reasons = ["interrupted"] if entry.interrupted else []
    if message.stop_reason not in ("stop", "tool_use") and not entry.interrupted:
        reasons.append(message.raw_stop_reason or message.stop_reason)
    return ": ".join([*reasons, *([message.error] if message.error else [])])
