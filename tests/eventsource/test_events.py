"""The closed union: its shape, and every shape a release ever wrote."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from msgspec import inspect as shapes

from eventsource.codec import decode, encode
from eventsource.events import EVENT_TYPES, UPDATE_TYPES, EventBase, ToolExecutionStart
from eventsource.machine.state import Kind

GOLDEN = sorted((Path(__file__).parents[1] / "golden").glob("*/events.jsonl"))
ALLOWED = (
    shapes.StrType,
    shapes.IntType,
    shapes.BoolType,
    shapes.NoneType,
    shapes.RawType,
    shapes.LiteralType,
    shapes.StructType,
    shapes.UnionType,
    shapes.VarTupleType,
)


def lines(path: Path) -> list[bytes]:
    return path.read_bytes().splitlines()


def structs(shape: shapes.Type) -> Iterator[shapes.StructType]:
    """Find every struct that a type is made of, itself included."""
    match shape:
        case shapes.StructType():
            yield shape
            for field in shape.fields:
                yield from structs(field.type)
        case shapes.UnionType():
            for one in shape.types:
                yield from structs(one)
        case shapes.VarTupleType():
            yield from structs(shape.item_type)
        case _:
            assert isinstance(shape, ALLOWED), shape


def every_struct() -> dict[type, shapes.StructType]:
    found = (shape for kind in EVENT_TYPES for shape in structs(shapes.type_info(kind)))
    return {shape.cls: shape for shape in found}


def set_fields(value: object) -> Iterator[tuple[type, str]]:
    """Say which fields hold something else than their default, in a value and all within it."""
    if isinstance(value, tuple):
        for item in value:
            yield from set_fields(item)
    elif isinstance(value, msgspec.Struct):
        for field in msgspec.structs.fields(value):
            held = getattr(value, field.name)
            if field.required or held != field.default:
                yield type(value), field.name
            yield from set_fields(held)


def test_there_is_a_golden_log() -> None:
    assert GOLDEN


@pytest.mark.parametrize("path", GOLDEN, ids=lambda path: path.parent.name)
def test_every_shape_of_a_release_is_still_read_and_written_the_same(path: Path) -> None:
    for number, body in enumerate(lines(path), 1):
        assert encode(decode(body, session=path.parent.name, seq=number)) == body


def test_the_golden_logs_hold_every_field_of_every_event() -> None:
    found = {found for path in GOLDEN for body in lines(path) for found in set_fields(decode(body))}
    wanted = {(kind, field.name) for kind, shape in every_struct().items() for field in shape.fields}
    assert wanted - found == set(), "write the golden files of the release that adds these"


def test_events_are_made_of_plain_values_and_cannot_change() -> None:
    for shape in every_struct().values():
        config = msgspec.structs.StructConfig
        found = getattr(shape.cls, "__struct_config__", None)
        assert isinstance(found, config)
        assert (found.frozen, found.forbid_unknown_fields, found.omit_defaults) == (True, True, True), shape.cls


def test_each_event_has_its_own_tag_and_its_place_in_the_table() -> None:
    tags = [kind.__struct_config__.tag for kind in EVENT_TYPES]
    assert len(set(tags)) == len(tags)
    assert set(tags) == {kind.value.split(":")[0] for kind in Kind}


def test_the_union_names_every_event_there_is() -> None:
    assert set(EVENT_TYPES) == set(EventBase.__subclasses__())
    assert set(UPDATE_TYPES) < set(EVENT_TYPES)


def test_an_event_knows_nothing_of_its_envelope() -> None:
    for kind in EVENT_TYPES:
        assert {"session", "seq", "at_us"} & set(kind.__struct_fields__) == set()


@pytest.mark.parametrize("refused", [None, "skipped", "adopted"])
def test_only_a_call_that_was_not_refused_runs(refused: Any) -> None:
    assert ToolExecutionStart(message_seq=1, content_index=0, name="read", refused=refused).runs is (refused is None)
