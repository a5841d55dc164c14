"""What goes through a session of any length takes the memory of a page of it: peaks are counted, at two lengths."""

from __future__ import annotations

import tracemalloc
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest

from benchmarks.exchange import SESSION, exchanges
from eventsource.log import open_store
from eventsource.log.load import read_all
from eventsource.log.protocol import EventLog
from projections import SpanReader
from replay.formats.refold.write import export_parts, export_session

SHORT, LONG = 4_000, 24_000
STREAMED, FACTS = 100, 0


@pytest.fixture(scope="module", params=[STREAMED, FACTS], ids=["streamed", "facts"])
def folder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, int]:
    return tmp_path_factory.mktemp("long"), request.param


async def filled(folder: tuple[Path, int], events: int) -> Path:
    """Make a file with a session of so many events, once."""
    path, deltas = folder[0] / f"{events}.db", folder[1]
    if not path.exists():
        async with open_store(path) as log:
            await log.create(SESSION, title="long")
            head = 0
            for made in exchanges(events, deltas=deltas):
                head = await log.append(SESSION, [event for append in made for event in append])
                if head >= events:
                    break
    return path


async def peak(path: Path, work: Callable[[EventLog], Awaitable[object]]) -> int:
    """Return the most memory that some work took at a time, in bytes."""
    async with open_store(path) as log:
        await log.read(SESSION, limit=10)
        tracemalloc.start()
        try:
            await work(log)
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()


async def through(parts: AsyncIterator[object]) -> None:
    async for _ in parts:
        pass


async def export(log: EventLog) -> None:
    await through(export_parts(log, SESSION))


@pytest.mark.slow
async def test_an_export_takes_no_more_memory_for_a_longer_session(folder: tuple[Path, int]) -> None:
    short, long = [await peak(await filled(folder, events), export) for events in (SHORT, LONG)]
    assert long < 1.3 * short
    assert await peak(await filled(folder, LONG), lambda log: export_session(log, SESSION)) > 2 * long


@pytest.mark.slow
async def test_the_parts_of_an_export_are_the_export(folder: tuple[Path, int]) -> None:
    async with open_store(await filled(folder, SHORT)) as log:
        parts = [part async for part in export_parts(log, SESSION)]
        assert len(parts) > 4
        assert all(part.endswith(b"\n") for part in parts if part)
        assert b"".join(parts) == await export_session(log, SESSION)


@pytest.mark.slow
async def test_a_timeline_keeps_no_more_than_a_few_numbers_of_each_span(folder: tuple[Path, int]) -> None:
    counts: list[int] = []

    async def timeline(log: EventLog) -> None:
        reader = SpanReader()
        async for recorded in read_all(log, SESSION):
            reader.feed(recorded)
        counts.append(len(reader))

    short, long = [await peak(await filled(folder, events), timeline) for events in (SHORT, LONG)]
    assert counts[1] > 5 * counts[0]
    assert long - short < 100 * (counts[1] - counts[0]) + short // 10
