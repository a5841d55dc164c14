"""Hypothesis strategies: any event there can be, and any legal history, found by walking the table and the guards."""

from __future__ import annotations

from collections.abc import Container, Sequence
from typing import Any

import msgspec
from hypothesis import strategies as st
from msgspec import inspect as shapes

from eventsource.codec import to_json
from eventsource.events import EVENT_TYPES, Event
from eventsource.evolve import evolve
from eventsource.guards import legal
from eventsource.ports import Recorded
from eventsource.state import INPUTS, ROWS, Kind, State
from tests.candidates import candidates

# What breaks careless code: line separators that are no newlines, NUL, quotes, characters beyond the first 65,536.
AWKWARD = st.sampled_from(
    ["\u2028", "\u2029", "\x00", "\x85", '"\\', "🧥", "👩\u200d👩\u200d👧", "é", "é", "\ufffd", "\uffff"]
)
TEXTS = st.one_of(st.text(max_size=12), AWKWARD, st.lists(AWKWARD, max_size=3).map("".join))
NUMBERS = st.one_of(st.integers(0, 3), st.integers(-(2**63), 2**63 - 1))
SCALARS = st.one_of(
    st.none(), st.booleans(), st.integers(-(2**70), 2**70), st.floats(allow_nan=False, allow_infinity=False), TEXTS
)
JSON_VALUES = st.recursive(
    SCALARS,
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(TEXTS, inner, max_size=3)),
    max_leaves=6,
)
RAW = st.one_of(
    JSON_VALUES.map(to_json), st.sampled_from([b'{ "kept" : 1.0e+2 }', b'"\\u00e9"', b"null"]).map(msgspec.Raw)
)


def of_shape(shape: shapes.Type) -> st.SearchStrategy[Any]:
    """Make any value of a type that events are made of."""
    match shape:
        case shapes.StrType():
            return TEXTS
        case shapes.IntType():
            return NUMBERS
        case shapes.BoolType():
            return st.booleans()
        case shapes.NoneType():
            return st.none()
        case shapes.RawType():
            return RAW
        case shapes.LiteralType():
            return st.sampled_from(shape.values)
        case shapes.VarTupleType():
            return st.lists(of_shape(shape.item_type), max_size=3).map(tuple)
        case shapes.UnionType():
            return st.one_of([of_shape(one) for one in shape.types])
        case shapes.StructType():
            return of_struct(shape)
        case _:
            raise TypeError(f"events are not made of {shape}")


def of_struct(shape: shapes.StructType) -> st.SearchStrategy[Any]:
    """Make any value of a struct; about half of the fields that have a default are left at it."""
    needed = {field.name: of_shape(field.type) for field in shape.fields if field.required}
    others = {field.name: of_shape(field.type) for field in shape.fields if not field.required}
    return st.fixed_dictionaries(needed, optional=others).map(lambda fields: shape.cls(**fields))


def of_type(kind: type) -> st.SearchStrategy[Any]:
    """Make any value of a type."""
    return st.deferred(lambda: of_shape(shapes.type_info(kind)))


EVENTS: dict[type, st.SearchStrategy[Any]] = {kind: of_type(kind) for kind in EVENT_TYPES}


def events() -> st.SearchStrategy[Event]:
    """Make any event, legal anywhere or not: every type, every field, nested messages, JSON as received."""
    return st.one_of(list(EVENTS.values()))


def choices(size: int = 60) -> st.SearchStrategy[list[int]]:
    """Make numbers that decide what happens, one at each turn; 0 is the plainest choice.

    Left to itself, Hypothesis makes lists of about five; these are as often long as short.
    """
    return st.integers(0, size).flatmap(lambda least: st.lists(st.integers(0, 2**24), min_size=least, max_size=size))


def histories(size: int = 60) -> st.SearchStrategy[tuple[Recorded, ...]]:
    """Make any legal history: at each state one of the events that table and guards allow there."""
    return choices(size).map(walk)


def walk(numbers: Sequence[int]) -> tuple[Recorded, ...]:
    """Take a legal event for each number."""
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
    """Pick a legal event: an input, one of the phase's row, or one that moves the phase on, if there is any."""
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
