"""The journal of a task's code and the machine's state are two folds of one log, and hold the same things open."""

from __future__ import annotations

from hypothesis import given, strategies as st

from eventsource.envelope import Recorded
from eventsource.events import Event, StepEnd, StepStart, TaskStart
from eventsource.machine.evolve import evolve
from eventsource.machine.state import CHILD, State
from refold.tasks.journal import Journal
from refold.testing.history_strategies import choices, choose


def open_in_journal(journal: Journal) -> dict[str, set[str]]:
    return {
        "waits": journal.waits.keys() - journal.ends.keys(),
        "tokens": journal.tokens.keys() - journal.ends.keys(),
        "children": {key for key, child in journal.children.items() if child.end is None and not child.lost},
        "steps": journal.open_steps,
        "retries": {step.waiting for step in journal.steps.values() if step.waiting},
    }


def open_in_state(state: State) -> dict[str, set[str]]:
    own = [wait for wait in state.waits if wait.call is None and wait.reason != CHILD]
    return {
        "waits": {wait.key for wait in own if not wait.step},
        "tokens": {token.key for token in state.tokens if token.end is None},
        "children": set(state.children) - set(state.called),
        "steps": set(state.steps),
        "retries": {wait.key for wait in own if wait.step},
    }


TASK = TaskStart(task="report", retries=2, backoff_us=10, rules=1)
FAILED = (StepStart(key="ask", retries=2, backoff_us=5), StepEnd(key="ask", error="busy"))


@given(st.sampled_from([(), (TASK,), (TASK, *FAILED)]), choices())
def test_while_a_task_is_open_its_journal_and_the_state_hold_the_same_things_open(
    beginning: tuple[Event, ...], numbers: list[int]
) -> None:
    journal, state = Journal(), State()
    for seq in range(1, len(beginning) + len(numbers) + 1):
        rest = seq - len(beginning) - 1
        event = beginning[seq - 1] if rest < 0 else choose(state, seq, numbers[rest])
        recorded = Recorded(seq, 1_000 * seq, event)
        journal.feed(recorded)
        state = evolve(state, recorded)
        if journal.start is not None and not state.task:
            return  # it has ended for good: what its code had open is nobody's any more
        assert open_in_journal(journal) == open_in_state(state), recorded
        if state.task:
            assert state.attempt == journal.attempt
