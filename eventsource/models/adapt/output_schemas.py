"""Schemas of answers where a provider takes less than JSON Schema has: never less is allowed."""

from __future__ import annotations

from collections.abc import Mapping

from ...codec import to_json
from ..rules.limits import Limits
from ..wire import inner

# what no provider's constrained output knows, beside what one of them knows
_OPENAI_NOT = frozenset(
    {
        "allOf",
        "contains",
        "dependentRequired",
        "dependentSchemas",
        "else",
        "if",
        "maxProperties",
        "minProperties",
        "not",
        "oneOf",
        "patternProperties",
        "prefixItems",
        "propertyNames",
        "then",
        "unevaluatedItems",
        "unevaluatedProperties",
        "uniqueItems",
    }
)
_NOTES = frozenset({"default", "deprecated", "description", "examples", "readOnly", "title", "writeOnly"})
_OPENAI_FORMATS = frozenset({"date", "date-time", "duration", "email", "hostname", "ipv4", "ipv6", "time", "uuid"})
_ANTHROPIC_NOT = frozenset(
    {
        "contains",
        "dependentRequired",
        "dependentSchemas",
        "else",
        "if",
        "not",
        "patternProperties",
        "prefixItems",
        "propertyNames",
        "then",
        "unevaluatedItems",
        "unevaluatedProperties",
    }
)
_ANTHROPIC_FORMATS = _OPENAI_FORMATS | {"uri"}
# https://docs.anthropic.com/en/docs/build-with-claude/structured-outputs, 2026-07: limits that schemas may not hold
_AS_WORDS = frozenset(
    {
        "minimum",
        "maximum",
        "exclusiveMinimum",
        "exclusiveMaximum",
        "multipleOf",
        "minLength",
        "maxLength",
        "maxItems",
        "uniqueItems",
        "minProperties",
        "maxProperties",
    }
)


def with_schema_words(prompt: str, schema: object) -> str:
    """Add to a prompt, in words, the schema that the server takes in no other form."""
    words = f"Answer with one JSON value that follows this JSON Schema: {bytes(to_json(schema)).decode()}"
    return f"{prompt}\n\n{words}" if prompt else words


def can_say(schema: object, limits: Limits, *, beside_tools: bool) -> bool:
    """Check that a schema for the text can be sent as one; OpenAI's protocols decide on more than this themselves."""
    if not limits.schema_models or (limits.schema_or_tools and beside_tools):
        return False
    if limits.schema == "anthropic":
        return closed_form(schema) is not None
    return limits.schema != "google" or not recurs(schema)


def recurs(schema: object) -> bool:
    """Return whether a schema's definitions lead back to themselves."""
    definitions = _definitions(schema)
    leads = {name: _refs(value) & definitions.keys() for name, value in definitions.items()}
    top = {k: v for k, v in schema.items() if k not in ("$defs", "definitions")} if isinstance(schema, dict) else {}
    leads[""] = _refs(top)
    done: set[str] = set()

    def visit(name: str, path: frozenset[str]) -> bool:
        if name in path or name == "#":
            return True
        if name in done:
            return False
        found = any(visit(next_name, path | {name}) for next_name in leads.get(name, ()))
        done.add(name)
        return found

    return visit("", frozenset())


def _definitions(schema: object) -> Mapping[str, object]:
    return {**inner(schema, "$defs"), **inner(schema, "definitions")} if isinstance(schema, dict) else {}


def _refs(value: object) -> set[str]:
    """Collect the names of what a value refers to; `#` is the whole."""
    if isinstance(value, list):
        return {name for one in value for name in _refs(one)}
    if not isinstance(value, dict):
        return set()
    ref = value.get("$ref")
    own = {"#" if ref == "#" else ref.rsplit("/", 1)[-1]} if isinstance(ref, str) else set()
    return own | {name for one in value.values() for name in _refs(one)}


