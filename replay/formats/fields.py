"""Values of a record, whatever a file holds in their place."""

from __future__ import annotations

from collections.abc import Sequence

from .jsonl import Fields


def fields_of(value: object) -> Fields:
    """Return an object's fields; those of anything else are none."""
    return value if isinstance(value, dict) else {}


def list_of(value: object) -> Sequence[object]:
    """Return a list; of anything else an empty one."""
    return value if isinstance(value, list) else ()


def text_of(value: object) -> str:
    """Return a text; of anything else an empty one."""
    return value if isinstance(value, str) else ""
