"""Types as they are given as arguments; those defined inside functions name what is found while these run."""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Any, TypeAlias, get_args, get_type_hints

import msgspec

if TYPE_CHECKING:
    from types import UnionType
    from typing import _SpecialForm

    from typing_extensions import TypeForm

    AnyType: TypeAlias = type[object] | UnionType | _SpecialForm | TypeForm[object]
else:
    AnyType = type[object]
"""A type as people write one, a class or not: `int | str`, `Literal["a"]`. Type checkers know some as values only."""


def as_type(kind: AnyType | None) -> type[Any] | None:
    """Cast a type to the form that pydantic takes, which reads types that are no classes too."""
    return kind  # type: ignore[return-value]  # as above


def local_names(kind: object) -> dict[str, object]:
    """Find the names of the functions and classes around a type's local classes; empty for types of modules.

    Only the frames of these functions hold a local type that nothing but an annotation names.
    """
    places = {(one.__module__, one.__qualname__) for one in _classes(kind) if "<locals>" in one.__qualname__}
    around: list[Mapping[str, object]] = []
    frame = inspect.currentframe() if places else None
    while frame is not None:
        module, name = frame.f_globals.get("__name__"), frame.f_code.co_qualname
        if any(module == where and place.startswith(f"{name}.") for where, place in places):
            around.append(frame.f_locals)
        frame = frame.f_back
    return {name: value for names in reversed(around) for name, value in names.items()}  # what is nearer counts


def settle_structs(kind: object, names: dict[str, object]) -> None:
    """Replace what the annotations of local msgspec structs name by what it is: msgspec looks in modules only."""
    seen = set[type]()
    left = list(_classes(kind))
    while left:
        one = left.pop()
        if one in seen or not issubclass(one, msgspec.Struct) or "<locals>" not in one.__qualname__:
            continue
        seen.add(one)
        with suppress(Exception):  # an annotation is any expression; msgspec says what it cannot find
            hints = get_type_hints(one, localns=names, include_extras=True)
            one.__annotations__ = {name: hints[name] for name in inspect.get_annotations(one)}
            left += [found for hint in hints.values() for found in _classes(hint)]


def _classes(kind: object) -> Iterator[type[Any]]:
    if isinstance(kind, type):
        yield kind
    for part in get_args(kind):
        yield from _classes(part)
