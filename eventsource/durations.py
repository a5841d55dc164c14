"""Durations as people write them: `"90s"`, `"1h30m"`, `"1d"`, or a timedelta."""

from __future__ import annotations

import re
from typing import Protocol, TypeAlias

from .errors import DurationError

_UNITS_US = {
    "ms": 1_000,
    "s": 1_000_000,
    "m": 60_000_000,
    "h": 3_600_000_000,
    "d": 86_400_000_000,
    "w": 604_800_000_000,
}
_PART = re.compile(r"(\d+(?:\.\d+)?)\s*(ms|s|m|h|d|w)\s*")
_MOST_US = 100 * 365 * _UNITS_US["d"]


class Seconds(Protocol):
    """A timedelta, or what counts seconds like one."""

    def total_seconds(self) -> float:
        """Return the length in seconds."""
        ...


Duration: TypeAlias = str | Seconds
"""A text of numbers and units (ms, s, m, h, d, w) or a timedelta."""


def duration_us(duration: Duration) -> int:
    """Convert a duration to microseconds.

    Raises: DurationError for anything else, a negative length, and more than a hundred years.
    """
    if isinstance(duration, str):
        parts = _PART.findall(duration.strip())
        if not parts or _PART.sub("", duration.strip()):
            raise DurationError(duration, 'expected numbers with units, such as "90s", "1h30m" or "1d"')
        length = round(sum(float(number) * _UNITS_US[unit] for number, unit in parts))
    elif hasattr(duration, "total_seconds"):
        length = round(duration.total_seconds() * 1_000_000)
    else:
        raise DurationError(str(duration), 'expected a text such as "90s", or a timedelta')
    if not 0 <= length <= _MOST_US:
        raise DurationError(str(duration), "it must lie between nothing and a hundred years")
    return length


def duration_text(length_us: int) -> str:
    """Write a length for a person: `30 s`, `1.5 s`, `200 ms`."""
    if length_us < _UNITS_US["s"]:
        return f"{length_us / 1_000:g} ms"
    return f"{length_us / 1_000_000:g} s"
