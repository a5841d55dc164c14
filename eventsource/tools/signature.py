"""A Python function's parameters as JSON Schema, and the check of arguments against them. The one user of pydantic."""

from __future__ import annotations

import functools
import inspect
import re
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Annotated, Union, get_args, get_origin, get_type_hints

import msgspec
import pydantic
import pydantic_core
from pydantic.json_schema import GenerateJsonSchema

from ..codec import clean_text, to_json
from ..errors import InvalidTextError, ToolDefinitionError
from ..user_code.error_words import words
from .arguments import Accepted, Check, Refused
from .context import ToolContext
from .docstrings import read_docstring

_UNIONS = (Union, type(int | str))


class Parameters(msgspec.Struct, frozen=True):
    """What a function takes: schema and check of its arguments, and the names that need care when it is called.

    `description`: its docstring, without what that says of parameters, which is in the schema.
    """

    schema: msgspec.Raw
    description: str
    check: Check
    contexts: tuple[str, ...]
    positional: tuple[str, ...]


class _Schema(GenerateJsonSchema):
    """Schemas without titles that only repeat a name, and without a word about defaults that have no JSON form."""

    def field_title_should_be_set(self, schema: object) -> bool:
        return False

    def emit_warning(self, kind: str, detail: str) -> None:
        pass


def read_parameters(name: str, function: Callable[..., object]) -> Parameters:
    """Read a function's signature; parameters of type `ToolContext` are given by the run and not told to the model.

    Raises: ToolDefinitionError when a model could not give the arguments.
    """
    try:
        signature = inspect.signature(function)
    except (TypeError, ValueError) as error:
        raise ToolDefinitionError(name, f"its signature cannot be read: {error}") from error
    every = signature.parameters.values()
    known = _names_in_reach(_annotated(function))
    hints = _hints(name, _annotated(function), signature, known)
    contexts = tuple(p.name for p in every if _is_context(hints.get(p.name)))
    given = [p for p in every if p.name not in contexts]
    for parameter in given:
        _refuse_unnamed(name, parameter)
    description, described = read_docstring(inspect.getdoc(function) or "", [p.name for p in every])
    for parameter in given:
        if parameter.kind is not parameter.VAR_KEYWORD:
            hints |= _described(parameter.name, hints.get(parameter.name, object), described.get(parameter.name, ""))
    adapter = _adapter(name, signature, given, hints, known)
    try:
        schema = to_json(adapter.json_schema(schema_generator=_Schema), where="a default")
    except (pydantic.PydanticUserError, pydantic_core.PydanticOmit, InvalidTextError) as error:
        raise ToolDefinitionError(name, f"its parameters have no JSON Schema: {_first_line(error)}") from error
    defaults = {p.name: p.default for p in given}
    positional = tuple(p.name for p in every if p.kind is p.POSITIONAL_ONLY)
    return Parameters(schema, description, functools.partial(_check, adapter, defaults), contexts, positional)


def _annotated(function: Callable[..., object]) -> Callable[..., object]:
    """Find where the annotations stand: behind partials, or in the class of a callable object."""
    while isinstance(function, functools.partial):
        function = function.func
    if inspect.isroutine(function) or isinstance(function, type):
        return function
    return type(function).__call__


def _names_in_reach(function: Callable[..., object]) -> dict[str, object]:
    """Find what a function's annotations may name: its module's names, its closure's, and those of what is around it.

    Only the functions and classes around it, while they run, hold a local type that nothing but an annotation names.
    """
    inner: Callable[..., object] = inspect.unwrap(getattr(function, "__func__", function))
    code, place = getattr(inner, "__code__", None), getattr(inner, "__qualname__", "")
    known: dict[str, object] = {**getattr(inner, "__globals__", {})}
    around: list[Mapping[str, object]] = []
    frame = inspect.currentframe()
    while frame is not None and code is not None:
        outer = frame.f_code
        if outer.co_filename == code.co_filename and f"{place}.".startswith(f"{outer.co_qualname}."):
            around.append(frame.f_locals)
        frame = frame.f_back
    for names in reversed(around):  # what is nearer counts
        known |= names
    cells = getattr(inner, "__closure__", None) or ()
    for free, cell in zip(code.co_freevars if code is not None else (), cells, strict=False):
        with suppress(ValueError):  # not assigned yet
            known[free] = cell.cell_contents
    return known


def _hints(
    name: str, function: Callable[..., object], signature: inspect.Signature, known: dict[str, object]
) -> dict[str, object]:
    """Find each parameter's type; what the function returns does not matter. Raises: ToolDefinitionError."""
    found = dict[str, object]()
    annotations: Mapping[str, object] = getattr(function, "__annotations__", {})
    for parameter in signature.parameters:
        if parameter not in annotations:
            continue
        holder = type("holder", (), {"__annotations__": {parameter: annotations[parameter]}})
        try:
            found |= get_type_hints(holder, globalns=known, localns=known, include_extras=True)
        except Exception as error:  # an annotation is any expression
            said = words(error)
            advice = "define it at the top of the module, or in the function that makes the tool, before the tool"
            problem = (
                f"the type of parameter {parameter!r}, {annotations[parameter]!r}, cannot be found: {said}; {advice}"
            )
            raise ToolDefinitionError(name, problem) from error
    return found


