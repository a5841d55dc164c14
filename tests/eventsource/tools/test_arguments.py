"""Arguments of both kinds of tools: what a model may write, what is made of it, and what it reads when it is wrong."""

from __future__ import annotations

import dataclasses
import datetime as dt
import json
from collections.abc import Iterable
from typing import Annotated, Literal

import pydantic
import pytest
from hypothesis import given, strategies as st

from eventsource.codec import from_json
from eventsource.errors import ToolArgumentsError
from eventsource.tools.tool import Tool, json_tool, tool

CALC = {
    "type": "object",
    "properties": {"a": {"type": "number"}, "b": {"type": "number"}},
    "required": ["a", "b"],
}


class Address(pydantic.BaseModel):
    street: str
    number: int = 1

    @pydantic.field_validator("street")
    @classmethod
    def known(cls, street: str) -> str:
        if street == "Nowhere":
            raise ValueError("no such street")
        return street if street != "Zero" else str(1 / 0)


@dataclasses.dataclass
class Point:
    x: float
    y: float


def plain(city: str, days: int = 1, *, exact: bool = False) -> str:
    """Say the weather."""
    return f"{city} {days} {exact}"


def rich(
    where: Address,
    unit: Literal["c", "f"] = "c",
    when: dt.date | None = None,
    points: tuple[Point, ...] = (),
    note: Annotated[str, pydantic.Field(description="For people.", max_length=3)] = "",
) -> str:
    return f"{where} {unit} {when} {points} {note}"


def calc(arguments: dict[str, float]) -> float:
    return arguments["a"] + arguments["b"]


PLAIN, RICH, BY_SCHEMA = tool(plain), tool(rich), json_tool("calc", CALC, calc)


def refusal(of: Tool, text: str, *, coerce: bool = False) -> str:
    with pytest.raises(ToolArgumentsError) as caught:
        of.prepare(text, coerce=coerce)
    return str(caught.value)


def test_a_signature_becomes_a_schema_that_says_names_types_defaults_and_descriptions() -> None:
    assert from_json(PLAIN.spec.schema) == {
        "type": "object",
        "properties": {
            "city": {"type": "string"},
            "days": {"type": "integer", "default": 1},
            "exact": {"type": "boolean", "default": False},
        },
        "required": ["city"],
        "additionalProperties": False,
    }
    schema = from_json(RICH.spec.schema)
    assert isinstance(schema, dict)
    assert schema["properties"]["note"] == {
        "type": "string",
        "default": "",
        "description": "For people.",
        "maxLength": 3,
    }
    assert schema["properties"]["where"] == {"$ref": "#/$defs/Address"}


def test_names_that_mean_something_to_pydantic_are_plain_parameters() -> None:
    def odd(schema: str, model_config: int, _hidden: str, json: bool) -> None: ...

    values = tool(odd).prepare('{"schema":"s","model_config":1,"_hidden":"h","json":true}', coerce=False).values
    assert values == {"schema": "s", "model_config": 1, "_hidden": "h", "json": True}


def test_json_becomes_what_the_annotations_say() -> None:
    text = '{"where":{"street":"Main"},"when":"2026-01-02","points":[{"x":1,"y":2.5}]}'
    values = RICH.prepare(text, coerce=False).values
    assert values["where"] == Address(street="Main")
    assert values["when"] == dt.date(2026, 1, 2)
    assert values["points"] == (Point(1.0, 2.5),)


@pytest.mark.parametrize("text", ["", "  \n", "{}"])
@pytest.mark.parametrize("of", [tool(lambda: None, name="none"), json_tool("none", {"type": "object"}, lambda _: None)])
def test_no_text_is_an_empty_object(of: Tool, text: str) -> None:
    prepared = of.prepare(text, coerce=False)
    assert (prepared.values, prepared.text, prepared.changed, prepared.read()) == ({}, text, False, {})


@pytest.mark.parametrize("of", [PLAIN, BY_SCHEMA])
@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ('{"city": "Os', "root: is not valid JSON: Unterminated string starting at: line 1 column 10 (char 9)"),
        ('{"days": NaN}', "root: is not valid JSON: NaN is not JSON"),
        ('["Oslo"]', "root: must be object"),
        ("null", "root: must be object"),
        ('"Oslo"', "root: must be object"),
        ('{"days": 1e999}', "root: holds a number that is too large"),
        ('{"days": ' + "[" * 100_000, "root: is nested too deeply"),
    ],
)
@pytest.mark.parametrize("coerce", [False, True])
def test_what_is_no_json_object_is_refused_with_the_text_as_received(
    of: Tool, text: str, problem: str, coerce: bool
) -> None:
    told = refusal(of, text, coerce=coerce)
    head = f'Validation failed for tool "{of.spec.name}":\n  - {problem}\n\nReceived arguments:\n'
    assert told.startswith(head + text[:3_000])
    assert len(told) < 5_000


