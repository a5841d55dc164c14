"""Short histories that tests begin with: a run up to some point, and what could come next there."""

from __future__ import annotations

from collections.abc import Sequence

from eventsource.envelope import Recorded
from eventsource.events import (
    AgentStart,
    Event,
    MessageEnd,
    MessageStart,
    MessageUpdate,
    ModelRequest,
    Place,
    QueuePush,
    ToolExecutionEnd,
    ToolExecutionStart,
    ToolExecutionUpdate,
    TurnStart,
    WaitStart,
)
from eventsource.machine.evolve import fold
from eventsource.machine.state import State
from eventsource.messages import AssistantMessage, UserMessage
from tests.candidates import DONE, calling

PUSH = QueuePush(queue="prompt", message=UserMessage(content="Do I need a coat?"))
STEER = QueuePush(queue="steering", message=UserMessage(content="Quickly."))
INPUT, INPUT_END = MessageStart(role="input", push_seq=1), MessageEnd()
ASSISTANT = MessageStart(role="assistant")
OPENED: list[Event] = [PUSH, AgentStart(), TurnStart(), INPUT, INPUT_END]
REQUESTED: list[Event] = [*OPENED, ModelRequest(attempt=1, request_sha256="0" * 64)]
STREAMING: list[Event] = [*REQUESTED, ASSISTANT]
TEXT: list[Event] = [*STREAMING, MessageUpdate(kind="text_start", content_index=0)]
CALLED: list[Event] = [*STREAMING, MessageEnd(message=calling("read", "send"))]  # the calls are 8:1 and 8:2
SETTLED: list[Event] = [*STREAMING, MessageEnd(message=AssistantMessage())]
FAILED: list[Event] = [*STREAMING, MessageEnd(message=AssistantMessage(stop_reason="error"))]
START = ToolExecutionStart(message_seq=8, content_index=1, name="read")
REFUSED = ToolExecutionStart(message_seq=8, content_index=1, name="read", refused="skipped")
UPDATE = ToolExecutionUpdate(message_seq=8, content_index=1, partial=DONE)
END = ToolExecutionEnd(message_seq=8, content_index=1, result=DONE)
SETTLE = ToolExecutionEnd(message_seq=8, content_index=1, decided="machine", is_error=True)
FIRST, SECOND = Place(message_seq=8, content_index=1), Place(message_seq=8, content_index=2)
RESULT = MessageStart(role="tool_result", call=FIRST)
WAIT = WaitStart(key="w", call=FIRST)


def recorded(events: Sequence[Event]) -> list[Recorded]:
    """Put events into a session of their own."""
    return [Recorded(seq, 0, event) for seq, event in enumerate(events, 1)]


def state_of(history: Sequence[Event], *more: Event) -> State:
    """Fold a history and what comes after it."""
    return fold(recorded([*history, *more]))
