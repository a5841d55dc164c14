"""An append that is cancelled, wherever it waits, was made or not, and nothing goes on behind the caller."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from eventsource.errors import ConflictError
from eventsource.events import Custom, Event
from eventsource.log import open_store
from eventsource.log.contract.histories import streamed, timed

MESSAGE = timed(streamed("a message that is cancelled"))


@pytest.mark.parametrize("others", [0, 3])
@pytest.mark.parametrize("steps", range(12))
async def test_a_cancelled_append_leaves_all_or_nothing(tmp_path: Path, steps: int, others: int) -> None:
    async with open_store(tmp_path / "log.db") as log:
        session = (await log.create()).id
        elsewhere = [(await log.create()).id for _ in range(others)]
        beside = [asyncio.create_task(log.append(name, MESSAGE)) for name in elsewhere]
        task = asyncio.create_task(log.append(session, MESSAGE))
        for _ in range(steps):
            await asyncio.sleep(0)
        task.cancel()
        try:
            await task
        except asyncio.CancelledError:
            pass
        head = (await log.info(session)).head
        assert head in (0, len(MESSAGE))
        assert await log.append(session, [(1, Custom(kind="after"))], expected=head) == head + 1
        assert await asyncio.gather(*beside) == [len(MESSAGE)] * others
        report = await log.verify()
        assert report.findings == ()


async def test_when_a_cancellation_is_raised_the_outcome_stands(tmp_path: Path) -> None:
    async with open_store(tmp_path / "log.db") as log:
        session = (await log.create()).id
        tasks = [asyncio.create_task(log.append(session, [(n, Custom(kind=str(n)))])) for n in range(20)]
        await asyncio.sleep(0)
        for task in tasks[1:]:
            task.cancel()
        ended = await asyncio.gather(*tasks, return_exceptions=True)
        assert ended[0] == 1
        assert all(isinstance(result, asyncio.CancelledError) for result in ended[1:])
        head = (await log.info(session)).head
        assert await log.append(session, [(99, Custom(kind="next"))], expected=head) == head + 1


async def test_writers_that_race_lose_with_a_conflict_and_nothing_else(tmp_path: Path) -> None:
    async with open_store(tmp_path / "log.db") as one, open_store(tmp_path / "log.db") as other:
        session = (await one.create()).id
        written: list[str] = []

        async def write(which: int) -> None:
            log, head = (one, other)[which % 2], 0
            for n in range(10):
                event: Event = Custom(kind=f"{which}-{n}")
                while True:
                    try:
                        head = await log.append(session, [(n, event)], expected=head)
                    except ConflictError as conflict:
                        head = conflict.head
                        continue
                    written.append(f"{which}-{n}")
                    break

        await asyncio.gather(*map(write, range(6)))
        page = await one.read(session)
        assert [record.seq for record in page] == list(range(1, 61))
        assert sorted(record.event.kind for record in page if isinstance(record.event, Custom)) == sorted(written)