def test_a_refusal_lists_every_problem_with_its_path_and_what_was_received() -> None:
    assert refusal(PLAIN, '{"days":"two","wind":1}') == (
        'Validation failed for tool "plain":\n'
        "  - city: must have required property 'city'\n"
        "  - days: must be a valid integer\n"
        "  - wind: is not a parameter of this tool\n\n"
        'Received arguments:\n{\n  "days": "two",\n  "wind": 1\n}'
    )
    assert refusal(BY_SCHEMA, '{"b":"two"}') == (
        'Validation failed for tool "calc":\n'
        "  - b: must be number\n"
        "  - a: must have required property 'a'\n\n"
        'Received arguments:\n{\n  "b": "two"\n}'
    )
    assert "  - where.number: must be a valid integer\n" in refusal(RICH, '{"where":{"street":"x","number":"y"}}')
    assert "  - where.street: Value error, no such street\n" in refusal(RICH, '{"where":{"street":"Nowhere"}}')


def test_schema_problems_name_what_is_wanted() -> None:
    schema = {
        "type": "object",
        "properties": {
            "kind": {"enum": ["a", "b"]},
            "ids": {"type": "array", "items": {"type": ["integer", "null"]}},
            "name": {"type": "string", "minLength": 2},
        },
        "additionalProperties": False,
    }
    told = refusal(json_tool("t", schema, calc), '{"kind":"c","ids":[1,"x"],"name":"n","more":1}')
    assert told.split("\n\n")[0].splitlines()[1:] == [
        '  - kind: must be one of "a", "b"',
        "  - ids.1: must be integer or null",
        "  - name: 'n' is too short",
        "  - root: Additional properties are not allowed ('more' was unexpected)",
    ]


def test_a_refusal_of_very_much_stays_short() -> None:
    many = json_tool("t", {"type": "object", "additionalProperties": {"type": "integer"}}, calc)
    told = refusal(many, json.dumps({f"key{n}": "x" * 500 for n in range(500)}))
    assert "  - … 480 more\n" in told
    assert len(told) < 15_000


def test_a_validator_that_raises_anything_is_a_refusal_and_no_crash() -> None:
    told = refusal(RICH, '{"where":{"street":"Zero"}}')
    assert "  - root: could not be checked: ZeroDivisionError: division by zero\n" in told


@pytest.mark.parametrize(
    ("of", "text"),
    [
        (PLAIN, '{"city":"Oslo","days":"2"}'),
        (PLAIN, '{"city":4,"days":2}'),
        (PLAIN, '{"city":"Oslo","exact":"true"}'),
        (BY_SCHEMA, '{"a":"1","b":2}'),
    ],
)
def test_without_coercion_only_the_declared_types_pass(of: Tool, text: str) -> None:
    assert "must be" in refusal(of, text, coerce=False)


@pytest.mark.parametrize("coerce", [False, True])
def test_arguments_that_fit_are_passed_on_as_received(coerce: bool) -> None:
    text = '{ "city" : "Oslo",  "days": 2 }'
    prepared = PLAIN.prepare(text, coerce=coerce)
    assert (prepared.text, prepared.changed) == (text, False)
    assert prepared.values == {"city": "Oslo", "days": 2, "exact": False}


def test_with_coercion_what_is_passed_on_is_known() -> None:
    prepared = PLAIN.prepare('{"days":"2","city":4,"exact":"true"}', coerce=True)
    assert prepared.values == {"city": "4", "days": 2, "exact": True}
    assert (prepared.text, prepared.changed) == ('{"city":"4","days":2,"exact":true}', True)
    assert PLAIN.prepare(prepared.text, coerce=False).values == prepared.values


def test_coerced_arguments_of_rich_types_are_recorded_as_json_that_reads_back() -> None:
    prepared = RICH.prepare('{"where":{"street":"x","number":"7"},"when":"2026-01-02"}', coerce=True)
    assert json.loads(prepared.text) == {"where": {"street": "x", "number": 7}, "when": "2026-01-02"}
    assert RICH.prepare(prepared.text, coerce=False).values == prepared.values


