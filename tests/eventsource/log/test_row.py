"""The folds of a session's row say of runs, tasks, waits, tokens and queues what the machine says."""

from __future__ import annotations

from hypothesis import given, strategies as st

from eventsource.envelope import Recorded
from eventsource.events import (
    Event,
    Fork,
    MessageUpdate,
    Resume,
    TaskEnd,
    TaskStart,
    TokenCreate,
    ToolExecutionUpdate,
    WaitEnd,
    WaitStart,
)
from eventsource.log import row
from eventsource.log.row import Folds, step
from eventsource.machine.evolve import evolve
from eventsource.machine.guards import legal
from eventsource.machine.state import INPUTS, State
from refold.testing import histories


def assert_equal(folds: Folds, state: State) -> None:
    """Hold that a row's folds and the state tell the same."""
    retry = [("retry", state.retry_at_us)] if state.retry_at_us is not None else []
    assert folds.run == (state.run is not None)
    assert folds.working == bool(state.task)
    assert folds.stuck == bool(state.stuck)
    assert folds.cancelled == (state.cancelled is not None)
    assert sorted(folds.queued) == sorted((push.seq, push.queue) for push in state.queue)
    tokens = {token.key: token for token in state.tokens}
    assert sorted(folds.tokens) == sorted((key, t.deadline_us) for key, t in tokens.items() if t.end is None)
    assert sorted(wait[0] for wait in folds.waits) == sorted(
        [*(w.key for w in state.waits), *(key for key, _ in retry)]
    )
    assert [(key, at_us) for key, at_us, _ in folds.waits if key == "retry"] == retry


@given(histories())
def test_a_row_shows_what_the_machine_knows_in_forks_too(history: tuple[Recorded, ...]) -> None:
    state, folds = State(), Folds()
    for recorded in history:
        state, folds = evolve(state, recorded), step(folds, recorded.seq, recorded.event)
        assert_equal(folds, state)
        fork = Recorded(recorded.seq + 1, recorded.at_us, Fork())
        assert_equal(step(folds, fork.seq, fork.event), evolve(state, fork))


@given(histories(), st.data())
def test_a_row_says_stuck_exactly_while_the_machine_does(history: tuple[Recorded, ...], data: st.DataObject) -> None:
    """Somebody may give a task up at any seq, with or without words, and somebody else go on with it."""
    state, folds, seq = State(), Folds(), 0
    for event in (TaskStart(task="t"), *(one.event for one in history)):
        given_up = data.draw(st.sampled_from([(), (Resume(why="stuck", problem="gone"),), (Resume(why="stuck"),)]))
        for each in (event, *given_up):
            if legal(state, each) is not None:
                continue
            seq += 1
            before, state = state, evolve(state, Recorded(seq, 0, each))
            if isinstance(each, MessageUpdate | ToolExecutionUpdate):
                assert state.stuck == before.stuck
            else:
                folds = step(folds, seq, each)
            assert folds.stuck == bool(state.stuck), each


def test_every_kind_from_outside_leaves_a_stuck_row_alone() -> None:
    stuck = step(step(Folds(), 1, TaskStart(task="t")), 2, Resume(why="stuck", problem="gone"))
    names = {kind.value for kind in INPUTS} - {"resume", "fork"}
    assert stuck.stuck
    assert {kind.__struct_config__.tag for kind in row._FROM_OUTSIDE} - {"resume"} == names


def test_a_fork_keeps_the_time_of_the_next_attempt() -> None:
    state, folds = State(), Folds()
    events: tuple[Event, ...] = (TaskStart(task="t"), TaskEnd(error="no", retry_at_us=5), Fork())
    for seq, event in enumerate(events, start=1):
        state, folds = evolve(state, Recorded(seq, 0, event)), step(folds, seq, event)
    assert state.retry_at_us == folds.wake_at_us == 5
    assert folds.status == "waiting"


def test_a_wait_that_somebody_names_retry_is_none_for_the_next_attempt() -> None:
    events: tuple[Event, ...] = (
        TaskStart(task="t"),
        TokenCreate(key="retry", deadline_us=9),
        WaitStart(key="retry"),
        TaskEnd(error="no", retry_at_us=5),
    )
    state, folds = State(), Folds()
    for seq, event in enumerate(events, start=1):
        state, folds = evolve(state, Recorded(seq, 0, event)), step(folds, seq, event)
    assert sorted(deadline or 9 for _, deadline, _ in folds.waits) == [5, 9]
    assert step(folds, 5, Fork()).wake_at_us == 5  # the wait stays behind, the attempt does not
    assert [wait[1] for wait in step(folds, 5, TaskStart(task="t", attempt=2)).waits] == [None]
    assert step(folds, 5, WaitEnd(key="retry", outcome="completed")).wake_at_us == 5
