"""An assistant message's content, put together from its updates."""

from __future__ import annotations

import json
from collections.abc import Iterable

import msgspec

from .events import MessageUpdate
from .messages import AssistantContent, ProviderContent, TextContent, ThinkingContent, ToolCall

_DELTAS = frozenset(("text_delta", "thinking_delta", "tool_call_delta"))


class Assembler:
    """Takes a message's updates in order and says what its content is so far."""

    def __init__(self) -> None:
        self._starts: list[MessageUpdate] = []
        self._deltas: list[list[str]] = []
        self._ends: list[MessageUpdate | None] = []

    def add(self, update: MessageUpdate) -> None:
        """Take one update; a legal log opens block n when there are n blocks."""
        if update.kind in _DELTAS:
            self._deltas[update.content_index].append(update.delta)
        elif update.kind.endswith("_end"):
            self._ends[update.content_index] = update
        else:
            self._starts.append(update)
            self._deltas.append([])
            self._ends.append(None)

    def extend(self, updates: Iterable[MessageUpdate]) -> None:
        """Take many."""
        deltas = self._deltas
        for update in updates:
            if update.kind in _DELTAS:
                deltas[update.content_index].append(update.delta)
            else:
                self.add(update)

    def content(self) -> tuple[AssistantContent, ...]:
        """Build the blocks as they stand."""
        return tuple(map(_block, self._starts, self._deltas, self._ends))


def _block(start: MessageUpdate, deltas: list[str], end: MessageUpdate | None) -> AssistantContent:
    text = "".join(deltas)
    signature = end.signature if end is not None else ""
    match start.kind:
        case "text_start":
            return TextContent(text=text, signature=signature)
        case "thinking_start":
            return ThinkingContent(thinking=text, signature=signature, redacted=start.redacted)
        case "tool_call_start":
            given = end.arguments if end is not None else None
            return ToolCall(
                id=start.id, name=start.name, arguments=text if given is None else given, signature=signature
            )
        case _:
            block = start.block
            return ProviderContent(
                api=start.api, block=msgspec.Raw(b"null") if isinstance(block, msgspec.UnsetType) else block
            )


def same_arguments(one: str, other: str) -> bool:
    """Compare two argument texts by what they say; empty means an empty object."""
    if one == other:
        return True
    try:
        return bool(json.loads(one or "{}") == json.loads(other or "{}"))
    except ValueError:
        return False


def content_differs(assembled: tuple[AssistantContent, ...], final: tuple[AssistantContent, ...]) -> str:
    """Find where a finished message differs from its updates, in what both of them hold (empty: nowhere).

    The final message may hold what updates have no room for: raw fields, and a call's id or name that came late.
    """
    if len(assembled) != len(final):
        return f"content: {len(assembled)} blocks were streamed, {len(final)} were stored"
    for index, (streamed, stored) in enumerate(zip(assembled, final, strict=True)):
        match streamed, stored:
            case (TextContent(text=one), TextContent(text=two)) | (
                ThinkingContent(thinking=one),
                ThinkingContent(thinking=two),
            ):
                same = one == two
            case ToolCall(arguments=one), ToolCall(arguments=two):
                same = one == two
            case ProviderContent(block=first), ProviderContent(block=second):
                same = first == second
            case _:
                same = False
        if not same:
            return f"content[{index}]: the streamed {type(streamed).__name__} is not the stored {type(stored).__name__}"
    return ""
