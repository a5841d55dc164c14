"""Who says an event: one table, for every kind there is."""

from __future__ import annotations

from collections.abc import Mapping

from hypothesis import given, strategies as st

from eventsource.envelope import Recorded
from eventsource.events import EVENT_TYPES, Event, QueuePush, Resume, ToolExecutionEnd, WaitEnd
from eventsource.machine.diagram import roles_table
from eventsource.machine.guards import kind_of
from eventsource.machine.roles import ROLES, Role, is_input, role_of
from eventsource.machine.state import INPUTS, Kind, State
from refold.testing.event_strategies import EVENTS
from replay.recorded_answers import RecordingIndex
from replay.replay import replay
from tests.interpreter import played
from tests.stories import CALLED, END, PUSH, START, state_of
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
