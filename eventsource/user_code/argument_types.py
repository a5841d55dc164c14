"""Types of arguments as a signature has them: whether a value is of one, and both in words."""

from __future__ import annotations

import functools
import inspect
import typing
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Annotated, Literal, TypeAlias, TypeVar, Union, get_args, get_origin

from ..errors import ArgumentError

Test: TypeAlias = Callable[[object], bool]
UNIONS = (Union, type(int | str))
_TEXTS = (str, bytes, bytearray)
_SHOWN = 60


def refusal(where: str, parameter: str, hint: object, value: object, advice: str = "") -> ArgumentError:
    """Build the error for an argument that is not of its type; nobody hears of a coroutine twice: it is closed."""
    bad, place, expected = _first_bad(value, hint, parameter)
    advice = advice or next((how for one in _kinds(hint) if (how := getattr(one, "HOW_TO_GET", ""))), "")
    if inspect.iscoroutine(bad):
        bad.close()
        advice = "await it first"
    return ArgumentError(where, place, described(expected), shown(bad), advice)


def check_key(key: str | None, where: str) -> None:
    """Check that a key, if one is given, names something. Raises: ArgumentError."""
    if key == "":
        advice = "give a text that names nothing else here"
        raise ArgumentError(where, "key", "a text that is not empty", "an empty one", advice)


def _first_bad(value: object, hint: object, place: str) -> tuple[object, str, object]:
    """Find which item of a sequence it is that does not fit, where, and its type, if the sequence itself would do."""
    for one in _parts(hint):
        if get_origin(one) is Sequence and isinstance(value, Sequence) and not isinstance(value, _TEXTS):
            for at, item in enumerate(value):
                if not type_test(get_args(one)[0])(item):
                    return item, f"{place}[{at}]", get_args(one)[0]
    return value, place, hint


def type_test(hint: object) -> Test:
    """Make the question whether a value is of a type, as far as can be seen without changing or running it."""
    origin, inner = get_origin(hint), get_args(hint)
    kind = origin if origin is not None else hint
    if isinstance(hint, TypeVar) or hint in (object, typing.Any):
        return lambda value: True
    if origin in UNIONS:
        return _any_of(inner)
    if origin is Annotated:
        return type_test(inner[0])
    if origin is Literal:
        return lambda value: any(type(value) is type(one) and value == one for one in inner)
    if kind is type:
        return lambda value: (
            isinstance(value, type)
            or get_origin(value) is not None
            or any(hasattr(value, name) for name in ("__supertype__", "__value__"))  # NewType, `type X = ...`
        )
    if kind in (Sequence, Iterable, Collection):
        return _sequence_of(kind, inner)
    if origin is tuple:
        return _tuple_of(inner)
    return _one_of(kind) if isinstance(kind, type) else lambda value: kind is None and value is None


def _any_of(hints: Sequence[object]) -> Test:
    plain = tuple(one for one in hints if isinstance(one, type) and one not in (int, float, type, object))
    classes = tuple(one for one in plain if not getattr(one, "_is_protocol", False) and get_origin(one) is None)
    tests = [type_test(one) for one in hints if one not in classes]
    return lambda value: isinstance(value, classes) or any(test(value) for test in tests)


def _sequence_of(kind: object, inner: Sequence[object]) -> Test:
    item = type_test(inner[0])
    if kind is not Sequence:  # to look into it might use it up
        return lambda value: isinstance(value, Iterable) and not isinstance(value, _TEXTS)
    return lambda value: isinstance(value, Sequence) and not isinstance(value, _TEXTS) and all(map(item, value))


def _tuple_of(inner: Sequence[object]) -> Test:
    tests = [type_test(one) for one in inner if one is not ...]
    if ... in inner:
        return lambda value: isinstance(value, tuple) and all(map(tests[0], value))
    return lambda value: (
        isinstance(value, tuple)
        and len(value) == len(tests)
        and all(test(one) for test, one in zip(tests, value, strict=True))
    )


def _one_of(kind: type) -> Test:
    if kind is int:
        return lambda value: isinstance(value, int) and not isinstance(value, bool)
    if kind is float:
        return lambda value: isinstance(value, int | float) and not isinstance(value, bool)
    if getattr(kind, "_is_protocol", False):
        return lambda value: (
            not isinstance(value, type)
            and (
                hasattr(type(value), "__getattr__")  # it passes on what it has not itself
                or all(inspect.getattr_static(value, name, _ABSENT) is not _ABSENT for name in _members(kind))
            )
        )
    return lambda value: isinstance(value, kind)


_ABSENT = object()


@functools.cache
def _members(protocol: type) -> frozenset[str]:
    bases = [base for base in protocol.__mro__ if getattr(base, "_is_protocol", False)]
    named = (name for base in bases for name in (*vars(base), *vars(base).get("__annotations__", {})))
    return frozenset(name for name in named if not name.startswith("_"))


def _parts(hint: object) -> tuple[object, ...]:
    return get_args(hint) if get_origin(hint) in UNIONS else (hint,)


def _kinds(hint: object) -> Iterable[object]:
    for one in _parts(hint):
        yield get_origin(one) or one
        if get_origin(one) is Sequence:
            yield from _kinds(get_args(one)[0])


def described(hint: object) -> str:
    """Describe a type in words: "a Session or None"."""
    said = list(dict.fromkeys(_described(one) for one in _parts(hint) if one is not type(None)))
    said += ["None"] if type(None) in _parts(hint) else []
    return said[0] if len(said) == 1 else f"{', '.join(said[:-1])} or {said[-1]}"


def _described(hint: object) -> str:
    origin, inner = get_origin(hint), get_args(hint)
    if origin is Literal:
        return " or ".join(map(repr, inner))
    if origin is Callable:
        return "a function"
    if origin is type:
        return "a type"
    if origin in (Sequence, Iterable):
        return f"a list (each: {described(inner[0])})"
    if origin is Mapping:
        return "a dict"
    if origin is tuple:
        return f"a tuple ({', '.join(described(one) for one in inner if one is not ...)})"
    kind = origin if origin is not None else hint
    name = next((said for one, said in _NAMES if one is kind), "") or str(getattr(kind, "__name__", kind))
    return a_or_an(name)


def a_or_an(name: str) -> str:
    """Put the article before a noun."""
    return f"{'an' if name[:1] in 'AEIOUaeiou' else 'a'} {name}"


_NAMES = ((str, "text"), (int, "whole number"), (float, "number"))


def shown(value: object) -> str:
    """Describe a value in a few words; a program's own objects are named by their class, and not asked anything."""
    if value is None or isinstance(value, bool):
        return str(value)
    if inspect.iscoroutine(value):
        return f"the coroutine of {value.__qualname__}, which nobody awaited"
    kind = type(value)
    if kind is str:
        return f"the text {_short(repr(value))}"
    if kind in (int, float, bytes, list, tuple, dict, set):
        return f"{_short(repr(value))} ({kind.__name__})" if kind in (int, float, bytes) else f"a {kind.__name__}"
    if isinstance(value, type):
        return f"the class {value.__qualname__}"
    if inspect.isroutine(value):
        return f"the function {getattr(value, '__qualname__', kind.__name__)}"
    own = kind.__module__.partition(".")[0]
    return a_or_an(f"{kind.__qualname__}{'' if own in ('builtins', '__main__') else f' of {own}'}")


def _short(text: str) -> str:
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"
