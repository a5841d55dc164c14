"""Why a model was sent what it was sent: each part of a request, and the event that put it there."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from itertools import islice
from typing import Literal, NamedTuple, TypeAlias, TypeVar

import msgspec

from eventsource.codec import from_json, read_object
from eventsource.envelope import Recorded
from eventsource.errors import UnknownSeqError
from eventsource.events import (
    AgentEnd,
    Compaction,
    ConfigChange,
    Custom,
    MessageEnd,
    ModelRequest,
    Origin,
    QueuePush,
    Retry,
    ToolExecutionEnd,
    ToolExecutionStart,
    TurnEnd,
    TurnStart,
)
from eventsource.log.load import load
from eventsource.messages import AssistantMessage, CustomMessage, Message, ToolResultMessage
from eventsource.models.protocol import WireBody
from eventsource.request import PartHashes, Request, request_sha256
from eventsource.session import SessionHandle
from projections.context import CONTEXT, ContextView, Requests, entry_of
from projections.projection import AppendOnlyList, Projection

from .lineage import erased_seqs
from .provenance import Provenance, config_seqs
from .why_text import pretty, shown, standing_text

T = TypeVar("T", bound=msgspec.Struct)

PAGE_BYTES = 15_000
"""What the messages of a page take as JSON, and what its changes do; one that is larger stands alone."""
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
    `detail` says more of the source: a call's place, the child session of a summary, where a message was adopted from;
    `origin` and `file`, the file that was imported, say that in parts.
    """

    what: PartKind
    source: Source
    seq: int
    text: str
    name: int = 0
    role: str = ""
    detail: str = ""
    origin: Origin | None = None
    file: str = ""


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


class _Trace(msgspec.Struct, frozen=True):
    """A session up to a seq, and where everything in its requests came from.

    `config`: who set each part of the configuration. `trail`: events that hold content, and the starts of calls.
    `asked`: the last two requests. `last`: the last fact. `files`: what was imported from, by
    format; of a fork, by its session too.
    """

    view: ContextView = CONTEXT.initial
    config: Mapping[str, int] = {}
    trail: AppendOnlyList[Recorded] = AppendOnlyList()
    asked: tuple[_SentRequest, ...] = ()
    in_turn: bool = False
    last: Recorded | None = None
    files: Mapping[str, str] = {}

    def about(self) -> tuple[_SentRequest, _SentRequest | None]:
        """Return the request that the last event belongs to, or else the next one, and the request before it."""
        if self.in_turn:
            return self.asked[-1], self.asked[0] if len(self.asked) > 1 else None
        return _SentRequest(self.view, self.config, 0, None), self.asked[-1] if self.asked else None


def _step(trace: _Trace, recorded: Recorded) -> _Trace:
    event, config, trail, asked, in_turn = recorded.event, trace.config, trace.trail, trace.asked, trace.in_turn
    files = trace.files
    match event:
        case ModelRequest():
            asked = (*asked[-1:], _SentRequest(trace.view, config, recorded.seq, event))
            in_turn = True
        case TurnStart() | TurnEnd() | AgentEnd() | Retry():
            in_turn = False
        case MessageEnd(interrupted=str()):
            in_turn = False
        case QueuePush() | ToolExecutionStart() | ToolExecutionEnd() | Compaction():
            trail = trail.append(recorded)
        case ConfigChange():
            config = config_seqs(config, recorded.seq, event)
        case Custom(kind=kind, data=data) if kind.endswith((_FILE_HEADER, _FILE_OF_FORK)):
            files = _with_file(files, kind.rpartition(".")[0], read_object(data))
        case _:
            pass
    return _Trace(CONTEXT.step(trace.view, recorded), config, trail, asked, in_turn, recorded, files)


def _with_file(files: Mapping[str, str], source: str, said: Mapping[str, object]) -> Mapping[str, str]:
    """Add where an import read: that of a fork tells of which session."""
    file, session = said.get("file"), said.get("session")
    key = f"{source}:{session}" if isinstance(session, str) else source
    return {**files, key: file} if isinstance(file, str) else files


_FILE_HEADER, _FILE_OF_FORK = ".session", ".branch"  # end the kinds of events in which an import says where it read
_TRACE = Projection(name="why", version=3, initial=_Trace(), step=_step)


