"""Histories that a release's table and guards allowed stay legal, and fold, for ever."""

from __future__ import annotations

import lzma
from pathlib import Path

import msgspec
import pytest

from eventsource.codec import decode, encode
from eventsource.envelope import Recorded
from eventsource.machine.evolve import evolve, fold
from eventsource.machine.state import INPUTS, ROWS, Kind, Phase, State
from eventsource.machine.steps import Stop, next_step
from tests.golden.write_histories import seen
from tests.interpreter import resumed

FILES = sorted(Path(__file__).parent.glob("*/histories.jsonl.xz"))


def histories(path: Path) -> list[list[Recorded]]:
    """Read histories."""
    lines = lzma.decompress(path.read_bytes()).splitlines()
    bodies = [msgspec.json.decode(line, type=list[msgspec.Raw]) for line in lines]
    return [[Recorded(seq, 1_000 * seq, decode(bytes(body))) for seq, body in enumerate(one, 1)] for one in bodies]


def test_the_histories_of_the_first_release_hold_every_kind_in_every_phase_that_allows_it() -> None:
    pairs = {(phase, kind) for one in histories(FILES[0]) for phase, kind, _ in seen(one)}
    later = {(Phase.IDLE, Kind.RETRY)}  # rows of the table that came since
    assert {(phase, kind) for phase, row in ROWS.items() for kind in row} - later <= pairs
    assert {(phase, kind) for phase in ROWS for kind in INPUTS} <= pairs


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.parent.name)
def test_what_a_release_could_write_is_legal_for_ever_and_has_a_next_step_at_every_seq(path: Path) -> None:
    for number, history in enumerate(histories(path)):
        state = State()
        try:
            for recorded in history:
                next_step(state)
                state = evolve(state, recorded)
            next_step(state)
        except Exception as error:
            error.add_note(f"history {number} of {path.parent.name}, in phase {state.phase}")
            raise


@pytest.mark.slow
@pytest.mark.parametrize("path", FILES, ids=lambda path: path.parent.name)
def test_what_a_release_could_write_goes_on_to_an_end(path: Path) -> None:
    for number, history in enumerate(histories(path)):
        for prefix in (history, history[: 1 + 7 * number % len(history)]):
            state = fold(resumed(prefix))
            assert (state.phase, state.queue, state.task) == (Phase.IDLE, state.queued("inbox"), ""), number
            assert isinstance(next_step(state), Stop), number


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.parent.name)
def test_what_a_release_wrote_is_written_alike(path: Path) -> None:
    for line, history in zip(lzma.decompress(path.read_bytes()).splitlines(), histories(path), strict=True):
        assert b"[" + b",".join(encode(recorded.event) for recorded in history) + b"]" == line
