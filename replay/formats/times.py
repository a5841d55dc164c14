"""Times as session files write them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_EPOCH_WITHOUT_ZONE = _EPOCH.replace(tzinfo=None)
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
    time = _EPOCH_WITHOUT_ZONE + timedelta(milliseconds=at_us // 1000)
    return f"{time.isoformat(timespec='milliseconds')}Z"


def write_exact_time(at_us: int) -> str:
    """Write UTC microseconds as an ISO 8601 time, as programs in Python do."""
    return (_EPOCH + timedelta(microseconds=at_us)).isoformat().replace("+00:00", "Z")
