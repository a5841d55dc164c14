"""What docstrings say of parameters, in three forms, and what reaches a tool's schema of it."""

from __future__ import annotations

from typing import Annotated

import pytest
from pydantic import Field
from typing_extensions import Doc

from eventsource.codec import read_object
from eventsource.tools.context import ToolContext
from eventsource.tools.docstrings import read_docstring
from eventsource.tools.tool import Tool, tool

GOOGLE = """Find flights.

Cheapest first.

Args:
    origin (str): Where it begins,
        as an airport code.
    day (Annotated[str, "x"], optional): When: a date.

    absent: There is no such parameter.

Returns:
    A list.
"""
NUMPY = """Find flights.

Cheapest first.

Parameters
----------
origin : str
    Where it begins,
    as an airport code.
day : str, optional
    When: a date.
absent
    There is no such parameter.

Returns
-------
list
    A list.
"""
SPHINX = """Find flights.

Cheapest first.

:param str origin: Where it begins,
    as an airport code.
:type origin: str
:param day: When: a date.
:returns: A list.
"""


def properties(made: Tool) -> dict[str, dict[str, object]]:
    found = read_object(made.spec.schema)["properties"]
    assert isinstance(found, dict)
    return found


@pytest.mark.parametrize(
    ("text", "rest"),
    [(GOOGLE, "Returns:\n    A list."), (NUMPY, "Returns\n-------\nlist\n    A list."), (SPHINX, ":returns: A list.")],
    ids=["google", "numpy", "sphinx"],
)
def test_what_a_docstring_says_of_parameters_is_taken_out_of_it(text: str, rest: str) -> None:
    description, found = read_docstring(text.strip(), ["origin", "day"])
    assert found == {"origin": "Where it begins, as an airport code.", "day": "When: a date."}
    assert description == f"Find flights.\n\nCheapest first.\n\n{rest}"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "Say it.",
        "Args:",
        "Args:\n    Nothing is said here",
        "Note:\n    x: y",
        ":param",
        ":param z: last",
        "Parameters\n---",
    ],
)
def test_a_text_that_says_nothing_of_a_parameter_stays_as_it_is(text: str) -> None:
    assert read_docstring(text, ["origin"]) == (text, {})


def test_two_names_may_share_what_is_said() -> None:
    assert read_docstring("Parameters\n----------\nx, y : int\n    A place.", ["x", "y"])[1] == {
        "x": "A place.",
        "y": "A place.",
    }


def test_descriptions_reach_the_schema_and_the_more_explicit_one_counts() -> None:
    @tool
    def search(
        query: str,
        context: ToolContext,
        limit: Annotated[int, Field(description="At most so many.", ge=1)] = 10,
        order: Annotated[str, Doc("By what.")] = "price",
        plain: bool = False,
    ) -> str:
        """Search.

        Args:
            query: What to look for.
            context: Not told.
            limit: Not this one.
            order: Not this one either.
        """
        return query

    assert search.spec.description == "Search."
    found = properties(search)
    assert {name: one.get("description") for name, one in found.items()} == {
        "query": "What to look for.",
        "limit": "At most so many.",
        "order": "By what.",
        "plain": None,
    }
    assert (found["limit"]["minimum"], found["limit"]["default"]) == (1, 10)
    assert search.prepare('{"query": "x"}', coerce=False).values["query"] == "x"


def test_parameters_are_described_also_where_the_tools_description_is_given() -> None:
    def look(place: str) -> str:
        """Look.

        Args:
            place: Where.
        """
        return place

    made = tool(look, description="Have a look.")
    assert (made.spec.description, properties(made)["place"]["description"]) == ("Have a look.", "Where.")


def test_a_parameter_without_a_type_is_described_and_takes_anything() -> None:
    def look(place):  # type: ignore[no-untyped-def]  # people write such tools
        """Look.

        :param place: Where.
        """
        return place

    made = tool(look)
    assert properties(made) == {"place": {"description": "Where."}}
    assert made.prepare('{"place": [1]}', coerce=False).values == {"place": [1]}
