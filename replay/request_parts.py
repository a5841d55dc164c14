"""Where the parts of a request come from: the event that put each of them there, or took it out."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Literal, TypeAlias

import msgspec

from eventsource.codec import from_json, read_object
from eventsource.envelope import Recorded
from eventsource.events import (
    AgentEnd,
    Compaction,
    ConfigChange,
    Custom,
    MessageAdopt,
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
from eventsource.messages import AssistantMessage, CustomMessage, Message, ToolResultMessage, UserMessage
from eventsource.request import Request
from projections.context import CONTEXT, ContextView, edits_in_force, entry_of
from projections.pairing import ContextMessage
from projections.projection import AppendOnlyList, Projection
from projections.transcript import text_of

from .provenance import config_seqs

PartKind: TypeAlias = Literal["model", "system_prompt", "tools", "options", "message"]
Source: TypeAlias = Literal[
    "nobody", "config", "prompt", "steering", "follow_up", "inbox", "output", "answer", "result", "adopted",
    "compaction", "edit", "hook", "completed",
]  # fmt: skip
"""Who put a part there. `completed`: the result of a call that never got one. `nobody`: it was never set."""


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


class SentRequest(msgspec.Struct, frozen=True):
    """A request: what was known when it was made, and the event if it was.

    `seq`: of the event, 0 of the one that would come next. Until a model was asked here, an answer that was adopted has
    a request too, at the answer's seq and without an event: what was sent elsewhere is not on record, but what had been
    said by then is.
    """

    view: ContextView
    config: Mapping[str, int]
    seq: int
    event: ModelRequest | None


class Trace(msgspec.Struct, frozen=True):
    """A session up to a seq, and where everything in its requests came from.

    `config`: who set each part of the configuration. `trail`: events that hold content, and the starts of calls.
    `asked`: the last two requests. `last`: the last fact. `files`: what was imported from, by
    format; of a fork, by its session too.
    """

    view: ContextView = CONTEXT.initial
    config: Mapping[str, int] = {}
    trail: AppendOnlyList[Recorded] = AppendOnlyList()
    asked: tuple[SentRequest, ...] = ()
    in_turn: bool = False
    last: Recorded | None = None
    files: Mapping[str, str] = {}

    def about(self) -> tuple[SentRequest, SentRequest | None]:
        """Return the request that the last event belongs to, or else the next one, and the request before it."""
        if self.in_turn:
            return self.asked[-1], self.asked[0] if len(self.asked) > 1 else None
        return SentRequest(self.view, self.config, 0, None), self.asked[-1] if self.asked else None


def _step(trace: Trace, recorded: Recorded) -> Trace:
    event, config, trail, asked, in_turn = recorded.event, trace.config, trace.trail, trace.asked, trace.in_turn
    files = trace.files
    match event:
        case ModelRequest():
            asked = (*asked[-1:], SentRequest(trace.view, config, recorded.seq, event))
            in_turn = True
        case MessageAdopt(message=AssistantMessage()) if not any(one.event is not None for one in asked):
            asked = (*asked[-1:], SentRequest(trace.view, config, recorded.seq, None))
            in_turn = True
        case TurnStart() | TurnEnd() | AgentEnd() | Retry() | MessageAdopt(message=UserMessage()):
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
    return Trace(CONTEXT.step(trace.view, recorded), config, trail, asked, in_turn, recorded, files)


def _with_file(files: Mapping[str, str], source: str, said: Mapping[str, object]) -> Mapping[str, str]:
    """Add where an import read: that of a fork tells of which session."""
    file, session = said.get("file"), said.get("session")
    key = f"{source}:{session}" if isinstance(session, str) else source
    return {**files, key: file} if isinstance(file, str) else files


_FILE_HEADER, _FILE_OF_FORK = ".session", ".branch"  # end the kinds of events in which an import says where it read
TRACE = Projection(name="why", version=4, initial=Trace(), step=_step)


class PartSources:
    """Tells, of a request and what was known when it was made, who put each part there.

    `characters`: how much of a message's text is shown; by default all of it.
    """

    def __init__(self, trace: Trace, asked: SentRequest, characters: int | None = None) -> None:
        self._trace, self._asked, self._view = trace, asked, asked.view
        self._characters = characters
        self._edits = edits_in_force(asked.view)

    def config_parts(self, request: Request) -> Iterator[tuple[RequestPart, object]]:
        """Yield the parts that are no messages, each with what is compared of it."""
        options, model = from_json(request.options), request.model
        described = [(tool.name, tool.description, tool.schema) for tool in request.tools]
        texts: tuple[tuple[PartKind, str, object], ...] = (
            ("model", f"{model.provider}:{model.model}" if model.model else "", model),
            ("system_prompt", request.system_prompt, request.system_prompt),
            ("tools", ", ".join(tool.name for tool in request.tools), described),
            ("options", "" if options is None else bytes(request.options or b"").decode(), options),
        )
        for what, text, content in texts:
            seq = self._asked.config.get(what, 0)
            yield RequestPart(what=what, source="config" if seq else "nobody", seq=seq, text=text), content

    def inserted(self, message: Message) -> RequestPart:
        """Describe a message that a hook put in."""
        return self._part(message, "hook", self._asked.seq)

    def of(self, part: ContextMessage) -> RequestPart:
        """Describe a message of the context, as it is sent."""
        if not part.seq:
            return self._part(part.message, "completed", 0)
        source, seq, detail = self._source(part.seq, part.message)
        described = self._part(part.message, source, seq)
        entry = entry_of(self._view, part.seq) if source == "adopted" else None
        origin = entry.origin if entry is not None else None
        file = self._file(origin) if origin is not None else ""
        return msgspec.structs.replace(described, name=part.seq, detail=detail, origin=origin, file=file)

    def took_out(self, name: int) -> tuple[Source, int]:
        """Find what keeps a message of the history from the request, if no hook does: its kind and its seq."""
        view = self._view
        edit = self._edits.get(name)
        compacted = view.summary >= 0 and view.entries.find(name, lambda entry: entry.seq) < view.kept
        if compacted or edit is None:
            return "compaction", view.entries[view.summary].seq if view.summary >= 0 else 0
        return "edit", edit.seq

    def _part(self, message: Message, source: Source, seq: int) -> RequestPart:
        role, text = str(message.__struct_config__.tag), shown(message, self._characters)
        return RequestPart(what="message", source=source, seq=seq, text=text, role=role)

    def _file(self, origin: Origin) -> str:
        """Return where something was imported from."""
        files = self._trace.files
        return files.get(f"{origin.source}:{origin.session}") or files.get(origin.source, "")

    def _source(self, name: int, message: Message) -> tuple[Source, int, str]:
        entry, edit = entry_of(self._view, name), self._edits.get(name)
        if edit is not None:
            return "edit", edit.seq, ""
        if entry is None:
            return "nobody", 0, ""
        trail = self._trace.trail
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


def shown(message: Message, most: int | None = None) -> str:
    """Write a message in one line, of so many characters at the most."""
    text = _line(text_of(message), most)
    if isinstance(message, AssistantMessage):
        calls = [f"calls {call.name}({_cut(call.arguments, most)})" for call in message.tool_calls]
        text = "; ".join(filter(None, (text, *calls)))
    return text if most is None or len(text) <= most else f"{text[: most - 1]}…"


def _line(text: str, most: int | None) -> str:
    """Put a text on one line; of one that is to be cut, no more is looked at than may be needed."""
    return " ".join(_cut(text, most).split())


def _cut(text: str, most: int | None) -> str:
    return text if most is None else text[: 4 * most]


def _seq(recorded: Recorded) -> int:
    return recorded.seq
