"""Functions and classes that check what they are called with against their own signatures, and tell mistakes."""

from __future__ import annotations

import dataclasses
import functools
import inspect
import re
import typing
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import chain
from typing import TypeVar

import msgspec

from .argument_types import UNIONS, Test, refusal, type_test
from .mistaken_calls import mistaken_call

F = TypeVar("F", bound=Callable[..., object])
K = TypeVar("K", bound=type)
_UNPACKED = re.compile(r"Unpack\[(\w+)\]")
_BY_PLACE = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)


def checked(*but: str) -> Callable[[F], F]:
    """Make a function check its arguments when it is called; the values of those named here it looks at itself.

    A class may say in `HOW_TO_GET` how a caller comes to one of it; the error then ends with that.
    What a signature cannot be read for (a type that only type checkers import) is not checked.
    """

    def wrap(function: F) -> F:
        read = functools.cache(lambda: _spelled_out(function, but))  # when it is first called: reading takes its time
        parameters: Mapping[str, inspect.Parameter] = {}
        options: type | None = None
        skipped = 0
        by_place: Sequence[str] = ()
        types: dict[str, tuple[object, Test]] | None = None
        exact: dict[str, frozenset[type]] = {}

        def check(args: Sequence[object], named: Mapping[str, object]) -> None:
            nonlocal parameters, options, skipped, by_place, types
            if types is None:
                signature, options = read()
                parameters = signature.parameters
                skipped = int(next(iter(parameters), "") in ("self", "cls"))
                by_place = [one.name for one in parameters.values() if one.kind in _BY_PLACE][skipped:]
                types = _types(function, [name for name in parameters if name not in but])
                if options is not None:
                    types |= _types(options, [name for name in options.__annotations__ if name not in but])
                exact.update((name, _exact(hint)) for name, (hint, _) in types.items())
            if options is not None and not named.keys() <= parameters.keys():  # the function itself takes any name
                raise_mistaken(args, named)
            for name, value in chain(zip(by_place, args[skipped:], strict=False), named.items()):
                known = types.get(name)
                if known is not None and type(value) not in exact[name] and not known[1](value):
                    raise refusal(function.__qualname__, name, known[0], value)

        def raise_mistaken(args: Sequence[object], named: Mapping[str, object]) -> None:
            signature = read()[0]
            mistake = mistaken_call(function.__qualname__, signature, args, named, lambda: _inner(function, signature))
            if mistake is not None:
                raise mistake from None

        def shown_as(wrapper: Callable[..., object]) -> Callable[..., object]:
            if inspect.unwrap(function).__code__.co_flags & inspect.CO_VARKEYWORDS and read()[1] is not None:
                wrapper.__signature__ = read()[0]  # type: ignore[attr-defined]  # what `inspect` looks for
            return wrapper

        if inspect.iscoroutinefunction(function):

            @functools.wraps(function)
            async def later(*args: object, **named: object) -> object:
                check(args, named)
                try:
                    begun = function(*args, **named)
                except TypeError:
                    raise_mistaken(args, named)
                    raise
                return await begun

            return shown_as(later)  # type: ignore[return-value]  # it takes and gives what the function does

        @functools.wraps(function)
        def now(*args: object, **named: object) -> object:
            check(args, named)
            try:
                return function(*args, **named)
            except TypeError:
                raise_mistaken(args, named)
                raise

        return shown_as(now)  # type: ignore[return-value]  # as above

    return wrap


def _spelled_out(function: Callable[..., object], but: Sequence[str]) -> tuple[inspect.Signature, type | None]:
    """Read a signature, with the keys of `**options: Unpack[Options]` as keywords, and the class of these options."""
    signature = inspect.signature(function)
    rest = next((one for one in signature.parameters.values() if one.kind is one.VAR_KEYWORD), None)
    unpacked = _UNPACKED.fullmatch(str(rest.annotation)) if rest is not None and rest.name not in but else None
    options = inspect.unwrap(function).__globals__[unpacked[1]] if unpacked is not None else None
    if options is None:
        return signature, None
    named = [
        inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=..., annotation=hint.__forward_arg__)
        for name, hint in options.__annotations__.items()
    ]
    kept = [one for one in signature.parameters.values() if one is not rest]
    return signature.replace(parameters=[*kept, *named]), options


def checked_init(kind: K) -> K:
    """Make a dataclass say which of the arguments that it is made with it has no field for, and which it lacks."""
    # its own `__init__` is generated, so that there is nothing to decorate
    kind.__init__ = checked(*inspect.signature(kind).parameters)(kind.__init__)  # type: ignore[misc]  # as above
    return kind


def _exact(hint: object) -> frozenset[type]:
    """Name types of which every value passes the test of a hint, so that no more needs to be asked."""
    parts = typing.get_args(hint) if typing.get_origin(hint) in UNIONS else (hint,)
    return frozenset(one for one in parts if isinstance(one, type) and typing.get_origin(one) is None)


def _inner(function: Callable[..., object], signature: inspect.Signature) -> dict[str, tuple[str, ...]]:
    """Find the parameters whose values are made of fields: the name of their class, and the fields' names."""
    found = dict[str, tuple[str, ...]]()
    names = {"__annotations__": {one.name: one.annotation for one in signature.parameters.values()}}
    holder = type("holder", (), names | {"__module__": function.__module__})
    for name, (hint, _) in _types(holder, signature.parameters).items():
        if isinstance(hint, type) and dataclasses.is_dataclass(hint):
            found[name] = (hint.__name__, *(field.name for field in dataclasses.fields(hint)))
        elif isinstance(hint, type) and issubclass(hint, msgspec.Struct):
            found[name] = (hint.__name__, *hint.__struct_fields__)
    return found


def check_fields(made: object, **advice: str) -> None:
    """Check the fields of a dataclass that was just made; `advice` says what to give instead. Raises: ArgumentError."""
    kind = type(made)
    for name, (hint, test) in _fields(kind).items():  # type: ignore[arg-type]  # every class has a hash
        value = getattr(made, name)
        if not test(value):
            raise refusal(kind.__qualname__, name, hint, value, advice.get(name, ""))


@functools.cache
def _fields(kind: type) -> Mapping[str, tuple[object, Test]]:
    found = dict[str, tuple[object, Test]]()
    for base in reversed(kind.__mro__):
        if dataclasses.is_dataclass(base):
            own = vars(base).get("__annotations__", {})
            found |= _types(base, [field.name for field in dataclasses.fields(base) if field.name in own])
    return found


def _types(holder: object, names: Iterable[str]) -> dict[str, tuple[object, Test]]:
    """Read types one by one, by name; one that cannot be found from here is left out."""
    annotations: Mapping[str, object] = getattr(holder, "__annotations__", {})
    module = inspect.getmodule(holder)
    known = dict(vars(module)) if module is not None else {}
    found = dict[str, tuple[object, Test]]()
    for name in names:
        if name in annotations:
            one = type("one", (), {"__annotations__": {name: annotations[name]}})
            try:
                hint: object = typing.get_type_hints(one, globalns=known, localns={}, include_extras=True)[name]
            except (NameError, TypeError):
                continue
            found[name] = (hint, type_test(hint))
    return found