class _Built:
    """A request built again, and what tells where each part of it came from."""

    def __init__(self, trace: _Trace, asked: _SentRequest, requests: Requests) -> None:
        self.trace, self.asked, self.view = trace, asked, asked.view
        self.request = requests.build(asked.view, asked.event.selection if asked.event is not None else None)
        self.default = requests.parts()
        self.by_id = {id(part.message): part for part in self.default}
        self.edits = {entry.edits: entry for entry in self.view.entries if entry.edits}

    def left_out(self) -> Iterator[RequestPart]:
        """Yield what a hook kept from the request."""
        if self.asked.event is None or self.asked.event.selection is None:
            return
        chosen = {id(message) for message in self.request.messages}
        for part in self.default:
            if id(part.message) not in chosen:
                yield self.message_part(part.message)

    def message_part(self, message: Message) -> RequestPart:
        """Describe a message of the request."""
        role, part = str(message.__struct_config__.tag), self.by_id.get(id(message))
        if part is None:
            return RequestPart(what="message", source="hook", seq=self.asked.seq, text=shown(message), role=role)
        if not part.seq:
            return RequestPart(what="message", source="completed", seq=0, text=shown(message), role=role)
        source, seq, detail = self._source(part.seq, message)
        entry = entry_of(self.view, part.seq) if source == "adopted" else None
        origin = entry.origin if entry is not None else None
        return RequestPart(
            what="message",
            source=source,
            seq=seq,
            text=shown(message),
            name=part.seq,
            role=role,
            detail=detail,
            origin=origin,
            file=self._file(origin) if origin is not None else "",
        )

    def _file(self, origin: Origin) -> str:
        """Return where something was imported from."""
        files = self.trace.files
        return files.get(f"{origin.source}:{origin.session}") or files.get(origin.source, "")

    def _source(self, name: int, message: Message) -> tuple[Source, int, str]:
        entry, edit = entry_of(self.view, name), self.edits.get(name)
        if edit is not None:
            return "edit", edit.seq, ""
        if entry is None:
            return "nobody", 0, ""
        trail = self.trace.trail
        place = trail.find(entry.source_seq, _seq)
        event = trail[place].event if place < len(trail) and trail[place].seq == entry.source_seq else None
        if entry.summary:
            return "compaction", name, event.child if isinstance(event, Compaction) else ""
        if entry.origin is not None:
            origin = entry.origin
            said = " ".join(filter(None, (origin.source, origin.session, origin.entry)))
            file = self._file(origin)
            return "adopted", name, f"{said} of {file}" if file else said
        if isinstance(message, AssistantMessage):
            return "answer", name, ""
        if isinstance(message, ToolResultMessage) and entry.call is not None:
            decided = event.decided if isinstance(event, ToolExecutionEnd) else "machine"
            at = f"{entry.call.message_seq}.{entry.call.content_index}"
            return "result", entry.source_seq, at if decided == "executed" else f"{at}, {decided}"
        kind = entry.message.kind if isinstance(entry.message, CustomMessage) else ""
        return event.queue if isinstance(event, QueuePush) else "nobody", entry.source_seq, kind


async def why(session: SessionHandle, seq: int, *, encode: Encode | None = None, limit: int | None = None) -> Why:
    """Explain why the model was sent what it was sent.

    Within a turn, from its `model_request` on, it is about that request, so at an answer's or a tool call's seq about
    the request that led to it; anywhere else about the one that would come next.

    Args:
        encode: makes the wire body, to check the recorded body's digest; see `Model.encode`.
        limit: tell of the last so many messages, and of so many changes, in 64 kB; the digests are those of all.

    Raises: UnknownSeqError.
    """
    limit = None if limit is None else max(limit, 0)
    info = await session.info()
    if not 1 <= seq <= info.head:
        raise UnknownSeqError(session.id, seq, info.head)
    _, state, trace = await load(session.log, session.id, context=_TRACE, upto=seq, info=info)
    [at] = await session.events(after=seq - 1, upto=seq, limit=1) or [trace.last or Recorded(seq, 0, AgentEnd())]
    asked, before = trace.about()
    requests, hashes = session.log.folds.beside(info, _step, lambda: (Requests(), PartHashes()))
    old = _Built(trace, before, requests) if before is not None else None
    built = _Built(trace, asked, requests.copy() if old is not None else requests)
    digest = request_sha256(built.request, hashes)
    recorded_sha256 = asked.event.request_sha256 if asked.event is not None else ""
    known = bool(recorded_sha256) and (digest == recorded_sha256 or not await _was_erased(session, trace, asked))
    most = _fitting(reversed(built.request.messages), limit)
    last = built.request.messages[len(built.request.messages) - most :]
    changes, more = _changes(old, built, limit) if old is not None else ((), 0)
    return Why(
        session=session.id,
        seq=seq,
        at_us=at.at_us,
        event=str(at.event.__struct_config__.tag),
        phase=state.phase.value,
        standing=standing_text(state),
        request=msgspec.structs.replace(built.request, messages=last),
        request_seq=asked.seq,
        request_sha256=digest,
        recorded_sha256=recorded_sha256,
        digest=_agrees(digest == recorded_sha256) if known else "unchecked",
        body=_body(asked.event, built.request, encode),
        parts=(*(item.part() for item in _config_items(built)), *map(built.message_part, last)),
        left_out=tuple(islice(built.left_out(), limit)),
        before_seq=before.seq if before is not None else 0,
        changes=changes,
        earlier=len(built.request.messages) - most,
        more_changes=more,
    )


