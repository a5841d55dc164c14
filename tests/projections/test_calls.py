"""Every tool call of a session."""

from __future__ import annotations

from eventsource.envelope import Recorded
from eventsource.events import MessageAdopt, MessageEnd, Origin, Place, ToolExecutionStart
from eventsource.messages import AssistantMessage, TextContent, ToolCall, ToolResultMessage
from projections import CALLS, project, tool_calls

ONE = AssistantMessage(content=(ToolCall(id="x", name="look"),), stop_reason="tool_use")


def test_a_call_says_what_it_was_given_and_what_came_of_it(run: tuple[Recorded, ...]) -> None:
    weather, wardrobe = tool_calls(project(CALLS, run))
    assert (weather.place, weather.name) == (Place(message_seq=15, content_index=1), "weather")
    assert (weather.arguments, weather.status, weather.attempts) == ('{"city":"OSLO"}', "done", 1)
    assert weather.result is not None
    assert weather.result.content == (TextContent(text="-5 C"),)
    assert weather.duration_us == 3_000_000
    assert (wardrobe.status, wardrobe.refused, wardrobe.is_error) == ("refused", "unknown", True)
    assert wardrobe.duration_us is None


def test_a_call_is_open_then_running_then_settled(run: tuple[Recorded, ...]) -> None:
    seen = [[call.status for call in tool_calls(project(CALLS, run[:cut]))] for cut in (14, 15, 16, 17, 19)]
    assert seen == [[], ["open", "open"], ["running", "open"], ["running", "refused"], ["done", "refused"]]


def test_a_second_attempt_counts_from_its_own_start() -> None:
    starts = [ToolExecutionStart(message_seq=1, content_index=0, name="look", attempt=n) for n in (1, 2)]
    recorded = [Recorded(1, 10, MessageEnd(message=ONE)), *(Recorded(n, n * 10, s) for n, s in enumerate(starts, 2))]
    (call,) = tool_calls(project(CALLS, recorded))
    assert (call.attempts, call.started_at_us, call.status) == (2, 30, "running")


def test_the_calls_of_a_message_that_failed_are_dropped() -> None:
    cut = MessageEnd(message=ONE, interrupted="dropped")
    assert [call.status for call in tool_calls(project(CALLS, [Recorded(1, 1, cut)]))] == ["dropped"]


def test_an_adopted_call_is_settled_by_its_adopted_result_and_stays_open_without_one() -> None:
    origin = Origin(source="test")
    result = ToolResultMessage(tool_call_id="x", tool_name="look", is_error=True)
    recorded = [
        Recorded(1, 1, MessageAdopt(message=ONE, origin=origin)),
        Recorded(2, 2, MessageAdopt(message=ONE, origin=origin)),
        Recorded(3, 3, MessageAdopt(message=result, origin=origin, call=Place(message_seq=1, content_index=0))),
    ]
    first, second = tool_calls(project(CALLS, recorded))
    assert (first.status, first.adopted, second.status) == ("failed", True, "open")
