"""Who says an event: one table, for every kind there is."""

from __future__ import annotations

from collections.abc import Mapping

import pytest
from hypothesis import given, strategies as st
from msgspec.structs import replace

from eventsource.envelope import Recorded
from eventsource.events import (
    EVENT_TYPES,
    AbortRequest,
    Event,
    QueuePush,
    Resume,
    TaskEnd,
    TaskStart,
    ToolExecutionEnd,
    WaitEnd,
    WaitStart,
)
from eventsource.machine.diagram import roles_table
from eventsource.machine.guards import kind_of
from eventsource.machine.refusals import ABORTED, ABORTED_RUNNING
from eventsource.machine.roles import ROLES, Role, is_input, role_of
from eventsource.machine.state import INPUTS, Kind, State
from refold.testing.event_strategies import EVENTS
from replay.recorded_answers import RecordingIndex
from replay.replay import replay
from tests.interpreter import played
from tests.stories import ASSISTANT, CALLED, END, OPENED, PUSH, REQUESTED, SETTLE, START, WAIT, state_of
from tests.strategies import choices


def test_every_kind_has_a_role_and_no_other_stands_in_the_table() -> None:
    assert list(ROLES) == list(Kind)
    assert {kind.value.partition(":")[0] for kind in ROLES} == {str(t.__struct_config__.tag) for t in EVENT_TYPES}


def test_what_is_legal_in_every_phase_is_an_input_but_for_waits_that_the_machine_ends() -> None:
    assert {kind for kind in INPUTS if ROLES[kind] is not Role.INPUT} == {Kind.WAIT_END}
    assert {kind for kind, role in ROLES.items() if role is Role.INPUT} - INPUTS == {Kind.MESSAGE_ADOPT}


@given(st.sampled_from(sorted(EVENTS, key=lambda kind: kind.__name__)).flatmap(lambda kind: EVENTS[kind]))
def test_every_event_has_a_role_in_every_state(event: Event) -> None:
    for state in (State(), state_of(CALLED), state_of([*CALLED, START, END])):
        assert isinstance(role_of(state, event), Role)
        if kind_of(state, event) in INPUTS:
            assert is_input(event) == (role_of(state, event) is Role.INPUT)


def test_a_rule_says_in_its_first_line_when_an_event_is_a_decision() -> None:
    rules = [role for role in ROLES.values() if not isinstance(role, Role)]
    assert len(rules) == 7
    assert all("decision" in (rule.__doc__ or "") for rule in rules)
    page = roles_table()
    assert all(kind.value.partition(":")[0] in page for kind in Kind)


def test_who_decided_tells_a_decision_from_an_input_and_an_outcome() -> None:
    state = state_of([*CALLED, START])
    by: Mapping[str, Role] = {"executed": Role.OUTCOME, "machine": Role.DECISION, "adopted": Role.OUTCOME}
    for decided, role in by.items():
        end = ToolExecutionEnd(message_seq=8, content_index=1, decided=decided)  # type: ignore[arg-type]  # each of them
        assert role_of(state, end) is role
    assert not is_input(WaitEnd(key="w", outcome="cancelled", decided_by="machine"))
    assert is_input(WaitEnd(key="w", outcome="cancelled"))


RUNNING, ENDED_RUN = state_of([*CALLED, START]), state_of([*CALLED, START, AbortRequest()])
BEGUN = TaskStart(task="trip", rules=1)
WORKING, CANCELLED = state_of([BEGUN]), state_of([BEGUN, AbortRequest(cause="cancel")])
GIVEN_UP = replace(SETTLE, result=ABORTED_RUNNING)
WHO: dict[str, tuple[State, Event, Role]] = {
    "an answer that nobody was asked for": (state_of(OPENED), replace(ASSISTANT, streamed=False), Role.DECISION),
    "an answer of a model": (state_of(REQUESTED), ASSISTANT, Role.OUTCOME),
    "a call that begins": (state_of(CALLED), START, Role.DECISION),
    "a call whose result is adopted": (state_of(CALLED), replace(START, refused="adopted"), Role.OUTCOME),
    "a call that was given up after an abort": (ENDED_RUN, GIVEN_UP, Role.OUTCOME),
    "a call that did not begin after an abort": (ENDED_RUN, replace(SETTLE, result=ABORTED), Role.OUTCOME),
    "a call that the machine settles after an abort": (ENDED_RUN, SETTLE, Role.DECISION),
    "the same words without an abort": (RUNNING, GIVEN_UP, Role.DECISION),
    "a question about a call in doubt": (RUNNING, replace(WAIT, reason="in_doubt"), Role.DECISION),
    "a wait that code asks for": (RUNNING, WAIT, Role.OUTCOME),
    "a wait for a step's next attempt": (WORKING, WaitStart(key="s", step="s"), Role.DECISION),
    "a task that ends": (WORKING, TaskEnd(), Role.OUTCOME),
    "a task that says it was cancelled, and was not": (WORKING, TaskEnd(cancelled=True), Role.OUTCOME),
    "a cancelled task that ends by itself": (CANCELLED, TaskEnd(), Role.OUTCOME),
    "a cancelled task that ends": (CANCELLED, TaskEnd(cancelled=True), Role.DECISION),
}


@pytest.mark.parametrize(("state", "event", "role"), WHO.values(), ids=WHO)
def test_whether_an_event_is_decided_depends_on_where_it_stands(state: State, event: Event, role: Role) -> None:
    assert role_of(state, event) is role


@given(choices(100))
def test_a_replay_takes_what_is_no_decision_from_the_record(numbers: list[int]) -> None:
    history = played(numbers)
    report = replay(history)
    assert report.difference is None
    assert report.given + report.predicted == len(history)


def test_a_recording_gives_again_what_the_table_calls_an_input_and_nothing_twice() -> None:
    history = [Recorded(1, 0, PUSH), Recorded(2, 0, Resume(why="crash"))]
    assert [one.seq for one in RecordingIndex(history).inputs] == [1]
    assert isinstance(RecordingIndex(history).inputs[0].event, QueuePush)
