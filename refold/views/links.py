"""What led to an event, and what came of it: the seqs of other events of its session."""

from __future__ import annotations

from collections.abc import Iterator

from eventsource.envelope import Recorded
from eventsource.events import (
    ChildEnd,
    ChildStart,
    Compaction,
    ConfigChange,
    ContextEdit,
    Erase,
    Label,
    MessageAdopt,
    MessageEnd,
    MessageStart,
    MessageUpdate,
    ModelRequest,
    Place,
    QueuePush,
    StepEnd,
    StepStart,
    TaskEnd,
    TaskStart,
    ToolExecutionEnd,
    ToolExecutionStart,
    ToolExecutionUpdate,
    WaitEnd,
    WaitStart,
)
from eventsource.messages import AssistantMessage
from projections.context import entry_of

from .columns import OPEN, Columns
from .index import At

MOST = 50
"""Links of one event that are told."""


def caused_by(at: At, recorded: Recorded) -> int:
    """Return the seq of what led to an event; 0 where nothing of its session did."""
    event, columns = recorded.event, at.whole.columns
    match event:
        case MessageStart(role="input", push_seq=seq):
            return seq
        case MessageStart(call=call) if call is not None:
            return _row_seq(columns, columns.row_of_call(_key(call)))
        case MessageEnd(message=None):
            entry = entry_of(at.view, recorded.seq)
            return entry.source_seq if entry is not None and entry.source_seq != recorded.seq else 0
        case MessageStart() | MessageUpdate() | MessageEnd():
            return at.seen.trace.about()[0].seq
        case ToolExecutionStart(message_seq=seq) | ContextEdit(message_seq=seq):
            return seq
        case ToolExecutionUpdate() | ToolExecutionEnd():
            return _row_seq(columns, columns.row_of_call((event.message_seq, event.content_index)))
        case WaitEnd(push_seq=seq) if seq:
            return seq
        case WaitEnd() | ChildEnd() | StepEnd() | TaskEnd():
            return _row_seq(columns, columns.ended.get(recorded.seq))
        case WaitStart(call=call) | ChildStart(call=call) | MessageAdopt(call=call) if call is not None:
            return call.message_seq
        case Label(target_seq=seq) | Erase(target_seq=seq):
            return seq
        case _:
            return 0


def leads_to(at: At, recorded: Recorded) -> tuple[int, ...]:
    """List the seqs of what came of an event by now, in order."""
    return tuple(sorted({seq for seq in _leads_to(at.whole.columns, recorded) if seq > recorded.seq}))[:MOST]


def _leads_to(columns: Columns, recorded: Recorded) -> Iterator[int]:
    event, seq, calls = recorded.event, recorded.seq, columns.calls
    match event:
        case QueuePush():
            yield columns.delivered.get(seq, 0)
        case ModelRequest():
            place = calls.place(seq)
            yield calls.lasts[place] if place < len(calls) and calls.seqs[place] == seq else 0
        case MessageEnd(message=AssistantMessage() as message) | MessageAdopt(message=AssistantMessage() as message):
            for index in range(len(message.content)):
                yield _row_seq(columns, columns.row_of_call((seq, index)))
        case ToolExecutionStart() | ToolExecutionEnd():
            row = columns.row_of_call((event.message_seq, event.content_index))
            yield columns.lasts[row] if row is not None else 0
        case WaitStart() | ChildStart() | StepStart() | TaskStart():
            row = columns.row_at(seq)
            yield columns.lasts[row] if row is not None and not columns.flags[row] & OPEN else 0
        case MessageEnd() | MessageAdopt() | Compaction() | ContextEdit() | ConfigChange():
            place = calls.place(seq + 1)
            yield calls.seqs[place] if place < len(calls) else 0
        case _:
            return


def _row_seq(columns: Columns, row: int | None) -> int:
    return columns.seqs[row] if row is not None else 0


def _key(call: Place) -> tuple[int, int]:
    return call.message_seq, call.content_index
