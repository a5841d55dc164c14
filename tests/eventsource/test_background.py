"""What is done beside a block is over when the block is, however that ends."""

from __future__ import annotations

import asyncio

import pytest

from eventsource.background import beside, running


class Work:
    """Goes on for ever, and takes a while to clean up."""

    def __init__(self) -> None:
        self.over = False

    async def __call__(self) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0.01)
            self.over = True


async def test_what_runs_beside_a_block_is_over_when_the_block_raises() -> None:
    first, second = Work(), Work()

    async def block() -> None:
        async with running(first(), second()):
            await asyncio.sleep(0)
            raise ValueError("the block")

    with pytest.raises(ValueError, match="the block"):
        await block()
    assert first.over
    assert second.over


async def test_what_runs_beside_a_block_is_over_before_its_cancellation_goes_on() -> None:
    work = Work()

    async def block() -> None:
        async with running(work()):
            await asyncio.Event().wait()

    task = asyncio.create_task(block())
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    task.cancel()
    await asyncio.sleep(0.001)
    task.cancel()  # again, while what ran beside it cleans up
    with pytest.raises(asyncio.CancelledError):
        await task
    assert work.over


async def test_of_what_runs_beside_a_block_only_beside_raises_the_error() -> None:
    async def fail() -> None:
        raise ValueError("beside")

    async with running(fail()):
        await asyncio.sleep(0)

    async def block() -> None:
        async with beside(fail()):
            await asyncio.sleep(0)

    with pytest.raises(ValueError, match="beside"):
        await block()
