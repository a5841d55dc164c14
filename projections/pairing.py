"""Calls and results in pairs: no request is sent in which a tool call lacks its result, or a result its call."""

from __future__ import annotations

from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache
from itertools import accumulate

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


class PairedParts:
    """The parts of a request, each call with a result, to be read from one place up to another."""

    def __init__(self, kept: list[ContextMessage], length: int, made: dict[int, list[ContextMessage]]) -> None:
        self._kept, self._length, self._made = kept, length, made
        self._after = sorted(made)  # behind these of what is kept stand results that were made
        self._ahead = [0, *accumulate(len(made[place]) for place in self._after)]

    def __len__(self) -> int:
        return self._length + self._ahead[-1]

    def between(self, start: int, stop: int) -> list[ContextMessage]:
        """List the parts from one place up to, not including, another."""
        start, stop = max(start, 0), min(stop, len(self))
        if not self._after:
            return self._kept[start:stop]
        first = self._kept_at(start)
        found: list[ContextMessage] = []
        at = self.place_of(first)
        for place in range(first, self._length):
            if at >= stop:
                break
            both = [self._kept[place], *self._made.get(place, ())]
            found += both[max(start - at, 0) : stop - at]
            at += len(both)
        return found

    def shared(self, other: PairedParts) -> int:
        """Return up to which place both have the same parts, by what is kept: it costs what is missing in either."""
        if self._kept is not other._kept:
            return 0
        end = min(self._length, other._length)
        for place in sorted({*self._made, *other._made}):
            if place < end and self._made.get(place) != other._made.get(place):
                return self.place_of(place) + 1
        return self.place_of(end)

    def place_of(self, kept: int) -> int:
        """Return the place at which one stands of what is kept."""
        return kept + self._ahead[bisect_left(self._after, kept)]

    def _kept_at(self, place: int) -> int:
        """Find the last of what is kept that stands at a place or before it."""
        return max(bisect_right(range(self._length), place, key=self.place_of) - 1, 0)


class Pairing:
    """Pairs the calls and results of messages that come one by one; see `paired`."""

    def __init__(self) -> None:
        self._calls = _Calls()
        self._kept: list[ContextMessage] = []
        self._messages: list[Message] = []  # those of what is kept
        self._owners = array("q")  # of each that is kept: the place of the message whose call it answers, or its own
        self._last: dict[int, int] = {}  # place of an assistant message -> place of its last result, or its own

    def __len__(self) -> int:
        """How many messages are kept."""
        return len(self._kept)

    def add(self, one: ContextMessage) -> None:
        """Take the next message."""
        owner = place = len(self._kept)
        if isinstance(one.message, AssistantMessage):
            self._calls.open(one.seq, owner, one.message)
        elif isinstance(one.message, ToolResultMessage):
            found = self._calls.answer(one.message.tool_call_id, one.call, place)
            if found is None:
                return
            owner = found
        self._last[owner] = place
        self._owners.append(owner)
        self._kept.append(one)
        self._messages.append(one.message)

    def copy(self) -> Pairing:
        """Return what takes the next messages by itself."""
        copied = Pairing()
        copied._calls, copied._owners = self._calls.copy(), self._owners[:]
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

    def parts_after(self, length: int) -> PairedParts:
        """Return the parts as they stood when so many messages were kept; it costs what is missing then."""
        missing = self._calls.unanswered_before(length)
        last = {owner: owner for owner in missing}
        if missing:
            first = min(missing)
            for place, owner in enumerate(self._owners[first:length], first):
                if owner in last:
                    last[owner] = place
        return PairedParts(self._kept, length, {last[owner]: results for owner, results in missing.items()})


_NEVER = 2**62
_BLOCK = 128  # calls


class _Calls:
    """The calls seen so far that have no result yet, by their places and by their ids; and when each got its own."""

    def __init__(self) -> None:
        self._open: dict[tuple[int, int], tuple[int, ToolCall, int]] = {}
        self._by_id: dict[str, list[tuple[int, int]]] = {}
        self._calls: list[ToolCall] = []  # all of them
        self._owners, self._answered = array("q"), array("q")  # of each: places of its message and of its result
        self._latest = array("q")  # of each block of calls: the last place of a result

    def copy(self) -> _Calls:
        copied = _Calls()
        copied._open = self._open.copy()
        copied._by_id = {call_id: keys.copy() for call_id, keys in self._by_id.items()}
        copied._calls, copied._owners, copied._answered = self._calls.copy(), self._owners[:], self._answered[:]
        copied._latest = self._latest[:]
        return copied

    def open(self, seq: int, owner: int, message: AssistantMessage) -> None:
        name = seq or -1 - owner  # messages without a name are told apart by where they stand
        for index, block in enumerate(message.content):
            if isinstance(block, ToolCall):
                gone = self._open.get((name, index))
                if gone is not None:
                    self._set_answered(gone[2], owner)
                self._open[name, index] = (owner, block, len(self._calls))
                self._calls.append(block)
                self._owners.append(owner)
                if len(self._answered) % _BLOCK == 0:
                    self._latest.append(_NEVER)
                self._latest[-1] = _NEVER
                self._answered.append(_NEVER)
                self._by_id.setdefault(block.id, []).append((name, index))

    def answer(self, call_id: str, call: Place | None, place: int) -> int | None:
        """Remove the call that the result at a place belongs to. Returns: its message's place; None without one."""
        if call is not None:
            return self._close(self._moved(call_id, call), place)
        candidates = [key for key in self._by_id.get(call_id, ()) if key in self._open]
        if not candidates:
            return None
        latest = max(self._open[key][0] for key in candidates)
        return self._close(next(key for key in candidates if self._open[key][0] == latest), place)

    def _close(self, key: tuple[int, int], place: int) -> int | None:
        found = self._open.pop(key, None)
        if found is None:
            return None
        owner, call, number = found
        self._set_answered(number, place)
        same = self._by_id[call.id]
        same.remove(key)
        if not same:
            del self._by_id[call.id]
        return owner

    def _set_answered(self, number: int, place: int) -> None:
        self._answered[number] = place
        block = number // _BLOCK
        self._latest[block] = max(self._answered[block * _BLOCK : (block + 1) * _BLOCK])

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
        for owner, call, _ in self._open.values():
            results.setdefault(owner, []).append(ContextMessage(0, _no_result(call.id, call.name)))
        return results

    def _answered_behind(self, length: int, made: int) -> Iterator[int]:
        """Yield the numbers of the calls among the first so many that may be, block by block."""
        for block, latest in enumerate(self._latest):
            if block * _BLOCK >= made:
                return
            if latest >= length:
                yield from range(block * _BLOCK, min((block + 1) * _BLOCK, made))

    def unanswered_before(self, length: int) -> dict[int, list[ContextMessage]]:
        """Make what `unanswered` made when so many messages were kept."""
        results: dict[int, list[ContextMessage]] = {}
        made = bisect_left(self._owners, length)
        for number in self._answered_behind(length, made):
            if self._answered[number] >= length:
                call = self._calls[number]
                results.setdefault(self._owners[number], []).append(ContextMessage(0, _no_result(call.id, call.name)))
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
