"""The fold: what holds for every legal history."""

from __future__ import annotations

import pytest
from hypothesis import given, strategies as st

from eventsource.errors import IllegalEventError
from eventsource.events import (
    AbortRequest,
    AgentEnd,
    AgentStart,
    ConfigChange,
    Event,
    MessageEnd,
    MessageUpdate,
    QueuePush,
    Resume,
    StreamUpdate,
    ToolExecutionUpdate,
    TurnEnd,
    TurnStart,
)
from eventsource.evolve import evolve, fold
from eventsource.guards import kind_of, legal
from eventsource.outcome import Ending
from eventsource.ports import Recorded
from eventsource.state import INPUTS, ROWS, Kind, Phase, State
from tests.candidates import candidates
from tests.stories import FAILED, state_of
from tests.strategies import events, histories

CUTS = st.integers(0, 60)


@given(histories(), CUTS)
def test_folding_in_two_parts_is_folding_once(history: tuple[Recorded, ...], cut: int) -> None:
    assert fold(history[cut:], fold(history[:cut])) == fold(history)


@given(histories())
def test_a_state_never_changes_once_it_was_given_out(history: tuple[Recorded, ...]) -> None:
    states = [State()]
    for recorded in history:
        states.append(evolve(states[-1], recorded))
    again = State()
    for state, recorded in zip(states[1:], history, strict=True):
        again = evolve(again, recorded)
        assert state == again


@given(histories(), st.lists(events(), max_size=5))
def test_evolve_accepts_exactly_what_is_legal(history: tuple[Recorded, ...], others: list[Event]) -> None:
    state, seq = fold(history), len(history) + 1
    for event in [*others, *(e for kind in Kind for e in candidates(state, seq, kind))]:
        problem, kind = legal(state, event), kind_of(state, event)
        if problem is None:
            following = evolve(state, Recorded(seq, 0, event))
            assert following.phase is (state.phase if kind in INPUTS else ROWS[state.phase][kind])
            continue
        with pytest.raises(IllegalEventError) as caught:
            evolve(state, Recorded(seq, 0, event))
        error = caught.value
        assert (error.seq, error.phase, error.event, error.reason) == (seq, state.phase.value, kind.value, problem)


@given(histories())
def test_updates_of_tools_and_streams_never_change_the_state(history: tuple[Recorded, ...]) -> None:
    state = State()
    for recorded in history:
        following = evolve(state, recorded)
        if isinstance(recorded.event, ToolExecutionUpdate | StreamUpdate):
            assert following is state
        state = following


def without_superseded(history: tuple[Recorded, ...]) -> list[Recorded]:
    """Leave out the updates of every message that ends within the history."""
    kept: list[Recorded] = []
    for recorded in history:
        event = recorded.event
        if isinstance(event, MessageEnd) and event.message is not None:
            kept = [one for one in kept if not isinstance(one.event, MessageUpdate)]
        kept.append(recorded)
    return kept


@given(histories(), CUTS)
def test_after_a_message_ended_its_updates_do_not_matter(history: tuple[Recorded, ...], cut: int) -> None:
    for seq in {cut, len(history)}:
        assert fold(without_superseded(history[:seq])) == fold(history[:seq])


@given(histories())
def test_what_comes_from_outside_is_legal_in_every_phase(history: tuple[Recorded, ...]) -> None:
    free = INPUTS - {Kind.TOKEN_CREATE, Kind.WAIT_END, Kind.CHILD_END}  # these name something of the state
    state = State()
    for seq, recorded in enumerate(history, 1):
        for kind in free:
            for event in candidates(state, seq, kind):
                if not (isinstance(event, QueuePush) and event.queue == "output"):  # this one is about a run's answer
                    assert evolve(state, Recorded(seq, 0, event)).phase is state.phase
        state = evolve(state, recorded)


def test_an_abort_where_nothing_runs_is_forgotten() -> None:
    state = fold([Recorded(1, 0, AbortRequest()), Recorded(2, 0, Resume(why="continue")), Recorded(3, 0, AgentStart())])
    assert state.run is not None
    assert state.aborted is None


def test_the_first_abort_counts() -> None:
    first, second = AbortRequest(reason="limit"), AbortRequest(reason="error")
    started: list[Event] = [Resume(why="continue"), AgentStart(), first, second, TurnStart()]
    state = fold(Recorded(seq, 0, event) for seq, event in enumerate(started, 1))
    assert state.aborted is first
    assert state.phase is Phase.OPEN


def test_how_a_run_ended_is_forgotten_where_the_next_one_begins() -> None:
    ended = state_of([*FAILED, TurnEnd(), AgentEnd(reason="error", error="busy")])
    assert (ended.ended, ended.ending.error) == ("error", "busy")
    again = evolve(evolve(ended, Recorded(11, 0, Resume(why="continue"))), Recorded(12, 0, AgentStart()))
    assert (again.ended, again.ending) == (None, Ending())


def test_absent_fields_of_a_change_stay_as_they_were() -> None:
    change = ConfigChange(system_prompt="Be brief.")
    cleared = fold([Recorded(1, 0, change), Recorded(2, 0, ConfigChange()), Recorded(3, 0, ConfigChange(tools=()))])
    assert cleared.config.system_prompt == "Be brief."
    assert fold([Recorded(1, 0, change), Recorded(2, 0, ConfigChange(system_prompt=""))]).config.system_prompt == ""
