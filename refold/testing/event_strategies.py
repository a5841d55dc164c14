"""Hypothesis strategies for any event there can be: every type, every field, nested messages, JSON as received."""

from __future__ import annotations

from typing import Any

import msgspec
from hypothesis import strategies as st
from msgspec import inspect as shapes

from eventsource.codec import to_json
from eventsource.events import EVENT_TYPES, Event

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
