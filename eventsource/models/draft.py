"""An assistant message while it is read: every change is an update, so that updates and message say the same."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from ..assemble import Assembler
from ..codec import clean_text, to_json
from ..events import MessageUpdate, UpdateKind
from ..messages import (
    AssistantContent,
    AssistantMessage,
    Json,
    ProviderContent,
    StopReason,
    ToolCall,
    Usage,
)
from .protocol import StreamEnd, StreamEvent, StreamStart, StreamUsage


class Draft:
    """Collects what a provider streams. Blocks are named by their content index, in the order they were opened.

    Texts are repaired where they enter: a surrogate pair cut between two deltas waits for its other half.

    Args:
        names: tools' names on record by those of the wire, where they differ.
    """

    def __init__(self, names: Mapping[str, str] | None = None) -> None:
        self._names = names or {}
        self._assembler = Assembler()
        self._queue: list[StreamEvent] = []
        self._open: dict[int, str] = {}
        self._held: dict[int, str] = {}
        self._deltas: dict[int, list[str]] = {}
        self._later: dict[int, dict[str, object]] = {}
        self._count = 0
        self._started = False
        self._usage: Usage | None = None

    def take(self) -> list[StreamEvent]:
        """Hand out the events since the last call."""
        events, self._queue = self._queue, []
        return events

    def start(self, *, api: str = "", provider: str = "", model: str = "") -> None:
        """Record that the model began to answer, and what differs from what was asked; only the first time counts."""
        if not self._started:
            self._started = True
            self._queue.append(StreamStart(api=api, provider=provider, model=model))

    def spend(self, usage: Usage | None) -> None:
        """Record what was used so far; what has not changed is not repeated."""
        if usage is not None and usage != self._usage:
            self._usage = usage
            self._queue.append(StreamUsage(usage=usage))

    def open_text(self) -> int:
        """Begin a text; return its content index."""
        return self._begin("text", MessageUpdate(kind="text_start", content_index=self._count))

    def open_thinking(self, *, redacted: bool = False) -> int:
        """Begin a reasoning block; return its content index."""
        update = MessageUpdate(kind="thinking_start", content_index=self._count, redacted=redacted)
        return self._begin("thinking", update)

    def open_call(self, call_id: str, name: str) -> int:
        """Begin a tool call; return its content index. Id and name may be empty and come later (`amend`)."""
        call_id, name = clean_text(call_id), self._name(name)
        return self._begin(
            "tool_call", MessageUpdate(kind="tool_call_start", content_index=self._count, id=call_id, name=name)
        )

    def add(self, index: int, delta: str) -> None:
        """Add to an open block's text, reasoning or arguments; an empty delta is none."""
        text = _clean_but_last(self._held.pop(index, "") + delta)
        if text and "\ud800" <= text[-1] <= "\udbff":
            self._held[index] = text[-1]
            text = text[:-1]
        if text:
            self._deltas[index].append(text)
            self._emit(MessageUpdate(kind=_kind(self._open[index], "delta"), content_index=index, delta=text))

    def close(
        self, index: int, *, signature: str = "", arguments: str | None = None, raw: Json = msgspec.UNSET
    ) -> None:
        """End a block. `arguments` replaces the joined deltas of a call; `raw` holds fields without a name here."""
        if index in self._held:
            self._held.pop(index)
            self._deltas[index].append("\ufffd")
            self._emit(MessageUpdate(kind=_kind(self._open[index], "delta"), content_index=index, delta="\ufffd"))
        prefix = self._open.pop(index)
        arguments = None if arguments is None else clean_text(arguments)
        if arguments == "".join(self._deltas[index]):
            arguments = None
        self._emit(
            MessageUpdate(
                kind=_kind(prefix, "end"), content_index=index, signature=clean_text(signature), arguments=arguments
            )
        )
        if not isinstance(raw, msgspec.UnsetType):
            self.amend(index, raw=raw)

    def provider_block(self, api: str, block: object) -> int:
        """Add a block that has no neutral form, whole; return its content index."""
        return self._begin(
            "", MessageUpdate(kind="provider_block", content_index=self._count, api=api, block=to_json(block))
        )

    def amend(self, index: int, *, call_id: str = "", name: str = "", raw: Json = msgspec.UNSET) -> None:
        """Set what updates have no room for: raw fields, and the id or name of a call that came late."""
        fields = self._later.setdefault(index, {})
        fields.update({key: value for key, value in (("id", clean_text(call_id)), ("name", self._name(name))) if value})
        if not isinstance(raw, msgspec.UnsetType):
            fields["raw"] = raw

    def _name(self, name: str) -> str:
        clean = clean_text(name)
        return self._names.get(clean, clean)

    def text_of(self, index: int) -> str:
        """Join the deltas of a block so far."""
        return "".join(self._deltas[index])

    def is_open(self, index: int) -> bool:
        """True until the block was ended."""
        return index in self._open

    @property
    def content(self) -> tuple[AssistantContent, ...]:
        """The blocks as they stand."""
        return tuple(
            _amended(block, self._later.get(index, {})) for index, block in enumerate(self._assembler.content())
        )

    def end(
        self,
        stop_reason: StopReason,
        *,
        raw_stop_reason: str = "",
        error: str = "",
        usage: Usage | None = None,
        model: str = "",
        response_id: str = "",
        raw: Json = msgspec.UNSET,
    ) -> None:
        """End the blocks that are open, then the message; one of which nothing came has no start."""
        for index in sorted(self._open):
            self.close(index)
        message = AssistantMessage(
            content=self.content,
            stop_reason=stop_reason,
            raw_stop_reason=clean_text(raw_stop_reason),
            error=clean_text(error),
            usage=usage,
            model=clean_text(model),
            response_id=clean_text(response_id),
            raw=raw,
        )
        self._queue.append(StreamEnd(message=message))

    def _begin(self, prefix: str, update: MessageUpdate) -> int:
        self.start()
        index = self._count
        self._count += 1
        self._deltas[index] = []
        if prefix:
            self._open[index] = prefix
        self._emit(update)
        return index

    def _emit(self, update: MessageUpdate) -> None:
        self._assembler.add(update)
        self._queue.append(update)


def _clean_but_last(text: str) -> str:
    """Repair text whose last character may be the first half of a pair."""
    if text and "\ud800" <= text[-1] <= "\udbff":
        return clean_text(text[:-1]) + text[-1]
    return clean_text(text)


_KINDS: dict[tuple[str, str], UpdateKind] = {
    ("text", "delta"): "text_delta",
    ("text", "end"): "text_end",
    ("thinking", "delta"): "thinking_delta",
    ("thinking", "end"): "thinking_end",
    ("tool_call", "delta"): "tool_call_delta",
    ("tool_call", "end"): "tool_call_end",
}


def _kind(prefix: str, suffix: str) -> UpdateKind:
    return _KINDS[prefix, suffix]


def _amended(block: AssistantContent, fields: dict[str, object]) -> AssistantContent:
    if isinstance(block, ProviderContent):
        return block
    known = {name: value for name, value in fields.items() if name == "raw" or isinstance(block, ToolCall)}
    return msgspec.structs.replace(block, **known) if known else block
