"""When things happened."""

from __future__ import annotations

from eventsource.envelope import Recorded
from eventsource.events import MessageAdopt, MessageUpdate, Origin, Place, WaitEnd, WaitStart
from eventsource.messages import AssistantMessage, Message, TextContent, ToolCall, ToolResultMessage, UserMessage
from projections import TIMELINE, project, spans


def test_spans_say_when_they_began_and_ended_and_how(run: tuple[Recorded, ...]) -> None:
    found = [(one.kind, one.name, one.start_seq, one.end_seq, one.note) for one in spans(project(TIMELINE, run))]
    assert found == [
        ("run", "prompt", 4, 30, ""),
        ("turn", "1", 5, 24, ""),
        ("model", "attempt 1", 8, 10, "overloaded"),
        ("model", "attempt 2", 12, 15, ""),
        ("tool", "weather", 16, 19, ""),
        ("turn", "2", 25, 29, ""),
        ("model", "attempt 1", 26, 28, ""),
    ]


def test_a_model_call_says_how_long_its_first_token_took(run: tuple[Recorded, ...]) -> None:
    calls = [one for one in spans(project(TIMELINE, run)) if one.kind == "model"]
    assert [(one.first_token_us, one.duration_us) for one in calls] == [
        (None, 2_000_000),
        (2_000_000, 3_000_000),
        (None, 2_000_000),
    ]


def test_only_the_first_update_of_a_message_is_kept(run: tuple[Recorded, ...]) -> None:
    more = [Recorded(14, 14_000_000, MessageUpdate(kind="thinking_delta", content_index=0, delta="x"))] * 100
    assert project(TIMELINE, [*run[:14], *more, *run[14:]]) == project(TIMELINE, run)


def test_what_a_crash_cut_off_has_no_end(run: tuple[Recorded, ...]) -> None:
    cut = spans(project(TIMELINE, run[:16]))
    assert [(one.kind, one.duration_us) for one in cut if one.end_seq is None] == [
        ("run", None),
        ("turn", None),
        ("tool", None),
    ]


def test_a_wait_that_ran_out_says_so() -> None:
    recorded = [Recorded(1, 5, WaitStart(key="k")), Recorded(2, 9, WaitEnd(key="k", outcome="timed_out"))]
    (wait,) = spans(project(TIMELINE, recorded))
    assert (wait.kind, wait.name, wait.duration_us, wait.note) == ("wait", "k", 4, "timed_out")


def adopt(seq: int, message: Message, call: Place | None = None) -> Recorded:
    origin = Origin(source="claude-code", entry=str(seq))
    return Recorded(seq, 99, MessageAdopt(message=message, origin=origin, sent_at_us=seq * 1_000_000, call=call))


def test_messages_from_elsewhere_say_by_their_times_about_how_long_it_took() -> None:
    asked = ToolCall(id="x", name="ls")
    failed = ToolResultMessage(tool_call_id="x", tool_name="ls", is_error=True)
    recorded = [
        adopt(1, UserMessage(content="look")),
        adopt(3, AssistantMessage(content=(asked,), model="m", stop_reason="tool_use")),
        adopt(7, failed, Place(message_seq=3, content_index=0)),
        adopt(8, AssistantMessage(content=(TextContent(text="a"),), model="m")),
        adopt(20, UserMessage(content="more")),
        adopt(21, AssistantMessage(stop_reason="error", error="busy", model="m")),
    ]
    found = spans(project(TIMELINE, recorded))
    assert [(one.kind, one.name, one.start_seq, one.end_seq, one.duration_us, one.note) for one in found] == [
        ("run", "prompt", 1, 8, 7_000_000, ""),
        ("model", "m", 3, 3, 2_000_000, ""),
        ("tool", "ls", 3, 7, 4_000_000, "error"),
        ("model", "m", 8, 8, 1_000_000, ""),
        ("run", "prompt", 20, 21, 1_000_000, ""),
        ("model", "m", 21, 21, 1_000_000, "busy"),
    ]
    assert not any(one.measured for one in found)
