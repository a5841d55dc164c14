"""The message that ends an answer nobody will go on with."""

from __future__ import annotations

import pytest

from eventsource.envelope import Recorded
from eventsource.events import AbortRequest, Event, Label, MessageStart, MessageUpdate
from eventsource.machine.closing_message import closing_message, streamed_content
from eventsource.messages import AssistantMessage, TextContent, Usage

WHOLE = (TextContent(text="It is"),)


def test_only_updates_count_for_what_was_streamed() -> None:
    events: list[Event] = [
        MessageStart(role="assistant"),
        MessageUpdate(kind="text_start", content_index=0),
        Label(text="here"),
        MessageUpdate(kind="text_delta", content_index=0, delta="It is"),
    ]
    recorded = [Recorded(seq, 0, event) for seq, event in enumerate(events, 1)]
    assert streamed_content(recorded) == (TextContent(text="It is"),)


@pytest.mark.parametrize(
    ("how", "abort", "reason", "error"),
    [
        ("interrupted", None, "aborted", "The stream was interrupted"),
        ("interrupted", AbortRequest(error="x"), "aborted", "The stream was interrupted"),
        ("aborted", AbortRequest(), "aborted", "Request was aborted"),
        ("aborted", AbortRequest(reason="stop", cause="hook"), "aborted", "Request was aborted"),
        ("aborted", AbortRequest(reason="limit", error="too dear"), "aborted", "too dear"),
        ("aborted", AbortRequest(reason="error", error="the callback broke"), "error", "the callback broke"),
    ],
)
def test_a_message_nobody_goes_on_with_says_why_it_stops(
    how: object, abort: AbortRequest | None, reason: str, error: str
) -> None:
    assert how in ("interrupted", "aborted")
    used = Usage(input_tokens=3)
    made = closing_message(WHOLE, "interrupted" if how == "interrupted" else "aborted", abort, used)
    assert made == AssistantMessage(content=WHOLE, stop_reason=made.stop_reason, error=error, usage=used)
    assert made.stop_reason == reason
