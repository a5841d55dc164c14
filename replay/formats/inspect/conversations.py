"""The conversations of a sample: the one that it keeps, and those that its agents and scorers had beside it.

A sample keeps the messages of its main conversation, and an event for each call of a model. What a call adds to the
conversation of somebody else is known only from what that call was given and what it answered.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from hashlib import blake2b
from types import MappingProxyType
from typing import NamedTuple

import msgspec

from ..fields import fields_of, list_of, text_of
from ..jsonl import Fields
from ..times import read_time
from .messages import choice_of
from .sample import Sample

_ENCODER = msgspec.json.Encoder(order="sorted")
_REMEMBERED = 100  # characters of a text whose digest is kept: those that refer to attachments, and short ones
_OWN = ("agent", "scorer", "branch", "subtask")  # types of spans that name a conversation
_BEGUN = ("tool", "handoff")  # types of spans in which an agent was begun by another one's call


class Step(NamedTuple):
    """What a conversation goes on with: a message, a call that failed, a compaction; or an event beside it.

    `call`: the event of the model's call that made a message. `given`: what the model was given from here on.
    """

    kind: str
    value: Fields
    at_us: int | None = None
    call: Fields = MappingProxyType({})
    given: Sequence[Fields] = ()


class Conversation(NamedTuple):
    """A conversation. `link`: what the result says of it that a call of a tool made (empty: nothing)."""

    name: str
    link: str
    steps: list[Step]


class Told(NamedTuple):
    """All conversations of a sample, the main one first, and the links of calls to the conversations they began."""

    all: Sequence[Conversation]
    links: Mapping[str, str]


class _Span(NamedTuple):
    parent: str
    type: str
    name: str


class _Group(NamedTuple):
    """Where a call of a model stands: whose conversation it may belong to."""

    id: str
    name: str
    link: str
    is_begun: bool


def conversations(sample: Sample) -> Told:
    """Find the conversations of a sample."""
    reader = _Reader(sample)
    for event in sample.events:
        reader.take(event)
    reader.emit(len(sample.messages))
    return Told((Conversation("", "", reader.main), *reader.others()), reader.links)


class _Reader:
    """Goes through the events of a sample in order."""

    def __init__(self, sample: Sample) -> None:
        self._sample = sample
        self.main: list[Step] = []
        self.links: dict[str, str] = {}
        self._next = 0
        self._spans: dict[str, _Span] = {}
        self._keys: dict[int, bytes] = {}
        self._texts: dict[str, bytes] = {}
        self._ended: dict[str, int] = {}
        self._at: int | None = None
        self._by_id: dict[str, int] = {}
        self._by_key: dict[bytes, list[int]] = {}
        for number, message in enumerate(sample.messages):
            if message.get("role") == "assistant":
                self._by_id.setdefault(text_of(message.get("id")), number)
                self._by_key.setdefault(self._key(message), []).append(number)
        self._threads: dict[str, list[_Thread]] = {}
        self._in_order: list[_Thread] = []
        self._compacted: dict[str, Fields] = {}
        self._linked: set[str] = set()

    def take(self, event: Fields) -> None:
        """Take the next event."""
        match event.get("event"):
            case "span_begin":
                span = _Span(text_of(event.get("parent_id")), text_of(event.get("type")), text_of(event.get("name")))
                self._spans[text_of(event.get("id"))] = span
            case "model":
                self._call(event, self._group(event))
            case "tool":
                self._tool(event)
            case "compaction":
                self._compacted[self._group(event).id] = event
            case _:
                pass
        self._within(event)
        self.main.append(Step("event", event, read_time(event.get("timestamp"))))

    def _within(self, event: Fields) -> None:
        """Take the events that older logs keep within a call of a tool, or a task."""
        waiting = [(event, inner) for inner in list_of(event.get("events"))]
        while waiting:
            owner, inner = waiting.pop(0)
            one = fields_of(inner)
            link = text_of(owner.get("id"))
            name = text_of(owner.get("function")) or text_of(owner.get("name"))
            if one.get("event") == "model":
                self._call(one, _Group(f"within {id(owner)}", name, link, is_begun=True))
            waiting += [(one, deeper) for deeper in list_of(one.get("events"))]

    def _tool(self, event: Fields) -> None:
        call = text_of(event.get("id"))
        ended = read_time(event.get("completed")) or read_time(event.get("timestamp"))
        if ended is not None:
            self._ended[call] = ended
        span = next((name for name, span in reversed(self._spans.items()) if span.type == "tool"), "")
        self.links[call] = text_of(event.get("agent_span_id")) or (f"in {span}" if span else call)
        self._linked.add(self.links[call])

    def _group(self, event: Fields) -> _Group:
        """Find whose conversation an event is part of, by the spans around it."""
        at, seen = text_of(event.get("span_id")), 0
        own = name = ""
        while at in self._spans and seen < len(self._spans):
            span, seen = self._spans[at], seen + 1
            if span.type in _BEGUN:
                link = own if own in self._linked else f"in {at}"
                return _Group(own or at, name or span.name, link, is_begun=True)
            if not own and span.type in _OWN:
                own, name = at, span.name
            at = span.parent
        return _Group(own, name or text_of(event.get("role")), "", is_begun=False)

    def _call(self, event: Fields, group: _Group) -> None:
        """Find the conversation of a model's call."""
        began = read_time(event.get("timestamp"))
        ended = read_time(event.get("completed")) or began
        message = fields_of(choice_of(event).get("message")) if not event.get("error") else {}
        if not group.is_begun:
            found = self._find(message) if message else None
            if found is not None:
                self.emit(found, began)
                self._compact(self.main, group, event, began)
                self.main.append(Step("message", self._sample.messages[found], ended, call=event))
                self._next = found + 1
                return
            if not message and self._is_main(event):
                while self._next < len(self._sample.messages) and not self._is_answer(self._next):
                    self.emit(self._next + 1, began)
                self.main.append(_failed(event, ended))
                return
        thread = self._thread(group, event)
        if group.is_begun and thread.steps:
            self._compact(thread.steps, group, event, began)
        for one in self._sample.input_of(event):
            if thread.meet(text_of(one.get("id")), self._key(one)):
                at = self._ended.get(text_of(one.get("tool_call_id")), began)
                thread.steps.append(Step("message", one, at))
        if message:
            thread.meet(text_of(message.get("id")), self._key(message))
            thread.last = self._key(message)
            thread.steps.append(Step("message", message, ended, call=event))
        elif event.get("error"):
            thread.steps.append(_failed(event, ended))

    def _compact(self, steps: list[Step], group: _Group, event: Fields, at_us: int | None) -> None:
        compacted = self._compacted.pop(group.id, None)
        if compacted is not None:
            steps.append(Step("compacted", compacted, at_us, given=self._sample.input_of(event)))

    def _find(self, message: Fields) -> int | None:
        """Find an answer among the messages that the sample keeps, and that no call made yet."""
        by_id = self._by_id.get(text_of(message.get("id"))) if message.get("id") else None
        if by_id is not None:
            return by_id if by_id >= self._next else None
        return next((number for number in self._by_key.get(self._key(message), ()) if number >= self._next), None)

    def _is_answer(self, number: int) -> bool:
        return self._sample.messages[number].get("role") == "assistant"

    def _is_main(self, event: Fields) -> bool:
        """Return whether a call was given what the sample keeps, as far as that goes."""
        given = [self._key(one) for one in self._sample.input_of(event)]
        kept = [self._key(one) for one in self._sample.messages[: len(given)]]
        return bool(given) and given[-1:] == kept[-1:]

    def _thread(self, group: _Group, event: Fields) -> _Thread:
        """Find the conversation that a call goes on with, or begin one."""
        given = {self._key(one) for one in self._sample.input_of(event)}
        own = self._threads.setdefault(group.id, [])
        for thread in reversed(own):
            if thread.last in given or (group.is_begun and group.id in self._compacted):
                return thread
        thread = _Thread(group)
        own.append(thread)
        self._in_order.append(thread)
        return thread

    def emit(self, upto: int, at_us: int | None = None) -> None:
        """Let the conversation go on with messages that no call made, up to one."""
        while self._next < upto:
            message = self._sample.messages[self._next]
            ended = self._ended.get(text_of(message.get("tool_call_id")), at_us)
            self.main.append(Step("message", message, ended))
            self._next += 1

    def others(self) -> Iterator[Conversation]:
        """Give the conversations beside the main one, in the order in which they began."""
        linked = set[str]()
        for number, thread in enumerate(self._in_order, 1):
            link = thread.group.link if thread.group.link not in linked else ""
            linked.add(link)
            name = "".join(sign if sign.isalnum() else "-" for sign in thread.group.name)[:16]
            yield Conversation(f"{number}-{name or 'model'}", link, thread.steps)

    def _key(self, message: Fields) -> bytes:
        """Compute what a message is told from others by: who says it, its text, and its calls."""
        found = self._keys.get(id(message))
        if found is None:
            content = message.get("content")
            parts = [content] if isinstance(content, str) else [_said(fields_of(one)) for one in list_of(content)]
            calls = [
                (text_of(call.get("id")), text_of(call.get("function")))
                for call in map(fields_of, list_of(message.get("tool_calls")))
            ]
            digest = blake2b(digest_size=16)
            for part in parts:
                digest.update(self._text(part))
            digest.update(_ENCODER.encode([message.get("role"), calls, text_of(message.get("tool_call_id"))]))
            found = self._keys[id(message)] = digest.digest()
        return found

    def _text(self, text: str) -> bytes:
        """Compute a digest of a text, or of the attachment that it refers to; none of an empty one."""
        if not text:
            return b""
        if text not in self._texts:
            whole = self._sample.text(text).encode("utf-8", "surrogatepass")
            digest = blake2b(whole, digest_size=16).digest()
            if len(text) > _REMEMBERED:
                return digest
            self._texts[text] = digest
        return self._texts[text]


def _failed(event: Fields, at_us: int | None) -> Step:
    said = {name: event[name] for name in ("uuid", "timestamp", "error") if name in event}
    return Step("failed", said, at_us, call=event)


class _Thread:
    """A conversation beside the main one that is being put together."""

    def __init__(self, group: _Group) -> None:
        self.group = group
        self.steps: list[Step] = []
        self.last = b""
        self._met: set[object] = set()

    def meet(self, name: str, key: bytes) -> bool:
        """Take note of a message. Returns: whether it is new here."""
        new = key not in self._met and not (name and name in self._met)
        self._met |= {key, name} if name else {key}
        return new


def _said(part: Fields) -> str:
    """Return what a part says; reasoning is left out of what a model is given again."""
    return "" if part.get("type") == "reasoning" else text_of(part.get("text")) or text_of(part.get("image"))
