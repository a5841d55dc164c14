"""The check of a tool's arguments against a JSON Schema given by its author, by jsonschema."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Protocol

from ..errors import ToolDefinitionError
from .arguments import Accepted, Check, Refused

_NUMBER = re.compile(r"-?(0|[1-9]\d*)(\.\d+)?([eE][+-]?\d+)?")


class _Problem(Protocol):
    """What is read of a jsonschema.ValidationError."""

    absolute_path: Iterator[str | int]
    validator: str
    validator_value: object
    instance: object
    message: str


class _Validator(Protocol):
    """What is used of a jsonschema validator."""

    def iter_errors(self, instance: object) -> Iterator[_Problem]: ...


def schema_check(tool: str, schema: Mapping[str, object]) -> Check:
    """Build the check of arguments by a JSON Schema, in the draft it names (2020-12 when it names none).

    References are looked up within the schema only, never fetched. Patterns that only ECMAScript knows are not checked.

    Raises: ToolDefinitionError when it is no valid schema of an object.
    """
    if schema.get("type") != "object":
        raise ToolDefinitionError(tool, f"the schema of its arguments must be of type object, not {schema.get('type')}")
    schema = _dict(_checkable(schema))
    try:
        validator = _validator(schema)
    except SchemaFaultError as error:
        raise ToolDefinitionError(tool, f"its JSON Schema is not valid at {error}") from error

    def check(given: dict[str, object], *, coerce: bool) -> Accepted | Refused:
        problems = list(validator.iter_errors(given))
        if not problems:
            return Accepted(given)
        converted = _convert(given, schema, schema) if coerce else given
        if isinstance(converted, dict) and converted != given:
            problems = list(validator.iter_errors(converted))
            if not problems:
                return Accepted(converted, converted)
        return Refused(tuple(dict.fromkeys(line for problem in problems for line in _lines(problem))))

    return check


class SchemaFaultError(ValueError):
    """A JSON Schema is none: where in it, and why."""


def value_check(schema: Mapping[str, object]) -> Callable[[object], tuple[str, ...]]:
    """Build the check of any value by a JSON Schema, as `schema_check` reads one: it gives what does not fit.

    Raises: SchemaFaultError.
    """
    if reference := dangling_reference(schema):
        raise SchemaFaultError(f"root: {reference} leads nowhere")
    validator = _validator(_dict(_checkable(schema)))
    return lambda value: tuple(dict.fromkeys(line for one in validator.iter_errors(value) for line in _lines(one)))


def _validator(schema: Mapping[str, object]) -> _Validator:
    import jsonschema  # type: ignore[import-untyped, unused-ignore]  # no stubs; slow to load, so only here
    import referencing

    kind = jsonschema.validators.validator_for(schema, default=jsonschema.Draft202012Validator)
    try:
        kind.check_schema(schema)
    except jsonschema.SchemaError as error:
        where = "/".join(map(str, error.absolute_path)) or "root"
        raise SchemaFaultError(f"{where}: {error.message}") from error
    made: _Validator = kind(schema, registry=referencing.Registry())
    return made


def dangling_reference(schema: Mapping[str, object]) -> str:
    """Find a reference of a JSON Schema that leads to nothing in it; empty when there is none."""
    if _has(schema, "$id"):  # which changes what the references are relative to
        return ""
    import referencing
    import referencing.exceptions
    import referencing.jsonschema

    resource = referencing.jsonschema.DRAFT202012.create_resource(schema)
    resolver = referencing.Registry().resolver_with_root(resource)
    for reference in _references(schema):
        try:
            resolver.lookup(reference)
        except (referencing.exceptions.Unresolvable, ValueError):
            return reference
    return ""


_DATA = ("const", "enum", "default", "examples")
_BY_NAME = ("properties", "patternProperties", "$defs", "definitions", "dependentSchemas")


def _checkable(schema: object) -> object:
    """Leave out patterns that Python cannot compile: JSON Schema's are those of ECMAScript."""
    if isinstance(schema, list):
        return [_checkable(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    kept: dict[str, object] = {}
    for key, value in schema.items():
        if key == "pattern" and isinstance(value, str) and not _compiles(value):
            continue
        if key in _DATA:
            kept[key] = value
        elif key in _BY_NAME and isinstance(value, dict):
            kept[key] = {name: _checkable(item) for name, item in value.items()}
        else:
            kept[key] = _checkable(value)
    patterns = _dict(kept.get("patternProperties"))
    if not all(map(_compiles, patterns)):  # then neither can it be told which properties are additional
        kept["patternProperties"] = {name: item for name, item in patterns.items() if _compiles(name)}
        kept.pop("additionalProperties", None)
        kept.pop("unevaluatedProperties", None)
    return kept


def _compiles(pattern: str) -> bool:
    try:
        re.compile(pattern)
    except (re.error, RecursionError, OverflowError):
        return False
    return True


def _references(schema: object) -> Iterator[str]:
    """Yield what a schema refers to."""
    if isinstance(schema, list):
        for item in schema:
            yield from _references(item)
    elif isinstance(schema, dict):
        for key, value in schema.items():
            if key in ("$ref", "$dynamicRef") and isinstance(value, str):
                yield value
            elif key in _BY_NAME and isinstance(value, dict):
                yield from _references(list(value.values()))
            elif key not in _DATA:
                yield from _references(value)


def _has(schema: object, keyword: str) -> bool:
    if isinstance(schema, list):
        return any(_has(item, keyword) for item in schema)
    return isinstance(schema, dict) and (
        isinstance(schema.get(keyword), str) or any(_has(item, keyword) for item in schema.values())
    )


def _lines(error: _Problem) -> Iterator[str]:
    """List what is wrong, in the words of the checks of Python functions where they have some."""
    path = [str(part) for part in error.absolute_path]
    wanted = error.validator_value
    if error.validator == "required" and isinstance(wanted, list) and isinstance(error.instance, dict):
        yield from (
            f"{'.'.join([*path, name])}: must have required property '{name}'"
            for name in wanted
            if name not in error.instance
        )
        return
    where = ".".join(path) or "root"
    match error.validator, wanted:
        case "type", str():
            yield f"{where}: must be {wanted}"
        case "type", list():
            yield f"{where}: must be {' or '.join(map(str, wanted))}"
        case "enum", list():
            yield f"{where}: must be one of {', '.join(map(json.dumps, wanted))}"
        case _:
            yield f"{where}: {error.message}"


def _convert(value: object, schema: object, root: Mapping[str, object]) -> object:
    """Convert scalars along a schema: text to number, integer, boolean or null; number or boolean to text."""
    schema = _resolved(schema, root)
    for keyword in ("allOf", "anyOf", "oneOf"):
        for part in _list(schema.get(keyword)):
            value = _convert(value, part, root)
    if isinstance(value, dict):
        properties, others = _dict(schema.get("properties")), schema.get("additionalProperties")
        return {key: _convert(item, properties.get(key, others), root) for key, item in value.items()}
    if isinstance(value, list):
        first, rest = _list(schema.get("prefixItems")), schema.get("items")
        return [_convert(item, first[n] if n < len(first) else rest, root) for n, item in enumerate(value)]
    types = schema.get("type")
    return _scalar(value, [types] if isinstance(types, str) else _list(types))


def _scalar(value: object, types: list[object]) -> object:
    """Convert a value to the first type it can stand for, unless it is of one of them."""
    match value:
        case str() if "string" not in types:
            if "integer" in types and re.fullmatch(r"-?\d+", value):
                return int(value)
            if "number" in types and _NUMBER.fullmatch(value):
                return json.loads(value)
            words: dict[str, bool | None] = {}
            words |= {"true": True, "false": False} if "boolean" in types else {}
            words |= {"null": None} if "null" in types else {}
            return words.get(value, value)
        case bool() if "string" in types and "boolean" not in types:
            return json.dumps(value)
        case int() | float() if (
            not isinstance(value, bool) and "string" in types and not {"number", "integer"} & {*types}
        ):
            return json.dumps(value)
        case _:
            return value


def _resolved(schema: object, root: Mapping[str, object], depth: int = 20) -> Mapping[str, object]:
    """Follow references within the schema (`#/…`); what cannot be followed converts nothing."""
    found = _dict(schema)
    while isinstance(reference := found.get("$ref"), str) and reference.startswith("#") and depth:
        target: object = root
        for part in reference.removeprefix("#").split("/")[1:]:
            target = _dict(target).get(part.replace("~1", "/").replace("~0", "~"))
        found, depth = _dict(target), depth - 1
    return found


def _dict(value: object) -> Mapping[str, object]:
    return value if isinstance(value, dict) else {}


def _list(value: object) -> list[object]:
    return value if isinstance(value, list) else []
