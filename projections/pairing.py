"""Calls and results in pairs: no request is sent in which a tool call lacks its result, or a result its call."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import lru_cache

import msgspec

from eventsource.events import Place
from eventsource.messages import AssistantMessage, Message, TextContent, ToolCall, ToolResultMessage

HIDDEN_RESULT = "[hidden: this call was answered, and its result is not shown any more]"
NO_RESULT = "[no result on record: this call was never answered in the history it comes from]"


class ContextMessage(msgspec.Struct, frozen=True, gc=False):
    """A message of a context: its name (0: it has none, it was made for this request), and a result's call if known."""

    seq: int
    message: Message
    call: Place | None = None


def paired(messages: Iterable[ContextMessage]) -> tuple[ContextMessage, ...]:
    """Complete calls without a result by a marked one, and leave out results without a call.

    A result belongs to the call at its place; without a place, to the latest message with an unanswered call of its id.
    What is made stands right after the last result of its message.
    """
    pairing = Pairing()
    for one in messages:
        pairing.add(one)
    return pairing.parts()


class Pairing:
    """Pairs the calls and results of messages that come one by one; see `paired`."""

    def __init__(self) -> None:
        self._calls = _Calls()
        self._kept: list[ContextMessage] = []
        self._messages: list[Message] = []  # those of what is kept
        self._last: dict[int, int] = {}  # place of an assistant message -> place of its last result, or its own

    def add(self, one: ContextMessage) -> None:
        """Take the next message."""
        owner = len(self._kept)
        if isinstance(one.message, AssistantMessage):
            self._calls.open(one.seq, owner, one.message)
        elif isinstance(one.message, ToolResultMessage):
            found = self._calls.answer(one.message.tool_call_id, one.call)
            if found is None:
                return
            owner = found
        self._last[owner] = len(self._kept)
        self._kept.append(one)
        self._messages.append(one.message)

    def copy(self) -> Pairing:
        """Return what takes the next messages by itself."""
        copied = Pairing()
        copied._calls = self._calls.copy()
        copied._kept, copied._messages, copied._last = self._kept.copy(), self._messages.copy(), self._last.copy()
        return copied

    @property
    def source(self) -> Sequence[Message] | None:
        """A list that is only appended to, with the messages of `parts`; None while a result has to be made."""
        return None if self._calls.unanswered() else self._messages

    def messages(self) -> tuple[Message, ...]:
        """Return the messages of `parts`."""
        source = self.source
        return tuple([part.message for part in self.parts()] if source is None else source)

    def parts(self) -> tuple[ContextMessage, ...]:
        """Return the messages so far, each call with a result."""
        missing = self._calls.unanswered()
        if not missing:
            return tuple(self._kept)
        made = {self._last[owner]: results for owner, results in missing.items()}
        return tuple(part for place, one in enumerate(self._kept) for part in (one, *made.get(place, ())))


class _Calls:
    """The calls seen so far that have no result yet, by their places and by their ids."""

    def __init__(self) -> None:
        self._open: dict[tuple[int, int], tuple[int, ToolCall]] = {}
        self._by_id: dict[str, list[tuple[int, int]]] = {}

    def copy(self) -> _Calls:
        copied = _Calls()
        copied._open = self._open.copy()
        copied._by_id = {call_id: keys.copy() for call_id, keys in self._by_id.items()}
        return copied

    def open(self, seq: int, owner: int, message: AssistantMessage) -> None:
        name = seq or -1 - owner  # messages without a name are told apart by where they stand
        for index, block in enumerate(message.content):
            if isinstance(block, ToolCall):
                self._open[name, index] = (owner, block)
                self._by_id.setdefault(block.id, []).append((name, index))

    def answer(self, call_id: str, place: Place | None) -> int | None:
        """Remove the call a result belongs to. Returns: its message's place; None when there is none."""
        if place is not None:
            return self._close(self._moved(call_id, place))
        candidates = [key for key in self._by_id.get(call_id, ()) if key in self._open]
        if not candidates:
            return None
        latest = max(self._open[key][0] for key in candidates)
        return self._close(next(key for key in candidates if self._open[key][0] == latest))

    def _close(self, key: tuple[int, int]) -> int | None:
        found = self._open.pop(key, None)
        if found is None:
            return None
        owner, call = found
        same = self._by_id[call.id]
        same.remove(key)
        if not same:
            del self._by_id[call.id]
        return owner

    def _moved(self, call_id: str, place: Place) -> tuple[int, int]:
        """Find the call of a place; when its message was replaced, it may stand elsewhere in it."""
        exact = (place.message_seq, place.content_index)
        found = self._open.get(exact)
        if found is not None and found[1].id == call_id:
            return exact
        same = (key for key in self._by_id.get(call_id, ()) if key[0] == place.message_seq and key in self._open)
        return next(same, exact)

    def unanswered(self) -> dict[int, list[ContextMessage]]:
        results: dict[int, list[ContextMessage]] = {}
        for owner, call in self._open.values():
            results.setdefault(owner, []).append(ContextMessage(0, _no_result(call.id, call.name)))
        return results


@lru_cache(maxsize=1024)
def hidden_result(call_id: str, name: str, is_error: bool) -> ToolResultMessage:  # noqa: FBT001 - a key of the cache
    """Build what a model reads in place of a result that was hidden; the same object each time."""
    return ToolResultMessage(
        tool_call_id=call_id, tool_name=name, content=(TextContent(text=HIDDEN_RESULT),), is_error=is_error
    )


@lru_cache(maxsize=1024)
def _no_result(call_id: str, name: str) -> ToolResultMessage:
    """Build the result of a call that has none; the same object each time, so that it is hashed once."""
    return ToolResultMessage(
        tool_call_id=call_id, tool_name=name, content=(TextContent(text=NO_RESULT),), is_error=True
    )
