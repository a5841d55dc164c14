"""What a session is listed by, in columns: rows, model calls, and the seqs that are jumped to."""

from __future__ import annotations

import sys
from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterable
from typing import Any, Literal, TypeAlias, get_args

from eventsource.envelope import Recorded
from eventsource.events import (
    AbortRequest,
    AgentEnd,
    ChildEnd,
    ChildStart,
    Compaction,
    ConfigChange,
    ContextEdit,
    Custom,
    Erase,
    Event,
    Fork,
    Label,
    LoopContext,
    MessageAdopt,
    MessageEnd,
    MessageStart,
    MetadataSet,
    ModelRef,
    ModelRequest,
    QueueClear,
    QueuePush,
    Resume,
    Retry,
    StepEnd,
    StepStart,
    TaskEnd,
    TaskStart,
    TokenCreate,
    ToolExecutionEnd,
    ToolExecutionStart,
    ToolExecutionUpdate,
    TurnStart,
    WaitEnd,
    WaitStart,
)
from eventsource.message_text import role_of
from eventsource.messages import (
    AssistantMessage,
    CustomMessage,
    Message,
    ToolCall,
    ToolResultMessage,
    Usage,
    UserMessage,
)
from projections.timeline import SpanReader
from projections.tree import LABELS, Labels

RowKind: TypeAlias = Literal[
    "user", "assistant", "tool", "custom", "compaction", "edit", "config", "fork", "wait", "child", "task", "step",
    "abort", "retry", "resume", "token", "label", "note", "erase", "metadata", "loop", "end", "clear", "inbox",
]  # fmt: skip
ROW_KINDS: tuple[RowKind, ...] = get_args(RowKind)
ERROR, OPEN, ADOPTED, REFUSED, INTERRUPTED, HIDDEN, COMPACTED = 1, 2, 4, 8, 16, 32, 64
"""What a row's flags say: it failed, lasts still, came from elsewhere, was refused, was cut off; no model reads it."""
NONE = -1
"""Stands in a column where there is no such number."""
_CHARACTERS = 80
_NEAR = 64
"""So many rows back it is looked for one that goes on up to a seq; behind more than that, the nearest one counts."""
_Call: TypeAlias = tuple[int, int]


