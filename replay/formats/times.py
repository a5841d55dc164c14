"""Times as session files write them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


def read_time(text: object) -> int | None:
    """Read an ISO 8601 time as UTC microseconds; None when it is none."""
    if not isinstance(text, str):
        return None
    try:
        time = datetime.fromisoformat(text)
        return ((time if time.tzinfo else time.replace(tzinfo=UTC)) - _EPOCH) // _MICROSECOND
    except (ValueError, OverflowError):
        return None


def write_time(at_us: int) -> str:
    """Write UTC microseconds as an ISO 8601 time in milliseconds, as programs in JavaScript do."""
    time = _EPOCH + timedelta(milliseconds=at_us // 1000)
    return time.strftime("%Y-%m-%dT%H:%M:%S.") + f"{at_us // 1000 % 1000:03d}Z"


def write_exact_time(at_us: int) -> str:
    """Write UTC microseconds as an ISO 8601 time, as programs in Python do."""
    return (_EPOCH + timedelta(microseconds=at_us)).isoformat().replace("+00:00", "Z")
