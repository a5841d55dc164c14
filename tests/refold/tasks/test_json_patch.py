"""JSON patches make of one value the other, and say no more than what changed."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, strategies as st

from refold.tasks.json_patch import apply, diff

VALUES = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(-5, 5), st.text("ab/~", max_size=2)),
    lambda inner: st.one_of(
        st.lists(inner, max_size=4), st.dictionaries(st.text("ab/~", max_size=2), inner, max_size=4)
    ),
    max_leaves=12,
)


@given(VALUES, VALUES)
def test_a_patch_makes_the_other_value_and_leaves_the_first_alone(before: Any, after: Any) -> None:
    copy = repr(before)
    patched = apply(before, diff(before, after))
    assert patched == after
    assert type(patched) is type(after)
    assert repr(before) == copy
    assert diff(after, after) == []


@pytest.mark.parametrize(
    ("before", "after", "patch"),
    [
        ([1], [1, 2], [{"op": "add", "path": "/-", "value": 2}]),
        ([1, 2, 3], [1], [{"op": "remove", "path": "/2"}, {"op": "remove", "path": "/1"}]),
        ({"a/b": {"~": 1}}, {"a/b": {"~": 2}}, [{"op": "replace", "path": "/a~1b/~0", "value": 2}]),
        (1, True, [{"op": "replace", "path": "", "value": True}]),
        (None, {}, [{"op": "replace", "path": "", "value": {}}]),
    ],
)
def test_a_patch_says_only_what_changed(before: object, after: object, patch: list[dict[str, object]]) -> None:
    assert diff(before, after) == patch


def test_a_patch_of_something_else_does_not_fit() -> None:
    with pytest.raises(LookupError):
        apply({}, [{"op": "remove", "path": "/a"}])
    with pytest.raises(TypeError, match="neither"):
        apply(3, [{"op": "add", "path": "/a/b", "value": 1}])


def test_values_can_be_put_anywhere_in_a_list() -> None:
    assert apply([1, 3], [{"op": "add", "path": "/1", "value": 2}]) == [1, 2, 3]
    assert apply([[1]], [{"op": "replace", "path": "/0/0", "value": 2}]) == [[2]]
