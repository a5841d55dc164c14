"""What may be appended behind what others appended meanwhile: only what the machine would say there too."""

from __future__ import annotations

from hypothesis import given, strategies as st

from eventsource.envelope import Recorded
from eventsource.events import Event, Label, MessageEnd, QueueClear, QueuePush
from eventsource.machine.evolve import fold
from eventsource.machine.rebase import Pending, may_follow
from eventsource.machine.state import INPUTS, State
from eventsource.machine.steps import Record, next_step
from eventsource.messages import AssistantMessage, UserMessage
from refold.testing.history_strategies import allowed, choices
from replay.replay import replay
from tests.interpreter import played
from tests.stories import ASSISTANT, OPENED, REQUESTED

STEER = QueuePush(queue="steering", message=UserMessage(content="Wait."))


def numbered(events: list[Event], after: int = 0) -> list[Recorded]:
    return [Recorded(after + place, place, event) for place, event in enumerate(events, 1)]


def at(*events: Event) -> State:
    return fold(numbered(list(events)))


def decided(*events: Event) -> list[Pending]:
    return [Pending(event, outcome=False) for event in events]


@given(choices(40), st.integers(0, 2**16), choices(4), st.integers(1, 8))
def test_a_decision_that_may_follow_is_what_a_replay_predicts_there(
    numbers: list[int], cut: int, news: list[int], kept: int
) -> None:
    history = list(played(numbers))
    history = history[: cut % (len(history) + 1)]
    state = fold(history)
    step = next_step(state)
    if not isinstance(step, Record):
        return
    later, changed = state, list[Recorded]()
    for number in news:
        seq = len(history) + len(changed) + 1
        found = allowed(later, seq, INPUTS)
        events = found[number % len(found)]
        changed.append(Recorded(seq, 0, events[number % len(events)]))
        later = fold(changed[-1:], later)
    pending = decided(*step.events[:kept])
    if not may_follow(state, changed, pending):
        return
    whole = [*history, *changed, *numbered([one.event for one in pending], len(history) + len(changed))]
    assert replay(whole).difference is None


def test_an_outcome_may_follow_any_input() -> None:
    state = at(*REQUESTED)
    news = numbered([STEER, Label(text="x"), QueueClear(queue="steering")], len(REQUESTED))
    answered = [Pending(event, outcome=True) for event in (ASSISTANT, MessageEnd(message=AssistantMessage()))]
    assert may_follow(state, news, answered)


def test_a_decision_may_follow_what_does_not_change_it() -> None:
    state = at(*OPENED)
    step = next_step(at(*OPENED[:1]))
    assert isinstance(step, Record)
    begun = at(*OPENED[:1])
    assert may_follow(begun, numbered([Label(text="x")], 1), decided(*step.events))
    assert may_follow(begun, numbered([STEER], 1), decided(*step.events))
    assert not may_follow(begun, numbered([QueueClear(queue="prompt")], 1), decided(*step.events))
    assert not may_follow(state, numbered([STEER], len(OPENED)), decided(REQUESTED[-1]))
    assert may_follow(state, numbered([Label(text="x")], len(OPENED)), decided(REQUESTED[-1]))


def test_a_decision_behind_an_outcome_is_made_anew() -> None:
    state = at(*REQUESTED)
    answered = [Pending(event, outcome=True) for event in (ASSISTANT, MessageEnd(message=AssistantMessage()))]
    step = next_step(fold(numbered([one.event for one in answered], len(REQUESTED)), state))
    assert isinstance(step, Record)
    pending = [*answered, *decided(*step.events)]
    assert not may_follow(state, numbered([Label(text="x")], len(REQUESTED)), pending)