class Columns:
    """The rows of a session's list, its model calls and its neighbours, of facts that are fed one by one.

    A row begins at a seq and goes up to `lasts`; only tool calls that ran side by side, waits, children, steps and
    tasks overlap others. `names`: of the message that a row shows, 0 without one. `touches`: which rows each fact has
    begun or changed. A row's number never changes.
    """

    def __init__(self) -> None:
        self.taken = 0
        self.seqs, self.lasts, self.names = array("q"), array("q"), array("q")
        self.kinds, self.whos, self.flags = bytearray(), array("i"), array("H")
        self.at_us, self.durations_us, self.tokens = array("q"), array("q"), array("q")
        self.who_names: list[str] = []
        self.texts: dict[int, str] = {}  # of rows that show no message
        self.places: dict[int, _Call] = {}  # of rows that show a call, or wait for one
        self.touches: list[tuple[int, int]] = []  # (seq of the fact, row)
        self.ended: dict[int, int] = {}  # seq of the end of a wait, child, step or task -> its row
        self.delivered: dict[int, int] = {}  # seq of a push -> that of the message's start that delivered it
        self.unanswered: dict[int, dict[int, str]] = {}  # by name: adopted calls without a result, their tools by place
        self.kept_seq = 0
        self.labels: Labels = LABELS.initial
        self.ended_waits: dict[str, int] = {}  # by key, the seq that ended it last
        self.spans = SpanReader()
        self.calls = ModelCalls()
        self.marks = Marks()
        self._who_numbers: dict[str, int] = {}
        self._pushes: dict[int, tuple[str, str]] = {}
        self._by_name: dict[int, int] = {}
        self._calls: dict[_Call, int] = {}
        self._open: dict[tuple[RowKind, str], int] = {}
        self._model: ModelRef | None = None
        self._message: int | None = None  # the row of the message that is open

    def __len__(self) -> int:
        return len(self.seqs)

    def feed(self, recorded: Recorded) -> None:
        """Take the next fact."""
        self.taken = recorded.seq
        self.spans.feed(recorded)
        handler = _FEEDS.get(type(recorded.event))
        if handler is not None:
            handler(self, recorded, recorded.event)

    def flags_of(self, row: int) -> int:
        """Return a row's flags, with what a compaction has done to the message that it shows."""
        name = self.names[row]
        compacted = name and name < self.kept_seq and ROW_KINDS[self.kinds[row]] != "compaction"
        return self.flags[row] | (COMPACTED if compacted else 0)

    def row_at(self, seq: int, event: Event | None = None) -> int | None:
        """Find the row that an event at a seq belongs to: of a call its own, else the last that has begun by then."""
        place = _place_of(event)
        named = self._by_name.get(seq) if place is None else self._calls.get(place)
        if named is not None:
            return named
        if not self.seqs:
            return None
        nearest = max(bisect_right(self.seqs, seq) - 1, 0)
        for row in range(nearest, max(nearest - _NEAR, -1), -1):
            lasts_still = bool(self.flags[row] & OPEN) and ROW_KINDS[self.kinds[row]] == "assistant"
            if self.seqs[row] <= seq and (seq <= self.lasts[row] or lasts_still):
                return row
        return nearest

    def row_of_call(self, place: _Call) -> int | None:
        """Find the row of a call that was begun."""
        return self._calls.get(place)

    def row_named(self, name: int) -> int | None:
        """Find the row that shows a message."""
        return self._by_name.get(name)

    def touched_after(self, seq: int) -> list[int]:
        """List the rows that facts behind a seq have begun or changed, in order."""
        return sorted({row for _, row in self.touches[bisect_right(self.touches, (seq, sys.maxsize)) :]})

    def begin(self, kind: RowKind, who: str, at: Recorded, text: str = "", flags: int = 0) -> int:
        """Begin a row."""
        row = len(self.seqs)
        self.seqs.append(at.seq)
        self.lasts.append(at.seq)
        self.names.append(0)
        self.kinds.append(ROW_KINDS.index(kind))
        self.whos.append(self._who(who))
        self.flags.append(flags)
        self.at_us.append(at.at_us)
        self.durations_us.append(NONE)
        self.tokens.append(0)
        if text:
            self.texts[row] = text[:_CHARACTERS]
        self.touches.append((at.seq, row))
        if flags & ERROR:
            self.marks.error(at.seq)
        return row

    def end(self, row: int, at: Recorded, flags: int = 0, *, timed: bool = True) -> None:
        """End a row, or let it go on to a seq."""
        self.lasts[row] = at.seq
        self.flags[row] = (self.flags[row] & ~OPEN) | flags
        if timed:
            self.durations_us[row] = max(at.at_us - self.at_us[row], 0)
        if flags & ERROR:
            self.marks.error(at.seq)
        self.touches.append((at.seq, row))

    def open(self, kind: RowKind, key: str, who: str, at: Recorded, text: str = "") -> int:
        """Begin a row that lasts until what has its key ends."""
        row = self._open[kind, key] = self.begin(kind, who, at, text, OPEN)
        return row

    def close(self, kind: RowKind, key: str, at: Recorded, flags: int = 0) -> None:
        """End the row of a key, if there is one."""
        row = self._open.pop((kind, key), None)
        if row is not None:
            self.ended[at.seq] = row
            self.end(row, at, flags)

    def show(self, row: int, name: int) -> None:
        """Record which message a row shows."""
        self.names[row] = name
        self._by_name[name] = row

    def _who(self, who: str) -> int:
        number = self._who_numbers.get(who)
        if number is None:
            number = self._who_numbers[who] = len(self.who_names)
            self.who_names.append(who)
        return number

    def _push(self, at: Recorded, event: QueuePush) -> None:
        if event.queue == "inbox":
            self.begin("inbox", event.queue, at)
        self._pushes[at.seq] = (_other_than_person(event.message), event.queue)

    def _request(self, at: Recorded, event: ModelRequest) -> None:
        self._cut_off(at)
        model = self._model.model if self._model is not None else ""
        self.open("assistant", "", model, at)
        self.calls.asked(at, model)

    def _cut_off(self, at: Recorded) -> None:
        """End a model call that nothing came of."""
        row = self._open.pop(("assistant", ""), None)
        if row is not None:
            self.end(row, at, INTERRUPTED, timed=False)
            self.lasts[row] = at.seq - 1

    def _start(self, at: Recorded, event: MessageStart) -> None:
        if event.role == "input":
            custom, queue = self._pushes.pop(event.push_seq, ("", "prompt"))
            self.delivered[event.push_seq] = at.seq
            self._message = self.begin("custom" if custom else "user", custom or queue, at)
            if not custom:
                self.marks.prompts.append(at.seq)
        elif event.role == "assistant":
            if ("assistant", "") not in self._open:
                self.open("assistant", "", event.model or (self._model.model if self._model is not None else ""), at)
                self.calls.asked(at, event.model)
            self.calls.began(at)
        elif event.call is not None:
            self._message = self._calls.get((event.call.message_seq, event.call.content_index))

    def _end(self, at: Recorded, event: MessageEnd) -> None:
        if event.message is None:
            row, self._message = self._message, None
            if row is not None:
                self.show(row, at.seq)
                self.end(row, at, timed=False)
            return
        row = self._open.pop(("assistant", ""), None)
        if row is None:
            row = self.begin("assistant", event.message.model, at)
            self.calls.asked(at, event.message.model)
        failed = event.message.stop_reason in ("error", "aborted")
        cut = INTERRUPTED if event.interrupted is not None else 0
        self.show(row, at.seq)
        self.end(row, at, cut | (ERROR if failed and not cut else 0))
        self._answered(row, at.seq, event.message)
        self.calls.ended(at, event.message.usage)

    def _answered(self, row: int, seq: int, message: AssistantMessage) -> None:
        if message.usage is not None:
            self.tokens[row] = message.usage.total_tokens
        if message.model:
            self.whos[row] = self._who(message.model)

    def _tool_start(self, at: Recorded, event: ToolExecutionStart) -> None:
        key = (event.message_seq, event.content_index)
        self._answer(at, key)
        row = self._calls.get(key)
        if row is None:
            row = self._calls[key] = self.begin("tool", event.name, at)
            self.places[row] = key
            self.marks.tool(event.name, at.seq)
        if event.refused is not None:
            self.end(row, at, REFUSED, timed=False)
        else:
            self.flags[row] |= OPEN
            self.at_us[row] = at.at_us

    def _tool_end(self, at: Recorded, event: ToolExecutionEnd) -> None:
        row = self._calls.get((event.message_seq, event.content_index))
        if row is not None:
            ran = bool(self.flags[row] & OPEN)
            adopted = ADOPTED if event.decided == "adopted" else 0
            self.end(row, at, adopted | (ERROR if event.is_error else 0), timed=ran)

    def _adopt(self, at: Recorded, event: MessageAdopt) -> None:
        message = event.message
        said = Recorded(at.seq, event.sent_at_us or at.at_us, event)
        failed = _failed(message)
        flags = ADOPTED | (ERROR if failed else 0)
        match message:
            case UserMessage() if other := _other_than_person(message):
                row = self.begin("custom", other, said, flags=flags)
            case UserMessage():
                row = self.begin("user", event.origin.source, said, flags=flags)
                self.marks.prompts.append(at.seq)
            case AssistantMessage():
                row = self.begin("assistant", message.model, said, flags=flags)
                self._answered(row, at.seq, message)
                self.calls.adopted(said, message)
                calls = {place: one.name for place, one in enumerate(message.content) if isinstance(one, ToolCall)}
                if calls and not failed:
                    self.unanswered[at.seq] = calls
            case ToolResultMessage():
                row = self.begin("tool", message.tool_name, said, flags=flags)
                self.marks.tool(message.tool_name, at.seq)
                if event.call is not None:
                    self.places[row] = key = (event.call.message_seq, event.call.content_index)
                    self._calls.setdefault(key, row)
                    self._answer(at, key)
            case CustomMessage():
                row = self.begin("custom", message.kind, said, flags=flags)
        self.show(row, at.seq)

    def _answer(self, at: Recorded, call: _Call) -> None:
        """Take that an adopted call has a result, or is made here: the row of its answer says so no more."""
        name, place = call
        calls = self.unanswered.get(name, {})
        if calls.pop(place, None) is not None:
            self.touches.append((at.seq, self._by_name[name]))
        if not calls:
            self.unanswered.pop(name, None)

    def _compaction(self, at: Recorded, event: Compaction) -> None:
        row = self.begin("compaction", "", at)
        self.show(row, at.seq)
        self.kept_seq = event.first_kept_seq or at.seq
        self.marks.compactions.append(at.seq)

    def _edit(self, at: Recorded, event: ContextEdit) -> None:
        what = "replaces" if event.replacement is not None else "hides"
        self.begin("edit", "", at, f"{what} {event.message_seq}")
        self.marks.compactions.append(at.seq)
        shown = self._by_name.get(event.message_seq)
        if shown is not None:
            self.flags[shown] = (self.flags[shown] & ~HIDDEN) | (HIDDEN if event.replacement is None else 0)
            self.touches.append((at.seq, shown))

    def _config(self, at: Recorded, event: ConfigChange) -> None:
        self._model = event.model or self._model
        changed = [name for name in ("model", "system_prompt", "tools", "policies") if getattr(event, name) is not None]
        changed += ["options"] if event.options else []
        self.begin("config", "", at, ", ".join(name.replace("_", " ") for name in changed))

    def _fork(self, at: Recorded, event: Fork) -> None:
        lost = [key for key in self._open if key[0] in ("wait", "child")]  # these are the parent's
        for key in lost:
            self.end(self._open.pop(key), at, INTERRUPTED, timed=False)
        self.begin("fork", "", at)

    def _turn(self, at: Recorded, event: TurnStart) -> None:
        self.marks.turns.append(at.seq)

    def _retry(self, at: Recorded, event: Retry) -> None:
        row = self._open.pop(("assistant", ""), None)
        if row is not None:
            self.end(row, at, ERROR)
        self.calls.ended(at, event.usage)
        self.begin("retry", "", at, event.cause)

    def _agent_end(self, at: Recorded, event: AgentEnd) -> None:
        if event.reason != "stop":
            self.begin("end", event.reason, at, event.error, ERROR if event.reason == "error" else 0)

    def _wait_start(self, at: Recorded, event: WaitStart) -> None:
        row = self.open("wait", event.key, event.reason, at, event.key)
        if event.call is not None:
            self.places[row] = (event.call.message_seq, event.call.content_index)

    def _wait_end(self, at: Recorded, event: WaitEnd) -> None:
        self.close("wait", event.key, at)
        self.ended_waits[event.key] = at.seq

    def _child_start(self, at: Recorded, event: ChildStart) -> None:
        self.open("child", event.key, event.child, at, event.key)

    def _child_end(self, at: Recorded, event: ChildEnd) -> None:
        self.close("child", event.key, at, ERROR if event.is_error else 0)

    def _task_start(self, at: Recorded, event: TaskStart) -> None:
        if ("task", "") not in self._open:
            self.open("task", "", event.task, at)

    def _task_end(self, at: Recorded, event: TaskEnd) -> None:
        self.close("task", "", at, ERROR if event.error and not event.cancelled else 0)

    def _step_start(self, at: Recorded, event: StepStart) -> None:
        self._open.pop(("step", event.key), None)
        self.open("step", event.key, "", at, event.key)

    def _step_end(self, at: Recorded, event: StepEnd) -> None:
        self.close("step", event.key, at, ERROR if event.error else 0)

    def _label(self, at: Recorded, event: Label) -> None:
        self.labels = LABELS.step(self.labels, at)
        self._note(at, event)

    def _note(self, at: Recorded, event: Event) -> None:
        kind, who, text = _said(event)
        self.begin(kind, who, at, text)


