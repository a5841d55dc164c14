"""Texts cut to one line, times, counts and sizes, as a terminal shows them."""

from __future__ import annotations

import time
from datetime import datetime
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from replay import ReplayReport

_LAST_US = 250_000_000_000_000_000  # in the year 9892; Python's calendar ends soon after


def shorten(text: str, width: int = 60) -> str:
    """Return a text as one line of at most so many characters."""
    line = " ".join(text[: width * 8].split())
    return line if len(line) <= width and len(text) <= width * 8 else line[: width - 1].rstrip() + "…"


def count(number: int, thing: str) -> str:
    """Return a number with its noun: `1 event`, `1,000 events`."""
    plural = f"{thing[:-1]}ies" if thing.endswith("y") else f"{thing}es" if thing.endswith("ch") else f"{thing}s"
    return f"{number:,} {thing if number == 1 else plural}"


def date_time(at_us: int) -> str:
    """Return a local date and time, to the minute."""
    at = time.localtime(min(max(at_us, 0), _LAST_US) // 1_000_000)
    return f"{at.tm_year:04}-{at.tm_mon:02}-{at.tm_mday:02} {at.tm_hour:02}:{at.tm_min:02}"


def short_time(at_us: int) -> str:
    """Return a local time as short as can be: `14:05` today, `Nov 3 14:05` this year, else the date."""
    at, now = _local(at_us), datetime.now().astimezone()
    if at.date() == now.date():
        return at.strftime("%H:%M")
    return f"{at:%b} {at.day} {at:%H:%M}" if at.year == now.year else at.strftime("%Y-%m-%d")


def time_of_day(at_us: int) -> str:
    """Return a local time of day, to the millisecond."""
    return _local(at_us).strftime("%H:%M:%S.") + f"{at_us // 1000 % 1000:03}"


def duration(us: int | None) -> str:
    """Return how long something took; empty when that is not known."""
    if us is None:
        return ""
    if us < 1_000_000:
        return f"{us / 1000:.0f} ms"
    seconds = us / 1_000_000
    return f"{seconds:.1f} s" if seconds < 100 else f"{seconds / 60:.0f} min"


def size(size_bytes: int) -> str:
    """Return a size with its unit."""
    amount = float(size_bytes)
    for unit in ("bytes", "kB", "MB"):
        if amount < 1000:
            return f"{amount:.0f} {unit}" if unit == "bytes" else f"{amount:.1f} {unit}"
        amount /= 1000
    return f"{amount:.1f} GB"


def _local(at_us: int) -> datetime:
    return datetime.fromtimestamp(min(max(at_us, 0), _LAST_US) / 1_000_000).astimezone()


def difference_text(report: ReplayReport) -> tuple[str, str]:
    """Return whether a replay found a difference, as the end of a line, and its style."""
    return (", no difference", "green") if report.difference is None else ("", "")
