"""Functions that check their arguments: what they refuse, in which words, and what they leave alone."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, Generic, Literal, Protocol, TypeVar

import pytest

from eventsource.errors import ArgumentError, RefoldError
from eventsource.user_code.argument_checks import check_fields, checked

T = TypeVar("T")


class Named(Protocol):
    @property
    def name(self) -> str: ...

    def call(self) -> None: ...


class Good:
    name = "x"

    def call(self) -> None: ...


class Box(Generic[T]):
    HOW_TO_GET: ClassVar[str] = "`Box()` makes one"


@checked("own")
def every(
    text: str = "",
    number: int = 0,
    part: float = 0.0,
    word: Literal["a", "b"] = "a",
    many: Sequence[int] = (),
    pairs: Sequence[tuple[int, str]] = (),
    table: Mapping[str, object] = {},
    each: Iterable[int] = (),
    function: Callable[[], None] | None = None,
    box: Box[int] | None = None,
    kind: type[object] | None = None,
    like: Named | None = None,
    anything: object = None,
    own: int = 0,
    *rest: int,
    key: str = "",
) -> str:
    return "called"


@pytest.mark.parametrize(
    "given",
    [
        {"number": 3},
        {"part": 3},
        {"word": "b"},
        {"many": [1, 2]},
        {"many": range(3)},
        {"pairs": [(1, "x")]},
        {"table": {}},
        {"each": iter([1])},
        {"function": len},
        {"box": Box[int]()},
        {"kind": list[int]},
        {"kind": Box},
        {"like": Good()},
        {"anything": object()},
        {"own": "x"},
    ],
)
def test_what_the_signature_says_is_taken(given: dict[str, object]) -> None:
    assert every(**given) == "called"  # type: ignore[arg-type]  # values of any type are the point


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"text": 3}, "every: text: expected a text, found 3 (int)"),
        ({"text": b"x"}, "every: text: expected a text, found b'x' (bytes)"),
        ({"number": "3"}, "every: number: expected a whole number, found the text '3'"),
        ({"number": True}, "every: number: expected a whole number, found True"),
        ({"part": "3"}, "every: part: expected a number, found the text '3'"),
        ({"word": "c"}, "every: word: expected 'a' or 'b', found the text 'c'"),
        ({"word": []}, "every: word: expected 'a' or 'b', found a list"),
        ({"many": 3}, "every: many: expected a list (each: a whole number), found 3 (int)"),
        ({"many": [1, "x"]}, "every: many[1]: expected a whole number, found the text 'x'"),
        ({"many": "12"}, "every: many: expected a list (each: a whole number), found the text '12'"),
        ({"pairs": [(1, 2)]}, "every: pairs[0]: expected a tuple (a whole number, a text), found a tuple"),
        ({"table": [1]}, "every: table: expected a dict, found a list"),
        ({"function": 3}, "every: function: expected a function or None, found 3 (int)"),
        ({"box": "x"}, "every: box: expected a Box or None, found the text 'x'; `Box()` makes one"),
        ({"kind": 3}, "every: kind: expected a type or None, found 3 (int)"),
        ({"like": 3}, "every: like: expected a Named or None, found 3 (int)"),
        ({"key": None}, "every: key: expected a text, found None"),
    ],
)
def test_what_it_does_not_say_is_refused_in_words(given: dict[str, object], says: str) -> None:
    with pytest.raises(ArgumentError) as told:
        every(**given)  # type: ignore[arg-type]  # as above
    assert str(told.value) == says
    assert isinstance(told.value, RefoldError)
    assert isinstance(told.value, TypeError)


def test_arguments_by_place_are_checked_and_those_after_a_star_are_not_mistaken_for_others() -> None:
    with pytest.raises(ArgumentError, match="number"):
        every("x", "y")  # type: ignore[arg-type]  # as above
    everything: tuple[object, ...] = ("", 0, 0.0, "a", (), (), {}, (), None, None, None, None, None, 0)
    assert every(*everything, 1, 2) == "called"  # type: ignore[arg-type]  # as above


async def test_an_async_function_stays_one_and_is_checked_when_it_is_awaited() -> None:
    @checked()
    async def later(number: int) -> int:
        return number

    assert inspect.iscoroutinefunction(later)
    assert await later(3) == 3
    with pytest.raises(ArgumentError, match="number: expected a whole number"):
        await later("3")  # type: ignore[arg-type]  # as above


def test_the_fields_of_a_dataclass_are_checked_and_constants_of_its_class_are_not() -> None:
    @dataclass
    class Point:
        x: int
        HOW: ClassVar[str] = "x"

        def __post_init__(self) -> None:
            check_fields(self, x="say how far")

    assert Point(3).x == 3
    with pytest.raises(ArgumentError, match=r"x: expected a whole number, found None; say how far"):
        Point(None)  # type: ignore[arg-type]  # as above
