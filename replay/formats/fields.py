"""Values of a record, whatever a file holds in their place."""

from __future__ import annotations

from collections.abc import Sequence

from .jsonl import Fields

_SHOWN = 40


def fields_of(value: object) -> Fields:
    """Return an object's fields; those of anything else are none."""
    return value if isinstance(value, dict) else {}


def list_of(value: object) -> Sequence[object]:
    """Return a list; of anything else an empty one."""
    return value if isinstance(value, list) else ()


def text_of(value: object) -> str:
    """Return a text; of anything else an empty one."""
    return value if isinstance(value, str) else ""


def unknown_type(kind: object) -> str:
    """Say that a record has a type which is not known here."""
    return f"of type {shown(kind)}, which is not known here"


def shown(value: object) -> str:
    """Write a value in a few characters."""
    text = repr(value)
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"
