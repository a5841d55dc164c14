"""Calls that a function cannot take: each is told who, which argument, and which one was meant."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass, field

import msgspec
import pytest

from eventsource.errors import ArgumentError
from eventsource.user_code.argument_checks import checked, checked_init
from eventsource.user_code.mistaken_calls import CheckedStructMeta


class Limits(msgspec.Struct, frozen=True, kw_only=True, metaclass=CheckedStructMeta):
    turn_limit: int = 0


@checked_init
@dataclass(frozen=True)
class Maker:
    model: str
    system: str = ""
    policies: Limits = field(default_factory=Limits)
    options: object = None


@checked()
def made(one: str, /, two: int = 0, *, id: str, title: str = "") -> str:  # noqa: A002 - the word that is asked for
    return f"{one}{two}{id}{title}"


@checked()
async def later(prompt: str, *, timeout_ms: int = 0) -> str:
    return prompt


@checked()
def any_of(*rest: int, **named: int) -> int:
    return len(rest) + len(named)


@checked()
def raising(number: int) -> int:
    raise TypeError("its own")


maker: Callable[..., object] = Maker
limits: Callable[..., object] = Limits
make: Callable[..., object] = made
NO_NAME = "expected one of its arguments, found none of this name; "


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda: maker("x", sytem="y"), f"Maker: sytem: {NO_NAME}did you mean `system=`?"),
        (lambda: maker("x", instructions="y"), f"Maker: instructions: {NO_NAME}did you mean `system=`?"),
        (lambda: maker(model_name="x"), f"Maker: model_name: {NO_NAME}did you mean `model=`?"),
        (lambda: maker("x", temperature=1), f'Maker: temperature: {NO_NAME}give options={{"temperature": ...}}'),
        (lambda: maker("x", turn_limit=1), f"Maker: turn_limit: {NO_NAME}give policies=Limits(turn_limit=...)"),
        (lambda: maker("x", max_turns=1), f"Maker: max_turns: {NO_NAME}give policies=Limits(turn_limit=...)"),
        (lambda: maker("x", turn_limits=1), f"Maker: turn_limits: {NO_NAME}did you mean policies=Limits(turn_limit="),
        (lambda: maker("x", zzz=1), f"Maker: zzz: {NO_NAME}it takes model=, system=, policies=, options="),
        (maker, "Maker: model: expected a value, found none; give `model=...`"),
        (lambda: maker("x", model="y"), "Maker: arguments: expected each once, found multiple values for argument"),
        (lambda: limits(max_turns=1), f"Limits: max_turns: {NO_NAME}did you mean `turn_limit=`?"),
        (lambda: limits(1), "Limits: arguments: expected none without a name, found 1 (int); it takes turn_limit="),
        (lambda: make("x", name="y"), f"made: name: {NO_NAME}did you mean `id=`?"),
        (lambda: make("x"), "made: id: expected a value, found none; give `id=...`"),
        (lambda: make("x", 1, "y"), "made: arguments: expected 2 at most without a name, found the text 'y'; "),
    ],
)  # fmt: skip
def test_an_argument_that_is_not_there_is_told_with_the_one_that_was_meant(
    call: Callable[[], object], says: str
) -> None:
    with pytest.raises(ArgumentError) as told:
        call()
    assert str(told.value).startswith(says)


async def test_an_async_function_tells_it_too() -> None:
    with pytest.raises(ArgumentError, match=r"later: timeout: .*did you mean `timeout_ms=`"):
        await later("x", timeout=3)  # type: ignore[call-arg]  # the mistake


def test_what_is_given_under_a_name_that_is_not_there_is_never_shown_since_it_may_be_a_key() -> None:
    with pytest.raises(ArgumentError) as told:
        maker("x", apikey="sk-1234")
    assert "sk-1234" not in str(told.value)


def test_a_function_that_takes_any_name_takes_it_and_its_own_type_errors_stay_what_they_are() -> None:
    assert any_of(1, 2, what=3) == 3
    with pytest.raises(TypeError, match=r"^its own$") as told:
        raising(3)
    assert not isinstance(told.value, ArgumentError)


def test_a_struct_that_tells_is_read_changed_and_described_as_any_other() -> None:
    assert msgspec.json.decode(b'{"turn_limit":2}', type=Limits) == Limits(turn_limit=2)
    assert msgspec.structs.replace(Limits(), turn_limit=2) == Limits(turn_limit=2)
    assert str(inspect.signature(Limits)) == "(*, turn_limit: int = 0)"