class ModelCalls:
    """Each model call: when it was asked and answered, and what it used; `begun`: the seq of its answer's start."""

    def __init__(self) -> None:
        self.seqs, self.begun, self.lasts = array("q"), array("q"), array("q")
        self.at_us, self.begun_us, self.ended_us = array("q"), array("q"), array("q")
        self.first_token_us = array("q")  # from the request on; filled in by whoever has read the first update
        self.first_token_read = bytearray()  # 1 where that was read, though there may have been none
        self.usages: list[Usage | None] = []
        self.models: list[str] = []

    def __len__(self) -> int:
        return len(self.seqs)

    def asked(self, at: Recorded, model: str) -> None:
        """Take a request."""
        for column in (self.begun, self.lasts, self.begun_us, self.ended_us, self.first_token_us):
            column.append(NONE)
        self.first_token_read.append(0)
        self.seqs.append(at.seq)
        self.at_us.append(at.at_us)
        self.usages.append(None)
        self.models.append(sys.intern(model))

    def began(self, at: Recorded) -> None:
        """Take the beginning of the answer."""
        if len(self) and self.begun[-1] == NONE:
            self.begun[-1], self.begun_us[-1] = at.seq, at.at_us

    def ended(self, at: Recorded, usage: Usage | None) -> None:
        """Take the end of the answer, or of the attempt."""
        if len(self) and self.lasts[-1] == NONE:
            self.lasts[-1], self.ended_us[-1], self.usages[-1] = at.seq, at.at_us, usage

    def adopted(self, said: Recorded, message: AssistantMessage) -> None:
        """Take an answer that came from elsewhere: nobody saw here when it was asked for."""
        self.asked(said, message.model)
        self.lasts[-1], self.usages[-1] = said.seq, message.usage

    def place(self, seq: int) -> int:
        """Return the place of the first call that was asked at a seq or later."""
        return bisect_left(self.seqs, seq)


