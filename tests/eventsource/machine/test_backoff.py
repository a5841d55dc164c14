"""When what failed is tried again."""

from __future__ import annotations

import pytest

from eventsource.machine.backoff import retry_at_us

YEAR_US = 365 * 24 * 60 * 60 * 1_000_000


@pytest.mark.parametrize(
    ("first_us", "failures", "wait_us"),
    [
        (10, 0, 10),
        (10, 1, 10),
        (10, 2, 20),
        (10, 5, 160),
        (1, 41, 2**40),
        (1, 42, 2**40),
        (1_000_000, 1_000, YEAR_US),
        (2 * YEAR_US, 3, 2 * YEAR_US),
    ],
    ids=["none", "first", "second", "fifth", "forty doublings", "no more of them", "a year", "the policy's own years"],
)
def test_each_wait_is_twice_the_one_before_up_to_forty_times_and_a_year(
    first_us: int, failures: int, wait_us: int
) -> None:
    assert retry_at_us(7, first_us, failures=failures, jitter_ppm=0) == 7 + wait_us


def test_chance_adds_its_share_of_the_wait() -> None:
    assert retry_at_us(7, 1_000, failures=2, jitter_ppm=100_000) == 7 + 2_000 + 200