def _fitting(found: Iterable[T], limit: int | None) -> int:
    """Count how many of what is found stand on a page: so many, within its bytes, and one at the least."""
    count = size = 0
    for one in islice(found, limit):
        size += len(msgspec.json.encode(one)) if limit is not None else 0
        if size > PAGE_BYTES and count:
            break
        count += 1
    return count


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
    provenance = Provenance()
    for recorded in trace.trail:
        provenance.feed(recorded)
    return provenance.has_erased(erased, asked.view, asked.seq, selection, config=asked.config)


class _Item(NamedTuple):
    """A part of a request as it is compared: what tells it from others (its name, or its content), and its content."""

    key: tuple[str, object]
    content: Callable[[], bytes]
    part: Callable[[], RequestPart]


def _items(built: _Built, same: set[int]) -> Iterator[_Item]:
    """Yield the parts of a request, but for some messages: those of both requests, which the context has built once."""
    yield from _config_items(built)
    for message in built.request.messages:
        if id(message) in same:
            continue
        named, content = built.by_id.get(id(message)), partial(msgspec.json.encode, message)
        key = named.seq if named is not None and named.seq else hashlib.sha256(content()).digest()
        yield _Item(("message", key), content, partial(built.message_part, message))


def _config_items(built: _Built) -> Iterator[_Item]:
    request = built.request
    options = from_json(request.options)
    described = [(tool.name, tool.description, tool.schema) for tool in request.tools]
    model = request.model
    texts: tuple[tuple[PartKind, str, object], ...] = (
        ("model", f"{model.provider}:{model.model}" if model.model else "", model),
        ("system_prompt", request.system_prompt, request.system_prompt),
        ("tools", ", ".join(tool.name for tool in request.tools), described),
        ("options", "" if options is None else bytes(request.options or b"").decode(), options),
    )
    for what, text, content in texts:
        seq = built.asked.config.get(what, 0)
        part = RequestPart(what=what, source="config" if seq else "nobody", seq=seq, text=text)
        yield _Item((what, ""), partial(msgspec.json.encode, content), partial(_itself, part))


def _itself(part: RequestPart) -> RequestPart:
    return part


def _changes(old: _Built, built: _Built, limit: int | None) -> tuple[tuple[Change, ...], int]:
    """Compare two requests. Returns: what stands on a page, and how many changes more there are."""
    same = {id(message) for message in old.request.messages} & {id(message) for message in built.request.messages}
    then = {item.key: item for item in _items(old, same)}
    found: list[Callable[[], Change]] = []
    for item in _items(built, same):
        was = then.pop(item.key, None)
        if was is None:
            found.append(partial(_added, item))
        elif was.content() != item.content():
            found.append(partial(_changed, was, item))
    names = {part.seq for part in built.default}
    found += [partial(_removed, was, built, names) for was in then.values()]
    page = tuple(change() for change in found[:limit])
    page = page[: _fitting(page, limit)]
    return page, len(found) - len(page)


def _added(item: _Item) -> Change:
    return Change(kind="added", part=item.part())


def _changed(was: _Item, item: _Item) -> Change:
    return Change(kind="changed", part=item.part(), before=was.part())


def _removed(was: _Item, built: _Built, names: set[int]) -> Change:
    """Find what took a part out of the request. `names`: of the messages that it holds without a hook."""
    part, view = was.part(), built.view
    source: Source = "hook"
    seq = built.asked.seq
    if part.name and part.name not in names:
        edit = built.edits.get(part.name)
        compacted = view.summary >= 0 and view.entries.find(part.name, lambda entry: entry.seq) < view.kept
        if compacted or edit is None:
            source, seq = "compaction", view.entries[view.summary].seq if view.summary >= 0 else 0
        else:
            source, seq = "edit", edit.seq
    return Change(kind="removed", part=msgspec.structs.replace(part, source=source, seq=seq, detail=""), before=part)


def _seq(recorded: Recorded) -> int:
    return recorded.seq
