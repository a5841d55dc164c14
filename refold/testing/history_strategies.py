"""Hypothesis strategies for legal histories, found by walking the machine's table and guards."""

from __future__ import annotations

from collections.abc import Container, Sequence

from hypothesis import strategies as st

from eventsource.envelope import Recorded
from eventsource.events import Event
from eventsource.machine.evolve import evolve
from eventsource.machine.guards import legal
from eventsource.machine.state import INPUTS, ROWS, Kind, State

from .candidates import candidates


def choices(size: int = 60) -> st.SearchStrategy[list[int]]:
    """Make numbers that decide what happens, one at each turn; 0 is the plainest choice.

    Left to itself, Hypothesis makes lists of about five; these are as often long as short.
    """
    return st.integers(0, size).flatmap(lambda least: st.lists(st.integers(0, 2**24), min_size=least, max_size=size))


def histories(size: int = 60) -> st.SearchStrategy[tuple[Recorded, ...]]:
    """Make any legal history: at each state one of the events that table and guards allow there."""
    return choices(size).map(walk)


def walk(numbers: Sequence[int]) -> tuple[Recorded, ...]:
    """Build a legal history with one event for each number."""
    history: list[Recorded] = []
    state = State()
    for number in numbers:
        seq = len(history) + 1
        event = choose(state, seq, number)
        recorded = Recorded(seq, 1_000 * seq, event)
        state = evolve(state, recorded)
        history.append(recorded)
    return tuple(history)


def choose(state: State, seq: int, number: int) -> Event:
    """Choose a legal event: an input, one of the phase's row, or one that moves the phase on, if there is any."""
    number, way = divmod(number, 8)
    row = ROWS[state.phase]
    on = {kind for kind, phase in row.items() if phase is not state.phase}
    ways = [INPUTS] if way < 2 else [row, INPUTS] if way < 5 else [on, row, INPUTS]
    found = next(found for found in (allowed(state, seq, kinds) for kinds in ways) if found)
    number, kind = divmod(number, len(found))
    return found[kind][number % len(found[kind])]


def allowed(state: State, seq: int, kinds: Container[Kind]) -> list[list[Event]]:
    """List, by kind, the candidates that may come next; kinds without any are left out."""
    found = ([e for e in candidates(state, seq, kind) if legal(state, e) is None] for kind in Kind if kind in kinds)
    return [fitting for fitting in found if fitting]
