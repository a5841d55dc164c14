"""When things happened: runs, turns, model calls with the time to their first token, tool calls."""

from __future__ import annotations

from typing import Literal, TypeAlias

import msgspec
from msgspec.structs import replace

from eventsource.envelope import Recorded
from eventsource.events import (
    AgentEnd,
    AgentStart,
    MessageEnd,
    MessageUpdate,
    ModelRequest,
    Retry,
    ToolExecutionEnd,
    ToolExecutionStart,
    TurnEnd,
    TurnStart,
    WaitEnd,
    WaitStart,
)

from .projection import AppendOnlyList, Projection

SpanKind: TypeAlias = Literal["run", "turn", "model", "tool", "wait"]


class Span(msgspec.Struct, frozen=True, kw_only=True):
    """Something that took time. `note` says how it ended, if not well; `first_token_us` counts from its start.

    `end_seq` and `ended_at_us` are None while it lasts, and for ever if a crash cut it off.
    """

    kind: SpanKind
    name: str
    start_seq: int
    started_at_us: int
    end_seq: int | None = None
    ended_at_us: int | None = None
    first_token_us: int | None = None
    note: str = ""

    @property
    def duration_us(self) -> int | None:
        """How long it took."""
        return None if self.ended_at_us is None else self.ended_at_us - self.started_at_us


class Timeline(msgspec.Struct, frozen=True, kw_only=True):
    """The facts that begin and end spans; of a message's updates only the first."""

    marks: AppendOnlyList[Recorded] = AppendOnlyList()
    awaits_token: bool = False


def _step(view: Timeline, recorded: Recorded) -> Timeline:
    event = recorded.event
    if isinstance(event, MessageUpdate):
        if not view.awaits_token:
            return view
        return Timeline(marks=view.marks.append(recorded), awaits_token=False)
    if isinstance(event, _MARKS):
        return Timeline(marks=view.marks.append(recorded), awaits_token=isinstance(event, ModelRequest))
    return view


def spans(view: Timeline) -> tuple[Span, ...]:
    """List the spans in the order in which they began."""
    open_spans = _Spans()
    turns = 0
    for recorded in view.marks:
        match recorded.event:
            case AgentStart(reason=reason):
                open_spans.begin("run", reason, "", recorded)
            case TurnStart():
                turns += 1
                open_spans.begin("turn", str(turns), "", recorded)
            case ModelRequest(attempt=attempt):
                open_spans.begin("model", f"attempt {attempt}", "", recorded)
            case ToolExecutionStart(refused=None) as start:
                open_spans.begin("tool", start.name, f"{start.message_seq}.{start.content_index}", recorded)
            case WaitStart(key=key):
                open_spans.begin("wait", key, key, recorded)
            case MessageUpdate():
                open_spans.token(recorded)
            case _:
                _end(open_spans, recorded)
    return tuple(open_spans.found)


def _end(open_spans: _Spans, recorded: Recorded) -> None:
    match recorded.event:
        case AgentEnd(reason=reason):
            open_spans.end("run", "", recorded, "" if reason == "stop" else reason)
        case TurnEnd():
            open_spans.end("turn", "", recorded)
        case Retry(cause=cause):
            open_spans.end("model", "", recorded, cause)
        case MessageEnd(interrupted=str()):
            open_spans.end("model", "", recorded, "interrupted")
        case MessageEnd(message=message) if message is not None:
            failed = message.stop_reason in ("error", "aborted")
            open_spans.end("model", "", recorded, (message.error or message.stop_reason) if failed else "")
        case ToolExecutionEnd() as done:
            note = "error" if done.is_error else ""
            open_spans.end("tool", f"{done.message_seq}.{done.content_index}", recorded, note)
        case WaitEnd(key=key, outcome=outcome):
            open_spans.end("wait", key, recorded, "" if outcome == "completed" else outcome)
        case _:
            pass


class _Spans:
    """The spans so far, and which of them are open."""

    def __init__(self) -> None:
        self.found: list[Span] = []
        self._open: dict[tuple[SpanKind, str], int] = {}

    def begin(self, kind: SpanKind, name: str, key: str, at: Recorded) -> None:
        self._open[kind, key] = len(self.found)
        self.found.append(Span(kind=kind, name=name, start_seq=at.seq, started_at_us=at.at_us))

    def end(self, kind: SpanKind, key: str, at: Recorded, note: str = "") -> None:
        place = self._open.pop((kind, key), None)
        if place is not None:
            self.found[place] = replace(self.found[place], end_seq=at.seq, ended_at_us=at.at_us, note=note)

    def token(self, at: Recorded) -> None:
        place = self._open.get(("model", ""))
        if place is not None:
            span = self.found[place]
            self.found[place] = replace(span, first_token_us=at.at_us - span.started_at_us)


_MARKS = (
    AgentStart,
    AgentEnd,
    TurnStart,
    TurnEnd,
    ModelRequest,
    Retry,
    MessageEnd,
    ToolExecutionStart,
    ToolExecutionEnd,
    WaitStart,
    WaitEnd,
)

TIMELINE = Projection(name="timeline", version=1, initial=Timeline(), step=_step)