def test_coercion_follows_a_schema_into_objects_lists_references_and_alternatives() -> None:
    schema = {
        "type": "object",
        "properties": {
            "n": {"type": "integer"},
            "on": {"type": "boolean"},
            "text": {"type": "string"},
            "list": {"type": "array", "items": {"$ref": "#/$defs/point"}},
            "pair": {"type": "array", "prefixItems": [{"type": "number"}, {"type": "string"}]},
            "maybe": {"anyOf": [{"type": "number"}, {"type": "null"}]},
        },
        "additionalProperties": {"type": "number"},
        "$defs": {"point": {"type": "object", "properties": {"x": {"type": "number"}}}},
    }
    received = {
        "n": "3",
        "on": "true",
        "text": 5,
        "list": [{"x": "1.5"}, {"x": 2}],
        "pair": ["1", 2],
        "maybe": "null",
        "other": "-2e1",
    }
    prepared = json_tool("t", schema, calc).prepare(json.dumps(received), coerce=True)
    assert prepared.changed
    assert json.loads(prepared.text) == {
        "n": 3,
        "on": True,
        "text": "5",
        "list": [{"x": 1.5}, {"x": 2}],
        "pair": [1, "2"],
        "maybe": None,
        "other": -20.0,
    }


@pytest.mark.parametrize("text", ["two", "", "1_000", "0x1", "nan", "Infinity", " 1", "1.", "01.5"])
def test_text_that_is_no_json_number_is_never_made_one(text: str) -> None:
    assert "  - a: must be number\n" in refusal(BY_SCHEMA, json.dumps({"a": text, "b": 1}), coerce=True)


def test_only_problems_that_coercion_leaves_are_told() -> None:
    assert "  - a:" not in refusal(BY_SCHEMA, '{"a":"1","b":"two"}', coerce=True)
    assert "  - days:" not in refusal(PLAIN, '{"days":"1"}', coerce=True)


def test_whole_floats_are_integers_also_without_coercion() -> None:
    text = '{"city":"Oslo","days":2.0}'
    prepared = PLAIN.prepare(text, coerce=False)
    assert (prepared.values["days"], prepared.text, prepared.changed) == (2, text, False)
    assert isinstance(prepared.values["days"], int)
    assert "days: must be a valid integer" in refusal(PLAIN, '{"city":"Oslo","days":2.5}')


@pytest.mark.parametrize("of", [PLAIN, json_tool("t", {"type": "object"}, calc)])
def test_a_lone_surrogate_is_repaired_and_the_repaired_text_is_known(of: Tool) -> None:
    prepared = of.prepare('{"city":"\\ud83d\\ude00 \\ud83d"}', coerce=False)
    assert prepared.values["city"] == "😀 \ufffd"
    assert (prepared.text, prepared.changed) == ('{"city":"😀 \ufffd"}', True)


def test_an_iterator_among_coerced_arguments_is_recorded_and_can_still_be_read() -> None:
    def total(numbers: Iterable[int], label: int) -> None: ...

    prepared = tool(total).prepare('{"numbers":[1,2],"label":"3"}', coerce=True)
    numbers = prepared.values["numbers"]
    assert isinstance(numbers, Iterable)
    assert ([*numbers], prepared.text) == ([1, 2], '{"numbers":[1,2],"label":3}')


def test_a_reference_out_of_the_schema_is_refused_and_never_fetched() -> None:
    of = json_tool("t", {"type": "object", "properties": {"a": {"$ref": "http://localhost:9/s.json"}}}, calc)
    assert "Unresolvable: http://localhost:9/s.json" in refusal(of, '{"a":1}')


def test_changing_the_values_changes_neither_the_text_nor_the_next_arguments() -> None:
    keep = json_tool("t", {"type": "object"}, calc)
    text = '{"list":[1]}'
    prepared = keep.prepare(text, coerce=True)
    values = prepared.values["list"]
    assert isinstance(values, list)
    values.append(2)
    assert (prepared.text, prepared.read()) == (text, {"list": [1]})
    assert keep.prepare(text, coerce=True).values == {"list": [1]}


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=6,
)


@given(
    st.dictionaries(st.sampled_from(["a", "b", "c"]), JSON), st.sampled_from([PLAIN, RICH, BY_SCHEMA]), st.booleans()
)
def test_arguments_are_accepted_or_refused_and_what_was_accepted_once_is_accepted_again(
    arguments: dict[str, object], of: Tool, coerce: bool
) -> None:
    try:
        prepared = of.prepare(json.dumps(arguments), coerce=coerce)
    except ToolArgumentsError:
        return
    again = of.prepare(prepared.text, coerce=coerce)
    assert (again.values, again.changed) == (prepared.values, False)


@given(st.text())
def test_any_text_is_accepted_or_refused(text: str) -> None:
    for of in (PLAIN, BY_SCHEMA):
        with pytest.raises(ToolArgumentsError):
            of.prepare(text or "{", coerce=True)
