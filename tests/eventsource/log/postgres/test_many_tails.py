"""A process in which many sessions stream at once still writes them in one call, and reads none of them again."""

from __future__ import annotations

import asyncio

import pytest

from eventsource.events import Custom
from eventsource.log import random_id
from eventsource.log.postgres.store import PostgresLog
from tests.postgres import empty_log


@pytest.mark.slow
async def test_two_thousand_sessions_are_gone_on_with_unread(postgres: str) -> None:
    with empty_log(postgres) as place:
        log = PostgresLog(place, new_id=random_id)
        await log.start()
        try:
            names = [one.id for one in await asyncio.gather(*(log.create() for _ in range(2_000)))]
            for number in range(2):
                await asyncio.gather(*(log.append(name, [(number, Custom(kind="k"))]) for name in names))
            before = log.counts.transactions
            await asyncio.gather(*(log.append(name, [(2, Custom(kind="k"))]) for name in names))
            assert log.counts.transactions == before
        finally:
            await log.close()
