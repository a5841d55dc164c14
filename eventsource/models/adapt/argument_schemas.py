"""Schemas of tools' arguments where a provider takes less than JSON Schema has: what they allow is never less."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from ...codec import to_json
from ...tools.property_names import wire_properties
from ..rules.limits import Limits

Node = dict[str, object]
_CHOICES = ("allOf", "anyOf", "enum", "not", "oneOf")
_MAPS = frozenset({"$defs", "definitions", "dependentSchemas", "patternProperties", "properties"})
_LISTS = frozenset({"allOf", "anyOf", "items", "oneOf", "prefixItems"})
_ONES = frozenset({"additionalItems", "additionalProperties", "contains", "else", "if", "items", "not", "then"})
_TYPES = frozenset({"array", "boolean", "integer", "null", "number", "object", "string"})
_LIMITS = ("exclusiveMaximum", "exclusiveMinimum", "maximum", "minimum")
# https://json-schema.org/draft/2020-12/meta: what kind of value a keyword has
_KINDS: Mapping[str, type] = {
    **dict.fromkeys(("$comment", "$id", "$ref", "description", "format", "pattern", "title"), str),
    **dict.fromkeys(("allOf", "anyOf", "enum", "examples", "oneOf", "prefixItems", "required"), list),
    **dict.fromkeys(_MAPS, dict),
}


def argument_schema(schema: object, limits: Limits) -> tuple[object, str]:
    """Write a tool's schema as a provider takes it; what its top cannot hold is said in words, the second value."""
    words = ""
    if limits.modern_schemas:
        capitals = limits.modern_schemas == "capitals"
        schema = _each(schema, lambda node: _modern(node, capitals=capitals))
    if limits.object_arguments:
        schema, words = _object_schema(schema)
    if limits.plain_properties:
        schema = _with_plain_properties(schema)
    if limits.whole_schemas:
        schema = whole_schema(schema)
        schema = {**schema, "properties": schema.get("properties", {})} if isinstance(schema, dict) else schema
    if limits.typed_choices:
        schema = _each(schema, _typed)
    return schema, words


def whole_schema(schema: object) -> object:
    """Write the items of every list into a schema: anything, where it does not say."""
    return _each(schema, _whole)


def _each(schema: object, fit: Callable[[Node], Node]) -> object:
    """Change a schema and every schema in it, the inner ones first."""
    if not isinstance(schema, dict):
        return schema
    inside: Node = {}
    for name, value in schema.items():
        if name in _MAPS and isinstance(value, dict):
            inside[name] = {key: _each(one, fit) for key, one in value.items()}
        elif name in _LISTS and isinstance(value, list):
            inside[name] = [_each(one, fit) for one in value]
        else:
            inside[name] = _each(value, fit) if name in _ONES else value
    return fit(inside)


def _modern(node: Node, *, capitals: bool) -> Node:
    """Translate older drafts to 2020-12, and leave out what is no JSON Schema."""
    node = {name: value for name, value in node.items() if name != "$schema" and _fits(name, value)}
    if isinstance(node.get("items"), list):
        node["prefixItems"] = node.pop("items")
        if "additionalItems" in node:
            node["items"] = node.pop("additionalItems")
    for name in ("Maximum", "Minimum"):
        if isinstance(exclusive := node.get(f"exclusive{name}"), bool):
            del node[f"exclusive{name}"]
            if exclusive and name.lower() in node:
                node[f"exclusive{name}"] = node.pop(name.lower())
    kind = node.get("type")
    named = [
        one for one in (kind if isinstance(kind, list) else [kind]) if isinstance(one, str) and one.lower() in _TYPES
    ]
    known = list(dict.fromkeys(one if capitals and one.isupper() else one.lower() for one in named))
    if "type" in node:
        del node["type"]
        if known:
            node["type"] = known if isinstance(kind, list) else known[0]
    for name in _MAPS & node.keys():
        parts = node[name]
        if isinstance(parts, dict):
            node[name] = {key: one if isinstance(one, dict | bool) else {} for key, one in parts.items()}
    return node


def _fits(name: str, value: object) -> bool:
    if name in _LIMITS:
        return isinstance(value, int | float) and (name.startswith("exclusive") or not isinstance(value, bool))
    if name == "required":
        return isinstance(value, list) and all(isinstance(one, str) for one in value)
    return name not in _KINDS or isinstance(value, _KINDS[name])


def _whole(node: Node) -> Node:
    kind = node.get("type")
    if kind == "array" or (isinstance(kind, list) and "array" in kind):
        return {**node, "items": node["items"] if isinstance(node.get("items"), dict) else {}}
    return node


def _typed(node: Node) -> Node:
    """Move the type of a choice into each of its alternatives."""
    choice = next((name for name in ("anyOf", "oneOf") if isinstance(node.get(name), list)), "")
    if not choice or "type" not in node:
        return node
    parts, kind = node[choice], node["type"]
    typed = [
        {"type": kind, **one} if isinstance(one, dict) and not one.keys() & {"$ref", "anyOf", "oneOf"} else one
        for one in (parts if isinstance(parts, list) else [])
    ]
    return {**{name: value for name, value in node.items() if name != "type"}, choice: typed}


def _object_schema(schema: object) -> tuple[object, str]:
    """Write a schema of arguments as an object's; what its top cannot hold is said in words, the second value."""
    if not isinstance(schema, dict):
        return {"type": "object"}, ""
    if str(schema.get("type")).lower() == "object" and not any(name in schema for name in _CHOICES):
        return schema, ""
    whole = {name: value for name, value in schema.items() if name not in _CHOICES}
    whole["type"] = "object"
    left = {name: schema[name] for name in _CHOICES if name in schema}
    words = f"The arguments also follow this JSON Schema: {bytes(to_json(left)).decode()}" if left else ""
    return whole, words


def _with_plain_properties(schema: object) -> object:
    """Rename an object's properties that have names which not every provider takes; those inside them stay."""
    properties = schema.get("properties") if isinstance(schema, dict) else None
    if not isinstance(schema, dict) or not isinstance(properties, dict):
        return schema
    wire = wire_properties(properties)
    if not wire:
        return schema
    renamed: dict[str, object] = {
        **schema,
        "properties": {wire.get(name, name): properties[name] for name in properties},
    }
    if isinstance(required := schema.get("required"), list):
        renamed["required"] = [wire.get(name, name) for name in required]
    return renamed
