"""Values of a record, whatever a file holds in their place."""

from __future__ import annotations

from collections.abc import Sequence

from .jsonl import Fields

_SHOWN = 40
_LONGEST_NAME = 240
"""Bytes of what a file is called, before its suffix: file systems take 255 with that."""


def fields_of(value: object) -> Fields:
    """Return an object's fields; those of anything else are none."""
    return value if isinstance(value, dict) else {}


def list_of(value: object) -> Sequence[object]:
    """Return a list; of anything else an empty one."""
    return value if isinstance(value, list) else ()


def text_of(value: object) -> str:
    """Return a text; of anything else an empty one."""
    return value if isinstance(value, str) else ""


def is_file_name(text: str) -> bool:
    """Return whether a file or folder beside another one can be called so: a text of a file may be anything."""
    return (
        text not in ("", ".", "..")
        and not {"/", "\\", "\0"} & set(text)
        and len(text.encode("utf-8", "surrogatepass")) <= _LONGEST_NAME
    )


def unknown_type(kind: object) -> str:
    """Say that a record has a type which is not known here."""
    return f"of type {shown(kind)}, which is not known here"


def shown(value: object) -> str:
    """Write a value in a few characters."""
    text = repr(value)
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"
