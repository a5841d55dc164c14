"""Tools that a request keeps in the words of its API are named as that API names them."""

from __future__ import annotations

import msgspec
import pytest

from eventsource.codec import from_json, to_json
from eventsource.models.own_tools import own_tools

SCHEMA = {"type": "object", "properties": {"x": {"type": "string"}}}


@pytest.mark.parametrize(
    ("tools", "named"),
    [
        ([{"type": "web_search_20250305", "name": "web_search", "max_uses": 2}], ["web_search"]),
        ([{"name": "far", "description": "Far.", "input_schema": SCHEMA, "strict": True}], ["far"]),
        ([{"type": "web_search"}, {"type": "function", "name": "far", "parameters": SCHEMA}], ["web_search", "far"]),
        ([{"type": "function", "function": {"name": "far", "parameters": SCHEMA, "defer_loading": True}}], ["far"]),
        ([{"googleSearch": {}}, {"functionDeclarations": [{"name": "far", "behavior": "B"}]}], ["googleSearch", "far"]),
        ([{"function_declarations": [{"name": "far"}, 3]}, {"type": 5}, 7, None], ["far", "?"]),
        ("no list", []),
    ],
)
def test_each_tool_has_a_name(tools: object, named: list[str]) -> None:
    assert [one.name for one in own_tools(to_json({"extra_body": {"tools": tools}}))] == named


def test_a_tool_has_its_schema_or_all_that_is_said_of_it() -> None:
    search = {"type": "web_search", "max_uses": 2}
    tools = [search, {"name": "far", "description": "Far.", "input_schema": SCHEMA, "strict": True}]
    found = list(own_tools(to_json({"extra_body": {"tools": tools}})))
    assert [(one.description, from_json(one.schema)) for one in found] == [("", search), ("Far.", SCHEMA)]


@pytest.mark.parametrize("options", [msgspec.UNSET, to_json({}), to_json({"extra_body": []}), to_json([])])
def test_without_any_there_are_none(options: msgspec.Raw) -> None:
    assert list(own_tools(options)) == []
