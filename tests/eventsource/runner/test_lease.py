"""The keeper of leases: a session is held for as long as it is meant to be, and never longer."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from eventsource.envelope import Lease
from eventsource.errors import FencedError, LeaseHeldError, StoreError
from eventsource.log import MemoryLog, open_store, utc_now_us
from eventsource.log.protocol import EventLog
from eventsource.runner import lease as lease_module
from eventsource.runner.lease import hold
from tests.running import in_no_time

ROOT = Path(__file__).parents[3]
SESSION = "oslo"


@pytest.fixture(params=["memory", "file"])
async def store(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[EventLog]:
    async with open_store(tmp_path / "log.db" if request.param == "file" else None) as log:
        await log.create(SESSION)
        yield log


async def owner(log: EventLog) -> str:
    return (await log.info(SESSION)).owner


async def hold_for_ever(log: EventLog) -> None:
    async with hold(log, SESSION):
        await asyncio.Event().wait()


async def test_a_session_is_held_for_as_long_as_the_block_lasts(store: EventLog) -> None:
    async with hold(store, SESSION) as held:
        assert await owner(store) == held.lease.owner
        with pytest.raises(LeaseHeldError):
            async with hold(store, SESSION):
                pass
        assert await owner(store) == held.lease.owner
    assert await owner(store) == ""


@pytest.mark.parametrize("times", [1, 2, 5])
async def test_who_is_cancelled_at_any_instant_holds_nothing(store: EventLog, times: int) -> None:
    for ticks in range(40):
        task = asyncio.create_task(hold_for_ever(store))
        for _ in range(ticks):
            await asyncio.sleep(0)
        for _ in range(times):
            task.cancel()
            await asyncio.sleep(0)
        await asyncio.wait([task])
        assert task.cancelled()
        assert await owner(store) == "", f"held after {ticks} ticks"
        assert asyncio.all_tasks() == {asyncio.current_task()}


@pytest.mark.parametrize("times", [1, 5])
async def test_a_cancellation_while_the_session_is_given_back_changes_nothing(store: EventLog, times: int) -> None:
    async def hold_shortly() -> None:
        async with hold(store, SESSION):
            pass

    for ticks in range(40):
        task = asyncio.create_task(hold_shortly())
        for _ in range(ticks):
            await asyncio.sleep(0)
        for _ in range(times):
            task.cancel()
            await asyncio.sleep(0)
        await asyncio.wait([task])
        assert await owner(store) == "", f"held after {ticks} ticks"
        assert asyncio.all_tasks() == {asyncio.current_task()}


async def test_a_lease_is_renewed_in_time(store: EventLog, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lease_module, "_RENEWALS", 600)  # ten times a second: none is over on a slow machine
    async with hold(store, SESSION, ttl_us=60_000_000):
        first = (await store.info(SESSION)).expires_at_us
        async with asyncio.timeout(60):
            while (await store.info(SESSION)).expires_at_us < first + 1_000_000:
                await asyncio.sleep(0.01)
        with pytest.raises(LeaseHeldError):
            await store.claim(SESSION)


@in_no_time
async def test_a_lease_is_never_over_while_it_is_held() -> None:
    loop = asyncio.get_running_loop()
    log = MemoryLog(clock=lambda: int(loop.time() * 1_000_000), new_id=lambda: SESSION)
    await log.create(SESSION)
    async with hold(log, SESSION):
        for _ in range(300):
            await asyncio.sleep(1)
            with pytest.raises(LeaseHeldError):
                await log.claim(SESSION)


async def test_a_lease_that_was_lost_is_said_at_once(store: EventLog, monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[FencedError] = []
    taken, renew = asyncio.Event(), store.renew

    async def later(lease: Lease, *, ttl_us: int) -> Lease:
        await taken.wait()  # else a renewal may come between a release and a claim
        return await renew(lease, ttl_us=ttl_us)

    monkeypatch.setattr(store, "renew", later)
    async with hold(store, SESSION, ttl_us=60_000, lost=told.append) as held:
        held.check()
        await store.release(held.lease)
        other = await store.claim(SESSION)
        taken.set()
        async with asyncio.timeout(60):
            while not told:
                await asyncio.sleep(0.01)
        with pytest.raises(FencedError, match="session oslo: another runner took it over"):
            held.check()
    assert await owner(store) == other.owner, "what another holds is not given back"


class Refusing(MemoryLog):
    """A log that refuses the first renewals."""

    renewals = 0

    async def renew(self, lease: Lease, *, ttl_us: int = 30_000_000) -> Lease:
        self.renewals += 1
        if self.renewals < 4:
            raise StoreError("here", "full", "make room")
        return await super().renew(lease, ttl_us=ttl_us)


@in_no_time
async def test_a_renewal_that_the_store_refuses_is_tried_again() -> None:
    log = Refusing(clock=utc_now_us, new_id=lambda: SESSION)
    await log.create(SESSION)
    async with hold(log, SESSION, ttl_us=900_000) as held, asyncio.timeout(60):
        while log.renewals < 5:
            await asyncio.sleep(0.01)
        held.check()


def test_nobody_else_claims_or_renews() -> None:
    of_a_copy = ROOT / "replay" / "omitted_copy.py"  # in memory, where there is nobody else
    allowed = {ROOT / "eventsource" / "runner" / "lease.py", of_a_copy}
    folders = ("eventsource", "projections", "replay", "refold")
    files = [file for folder in folders for file in (ROOT / folder).rglob("*.py")]
    others = [file for file in files if file not in allowed and (ROOT / "eventsource" / "log") not in file.parents]
    found = [file.name for file in others if re.search(r"\.(claim|renew)\(", file.read_text(encoding="utf-8"))]
    assert found == []
