"""A run to look at: two turns, a call that failed and one that was refused, a retry, and a message from elsewhere."""

from __future__ import annotations

import pytest

from eventsource.codec import to_json
from eventsource.envelope import Recorded
from eventsource.events import (
    AgentEnd,
    AgentStart,
    ConfigChange,
    ContextEdit,
    Event,
    Label,
    MessageAdopt,
    MessageEnd,
    MessageStart,
    MessageUpdate,
    ModelRef,
    ModelRequest,
    Origin,
    Place,
    QueuePush,
    Retry,
    ToolExecutionEnd,
    ToolExecutionStart,
    ToolResult,
    TurnEnd,
    TurnStart,
)
from eventsource.messages import (
    AssistantMessage,
    CustomMessage,
    TextContent,
    ThinkingContent,
    ToolCall,
    Usage,
    UserMessage,
)

ELSEWHERE = Origin(source="test")
FAILED = AssistantMessage(stop_reason="error", error="overloaded", usage=Usage(input_tokens=1))
ASKING = AssistantMessage(
    content=(
        ThinkingContent(thinking="Which coat?"),
        ToolCall(id="a", name="weather", arguments='{"city":"Oslo"}'),
        ToolCall(id="b", name="wardrobe"),
    ),
    stop_reason="tool_use",
    usage=Usage(input_tokens=10, output_tokens=5, cost_microusd=100),
)
ANSWER = AssistantMessage(
    content=(TextContent(text="Take the warm coat."),), usage=Usage(input_tokens=20), model="other"
)
NOTE = CustomMessage(kind="custom", body=to_json({"content": "It is winter."}))


def place(index: int) -> Place:
    return Place(message_seq=15, content_index=index)


EVENTS: tuple[Event, ...] = (
    ConfigChange(model=ModelRef(api="scripted", provider="p", model="m")),
    MessageAdopt(message=NOTE, origin=ELSEWHERE, sent_at_us=5),
    QueuePush(queue="prompt", message=UserMessage(content="Do I need a coat?")),
    AgentStart(),
    TurnStart(),
    MessageStart(role="input", push_seq=3),
    MessageEnd(),
    ModelRequest(attempt=1, request_sha256=""),
    MessageStart(role="assistant"),
    MessageEnd(message=FAILED),
    Retry(cause="overloaded"),
    ModelRequest(attempt=2, request_sha256=""),
    MessageStart(role="assistant"),
    MessageUpdate(kind="thinking_start", content_index=0),
    MessageEnd(message=ASKING),
    ToolExecutionStart(message_seq=15, content_index=1, name="weather", arguments='{"city":"OSLO"}'),
    ToolExecutionStart(message_seq=15, content_index=2, name="wardrobe", refused="unknown"),
    ToolExecutionEnd(message_seq=15, content_index=2, is_error=True, decided="machine"),
    ToolExecutionEnd(message_seq=15, content_index=1, result=ToolResult(content=(TextContent(text="-5 C"),))),
    MessageStart(role="tool_result", call=place(1)),
    MessageEnd(),
    MessageStart(role="tool_result", call=place(2)),
    MessageEnd(),
    TurnEnd(),
    TurnStart(),
    ModelRequest(attempt=1, request_sha256=""),
    MessageStart(role="assistant"),
    MessageEnd(message=ANSWER),
    TurnEnd(),
    AgentEnd(),
    Label(text="asked", target_seq=7),
    ContextEdit(message_seq=7),
)


@pytest.fixture
def run() -> tuple[Recorded, ...]:
    """Give the run; each event is one second after the one before it."""
    return tuple(Recorded(seq, seq * 1_000_000, event) for seq, event in enumerate(EVENTS, 1))
