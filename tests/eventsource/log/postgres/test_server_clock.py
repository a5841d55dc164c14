"""The clock of the server is known without asking, within the bounds of what was seen, and is ours where they agree."""

from __future__ import annotations

import pytest

from eventsource.log import open_store, utc_now_us
from eventsource.log.postgres.server import ServerClock
from refold import Log, open_log
from tests.postgres import empty_log


@pytest.fixture
def _stopped(monkeypatch: pytest.MonkeyPatch) -> None:
    """Stop this machine's clock: between two readings of it any time may pass."""
    monkeypatch.setattr("eventsource.log.postgres.server.utc_now_us", lambda: 0)


def ahead(clock: ServerClock) -> float:
    return clock.now_us() / 1_000_000


@pytest.mark.usefixtures("_stopped")
def test_where_clocks_agree_it_is_this_machines_own() -> None:
    clock = ServerClock()
    clock.note(1_000_500, 1_000_000, 1_001_000)
    clock.note(2_000_000, 1_999_999, 2_000_000)
    assert ahead(clock) == 0


@pytest.mark.usefixtures("_stopped")
@pytest.mark.parametrize("ahead_us", [180_000_000, -180_000_000])
def test_a_difference_is_followed_and_an_answer_that_took_long_tells_little(ahead_us: int) -> None:
    clock = ServerClock()
    clock.note(1_000_000 + ahead_us, 900_000, 1_100_000)
    assert ahead(clock) == pytest.approx(ahead_us / 1e6, abs=0.2)
    known = ahead(clock)
    clock.note(2_000_000 + ahead_us, 1_000_000, 9_000_000)
    assert ahead(clock) == pytest.approx(known, abs=0.05)
    clock.note(3_000_000 + ahead_us, 2_999_000, 3_001_000)
    assert ahead(clock) == pytest.approx(ahead_us / 1e6, abs=0.05)
    clock.note(4_000_000, 3_999_000, 4_001_000)  # somebody has set this machine's clock
    assert ahead(clock) == pytest.approx(0, abs=0.05)


async def test_a_log_goes_by_the_servers_clock_or_by_the_one_that_is_given(postgres: str) -> None:
    with empty_log(postgres) as place:
        async with open_log(place) as log:
            assert log.clock == log.store.clock
            before_us, now_us, after_us = utc_now_us(), log.clock(), utc_now_us()
            assert before_us - 5_000_000 < now_us < after_us + 5_000_000
        async with open_store(place) as store:
            assert Log(store, clock=lambda: 7).clock() == 7
        async with open_log(place, clock=lambda: 8) as log:
            assert (log.clock(), log.store.clock()) == (8, 8)
