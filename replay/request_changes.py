"""What is otherwise in one request than in another, part by part."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Literal, NamedTuple, Protocol, TypeAlias

import msgspec

from eventsource.events import Inserted, SeqRange
from eventsource.messages import Message
from eventsource.request import Request
from projections.context import ContextView, entry_of
from projections.pairing import ContextMessage

from .request_parts import PartSources, RequestPart, SentRequest, Source, Trace

ChangeKind: TypeAlias = Literal["added", "removed", "changed"]


class Builds(Protocol):
    """Builds the request of a view: `projections.context.Requests`."""

    def build(self, view: ContextView, selection: Sequence[SeqRange | Inserted] | None = None) -> Request:
        """Build the next request, or the one that a selection describes."""
        ...

    def parts(self) -> tuple[ContextMessage, ...]:
        """Return what of the view that was built last is sent by default."""
        ...


class Change(msgspec.Struct, frozen=True, kw_only=True):
    """What is otherwise than in the request before: a part that came, that is gone, or that is another one."""

    kind: ChangeKind
    part: RequestPart
    before: RequestPart | None = None


class BuiltRequest:
    """A request built again, and what tells where each part of it came from.

    `characters`: how much is shown of a message's text; by default all.
    """

    def __init__(self, trace: Trace, asked: SentRequest, requests: Builds, characters: int | None = None) -> None:
        self.trace, self.asked, self.view = trace, asked, asked.view
        self.request = requests.build(asked.view, asked.event.selection if asked.event is not None else None)
        self.default = requests.parts()
        self.sources = PartSources(trace, asked, characters)
        self._is_chosen = asked.event is not None and asked.event.selection is not None

    def messages(self) -> list[tuple[Message, ContextMessage | None]]:
        """List the messages, each with the part of the context that it is; None for one that a hook put in."""
        if not self._is_chosen:
            return [(part.message, part) for part in self.default]
        named = {id(part.message): part for part in self.default}
        return [(message, named.get(id(message))) for message in self.request.messages]

    def left_out(self) -> Iterator[RequestPart]:
        """Yield what a hook kept from the request."""
        if not self._is_chosen:
            return
        chosen = {id(message) for message in self.request.messages}
        for part in self.default:
            if id(part.message) not in chosen:
                yield self.sources.of(part)

    def message_part(self, message: Message, part: ContextMessage | None) -> RequestPart:
        """Describe a message of the request, and the part of the context that it is, if it is one."""
        return self.sources.inserted(message) if part is None else self.sources.of(part)

    def config_parts(self) -> Iterator[RequestPart]:
        """Yield the parts that are no messages."""
        return (part for part, _ in self.sources.config_parts(self.request))


class FoundChange(NamedTuple):
    """A change that was found, to be described; and the messages that it is about, where they are messages."""

    kind: ChangeKind
    describe: Callable[[], Change]
    before: Message | None
    after: Message | None


def find_changes(old: BuiltRequest, new: BuiltRequest, *, shared_seq: int | None = None) -> list[FoundChange]:
    """Find what is otherwise in a request than in an older one: what came and is another one, then what is gone.

    `shared_seq`: of two sessions, the last seq that both share; behind it the same name means another message in each.
    Of those the first of a role is compared with the first of it, and so on; a summary with a summary.
    """
    same = {id(message) for message in old.request.messages} & {id(message) for message in new.request.messages}
    then = {item.key: item for item in _items(old, same, shared_seq)}
    found: list[FoundChange] = []
    for item in _items(new, same, shared_seq):
        was = then.pop(item.key, None)
        if was is None:
            found.append(FoundChange("added", partial(_added, item), None, item.message))
        elif was.content() != item.content():
            found.append(FoundChange("changed", partial(_changed, was, item), was.message, item.message))
    names = {part.seq for part in new.default if shared_seq is None or part.seq <= shared_seq}
    for was in then.values():
        is_own = was.key[0] == _OWN
        describe = partial(_not_there, was) if is_own else partial(_removed, was, new, names)
        found.append(FoundChange("removed", describe, was.message, None))
    return found


_OWN = "own message"


class _Item(NamedTuple):
    """A part of a request as it is compared: what tells it from others (its name, or its content), and its content."""

    key: tuple[str, object]
    content: Callable[[], bytes]
    part: Callable[[], RequestPart]
    message: Message | None = None


def _items(built: BuiltRequest, same: set[int], shared_seq: int | None) -> Iterator[_Item]:
    """Yield the parts of a request, but for some messages: those of both requests, which the context has built once."""
    own = Counter[tuple[str, bool]]()
    for part, said in built.sources.config_parts(built.request):
        yield _Item((part.what, ""), partial(msgspec.json.encode, said), partial(_itself, part))
    for message, named in built.messages():
        if id(message) in same:
            continue
        content = partial(msgspec.json.encode, message)
        key: tuple[str, object]
        if named is not None and shared_seq is not None and named.seq > shared_seq:
            entry = entry_of(built.asked.view, named.seq)
            kind = (message.role, entry is not None and entry.summary)
            key = (_OWN, (own[kind], *kind))
            own[kind] += 1
        else:
            key = ("message", named.seq if named is not None and named.seq else hashlib.sha256(content()).digest())
        yield _Item(key, content, partial(built.message_part, message, named), message)


def _itself(part: RequestPart) -> RequestPart:
    return part


def _added(item: _Item) -> Change:
    return Change(kind="added", part=item.part())


def _changed(was: _Item, item: _Item) -> Change:
    return Change(kind="changed", part=item.part(), before=was.part())


def _not_there(was: _Item) -> Change:
    """Describe a message of the other session alone: nobody took it out, it was never there."""
    part = was.part()
    gone = msgspec.structs.replace(part, source="nobody", seq=0, detail="")
    return Change(kind="removed", part=gone, before=part)


def _removed(was: _Item, built: BuiltRequest, names: set[int]) -> Change:
    """Find what took a part out of the request. `names`: of the messages that it holds without a hook."""
    part = was.part()
    source: Source = "hook"
    seq = built.asked.seq
    if part.name and part.name not in names:
        source, seq = built.sources.took_out(part.name)
    return Change(kind="removed", part=msgspec.structs.replace(part, source=source, seq=seq, detail=""), before=part)