def closed_form(schema: object) -> object | None:
    """Write a schema as Anthropic wants it: objects closed, limits it does not know told as words; None if it cannot.

    It cannot where closing would narrow: an object of any names (a dict), or any value at all.
    """
    return None if recurs(schema) else _closed(schema)


def _closed(schema: object) -> object | None:
    if not isinstance(schema, dict) or _ANTHROPIC_NOT & schema.keys() or not _has_kind(schema):
        return None
    as_words = {name: value for name, value in schema.items() if name in _AS_WORDS}
    if isinstance(schema.get("minItems"), int) and schema["minItems"] > 1:
        as_words["minItems"] = schema["minItems"]
    if "format" in schema and schema["format"] not in _ANTHROPIC_FORMATS:
        as_words["format"] = schema["format"]
    closed: dict[str, object] = {}
    for name, value in schema.items():
        if name in as_words:
            continue
        written = _part(name, value)
        if written is None and value is not None:
            return None
        closed["anyOf" if name == "oneOf" else name] = written
    closed.pop("discriminator", None)
    if any(isinstance(one, dict | list) for one in _list(schema.get("enum"))):
        return None
    if schema.get("type") == "object":
        if schema.get("additionalProperties", False) is not False or "properties" not in schema:
            return None
        closed["additionalProperties"] = False
    if as_words:
        words = ", ".join(f"{name}: {value}" for name, value in as_words.items())
        closed["description"] = f"{schema.get('description', '')} ({words})".strip()
    return closed


def _part(name: str, value: object) -> object | None:
    if name in ("properties", "$defs", "definitions") and isinstance(value, dict):
        parts = {key: _closed(one) for key, one in value.items()}
        return None if None in parts.values() else parts
    if name in ("anyOf", "oneOf", "allOf"):
        items = [_closed(one) for one in _list(value)]
        return None if None in items else items
    return _closed(value) if name == "items" else value


def _list(value: object) -> list[object]:
    return value if isinstance(value, list) else []


def _has_kind(schema: Mapping[str, object]) -> bool:
    """Return whether a schema says of what kind its values are: one that does not allows any."""
    return any(name in schema for name in ("$ref", "allOf", "anyOf", "const", "enum", "oneOf", "type"))


def strict_form(schema: object) -> object | None:
    """Write a schema as OpenAI's strict mode wants it: closed objects, every property required, no defaults; or None.

    None where that would narrow it, or where it holds what strict mode refuses.
    """
    if not isinstance(schema, dict) or _OPENAI_NOT & schema.keys() or not _has_kind(schema):
        return None
    if schema.get("format") not in (None, *_OPENAI_FORMATS) or schema.get("additionalProperties", False) is not False:
        return None
    if "$ref" in schema and len(schema) > 1:
        return _noted_ref(schema)
    if "items" not in schema and "array" in (schema.get("type"), *_list(schema.get("type"))):
        return None
    form: dict[str, object] = {}
    for key, value in schema.items():
        if key == "default":
            continue
        if key in ("properties", "$defs", "definitions") and isinstance(value, dict):
            parts = {name: strict_form(part) for name, part in value.items()}
            if None in parts.values():
                return None
            form[key] = parts
        elif key == "anyOf":
            items = [strict_form(part) for part in _list(value)]
            if None in items:
                return None
            form[key] = items
        elif key == "items":
            form[key] = strict_form(value)
            if form[key] is None:
                return None
        else:
            form[key] = value
    if schema.get("type") == "object" or "properties" in schema:
        if "properties" not in schema:
            return None
        form["additionalProperties"] = False
        names = list(schema.get("properties") or {})
        if sorted(schema.get("required") or []) != sorted(names):
            form["required"] = names
    return form


def _noted_ref(schema: Mapping[str, object]) -> object | None:
    """Write a reference that has notes beside it, which strict mode refuses there."""
    if schema.keys() - _NOTES - {"$ref"}:
        return None
    ref = {"$ref": schema["$ref"]}
    return {"anyOf": [ref], "description": schema["description"]} if "description" in schema else ref