class Marks:
    """The seqs that a reader jumps to, in order."""

    def __init__(self) -> None:
        self.turns, self.prompts, self.errors, self.compactions = (array("q") for _ in range(4))
        self.tools: dict[str, array[int]] = {}

    def error(self, seq: int) -> None:
        """Take a failure."""
        if not self.errors or self.errors[-1] != seq:
            self.errors.append(seq)

    def tool(self, name: str, seq: int) -> None:
        """Take a call of a tool, or a result from elsewhere."""
        self.tools.setdefault(name, array("q")).append(seq)


def before_and_after(seqs: array[int] | list[int], seq: int) -> tuple[int, int]:
    """Return the nearest of some seqs before and behind one; 0 where there is none."""
    at = bisect_left(seqs, seq)
    behind = bisect_right(seqs, seq)
    return seqs[at - 1] if at else 0, seqs[behind] if behind < len(seqs) else 0


def fed(facts: Iterable[Recorded]) -> Columns:
    """Make the columns of a session's facts."""
    columns = Columns()
    for recorded in facts:
        columns.feed(recorded)
    return columns


def _place_of(event: Event | None) -> _Call | None:
    match event:
        case ToolExecutionStart() | ToolExecutionUpdate() | ToolExecutionEnd():
            return event.message_seq, event.content_index
        case MessageStart(call=call) if call is not None:
            return call.message_seq, call.content_index
        case _:
            return None


