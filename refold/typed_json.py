"""Values of a program's own types as JSON, and back: payloads, results, completed tokens, contexts of loops."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Generic, TypeVar

import msgspec

from eventsource.codec import from_json, to_json, to_plain
from eventsource.errors import InvalidTextError

from .local_types import local_names, settle_structs

if TYPE_CHECKING:
    from pydantic import TypeAdapter

T = TypeVar("T")
RESULT_LIMIT_BYTES = 64_000_000
"""The JSON of what a step or a task returns; what is larger belongs in a file."""


class ShapeError(ValueError):
    """A value does not have the type that was asked for."""


class Shape(Generic[T]):
    """A type: whatever pydantic knows, or a msgspec struct; without one, any JSON."""

    def __init__(self, kind: type[T] | None) -> None:
        self.kind = kind
        self._struct = isinstance(kind, type) and issubclass(kind, msgspec.Struct)
        self._adapter: TypeAdapter[T] | None = None
        names = local_names(kind)
        if kind is not None and not self._struct:
            from pydantic import TypeAdapter  # slow to load

            self._adapter = TypeAdapter(kind)
            if names:
                self._adapter.rebuild(raise_errors=False, _types_namespace=names)  # using it says what is missing
        elif names:
            settle_structs(kind, names)

    @property
    def schema(self) -> msgspec.Raw | msgspec.UnsetType:
        """The type's JSON Schema."""
        if self._adapter is not None:
            return to_json(self._adapter.json_schema())
        return to_json(msgspec.json.schema(self.kind)) if self._struct else msgspec.UNSET

    def load(self, raw: msgspec.Raw | msgspec.UnsetType) -> T:
        """Read a value. Raises: ShapeError, with what does not fit."""
        text = b"null" if isinstance(raw, msgspec.UnsetType) else bytes(raw)
        if self._adapter is not None:
            from pydantic import ValidationError

            try:
                return self._adapter.validate_json(text)
            except ValidationError as error:
                problems = (f"{'.'.join(map(str, e['loc'])) or 'value'}: {e['msg']}" for e in error.errors())
                raise ShapeError("; ".join(problems)) from error
        if self._struct and self.kind is not None:
            try:
                return msgspec.json.decode(text, type=self.kind)
            except msgspec.ValidationError as error:
                raise ShapeError(str(error)) from error
        return from_json(text)  # type: ignore[return-value]  # without a type T is whatever JSON holds

    def checked(self, value: object, *, where: str) -> tuple[msgspec.Raw, T]:
        """Write a value and read it back, so that it is what it will be in another process.

        Raises: ShapeError; InvalidTextError when it has no JSON form.
        """
        raw = dump(value, where=where)
        return raw, self.load(raw)


def write_result(shape: Shape[T], value: object, where: str) -> tuple[msgspec.Raw, T]:
    """Write a step's or a task's result and read it back.

    Raises: ShapeError; InvalidTextError when it has no JSON form, or is too large.
    """
    raw, read = shape.checked(value, where=where)
    size = len(bytes(raw))
    if size > RESULT_LIMIT_BYTES:
        limit = f"at most {RESULT_LIMIT_BYTES:,} are kept"
        raise InvalidTextError(where, f"has {size:,} bytes, {limit}; write it to a file and return its name")
    return raw, read


def dump(value: object, *, where: str) -> msgspec.Raw:
    """Write a value as JSON: also dataclasses, structs, pydantic models, dates. Raises: InvalidTextError."""
    try:
        plain = to_plain(value, _plain)
    except (TypeError, ValueError) as error:
        raise InvalidTextError(where, f"has no JSON form: {error}") from error
    return to_json(plain, where=where)


def _plain(value: object) -> object:
    if (model_dump := getattr(value, "model_dump", None)) is not None:  # pydantic, which need not be loaded here
        return model_dump(mode="json")
    if isinstance(value, Mapping):
        return dict(value)
    if isinstance(value, msgspec.Raw):
        return from_json(value)
    raise TypeError(f"a {type(value).__name__}")
