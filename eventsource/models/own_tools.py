"""Tools of a request that are kept in the words of its API: a provider's own, and those with fields of no name here."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import msgspec

from ..codec import read_object, to_json
from ..events import ToolSpec
from .wire import inner, text_of

_SCHEMAS = ("input_schema", "parameters", "parametersJsonSchema", "parameters_json_schema")
_DECLARED = ("functionDeclarations", "function_declarations")


def own_tools(options: msgspec.Raw | msgspec.UnsetType) -> Iterator[ToolSpec]:
    """Give the tools that stand among a request's options.

    Returns: each with its name, or else its type; with its schema, or all that is said of it where it has none.
    """
    given = {} if isinstance(options, msgspec.UnsetType) else inner(read_object(options), "extra_body")
    for tool in _objects(given.get("tools")):
        declared = [one for name in _DECLARED for one in _objects(tool.get(name))]
        if declared:
            yield from map(_own, declared)
        elif "type" in tool or "name" in tool:
            yield _own(inner(tool, "function") or tool)
        else:  # Google's: {"googleSearch": {}}
            for name, said in tool.items():
                yield ToolSpec(name=name, schema=to_json(said))


def _objects(value: object) -> list[dict[str, object]]:
    return [one for one in value if isinstance(one, dict)] if isinstance(value, list) else []


def _own(tool: Mapping[str, object]) -> ToolSpec:
    schema = next((tool[name] for name in _SCHEMAS if isinstance(tool.get(name), dict)), tool)
    name = text_of(tool, "name") or text_of(tool, "type") or "?"
    return ToolSpec(name=name, description=text_of(tool, "description"), schema=to_json(schema))
