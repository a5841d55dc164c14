"""Names of a tool's parameters that some providers refuse, and what they are called there and in the model's calls."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

REFUSED = r"[^a-zA-Z0-9_.-]"
"""What a parameter's name may not hold where names are checked (Anthropic's Messages, `input_schema.properties`)."""
CHARS = 64


def wire_properties(names: Iterable[str]) -> Mapping[str, str]:
    """Name parameters as every provider takes them, each otherwise: by the names on record, those that differ only."""
    every = list(names)
    used = {name for name in every if _plain(name) == name}
    wire: dict[str, str] = {}
    for name in every:
        if name in used:
            continue
        plain, number = _plain(name), 1
        while plain in used:
            number += 1
            suffix = f"_{number}"
            plain = f"{_plain(name)[: CHARS - len(suffix)]}{suffix}"
        wire[name] = plain
        used.add(plain)
    return wire


def recorded_properties(given: Mapping[str, object], wire: Mapping[str, str]) -> dict[str, object]:
    """Return arguments under the names on record, where the model used the wire's; a name given itself stays."""
    names = {plain: name for name, plain in wire.items() if name not in given}
    return {names.get(name, name): value for name, value in given.items()}


def _plain(name: str) -> str:
    return re.sub(REFUSED, "_", name)[:CHARS] or "_"
