"""Why a model was sent what it was sent: each part of a request, and the event that put it there."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping
from typing import Literal, TypeAlias

import msgspec

from eventsource.codec import from_json
from eventsource.envelope import Recorded
from eventsource.errors import UnknownSeqError
from eventsource.events import (
    AgentEnd,
    Compaction,
    Event,
    MessageEnd,
    ModelRequest,
    QueuePush,
    Retry,
    ToolExecutionEnd,
    TurnEnd,
    TurnStart,
)
from eventsource.log.load import read_all
from eventsource.messages import AssistantMessage, CustomMessage, Message, ToolResultMessage
from eventsource.models.protocol import WireBody
from eventsource.request import Request, request_sha256
from eventsource.session import SessionHandle
from projections.context import CONTEXT, ContextView, Entry, parts, request
from projections.pairing import ContextMessage

from .lineage import erased_seqs
from .provenance import Provenance
from .why_text import pretty, shown, standing_text

PartKind: TypeAlias = Literal["model", "system_prompt", "tools", "options", "message"]
Source: TypeAlias = Literal[
    "nobody", "config", "prompt", "steering", "follow_up", "inbox", "output", "answer", "result", "adopted",
    "compaction", "edit", "hook", "completed",
]  # fmt: skip
"""Who put a part there. `completed`: the result of a call that never got one. `nobody`: it was never set."""
Agreement: TypeAlias = Literal["equal", "differs", "unchecked"]
Encode: TypeAlias = Callable[[Request], WireBody | None]


class RequestPart(msgspec.Struct, frozen=True, kw_only=True):
    """One part of a request.

    `name`: a message's name, 0 if it has none. `seq`: the event that put it there, 0 for `nobody` and `completed`.
    `detail` says more of the source: a call's place, the child session of a summary, where a message was adopted from.
    """

    what: PartKind
    source: Source
    seq: int
    text: str
    name: int = 0
    role: str = ""
    detail: str = ""


class Change(msgspec.Struct, frozen=True, kw_only=True):
    """What is otherwise than in the request before: a part that came, that is gone, or that is another one."""

    kind: Literal["added", "removed", "changed"]
    part: RequestPart
    before: RequestPart | None = None


class Why(msgspec.Struct, frozen=True, kw_only=True):
    """Where a run stood at a seq, and what the model was, or would next be, sent there.

    `request_seq`: the `model_request` it is about, 0 when it was not sent yet. `request_sha256` is computed now, and
    `recorded_sha256` stands in the log. `digest` and `body` say whether they are equal: `unchecked` without a request
    on record, after its content was erased, or (the body) without a codec of the recorded version.
    `left_out`: messages that a hook kept from this request. `before_seq`: the request that `changes` compare with.
    `earlier`: how many messages a limit has left out before those in `parts` and `request`; `more_changes`: how many
    changes behind those in `changes`.
    """

    session: str
    seq: int
    at_us: int
    event: str
    phase: str
    standing: str
    request: Request
    request_seq: int
    request_sha256: str
    recorded_sha256: str
    digest: Agreement
    body: Agreement
    parts: tuple[RequestPart, ...]
    left_out: tuple[RequestPart, ...]
    before_seq: int
    changes: tuple[Change, ...]
    earlier: int = 0
    more_changes: int = 0

    def pretty(self, *, last: int | None = None) -> str:
        """Write it for a person; of the messages only the last so many, and how many there are before them."""
        return pretty(self, last)

    def json(self) -> str:
        """Write it as one JSON object."""
        return msgspec.json.encode(self).decode()


class _SentRequest(msgspec.Struct, frozen=True):
    """A request: what was known when it was made, and the event if it was."""

    view: ContextView
    config: Mapping[str, int]
    seq: int
    event: ModelRequest | None


class _Trace:
    """Folds a session up to a seq, and remembers where everything came from."""

    def __init__(self) -> None:
        self.view: ContextView = CONTEXT.initial
        self.provenance = Provenance()
        self.events: dict[int, Event] = {}
        self.asked: list[_SentRequest] = []
        self.in_turn = False
        self.last: Recorded | None = None

    def feed(self, recorded: Recorded) -> None:
        """Fold one event."""
        event, self.last = recorded.event, recorded
        match event:
            case ModelRequest():
                self.asked = [*self.asked[-1:], _SentRequest(self.view, self.provenance.config, recorded.seq, event)]
                self.in_turn = True
            case TurnStart() | TurnEnd() | AgentEnd() | Retry():
                self.in_turn = False
            case MessageEnd(interrupted=str()):
                self.in_turn = False
            case QueuePush() | ToolExecutionEnd() | Compaction():
                self.events[recorded.seq] = event
            case _:
                pass
        self.provenance.feed(recorded)
        self.view = CONTEXT.step(self.view, recorded)

    def about(self) -> tuple[_SentRequest, _SentRequest | None]:
        """Return the request that the last event belongs to, or else the next one, and the request before it."""
        if self.in_turn:
            return self.asked[-1], self.asked[0] if len(self.asked) > 1 else None
        return _SentRequest(self.view, self.provenance.config, 0, None), self.asked[-1] if self.asked else None


async def why(session: SessionHandle, seq: int, *, encode: Encode | None = None, limit: int | None = None) -> Why:
    """Explain why the model was sent what it was sent.

    Within a turn, from its `model_request` on, it is about that request, so at an answer's or a tool call's seq about
    the request that led to it; anywhere else about the one that would come next.

    Args:
        encode: makes the wire body, to check the recorded body's digest; see `Model.encode`.
        limit: tell of the last so many messages, and of so many changes; the digests are those of all.

    Raises: UnknownSeqError.
    """
    head = (await session.info()).head
    if not 1 <= seq <= head:
        raise UnknownSeqError(session.id, seq, head)
    trace = _Trace()
    async for recorded in read_all(session.log, session.id, upto=seq, updates=False):
        trace.feed(recorded)
    [at] = await session.events(after=seq - 1, upto=seq, limit=1) or [trace.last or Recorded(seq, 0, AgentEnd())]
    state = await session.state(seq)
    asked, before = trace.about()
    built = request(asked.view, asked.event.selection if asked.event is not None else None)
    digest = request_sha256(built)
    recorded_sha256 = asked.event.request_sha256 if asked.event is not None else ""
    known = bool(recorded_sha256) and (digest == recorded_sha256 or not await _was_erased(session, trace, asked))
    shown = (
        built if limit is None else msgspec.structs.replace(built, messages=built.messages[-limit:] if limit else ())
    )
    changes = _changes(trace, before, asked, built) if before is not None else ()
    left_out = _left_out(trace, asked, built)
    return Why(
        session=session.id,
        seq=seq,
        at_us=at.at_us,
        event=str(at.event.__struct_config__.tag),
        phase=state.phase.value,
        standing=standing_text(state),
        request=shown,
        request_seq=asked.seq,
        request_sha256=digest,
        recorded_sha256=recorded_sha256,
        digest=_agrees(digest == recorded_sha256) if known else "unchecked",
        body=_body(asked.event, built, encode),
        parts=tuple(part for _, part in _parts(trace, asked, shown)),
        left_out=left_out if limit is None else left_out[:limit],
        before_seq=before.seq if before is not None else 0,
        changes=changes if limit is None else changes[:limit],
        earlier=len(built.messages) - len(shown.messages),
        more_changes=max(len(changes) - limit, 0) if limit is not None else 0,
    )


def _agrees(equal: bool) -> Agreement:  # noqa: FBT001  # an answer, not an option
    return "equal" if equal else "differs"


def _body(event: ModelRequest | None, built: Request, encode: Encode | None) -> Agreement:
    body = encode(built) if encode is not None and event is not None and event.body_sha256 else None
    if body is None or event is None or body.codec != event.body_codec:
        return "unchecked"
    return _agrees(hashlib.sha256(body.body).hexdigest() == event.body_sha256)


async def _was_erased(session: SessionHandle, trace: _Trace, asked: _SentRequest) -> bool:
    erased = await erased_seqs(session.log, session.id)
    selection = asked.event.selection if asked.event is not None else None
    return trace.provenance.has_erased(erased, asked.view, asked.seq, selection, config=asked.config)


_Keyed: TypeAlias = tuple[tuple[tuple[str, bytes], RequestPart], ...]
"""Each part with what tells it from others: its name (or, without one, its content), and its content."""


def _parts(trace: _Trace, asked: _SentRequest, built: Request) -> _Keyed:
    return (*_config_parts(asked, built), *_message_parts(trace, asked, built))


def _config_parts(asked: _SentRequest, built: Request) -> Iterator[tuple[tuple[str, bytes], RequestPart]]:
    options = from_json(built.options)
    described = [(tool.name, tool.description, tool.schema) for tool in built.tools]
    model = built.model
    texts: tuple[tuple[PartKind, str, object], ...] = (
        ("model", f"{model.provider}:{model.model}" if model.model else "", model),
        ("system_prompt", built.system_prompt, built.system_prompt),
        ("tools", ", ".join(tool.name for tool in built.tools), described),
        ("options", "" if options is None else bytes(built.options or b"").decode(), options),
    )
    for what, text, content in texts:
        seq = asked.config.get(what, 0)
        part = RequestPart(what=what, source="config" if seq else "nobody", seq=seq, text=text)
        yield (what, msgspec.json.encode(content)), part


def _message_parts(
    trace: _Trace, asked: _SentRequest, built: Request
) -> Iterator[tuple[tuple[str, bytes], RequestPart]]:
    default = {id(part.message): part for part in parts(asked.view)}
    for message in built.messages:
        part = _message_part(trace, asked, default.get(id(message)), message)
        content = msgspec.json.encode(message)
        yield (str(part.name) if part.name else hashlib.sha256(content).hexdigest(), content), part


def _message_part(trace: _Trace, asked: _SentRequest, part: ContextMessage | None, message: Message) -> RequestPart:
    role = str(message.__struct_config__.tag)
    if part is None:
        return RequestPart(what="message", source="hook", seq=asked.seq, text=shown(message), role=role)
    if not part.seq:
        return RequestPart(what="message", source="completed", seq=0, text=shown(message), role=role)
    source, seq, detail = _source(trace, asked.view, part.seq, message)
    return RequestPart(
        what="message", source=source, seq=seq, text=shown(message), name=part.seq, role=role, detail=detail
    )


def _source(trace: _Trace, view: ContextView, name: int, message: Message) -> tuple[Source, int, str]:
    entry, edit = _entry(view, name), _edit(view, name)
    if edit is not None:
        return "edit", edit.seq, ""
    if entry is None:
        return "nobody", 0, ""
    event = trace.events.get(entry.source_seq)
    if entry.summary:
        return "compaction", name, event.child if isinstance(event, Compaction) else ""
    if entry.origin is not None:
        origin = entry.origin
        return "adopted", name, " ".join(filter(None, (origin.source, origin.session, origin.entry)))
    if isinstance(message, AssistantMessage):
        return "answer", name, ""
    if isinstance(message, ToolResultMessage) and entry.call is not None:
        decided = event.decided if isinstance(event, ToolExecutionEnd) else "machine"
        place = f"{entry.call.message_seq}.{entry.call.content_index}"
        return "result", entry.source_seq, place if decided == "executed" else f"{place}, {decided}"
    kind = entry.message.kind if isinstance(entry.message, CustomMessage) else ""
    return event.queue if isinstance(event, QueuePush) else "nobody", entry.source_seq, kind


def _entry(view: ContextView, name: int) -> Entry | None:
    place = view.entries.find(name, lambda entry: entry.seq)
    return view.entries[place] if place < len(view.entries) and view.entries[place].seq == name else None


def _edit(view: ContextView, name: int) -> Entry | None:
    later = view.entries.between(view.entries.find(name, lambda entry: entry.seq))
    return next((entry for entry in reversed(later) if entry.edits == name), None)


def _left_out(trace: _Trace, asked: _SentRequest, built: Request) -> tuple[RequestPart, ...]:
    chosen = {id(message) for message in built.messages}
    left = [part for part in parts(asked.view) if id(part.message) not in chosen]
    return tuple(_message_part(trace, asked, part, part.message) for part in left)


def _changes(trace: _Trace, before: _SentRequest, asked: _SentRequest, built: Request) -> tuple[Change, ...]:
    old = request(before.view, before.event.selection if before.event is not None else None)
    same = {id(message) for message in old.messages} & {id(message) for message in built.messages}
    then = {key: (content, part) for (key, content), part in _parts(trace, before, _without(old, same))}
    found: list[Change] = []
    for (key, content), part in _parts(trace, asked, _without(built, same)):
        was = then.pop(key, None)
        if was is None:
            found.append(Change(kind="added", part=part))
        elif was[0] != content:
            found.append(Change(kind="changed", part=part, before=was[1]))
    found += (Change(kind="removed", part=_gone(asked, part), before=part) for _, part in then.values())
    return tuple(found)


def _without(built: Request, same: set[int]) -> Request:
    """Leave out messages by identity: those of both requests, which the context has built once."""
    return msgspec.structs.replace(built, messages=tuple(one for one in built.messages if id(one) not in same))


def _gone(asked: _SentRequest, part: RequestPart) -> RequestPart:
    """Find what took a message out of the request."""
    view = asked.view
    source: Source = "hook"
    seq = asked.seq
    if part.name and all(left.seq != part.name for left in parts(view)):
        edit = _edit(view, part.name)
        compacted = view.summary >= 0 and view.entries.find(part.name, lambda entry: entry.seq) < view.kept
        if compacted or edit is None:
            source, seq = "compaction", view.entries[view.summary].seq if view.summary >= 0 else 0
        else:
            source, seq = "edit", edit.seq
    return msgspec.structs.replace(part, source=source, seq=seq, detail="")
