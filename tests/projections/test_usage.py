"""What a session used."""

from __future__ import annotations

from eventsource.envelope import Recorded
from eventsource.events import Fork, MessageAdopt, MessageEnd, ModelRef, Origin, StepEnd
from eventsource.messages import AssistantMessage, Usage
from projections import USAGE, project
from projections.usage import Spent, cost_text, spent_by


def test_usage_is_added_up_in_all_and_by_the_model_that_answered(run: tuple[Recorded, ...]) -> None:
    view = project(USAGE, run)
    assert view.total == Usage(input_tokens=31, output_tokens=5, cost_microusd=100)
    assert dict(view.by_model) == {
        "p/m": Spent(calls=2, unpriced=1, usage=Usage(input_tokens=11, output_tokens=5, cost_microusd=100)),
        "p/other": Spent(calls=1, unpriced=1, usage=Usage(input_tokens=20)),
    }
    assert (view.own.calls, view.own.unpriced) == (3, 2)


def test_a_fork_inherits_what_its_parent_used_and_spends_on_its_own(run: tuple[Recorded, ...]) -> None:
    begun = project(USAGE, [*run, Recorded(33, 0, Fork())])
    assert (begun.own, begun.inherited) == (Spent(), project(USAGE, run).own)
    again = USAGE.step(begun, Recorded(34, 0, MessageEnd(message=AssistantMessage(usage=Usage(input_tokens=7)))))
    assert (again.by_model[0][0], again.own.usage.input_tokens) == ("p/m", 7)
    assert again.total.input_tokens == begun.inherited.usage.input_tokens + 7


def test_a_price_that_is_not_known_is_never_nothing() -> None:
    free = spent_by(Usage(input_tokens=3, cost_microusd=0))
    priced = spent_by(Usage(input_tokens=3, cost_microusd=1_500_000, prices="a list"))
    assert (cost_text(free), cost_text(priced), cost_text(free + priced)) == ("unknown", "$1.5000", "over $1.5000")
    assert cost_text(spent_by(Usage(input_tokens=3, cost_microusd=0, prices="a list"))) == "$0.0000"


def test_what_came_from_elsewhere_is_told_apart(run: tuple[Recorded, ...]) -> None:
    message = AssistantMessage(usage=Usage(input_tokens=7))
    adopted = MessageAdopt(message=message, origin=Origin(source="test"))
    before = project(USAGE, run)
    after = USAGE.step(before, Recorded(40, 0, adopted))
    assert (before.adopted, after.adopted.input_tokens) == (Usage(), 7)
    assert after.total.input_tokens == before.total.input_tokens + 7


def test_a_model_that_a_step_asked_counts_under_its_own_name(run: tuple[Recorded, ...]) -> None:
    asked = ModelRef(api="a", provider="q", model="n")
    ended = StepEnd(key="ask", model=asked, usage=Usage(input_tokens=7))
    view = USAGE.step(project(USAGE, run), Recorded(40, 0, ended))
    assert dict(view.by_model)["q/n"].usage.input_tokens == 7
    assert view.model == project(USAGE, run).model
