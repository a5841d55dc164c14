"""What several judges look at: images, schemas, names."""

from __future__ import annotations

import base64
import binascii
import json
import re
import struct
from collections.abc import Callable
from functools import lru_cache
from typing import Any

from jsonschema import Draft202012Validator  # type: ignore[import-untyped]  # has no types

META = Draft202012Validator(Draft202012Validator.META_SCHEMA)
WORD_NAME = re.compile(r"[a-zA-Z0-9_-]+")
MAGIC: dict[str, Callable[[bytes], bool]] = {
    "image/png": lambda b: b.startswith(b"\x89PNG\r\n\x1a\n"),
    "image/jpeg": lambda b: b.startswith(b"\xff\xd8\xff"),
    "image/gif": lambda b: b[:6] in (b"GIF87a", b"GIF89a"),
    "image/webp": lambda b: b[:4] == b"RIFF" and b[8:12] == b"WEBP",
    "image/heic": lambda b: b[4:12] in (b"ftypheic", b"ftypheix"),
    "image/heif": lambda b: b[4:12] == b"ftypmif1",
}


def image_faults(media_type: str, data: str, taken: set[str]) -> list[str]:
    """Judge an image by its type and its bytes."""
    if media_type not in taken:
        return [f"an image of type {media_type!r}"]
    try:
        raw = base64.b64decode(data, validate=True)
    except (binascii.Error, ValueError):
        return ["an image that is not base64"]
    return [] if MAGIC[media_type](raw) else [f"an image whose bytes are not {media_type}"]


def png_side(data: str) -> int:
    """Give the longer side of a PNG; 0 for what is none."""
    raw = base64.b64decode(data)[:24]
    return max(struct.unpack(">II", raw[16:24])) if raw.startswith(b"\x89PNG") and len(raw) == 24 else 0


def url_faults(url: str, taken: set[str]) -> list[str]:
    """Judge an image in a data URL."""
    found = re.fullmatch(r"data:([^;,]+);base64,(.*)", url, re.DOTALL)
    return image_faults(found[1], found[2], taken) if found else [f"an image at {url[:40]!r}"]


def name_faults(name: object, most: int, pattern: re.Pattern[str] = WORD_NAME) -> list[str]:
    """Judge a tool's or call's name."""
    fits = isinstance(name, str) and pattern.fullmatch(name) and len(name) <= most
    return [] if fits else [f"the name {str(name)[:80]!r}"]


def duplicates(values: list[str], what: str) -> list[str]:
    """Say which values come twice."""
    return [f"two {what} {value!r}" for value in sorted({v for v in values if values.count(v) > 1})]


def argument_faults(schema: object, forbidden: tuple[str, ...]) -> list[str]:
    """Judge the schema of a tool's arguments at its top."""
    if not isinstance(schema, dict) or str(schema.get("type")).lower() != "object":
        return ["a tool's schema that is no object's"]
    return [f"{name} at the top of a tool's schema" for name in forbidden if name in schema]


def draft_faults(schema: object) -> list[str]:
    """Judge a schema by the draft 2020-12, in which no other is named."""
    return list(_draft_faults(json.dumps(schema)))


@lru_cache(maxsize=1_000)
def _draft_faults(text: str) -> tuple[str, ...]:
    schema = json.loads(text)
    faults = tuple(f"no JSON Schema of 2020-12: {error.message}" for error in META.iter_errors(schema))
    other = isinstance(schema, dict) and "2020-12" not in str(schema.get("$schema", "2020-12"))
    return (*faults, "a schema of another draft") if other else faults


def open_faults(schema: object) -> list[str]:
    """Say where a schema does not say what a list or its top holds, as OpenAI wants it."""
    lists = [node for node in nodes(schema) if "array" in (node.get("type"), *_listed(node.get("type")))]
    faults = [f"a list of what? {node}" for node in lists if not isinstance(node.get("items"), dict)]
    return faults + ([] if isinstance(schema, dict) and "properties" in schema else ["a schema without properties"])


def _listed(value: object) -> list[object]:
    return value if isinstance(value, list) else []


def read_arguments(text: str) -> list[str]:
    """Judge a call's arguments as a strict parser does: a JSON object, no NaN, no half of a character."""

    def refuse(constant: str) -> object:
        raise ValueError(constant)

    try:
        value = json.loads(text, parse_constant=refuse)
        json.dumps(value, ensure_ascii=False).encode()
    except ValueError as error:
        return [f"arguments that are no JSON: {error}"]
    return [] if isinstance(value, dict) else ["arguments that are no object"]


def nodes(schema: object) -> list[dict[str, Any]]:
    """List a schema and every schema in it."""
    if not isinstance(schema, dict):
        return []
    inside: list[object] = [schema.get("items"), schema.get("additionalProperties")]
    for name in ("properties", "$defs", "definitions"):
        inside += list(schema.get(name, {}).values())
    for name in ("anyOf", "oneOf", "allOf", "prefixItems"):
        inside += schema.get(name, [])
    return [schema, *(node for one in inside for node in nodes(one))]


def recursive(schema: dict[str, Any]) -> bool:
    """Say whether some definition leads to itself."""
    definitions = {**schema.get("definitions", {}), **schema.get("$defs", {})}
    top = {k: v for k, v in schema.items() if k not in ("$defs", "definitions")}

    def names(value: object) -> set[str]:
        return {node["$ref"].split("/")[-1] for node in nodes(value) if isinstance(node.get("$ref"), str)}

    if "#" in names(schema):
        return True
    for start in definitions:
        reached: set[str] = set()
        new = names(definitions[start])
        while new - reached:
            reached |= new
            new = {name for one in new for name in names(definitions.get(one))}
        if start in reached:
            return start in _reachable(names(top), definitions, names)
    return False


def _reachable(first: set[str], definitions: dict[str, Any], names: Any) -> set[str]:
    reached: set[str] = set()
    new = set(first)
    while new - reached:
        reached |= new
        new = {name for one in reached for name in names(definitions.get(one))}
    return reached
