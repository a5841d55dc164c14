"""The records of a file of Gemini CLI, each with where it belongs: its own reader's rules, but nothing is thrown away.

A message that comes again with more of it (the results of its calls, its tokens) is the same message; one that says
something else stands in its place on another branch. A list of all messages is compared with what stands there: what is
the same stays, what is new becomes records of its own, behind the line that holds the list.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from hashlib import blake2b
from itertools import islice
from types import MappingProxyType

import msgspec

from ..fields import fields_of, list_of, text_of
from ..jsonl import Fields, Line
from .messages import answered_in, calls_of, parts_of, responses_of, role_of, said_by

AGAIN = "$again"
"""Holds a message that stands behind another one again, and in no line of its own."""
ITEM = "$item"
"""Holds what stands in a list of messages and is none."""
LATER = "$later"
"""Holds what a document says later of its last message: it tells no more what it said before."""
SNAPSHOT = "<state_snapshot>"
"""Begins the summary of a compaction."""
_CONTEXT = "<session_context>"
_NEAR = 50  # messages before a result among which its call is looked for
NOTHING: Fields = MappingProxyType({})
_ENCODER = msgspec.json.Encoder(order="sorted")


class GeminiLine(Line, frozen=True, kw_only=True):
    """A record, and where it belongs.

    `message`: what it says, with what the records that follow add to it (empty: nothing). `first`: the entry that this
    message began with; another one completes it, and `had` is what was told of it before. `late`: it was not known
    where the message began. `counts`: its tokens were not told before. `summary`: of a compaction, in place of which
    the messages that follow stand.
    """

    name: str = ""
    after: str | None = None
    speaks: bool = False
    message: Fields = NOTHING
    first: str = ""
    had: Fields = NOTHING
    late: bool = False
    counts: bool = True
    summary: str = ""


class Turn:
    """A message that was in force: the entry it began with and its last, and what was told of it.

    `called`: the ids of its calls; `answered`: those of the calls whose results it gives. `tail`: the last record that
    stands beside it. `is_context`: it is what the program tells its model at the beginning, which it tells anew, in
    other words, whenever it goes on.
    """

    __slots__ = (
        "answered",
        "before",
        "body",
        "called",
        "depth",
        "digest",
        "first",
        "id",
        "is_context",
        "name",
        "tail",
    )

    def __init__(self, before: Turn | None, name: str, message: Fields) -> None:
        self.before, self.is_context = before, _is_context(message)
        self.depth: int = before.depth + 1 if before is not None else 0
        self.first = self.name = self.tail = name
        self.id = text_of(message.get("id"))
        self.tell(message, message)
        self.answered = answered_in(message) | _ids_of(responses_of(message) or ())

    def tell(self, record: Fields, whole: Fields) -> None:
        """Take note of the latest record of the message, and of what the message says."""
        self.body = _ENCODER.encode(record)
        self.digest = _digest(whole)
        self.called = _ids_of(calls_of(whole))

    @property
    def message(self) -> Fields:
        """The latest record of the message."""
        return fields_of(msgspec.json.decode(self.body))


def told_lines(lines: Iterable[Line]) -> Iterator[GeminiLine]:
    """Say of each record of a file of JSON Lines where it belongs."""
    conversation = _Conversation()
    source = iter(lines)
    waiting: deque[Line] = deque()
    while True:
        line = waiting.popleft() if waiting else next(source, None)
        if line is None:
            return
        if is_message(line.fields):
            whole = _completed(line.fields, waiting, source)
            yield from conversation.message(line, whole)
        else:
            yield from conversation.other(line)


def told_messages(messages: Iterable[Line]) -> Iterator[GeminiLine]:
    """Say of each message of a document where it belongs: behind the one before it."""
    conversation = _Conversation()
    for line in messages:
        if LATER in line.fields:
            yield conversation.later(line, fields_of(line.fields[LATER]))
        else:
            yield from conversation.message(line, line.fields, upserts=False)


def is_message(fields: Fields) -> bool:
    """Return whether a record is a message."""
    return isinstance(fields.get("id"), str) and "$rewindTo" not in fields


def _completed(message: Fields, waiting: deque[Line], source: Iterator[Line]) -> Fields:
    """Look ahead for what completes an answer, as far as nothing else is said."""
    whole, place = message, 0
    while role_of(message) == "gemini":
        if place == len(waiting):
            waiting.extend(islice(source, 1))
        fields = waiting[place].fields if place < len(waiting) else {}
        if fields.get("id") == message["id"] and completes(whole, fields):
            whole = fields
        elif list(fields) != ["$set"] or "messages" in fields_of(fields["$set"]):
            break
        place += 1
    return whole


def completes(message: Fields, other: Fields) -> bool:
    """Return whether a record says what another one says of the same message, and perhaps more."""
    if role_of(message) != "gemini" or role_of(other) != "gemini":
        return _digest(message) == _digest(other)
    calls = list(map(_call, calls_of(other)))
    return all(_call(one) in calls for one in calls_of(message)) and said_by(other).startswith(said_by(message))


class _Conversation:
    """The messages that are in force (`path`), and all that ever were, by what they followed."""

    def __init__(self) -> None:
        self._path: list[Turn] = []
        self._base = 0  # where the path begins since the last compaction
        self._known: dict[tuple[str, bytes], Turn] = {}
        self._ids: dict[str, Turn] = {}
        self._tail: str | None = None  # the last record that stands before any message
        self._last: Turn | None = None  # what an error is of, though it was taken back
        self._counted: set[str] = set()
        self._records = 0

    def message(self, line: Line, whole: Fields, *, upserts: bool = True) -> Iterator[GeminiLine]:
        """Take a message."""
        turn = self._find(text_of(line.fields.get("id"))) if upserts else None
        if role_of(line.fields) == "error":
            told = self._beside(line, self._last) if upserts else self._silent(line)
            yield msgspec.structs.replace(told, message=line.fields, first=told.name)
        elif not role_of(line.fields) or self._is_told(self._path, line.fields):
            yield self._silent(line)
        elif upserts and turn is None and (again := self._there(self._path, line.fields)) is not None:
            self._go_to(self._path, again)
            yield self._silent(line)
        elif turn is None:
            yield self._add(line, whole)
        else:
            yield from self._upsert(line, turn, whole)

    def later(self, line: Line, message: Fields) -> GeminiLine:
        """Take what is said later of the last message."""
        turn = self._path[-1] if self._path else None
        if turn is None or not completes(turn.message, message):
            return self._silent(line)
        told = msgspec.structs.replace(
            self._told(line),
            message=message,
            first=turn.first,
            had=turn.message,
            late=bool(answered_in(message) - turn.answered),
            counts=self._counts(turn.id, message),
        )
        turn.answered |= answered_in(message)
        turn.name = turn.tail = told.name
        turn.tell(message, message)
        self._remember(turn)
        return told

    @property
    def turns(self) -> Sequence[Turn]:
        """The messages that are in force."""
        return self._path[self._base :]

    def _told(self, line: Line) -> GeminiLine:
        """Take a record that stands behind the last message."""
        self._records += 1
        after = self._path[-1].name if self._path else None
        return GeminiLine(line.number, line.fields, line.whole, name=f"e{self._records:05d}", after=after)

    def _silent(self, line: Line) -> GeminiLine:
        return self._beside(line, self._path[-1] if self._path else None)

    def _beside(self, line: Line, turn: Turn | None) -> GeminiLine:
        """Take a record that stands beside a message, behind those that do so already."""
        told = self._told(line)
        after = turn.tail if turn is not None else self._tail
        if turn is not None:
            turn.tail = told.name
        else:
            self._tail = told.name
        return msgspec.structs.replace(told, after=after)

    def _add(self, line: Line, whole: Fields) -> GeminiLine:
        """Take a message that stands behind the last one."""
        told, gives = self._told(line), any("functionResponse" in part for part in parts_of(whole))
        message = _untold(whole, self._answered(self._path)) if gives else whole
        turn = Turn(self._path[-1] if self._path else None, told.name, whole)
        turn.body = _ENCODER.encode(fields_of(line.fields.get(AGAIN)) or line.fields)
        self._remember(turn)
        self._path.append(turn)
        self._last = turn
        return msgspec.structs.replace(
            told, speaks=True, message=message, first=told.name, counts=self._counts(turn.id, whole)
        )

    def _remember(self, turn: Turn) -> None:
        self._known[_behind(self._path[: turn.depth]), turn.digest] = turn
        self._ids[turn.id] = turn

    def _counts(self, message_id: str, message: Fields) -> bool:
        """Return whether the tokens of a message are told for the first time."""
        if not message_id or not message.get("tokens"):
            return True
        new = message_id not in self._counted
        self._counted.add(message_id)
        return new

    def _find(self, message_id: str) -> Turn | None:
        turn = self._ids.get(message_id)
        if turn is None or not self._base <= turn.depth < len(self._path) or self._path[turn.depth] is not turn:
            return None
        return turn

    def _there(self, path: Sequence[Turn], message: Fields) -> Turn | None:
        """Find a message behind a path, if it stood there before; what the program says by itself does not count."""
        found = self._known.get((_behind(path), _digest(message)))
        return None if found is None or (path and found is path[-1]) else found

    def _go_to(self, path: list[Turn], turn: Turn) -> None:
        """Put a message that stood there before behind a path."""
        if path and path[-1].is_context and turn.before is not path[-1]:
            path.pop()
        if turn.before is not None and turn.before.is_context and turn.before.depth == len(path):
            path.append(turn.before)
        path.append(turn)
        self._ids[turn.id] = turn

    def _is_told(self, path: Sequence[Turn], message: Fields) -> bool:
        """Return whether a message only gives results that stand there already, beside their calls or by themselves."""
        responses = responses_of(message)
        return responses is not None and _ids_of(responses) <= self._answered(path) - {""}

    def _answered(self, path: Sequence[Turn]) -> set[str]:
        """Return the ids of calls whose results stand in a path."""
        answered: set[str] = set()
        for turn in path[max(self._base, len(path) - _NEAR) :]:
            answered -= turn.called  # an id may come again
            answered |= turn.answered
        return answered

    def _upsert(self, line: Line, turn: Turn, whole: Fields) -> Iterator[GeminiLine]:
        """Take a message that is there: it is completed, or another one stands in its place."""
        had, same = turn.message, turn.digest == _digest(line.fields)
        if completes(had, line.fields) and (same or turn is self._path[-1]):
            late = bool(answered_in(line.fields) - turn.answered)
            turn.answered |= answered_in(whole)
            told = self._told(line) if turn is self._path[-1] else self._silent(line)
            yield msgspec.structs.replace(
                told, message=whole, first=turn.first, had=had, late=late, counts=self._counts(turn.id, whole)
            )
            if turn is self._path[-1]:
                turn.name = turn.tail = told.name
            turn.tell(line.fields, whole)
            self._remember(turn)
            return
        later = [one.message for one in self._path[turn.depth + 1 :]]
        del self._path[turn.depth :]
        yield self._add(line, whole)
        for one in later:
            yield self._add(Line(line.number, {AGAIN: one}), one)

    def other(self, line: Line) -> Iterator[GeminiLine]:
        """Take a record that is no message."""
        match line.fields:
            case {"$rewindTo": str(message_id)}:
                turn = self._find(message_id)
                del self._path[turn.depth if turn is not None else self._base :]
                yield self._silent(line)
            case {"$set": {"messages": list(messages)}}:
                yield from self._list(line, messages)
            case {"sessionId": str(), "projectHash": str(), "messages": list(messages)}:
                yield self._silent(_without(line, len(messages)))
                yield from self._new(line, messages, upserts=True)
            case _:
                yield self._silent(line)

    def _list(self, line: Line, messages: list[object]) -> Iterator[GeminiLine]:
        """Take a list of all messages that are in force from now on."""
        summary = self._summary(messages)
        if summary:
            told = self._told(_without(line, len(messages)))
            yield msgspec.structs.replace(told, speaks=True, summary=summary)
            self._path.append(Turn(self._path[-1] if self._path else None, told.name, {}))
            self._base = len(self._path)
            yield from self._new(line, messages)
            return
        path, kept = self._path[: self._base], len(messages)
        for place, message in enumerate(map(fields_of, messages)):
            found = self._there(path, message)
            if found is not None:
                self._go_to(path, found)
            elif role_of(message) and not self._is_told(path, message) and not self._is_anew(path, messages, place):
                kept = place
                break
        self._path = path
        yield self._silent(_without(line, len(messages) - kept))
        yield from self._new(line, messages[kept:])

    def _is_anew(self, path: Sequence[Turn], messages: Sequence[object], place: int) -> bool:
        """Return whether a message is what the program says by itself, before one that stood there without it."""
        following = fields_of(messages[place + 1]) if place + 1 < len(messages) else {}
        return _is_context(fields_of(messages[place])) and self._there(path, following) is not None

    def _summary(self, messages: list[object]) -> str:
        """Return the summary of a compaction that a list begins with, if it is new there."""
        for message in map(fields_of, messages[:3]):
            if role_of(message) == "user" and said_by(message).startswith(SNAPSHOT):
                turn = self._find(text_of(message.get("id")))
                return said_by(message) if turn is None or turn.digest != _digest(message) else ""
        return ""

    def _new(self, line: Line, messages: Sequence[object], *, upserts: bool = False) -> Iterator[GeminiLine]:
        for item in messages:
            if isinstance(item, dict) and is_message(item):
                yield from self.message(Line(line.number, item), item, upserts=upserts)
            else:
                yield self._silent(Line(line.number, {ITEM: item}))


def _without(line: Line, count: int) -> Line:
    """Leave out the last messages of the list that a record holds."""
    fields = dict(line.fields)
    inner = dict(fields_of(fields.get("$set"))) if "$set" in fields else fields
    messages = list_of(inner.get("messages"))
    inner["messages"] = messages[: len(messages) - count]
    return Line(line.number, {**fields, "$set": inner} if "$set" in fields else fields)


def _untold(message: Fields, answered: set[str]) -> Fields:
    """Leave out the results of a message that stand there already, before it or in it, and the images behind them."""
    parts, kept = parts_of(message), list[Fields]()
    is_told, seen = False, answered - {""}
    for part in parts:
        if "functionResponse" in part:
            call_id = text_of(fields_of(part["functionResponse"]).get("id"))
            is_told = call_id in seen
            seen |= {call_id} - {""}
        elif "inlineData" not in part:
            is_told = False
        kept += [part] if not is_told else []
    return {**message, "content": kept} if len(kept) < len(parts) else message


def _behind(path: Sequence[Turn]) -> str:
    """Return the entry that what follows a path stands behind."""
    return next((turn.first for turn in reversed(path) if not turn.is_context), "")


def _ids_of(calls: Sequence[Fields]) -> set[str]:
    return {text_of(one.get("id")) for one in calls}


def _is_context(message: Fields) -> bool:
    return role_of(message) == "user" and said_by(message).startswith(_CONTEXT)


def _call(call: Fields) -> bytes:
    return _ENCODER.encode([call.get("id"), call.get("name"), call.get("args") or {}])


def _digest(message: Fields) -> bytes:
    """Return what a message says, in short: by whom, its text, what stands beside it, its calls."""
    others = [part for part in parts_of(message) if "text" not in part and "functionCall" not in part]
    calls = [_call(one).decode() for one in calls_of(message)]
    if _is_context(message):
        return _CONTEXT.encode()
    said = [message.get("id"), role_of(message), said_by(message), others, calls]
    return blake2b(_ENCODER.encode(said), digest_size=16).digest()


def in_force(lines: Iterable[Line]) -> Sequence[Turn]:
    """Return the messages that are in force at the end of a file."""
    conversation = _Conversation()
    for line in lines:
        told = conversation.message(line, line.fields) if is_message(line.fields) else conversation.other(line)
        deque(told, maxlen=0)
    return conversation.turns
