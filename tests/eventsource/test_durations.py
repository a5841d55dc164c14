"""Durations as people write them."""

from __future__ import annotations

from datetime import timedelta

import pytest

from eventsource.durations import duration_us
from eventsource.errors import DurationError


@pytest.mark.parametrize(
    ("given", "us"),
    [
        ("90s", 90_000_000),
        ("1h30m", 5_400_000_000),
        (" 1d ", 86_400_000_000),
        ("0.5s", 500_000),
        ("250ms", 250_000),
        ("2w 1d", 15 * 86_400_000_000),
        (timedelta(minutes=1, microseconds=1), 60_000_001),
    ],
)
def test_a_duration_is_so_many_microseconds(given: str | timedelta, us: int) -> None:
    assert duration_us(given) == us


@pytest.mark.parametrize("given", ["", "soon", "5", "1d later", "-1s", "s", "1 fortnight", "101000w"])
def test_what_is_no_duration_is_refused(given: str) -> None:
    with pytest.raises(DurationError):
        duration_us(given)


def test_a_negative_length_is_refused() -> None:
    with pytest.raises(DurationError, match="hundred years"):
        duration_us(timedelta(seconds=-1))
