"""When things happened: runs, turns, model calls with the time to their first token, tool calls.

Of messages that came from elsewhere nobody measured anything here; their own times say when they were said, and so
about how long it took: a model from what it was told last to its answer, a tool from its call to its result.
"""

from __future__ import annotations

import sys
from array import array
from collections.abc import Iterator
from typing import Literal, TypeAlias

import msgspec

from eventsource.envelope import Recorded
from eventsource.events import (
    AgentEnd,
    AgentStart,
    MessageAdopt,
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
from eventsource.messages import AssistantMessage, ToolCall, ToolResultMessage, UserMessage

from .projection import AppendOnlyList, Projection

SpanKind: TypeAlias = Literal["run", "turn", "model", "tool", "wait"]
_KINDS: tuple[SpanKind, ...] = ("run", "turn", "model", "tool", "wait")
_WIDTH, _NEVER = 5, -(2**63)


class Span(msgspec.Struct, frozen=True, kw_only=True):
    """Something that took time. `note` says how it ended, if not well; `first_token_us` counts from its start.

    `end_seq` and `ended_at_us` are None while it lasts, and for ever if a crash cut it off. `measured`: it was recorded
    as it happened; else its times are those that messages from elsewhere came with.
    """

    kind: SpanKind
    name: str
    start_seq: int
    started_at_us: int
    end_seq: int | None = None
    ended_at_us: int | None = None
    first_token_us: int | None = None
    note: str = ""
    measured: bool = True

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
    reader = SpanReader()
    for recorded in view.marks:
        reader.feed(recorded)
    return tuple(reader)


class _Told:
    """What messages from elsewhere have told so far: their run, their calls without a result, and the last time."""

    def __init__(self) -> None:
        self.run: int | None = None
        self.answered = False
        self.calls: dict[tuple[int, int], int] = {}
        self.at_us: int | None = None


class SpanReader:
    """The spans of events that are fed one by one, in the order in which they began, kept in little room."""

    def __init__(self) -> None:
        self._kinds, self._names = bytearray(), list[str]()
        self._numbers = array("q")  # of each span: start seq, when, end seq, when, first token
        self._notes: dict[int, str] = {}
        self._unmeasured: set[int] = set()
        self._open: dict[tuple[SpanKind, str], int] = {}
        self._turns, self._awaits_token = 0, False
        self._told = _Told()

    def __len__(self) -> int:
        return len(self._kinds)

    def __iter__(self) -> Iterator[Span]:
        return map(self._span, range(len(self)))

    def feed(self, recorded: Recorded) -> None:
        """Take the next event."""
        event = recorded.event
        if isinstance(event, MessageUpdate):
            if self._awaits_token:
                self._token(recorded)
            return
        if isinstance(event, _MARKS):
            self._awaits_token = isinstance(event, ModelRequest)
        match event:
            case AgentStart(reason=reason):
                self._begin("run", reason, "", recorded)
            case TurnStart():
                self._turns += 1
                self._begin("turn", str(self._turns), "", recorded)
            case ModelRequest(attempt=attempt):
                self._begin("model", f"attempt {attempt}", "", recorded)
            case ToolExecutionStart(refused=None) as start:
                self._begin("tool", start.name, f"{start.message_seq}.{start.content_index}", recorded)
            case WaitStart(key=key):
                self._begin("wait", key, key, recorded)
            case MessageAdopt():
                self._adopted(event, recorded.seq, event.sent_at_us or recorded.at_us)
            case _:
                self._ended(recorded)

    def _adopted(self, event: MessageAdopt, seq: int, at_us: int) -> None:
        """Take a message from elsewhere: it ends what its time says that it ended."""
        told, message = self._told, event.message
        if isinstance(message, UserMessage):
            if told.run is None or told.answered:
                told.run, told.answered = len(self), False
                self._put("run", "prompt", seq, at_us)
        elif isinstance(message, AssistantMessage):
            if told.at_us is not None:
                failed = message.stop_reason in ("error", "aborted")
                self._put("model", message.model, seq, told.at_us)
                self._set_end(len(self) - 1, seq, at_us, (message.error or message.stop_reason) if failed else "")
            for index, block in enumerate(message.content):
                if isinstance(block, ToolCall):
                    told.calls[seq, index] = len(self)
                    self._put("tool", block.name, seq, at_us)
            told.answered = not message.tool_calls
        elif isinstance(message, ToolResultMessage) and event.call is not None:
            place = told.calls.pop((event.call.message_seq, event.call.content_index), None)
            if place is not None:
                self._set_end(place, seq, at_us, "error" if message.is_error else "")
        if told.run is not None and not isinstance(message, UserMessage):
            self._set_end(told.run, seq, at_us)
        told.at_us = at_us

    def _put(self, kind: SpanKind, name: str, seq: int, at_us: int) -> None:
        """Begin a span that nobody measured."""
        self._unmeasured.add(len(self))
        self._add(kind, name, seq, at_us)

    def _set_end(self, place: int, seq: int, at_us: int, note: str = "") -> None:
        self._numbers[place * _WIDTH + 2], self._numbers[place * _WIDTH + 3] = seq, at_us
        if note:
            self._notes[place] = note

    def _token(self, recorded: Recorded) -> None:
        self._awaits_token = False
        place = self._open.get(("model", ""))
        if place is not None:
            self._numbers[place * _WIDTH + 4] = recorded.at_us - self._numbers[place * _WIDTH + 1]

    def _ended(self, recorded: Recorded) -> None:
        match recorded.event:
            case AgentEnd(reason=reason):
                self._end("run", "", recorded, "" if reason == "stop" else reason)
            case TurnEnd():
                self._end("turn", "", recorded)
            case Retry(cause=cause):
                self._end("model", "", recorded, cause)
            case MessageEnd(interrupted=str()):
                self._end("model", "", recorded, "interrupted")
            case MessageEnd(message=message) if message is not None:
                failed = message.stop_reason in ("error", "aborted")
                self._end("model", "", recorded, (message.error or message.stop_reason) if failed else "")
            case ToolExecutionEnd() as done:
                note = "error" if done.is_error else ""
                self._end("tool", f"{done.message_seq}.{done.content_index}", recorded, note)
            case WaitEnd(key=key, outcome=outcome):
                self._end("wait", key, recorded, "" if outcome == "completed" else outcome)
            case _:
                pass

    def _begin(self, kind: SpanKind, name: str, key: str, at: Recorded) -> None:
        self._open[kind, key] = len(self)
        self._add(kind, name, at.seq, at.at_us)

    def _add(self, kind: SpanKind, name: str, seq: int, at_us: int) -> None:
        self._kinds.append(_KINDS.index(kind))
        self._names.append(sys.intern(name))
        self._numbers.extend((seq, at_us, _NEVER, _NEVER, _NEVER))

    def _end(self, kind: SpanKind, key: str, at: Recorded, note: str = "") -> None:
        place = self._open.pop((kind, key), None)
        if place is not None:
            self._set_end(place, at.seq, at.at_us, note)

    def _span(self, place: int) -> Span:
        start_seq, started_at_us, end_seq, ended_at_us, token = self._numbers[place * _WIDTH : (place + 1) * _WIDTH]
        return Span(
            kind=_KINDS[self._kinds[place]],
            name=self._names[place],
            start_seq=start_seq,
            started_at_us=started_at_us,
            end_seq=end_seq if end_seq != _NEVER else None,
            ended_at_us=ended_at_us if end_seq != _NEVER else None,
            first_token_us=token if token != _NEVER else None,
            note=self._notes.get(place, ""),
            measured=place not in self._unmeasured,
        )


_MARKS = (
    AgentStart,
    AgentEnd,
    TurnStart,
    TurnEnd,
    ModelRequest,
    Retry,
    MessageEnd,
    MessageAdopt,
    ToolExecutionStart,
    ToolExecutionEnd,
    WaitStart,
    WaitEnd,
)

TIMELINE = Projection(name="timeline", version=2, initial=Timeline(), step=_step)
