"""How long to wait before a call is made again: what a provider asks, in all its forms, or a wait of our own."""

from __future__ import annotations

import re
from collections.abc import Mapping
from email.utils import mktime_tz, parsedate_tz

from ...machine.backoff import retry_at_us

CAP_US = 60_000_000  # longest wait obeyed; some servers answer with a day, or with a point in time
_FIRST_US = 500_000  # first wait of our own, doubled each time
_EPOCH_S = 1_000_000_000  # a "delay" of thirty years is a point in time (some servers send one)
_ASKED = re.compile(
    r"(?:try again|retry)(?: after| in)? ((?:\d+(?:\.\d+)?\s*(?:ms|milliseconds?|h|hours?|m|minutes?|s|seconds?)\s*)+)",
    re.IGNORECASE,
)
_PART = re.compile(r"(\d+(?:\.\d+)?)\s*(ms|mil|h|m|s)", re.IGNORECASE)
_UNIT_US = {"ms": 1_000, "mil": 1_000, "s": 1_000_000, "m": 60_000_000, "h": 3_600_000_000}


def retry_after_us(headers: Mapping[str, str], now_us: int) -> int | None:
    """Read the wait a response asks for: retry-after-ms, then retry-after as seconds, point in time or HTTP date.

    Args:
        headers: with lower-case names.
        now_us: UTC microseconds, to which dates are compared.

    Returns: microseconds, never negative, not capped; None when nothing readable was asked.
    """
    millis = _number(headers.get("retry-after-ms"))
    if millis is not None:
        return int(millis * 1_000)
    asked = headers.get("retry-after", "").strip()
    seconds = _number(asked)
    if seconds is None:
        date = parsedate_tz(asked)
        seconds = None if date is None else max(0.0, mktime_tz(date) - now_us / 1e6)
    elif seconds >= _EPOCH_S:
        seconds = seconds / 1_000 if seconds >= _EPOCH_S * 1_000 else seconds
        seconds = max(0.0, seconds - now_us / 1e6)
    return None if seconds is None else int(seconds * 1e6)


def delay_in_text(text: str) -> int | None:
    """Read the wait an error's words ask for ("Please try again in 1m2.5s"), in microseconds."""
    found = _ASKED.search(text)
    if found is None:
        return None
    return sum(int(float(number) * _UNIT_US[unit.lower()]) for number, unit in _PART.findall(found[1]))


def not_before_us(asked_us: int | None, *, attempt: int, now_us: int, jitter_ppm: int) -> int:
    """Compute when the next attempt may begin: after what was asked, capped, or after 0.5 s doubled with each attempt.

    Args:
        attempt: the one that failed, from 1.
        jitter_ppm: what chance adds to the wait, in millionths of it.
    """
    own_us = _FIRST_US << min(max(attempt - 1, 0), 10)
    first_us = min(own_us if asked_us is None else asked_us, CAP_US)
    return retry_at_us(now_us, first_us, failures=1, jitter_ppm=jitter_ppm)


def _number(text: str | None) -> float | None:
    try:
        value = float(text or "")
    except ValueError:
        return None
    return value if 0 <= value < 1e15 else None
