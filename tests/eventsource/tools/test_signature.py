"""Tools made within functions, where annotations are texts and types are local."""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import Annotated

import pytest
from pydantic import BaseModel, Field
from typing_extensions import TypedDict

from eventsource.codec import from_json
from eventsource.errors import ToolDefinitionError
from eventsource.tools.context import ToolContext
from eventsource.tools.tool import Tool, tool


def test_annotations_may_name_local_types_of_every_kind_and_of_every_function_around() -> None:
    class Unit(enum.Enum):
        C = "c"
        F = "f"

    @dataclass
    class Place:
        name: str
        unit: Unit = Unit.C

    class Where(TypedDict):
        place: Place

    class Asked(BaseModel):
        where: Where
        units: list[Unit]

    def make() -> Tool:
        most = 5

        @tool
        def weather(
            place: Place, where: Where, asked: Asked, days: Annotated[int, Field(le=most)], context: ToolContext[Place]
        ) -> NoSuchType:  # type: ignore[name-defined]  # noqa: F821 - what it returns does not matter
            """Current weather."""
            return place, where, asked, days

        return weather

    made = make()
    asked = '{"where": {"place": {"name": "Bern"}}, "units": ["c"]}'
    place, where = '{"name": "Oslo", "unit": "f"}', '{"place": {"name": "Rom"}}'
    given = f'{{"place": {place}, "where": {where}, "asked": {asked}, "days": 3}}'
    values = made.prepare(given, coerce=False).values
    assert values["place"] == Place("Oslo", Unit.F)
    assert values["where"] == {"place": Place("Rom")}
    assert isinstance(values["asked"], Asked)
    schema = from_json(made.spec.schema)
    assert isinstance(schema, dict)
    assert list(schema["properties"]) == ["place", "where", "asked", "days"]


def test_a_tool_of_a_local_class_and_a_bound_method_find_local_types() -> None:
    class Kind(enum.Enum):
        A = "a"

    class Box:
        def open(self, kind: Kind) -> str:
            return kind.value

    assert tool(Box().open).prepare('{"kind": "a"}', coerce=False).values == {"kind": Kind.A}


def test_a_type_that_cannot_be_found_is_an_error_that_names_the_parameter() -> None:
    def broken(city: str, unit: Missing) -> str:  # type: ignore[name-defined]  # noqa: F821 - that is the point
        return city

    with pytest.raises(ToolDefinitionError, match=r"tool broken: the type of parameter 'unit', 'Missing', cannot be"):
        tool(broken)
