"""Options are read strictly and merged by one rule."""

from __future__ import annotations

import msgspec
import pytest

from eventsource.models.options import ModelOptionsError, NamedTool, merge_body, read_options


def test_absent_options_are_the_defaults() -> None:
    assert read_options(msgspec.UNSET) == read_options(msgspec.Raw(b"{}"))


def test_an_unknown_option_is_an_error_that_names_what_there_is() -> None:
    with pytest.raises(ModelOptionsError, match=r"temprature.*there are: temperature"):
        read_options(msgspec.Raw(b'{"temprature":1}'))


def test_a_tool_is_chosen_by_name_or_by_rule() -> None:
    assert read_options(msgspec.Raw(b'{"tool_choice":{"name":"auto"}}')).tool_choice == NamedTool("auto")
    assert read_options(msgspec.Raw(b'{"tool_choice":"auto"}')).tool_choice == "auto"


def test_objects_merge_lists_grow_null_removes_and_the_rest_replaces() -> None:
    body = {"a": {"x": 1, "y": 2}, "tools": [1], "gone": 1, "n": 1}
    extra: dict[str, object] = {"a": {"y": 3, "z": None}, "tools": [2], "gone": None, "n": 2, "new": {"k": []}}
    assert merge_body(body, extra) == {"a": {"x": 1, "y": 3}, "tools": [1, 2], "n": 2, "new": {"k": []}}
