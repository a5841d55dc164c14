"""What a session used."""

from __future__ import annotations

from eventsource.events import MessageAdopt, Origin
from eventsource.messages import AssistantMessage, Usage
from eventsource.ports import Recorded
from projections import USAGE, project


def test_usage_is_added_up_in_all_and_by_the_model_that_answered(run: tuple[Recorded, ...]) -> None:
    view = project(USAGE, run)
    assert view.total == Usage(input_tokens=31, output_tokens=5, cost_microusd=100)
    assert dict(view.by_model) == {
        "p/m": Usage(input_tokens=11, output_tokens=5, cost_microusd=100),
        "p/other": Usage(input_tokens=20),
    }
    assert (view.calls, view.unpriced) == (3, 2)


def test_what_came_from_elsewhere_is_told_apart(run: tuple[Recorded, ...]) -> None:
    message = AssistantMessage(usage=Usage(input_tokens=7))
    adopted = MessageAdopt(message=message, origin=Origin(source="test"))
    before = project(USAGE, run)
    after = USAGE.step(before, Recorded(40, 0, adopted))
    assert (before.adopted, after.adopted.input_tokens) == (Usage(), 7)
    assert after.total.input_tokens == before.total.input_tokens + 7
