"""How long a provider asks to wait is read in all its forms."""

from __future__ import annotations

import pytest

from eventsource.models.transport.retry import CAP_US, delay_in_text, not_before_us, retry_after_us

NOW_US = 1_700_000_000_000_000


@pytest.mark.parametrize(
    ("headers", "wait_us"),
    [
        ({"retry-after-ms": "12.5"}, 12_500),
        ({"retry-after-ms": "x", "retry-after": "3"}, 3_000_000),
        ({"retry-after": "0"}, 0),
        ({"retry-after": " 1.25 "}, 1_250_000),
        ({"retry-after": "Tue, 14 Nov 2023 22:13:30 GMT"}, 10_000_000),
        ({"retry-after": "Tue, 14 Nov 2023 22:13:00 GMT"}, 0),
        ({"retry-after": "1700000004"}, 4_000_000),
        ({"retry-after": "1700000004000"}, 4_000_000),
        ({"retry-after": "-1"}, None),
        ({"retry-after": "nan"}, None),
        ({"retry-after": "soon"}, None),
        ({}, None),
    ],
)
def test_the_headers_say_how_long_to_wait(headers: dict[str, str], wait_us: int | None) -> None:
    assert retry_after_us(headers, NOW_US) == wait_us


@pytest.mark.parametrize(
    ("text", "wait_us"),
    [
        ("Please try again in 7m26.4s.", 446_400_000),
        ("Rate limit reached. Please try again in 20ms. Visit …", 20_000),
        ("retry after 2 seconds", 2_000_000),
        ("Please retry in 34.4s.", 34_400_000),
        ("try again later", None),
    ],
)
def test_words_say_how_long_to_wait(text: str, wait_us: int | None) -> None:
    assert delay_in_text(text) == wait_us


def test_no_wait_is_longer_than_the_cap() -> None:
    assert not_before_us(10**12, attempt=1, now_us=5, jitter_ppm=0) == CAP_US + 5
    assert not_before_us(None, attempt=99, now_us=5, jitter_ppm=0) == CAP_US + 5


def test_chance_makes_a_wait_longer_and_never_shorter() -> None:
    assert not_before_us(2_000_000, attempt=1, now_us=0, jitter_ppm=50_000) == 2_100_000
    assert not_before_us(None, attempt=2, now_us=0, jitter_ppm=100_000) == 1_100_000