def _described(name: str, hint: object, from_docstring: str) -> dict[str, object]:
    """Add to a parameter's type what is said of it, in `Doc` or in the docstring; a field's own description counts."""
    parts: tuple[object, ...] = get_args(hint) if get_origin(hint) is Annotated else (hint,)
    docs = [said for part in parts[1:] if isinstance(said := getattr(part, "documentation", None), str)]
    text = docs[-1] if docs else from_docstring
    if not text:
        return {}
    described: object = Annotated[(parts[0], pydantic.Field(description=clean_text(text)), *parts[1:])]
    return {name: described}


def _is_context(hint: object) -> bool:
    if hint is ToolContext or get_origin(hint) is ToolContext:
        return True
    return get_origin(hint) in (*_UNIONS, Annotated) and any(map(_is_context, get_args(hint)))


def _refuse_unnamed(name: str, parameter: inspect.Parameter) -> None:
    if parameter.kind is parameter.VAR_POSITIONAL:
        raise ToolDefinitionError(name, f"a model gives arguments by name, which *{parameter.name} has not")
    if parameter.name in ("self", "cls") and parameter.annotation is parameter.empty:
        raise ToolDefinitionError(name, "it is a method; make the tool of a bound one: tool(thing.method)")


def _adapter(
    name: str,
    signature: inspect.Signature,
    given: list[inspect.Parameter],
    hints: dict[str, object],
    known: dict[str, object],
) -> pydantic.TypeAdapter[dict[str, object]]:
    """Build the validator of a function that takes the same arguments by name and gives them back.

    Source: docs/decisions/0030-tools-from-signatures.md
    """

    def collect(**arguments: object) -> dict[str, object]:
        return arguments

    typed = [p.replace(annotation=hints.get(p.name, p.annotation)) for p in given]
    named = [p if p.kind is p.VAR_KEYWORD else p.replace(kind=p.KEYWORD_ONLY) for p in typed]
    ordered = sorted(named, key=lambda p: p.kind)
    collect.__dict__["__signature__"] = signature.replace(parameters=ordered, return_annotation=signature.empty)
    collect.__annotations__ = {p.name: hints[p.name] for p in given if p.name in hints}
    collect.__name__ = collect.__qualname__ = name
    config = pydantic.ConfigDict(coerce_numbers_to_str=True, populate_by_name=True, defer_build=True)
    try:
        adapter: pydantic.TypeAdapter[dict[str, object]] = pydantic.TypeAdapter(collect, config=config)  # type: ignore[arg-type, unused-ignore]  # a function is taken too
        adapter.rebuild(force=True, _types_namespace=known)  # what the fields of a local class name is found there
        return adapter
    except (pydantic.PydanticUserError, pydantic_core.SchemaError, TypeError) as error:
        raise ToolDefinitionError(name, f"its parameters cannot be checked: {_first_line(error)}") from error


def _first_line(error: Exception) -> str:
    return str(error).split("\n", 1)[0]


def _check(
    adapter: pydantic.TypeAdapter[dict[str, object]],
    defaults: dict[str, object],
    given: dict[str, object],
    *,
    coerce: bool,
) -> Accepted | Refused:
    text = to_json(given)
    try:
        return Accepted(adapter.validate_json(bytes(text), strict=True))
    except pydantic.ValidationError as error:
        refused = Refused(_problems(error))
    whole = to_json(_whole_numbers(given))
    if whole != text:
        try:
            return Accepted(adapter.validate_json(bytes(whole), strict=True))
        except pydantic.ValidationError:
            pass  # the first refusal says more
    if not coerce:
        return refused
    try:
        values = adapter.validate_json(bytes(text), strict=False)
        again = adapter.validate_json(bytes(text), strict=False)  # an iterator among the values can be read only once
    except pydantic.ValidationError as error:
        return Refused(_problems(error))
    said = {key: value for key, value in again.items() if value is not defaults.get(key, given)}
    return Accepted(values, pydantic_core.to_jsonable_python(said, fallback=list))


def _whole_numbers(value: object) -> object:
    """Write 3.0 as 3: JSON knows one number, some providers send every number as a float."""
    match value:
        case float() if value.is_integer():
            return int(value)
        case dict():
            return {key: _whole_numbers(item) for key, item in value.items()}
        case list():
            return [_whole_numbers(item) for item in value]
        case _:
            return value


def _problems(error: pydantic.ValidationError) -> tuple[str, ...]:
    return tuple(map(_problem, error.errors(include_url=False, include_input=False)))


def _problem(error: pydantic_core.ErrorDetails) -> str:
    path = ".".join(map(str, error["loc"])) or "root"
    if error["type"].startswith("missing"):
        return f"{path}: must have required property '{error['loc'][-1]}'"
    if error["type"] == "unexpected_keyword_argument":
        return f"{path}: is not a parameter of this tool"
    return f"{path}: {re.sub('^Input should ', 'must ', error['msg'])}"
