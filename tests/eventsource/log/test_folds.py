"""The folds of a session's row say of runs and waits what the machine says."""

from __future__ import annotations

from hypothesis import given

from eventsource.evolve import evolve
from eventsource.log.folds import Folds, step
from eventsource.ports import Recorded
from eventsource.state import State
from refold.testing import histories


@given(histories())
def test_a_row_shows_the_open_run_and_the_open_waits(history: tuple[Recorded, ...]) -> None:
    state, folds = State(), Folds()
    for recorded in history:
        state, folds = evolve(state, recorded), step(folds, recorded.seq, recorded.event)
        assert folds.run == (state.run is not None)
        assert sorted(wait[0] for wait in folds.waits if wait[0] != "retry") == sorted(w.key for w in state.waits)