def _other_than_person(message: Message) -> str:
    """Return in whose name an input was said, or of which kind it is; empty for a person's."""
    if isinstance(message, CustomMessage):
        return message.kind
    role = role_of(message) if isinstance(message, UserMessage) else ""
    return role if role != UserMessage.role else ""


def _failed(message: Message) -> bool:
    match message:
        case AssistantMessage(stop_reason=reason):
            return reason in ("error", "aborted")
        case ToolResultMessage(is_error=is_error):
            return is_error
        case _:
            return False


def _said(event: Event) -> tuple[RowKind, str, str]:
    """Return the kind of row of an event that stands alone, whose it is, and its words."""
    match event:
        case AbortRequest(cause=cause, reason=reason, error=error):
            return "abort", cause, error or reason
        case Resume(why=why, problem=problem):
            return "resume", why, problem
        case TokenCreate(key=key):
            return "token", "", key
        case Label(text=text):
            return "label", "", text
        case Erase(target_seq=seq):
            return "erase", "", str(seq)
        case QueueClear(queue=queue):
            return "clear", queue, ""
        case MetadataSet(name=name):
            return "metadata", "", name
        case LoopContext(key=key):
            return "loop", "", key
        case Custom(kind=kind):
            return "note", kind, ""
        case _:
            return "note", "", ""


_FEEDS: dict[type, Callable[[Columns, Recorded, Any], None]] = {
    QueuePush: Columns._push,
    ModelRequest: Columns._request,
    MessageStart: Columns._start,
    MessageEnd: Columns._end,
    ToolExecutionStart: Columns._tool_start,
    ToolExecutionEnd: Columns._tool_end,
    MessageAdopt: Columns._adopt,
    Compaction: Columns._compaction,
    ContextEdit: Columns._edit,
    ConfigChange: Columns._config,
    Fork: Columns._fork,
    TurnStart: Columns._turn,
    Retry: Columns._retry,
    AgentEnd: Columns._agent_end,
    WaitStart: Columns._wait_start,
    WaitEnd: Columns._wait_end,
    ChildStart: Columns._child_start,
    ChildEnd: Columns._child_end,
    TaskStart: Columns._task_start,
    TaskEnd: Columns._task_end,
    StepStart: Columns._step_start,
    StepEnd: Columns._step_end,
    Label: Columns._label,
    **dict.fromkeys(
        (AbortRequest, Resume, TokenCreate, Erase, QueueClear, MetadataSet, LoopContext, Custom), Columns._note
    ),
}
"""What each fact does to the columns; those that are not here begin no row: they belong to the one before."""
