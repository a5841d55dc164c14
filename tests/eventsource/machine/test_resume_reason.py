"""Why a run is taken up again: it waited, or its process broke off."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import msgspec
import pytest

from eventsource.envelope import Recorded
from eventsource.events import (
    AgentStart,
    Event,
    Fork,
    MessageEnd,
    MessageStart,
    ModelRequest,
    Place,
    QueuePush,
    TokenCreate,
    ToolExecutionEnd,
    ToolExecutionStart,
    ToolResult,
    TurnStart,
    WaitEnd,
    WaitStart,
)
from eventsource.machine.evolve import fold
from eventsource.machine.steps import resume_reason
from eventsource.messages import AssistantMessage, ToolCall, UserMessage

CALLS = AssistantMessage(content=(ToolCall(id="a", name="one"), ToolCall(id="b", name="two")), stop_reason="tool_use")
BEGUN: Sequence[Event] = (
    QueuePush(queue="prompt", message=UserMessage(content="Pay.")),
    AgentStart(),
    TurnStart(),
    MessageStart(role="input", push_seq=1),
    MessageEnd(),
    ModelRequest(attempt=1, request_sha256="0" * 64),
    MessageStart(role="assistant", streamed=False),
    MessageEnd(message=CALLS),
)
ASKED: Sequence[Event] = (
    TokenCreate(key="approval:8:0:x", tags=("approval",)),
    WaitStart(key="approval:8:0:x", reason="approval", call=Place(message_seq=8, content_index=0)),
)
YES = WaitEnd(key="approval:8:0:x", outcome="completed", value=msgspec.Raw(b'{"approve":true}'))
NO = WaitEnd(key="approval:8:0:x", outcome="completed", value=msgspec.Raw(b'{"approve":false}'))
OTHER = ToolExecutionStart(message_seq=8, content_index=1, name="two")
OTHER_END = ToolExecutionEnd(message_seq=8, content_index=1, result=ToolResult())
HELD = WaitStart(key="child:a", reason="child", call=Place(message_seq=8, content_index=0))
HELD_END = WaitEnd(key="child:a", outcome="completed", value=msgspec.Raw(b"1"))
FIRST = ToolExecutionStart(message_seq=8, content_index=0, name="one")


@pytest.mark.parametrize(
    ("after", "why"),
    [
        ((), "crash"),
        (ASKED, "wait"),
        ((*ASKED, YES), "wait"),
        ((*ASKED, OTHER, YES), "crash"),
        ((*ASKED, YES, FIRST), "crash"),
        ((*ASKED, OTHER, OTHER_END, YES), "wait"),
        ((FIRST, HELD, HELD_END), "wait"),
        ((*ASKED, OTHER, YES, OTHER_END), "wait"),
        ((OTHER, OTHER_END), "crash"),
        ((*ASKED, NO, Fork()), "wait"),
        ((*ASKED, YES, Fork()), "crash"),
    ],
    ids=[
        "no wait",
        "it waits",
        "it was decided",
        "another call ran",
        "the call itself ran",
        "another call had ended",
        "the call was answered",
        "another call ended",
        "nothing was decided",
        "a denial holds in a fork",
        "an approval holds in no fork",
    ],
)
def test_only_what_no_effect_was_under_way_in_is_taken_up_from_a_wait(
    after: Sequence[Event], why: Literal["wait", "crash"]
) -> None:
    events = (*BEGUN, *after)
    assert resume_reason(fold([Recorded(seq, seq, event) for seq, event in enumerate(events, 1)])) == why
