"""The log as users open it: by `async with`, or for as long as an object or a notebook lives."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import pytest

from eventsource.errors import StoreError, UnknownSessionError
from eventsource.models.scripted import scripted
from refold import Agent, open_log


async def test_a_log_is_opened_and_closed_without_a_context_manager(tmp_path: Path) -> None:
    log = await open_log(tmp_path / "log.db").open()
    assert await log.open() is log
    await Agent(scripted("hi")).run("q", session=await log.session("oslo"))
    await log.close()
    await log.close()
    with pytest.raises(StoreError, match="this log is not open"):
        await log.session("oslo")
    await log.open()
    assert [info.title for info in await log.list()] == ["oslo"]
    await log.close()


@pytest.mark.parametrize("name", [None, "log.db"])
async def test_a_log_that_is_not_open_says_how_to_open_it(tmp_path: Path, name: str | None) -> None:
    log = open_log(None if name is None else tmp_path / name)
    for use in (log.session, log.list, log.verify):
        with pytest.raises(StoreError, match=r"this log is not open; use `async with .*`, or `await log\.open\(\)`"):
            await use()
    await log.close()
    assert os.listdir(tmp_path) == []


async def test_whoever_opens_at_the_same_time_opens_once(tmp_path: Path) -> None:
    log = open_log(tmp_path / "log.db")
    await asyncio.gather(*(log.open() for _ in range(5)))
    session = await log.session("s")
    assert len(await asyncio.gather(*(log.session("s") for _ in range(5)))) == 5
    assert len(await log.list()) == 1
    assert session.id == (await log.session("s")).id
    await log.close()


async def test_a_title_does_not_open_or_delete_a_session_whose_id_begins_so() -> None:
    async with open_log() as log:
        stranger = (await log.store.create("bob4k2j9x1zq")).id
        with pytest.raises(UnknownSessionError):
            await log.delete("bob4")
        assert (await log.session("bob")).id != stranger
        assert (await log.find("bob4")).id == stranger
        assert (await log.session(stranger)).id == stranger


@pytest.mark.parametrize("times", [1, 5])
async def test_a_cancelled_session_by_name_is_made_or_not(tmp_path: Path, times: int) -> None:
    async with open_log(tmp_path / "log.db") as log:
        for steps in range(10):
            task = asyncio.ensure_future(log.session("oslo"))
            for _ in range(steps):
                await asyncio.sleep(0)
            for _ in range(times):
                task.cancel()
                await asyncio.sleep(0)
            await asyncio.wait([task])
            assert len(await log.list()) <= 1
        assert (await log.session("oslo")).id == (await log.list())[0].id
