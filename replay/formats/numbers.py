"""Numbers as session files write them, where a count is wanted."""

from __future__ import annotations

import math

_MOST = 1 << 53  # what JavaScript counts exactly; more are no tokens


def read_count(value: object) -> int:
    """Read a count; 0 for what is none."""
    return value if type(value) is int and 0 <= value < _MOST else 0


def read_millionths(value: object) -> int | None:
    """Read a price as millionths; None for what is none."""
    if not isinstance(value, int | float) or isinstance(value, bool):
        return None
    millionths = value * 1_000_000.0 if abs(value) < _MOST else math.inf
    return round(millionths) if math.isfinite(millionths) else None
