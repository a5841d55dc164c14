"""What a log is opened with unless it is told otherwise: the clock, and how ids are made."""

from __future__ import annotations

import time

_ALPHABET = "abcdefghijklmnopqrstuvwxyz0123456789"


def utc_now_us() -> int:
    """Read the clock: UTC in microseconds."""
    return time.time_ns() // 1000


def random_id() -> str:
    """Make a session id: 12 random lower case letters and digits."""
    import secrets  # a reader makes none

    return "".join(secrets.choice(_ALPHABET) for _ in range(12))
