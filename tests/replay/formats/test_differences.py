"""What one JSON value lacks to be another is found and undone, whatever the values are."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given, strategies as st

from replay.formats.differences import difference, restore, same

JSON: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.sampled_from([0, 1, 0.0, -0.0, 1.0, "", "a"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("abc0"), inner, max_size=3),
    max_leaves=12,
)
OBJECTS = st.dictionaries(st.sampled_from("abcd"), JSON, max_size=4)


@given(OBJECTS, OBJECTS)
def test_what_was_written_becomes_what_is_wanted(wanted: dict[str, Any], written: dict[str, Any]) -> None:
    found = restore(written, difference(wanted, written))
    assert json.dumps(found, sort_keys=True) == json.dumps(wanted, sort_keys=True)


@given(OBJECTS)
def test_equal_values_differ_in_nothing(value: dict[str, Any]) -> None:
    assert difference(value, json.loads(json.dumps(value))) == {}


@given(JSON, JSON)
def test_values_are_the_same_if_they_are_written_the_same(one: object, other: object) -> None:
    assert same(one, other) == (json.dumps(one, sort_keys=True) == json.dumps(other, sort_keys=True))


def test_what_differs_deep_within_is_told_without_what_stands_around_it() -> None:
    wanted = {"message": {"content": [{"text": "long", "id": 1}], "usage": {"input": 3}}, "uuid": "u"}
    written = {"message": {"content": [{"text": "long"}], "usage": {"input": 3, "output": 0}}}
    assert difference(wanted, written) == {
        "set": {"uuid": "u"},
        "within": {"message": {"within": {"content": {"0": {"set": {"id": 1}}}, "usage": {"absent": ["output"]}}}},
    }
