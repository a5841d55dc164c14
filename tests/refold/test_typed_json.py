"""Values of a program's own types as JSON, and back."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime

import msgspec
import pytest
from pydantic import BaseModel

from eventsource.errors import InvalidTextError
from refold import Agent
from refold.tasks import TaskContext, task
from refold.typed_json import Shape, ShapeError, dump


class Model(BaseModel):
    city: str
    when: datetime | None = None


@dataclass
class Data:
    numbers: list[int]


class Record(msgspec.Struct):
    name: str
    size: int = 0


@pytest.mark.parametrize(
    "value",
    [Model(city="Oslo", when=datetime(2030, 1, 1, tzinfo=UTC)), Data([1, 2]), Record("r", 3), [1], {"a": None}, 7, "é"],
    ids=lambda value: type(value).__name__,
)
def test_a_value_is_the_same_after_it_was_written(value: object) -> None:
    raw, back = Shape(type(value)).checked(value, where="here")
    assert back == value
    assert Shape(type(value)).load(raw) == value


def test_without_a_type_a_value_is_what_json_makes_of_it() -> None:
    assert Shape[object](None).checked({"a": (1, Data([2]))}, where="here")[1] == {"a": [1, {"numbers": [2]}]}
    assert Shape[object](None).load(msgspec.UNSET) is None


@pytest.mark.parametrize(
    ("kind", "text"), [(Model, b"{}"), (Record, b"{}"), (int, b'"x"'), (Data, b'{"numbers":[null]}')]
)
def test_a_value_of_another_type_is_told_what_does_not_fit(kind: type[object], text: bytes) -> None:
    with pytest.raises(ShapeError):
        Shape(kind).load(msgspec.Raw(text))


def test_the_schema_says_what_is_expected() -> None:
    assert b'"city"' in bytes(Shape(Model).schema or b"")
    assert b'"name"' in bytes(Shape(Record).schema or b"")
    assert Shape[object](None).schema is msgspec.UNSET


@pytest.mark.parametrize("value", [object(), float("nan"), {1: {2, object()}}], ids=["object", "nan", "set"])
def test_what_has_no_json_form_is_refused(value: object) -> None:
    with pytest.raises(InvalidTextError, match="here"):
        dump(value, where="here")


def test_types_inside_functions_may_name_others_there() -> None:
    class Part(BaseModel):
        size: int

    @dataclass
    class Whole:
        part: Part
        more: list[Part]

    class Small(msgspec.Struct):
        size: int

    class Large(msgspec.Struct):
        small: Small

    @task(id="whole", payload=Whole, result=list[Whole])
    async def count(ctx: TaskContext, payload: Whole) -> list[Whole]:
        return [payload]

    agent = Agent("scripted", output=list[Whole])
    raw = b'{"part":{"size":1},"more":[{"size":2}]}'
    whole = Whole(Part(size=1), [Part(size=2)])
    assert Shape(Large).load(msgspec.Raw(b'{"small":{"size":3}}')) == Large(Small(3))
    assert _elsewhere(lambda: count.read_payload(msgspec.Raw(raw))) == whole
    assert _elsewhere(lambda: count.read(msgspec.Raw(b"[%s]" % raw))) == [whole]
    assert _elsewhere(lambda: agent.typed_output.read(f"[{raw.decode()}]") if agent.typed_output else None) == [whole]


def _elsewhere(read: Callable[[], object]) -> object:
    """Read where the functions around the types run no more."""
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(read).result()
