"""The keeper of leases: whoever runs, records or changes a session holds it here, and nowhere else."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from functools import partial

from ..background import finish, outlast, stop
from ..envelope import Lease
from ..errors import FencedError, IllegalEventError, RefoldError
from ..log.admitted import until_known
from ..log.protocol import EventLog

LEASE_US = 30_000_000
"""How long a lease lasts; it is renewed at a third of that."""
_RENEWALS = 3
_AGAIN = 10
"""After a renewal that the store refused, the next comes at this part of a third."""


class HeldLease:
    """A session that is held: its lease, and whether that was lost.

    `seen`: how far its holder has seen, for the store to say whether it is due again; None: it says nothing.
    """

    def __init__(self, lease: Lease) -> None:
        self.lease = lease
        self.seen: int | None = None
        self.lost: FencedError | None = None

    def check(self) -> None:
        """Check that the lease is still ours. Raises: FencedError when another owner has claimed the session."""
        if self.lost is not None:
            raise self.lost


@asynccontextmanager
async def hold(
    log: EventLog,
    session: str,
    *,
    ttl_us: int = LEASE_US,
    lost: Callable[[FencedError], None] = lambda error: None,
    lease: Lease | None = None,
) -> AsyncIterator[HeldLease]:
    """Hold a session's lease for as long as the block lasts; it is released then, however often its task is cancelled.

    `lost` is told at once when another owner has claimed the session. `lease`: the session's, if it was claimed before.

    Raises: LeaseHeldError when somebody else holds it; CancelledError, and then nobody holds it.
    """
    held = HeldLease(lease or (await taken(log, _claim(log, session, ttl_us)))[0])
    keeper = _Keeper(log, held, ttl_us, lost)
    try:
        yield held
    except IllegalEventError:
        held.lease = await log.renew(held.lease, ttl_us=ttl_us)  # the next owner's events may be in the way
        raise
    finally:
        await finish(_give_back(log, held, keeper))


async def check_held(log: EventLog, lease: Lease) -> None:
    """Ask the log whether a lease is still its owner's. Raises: FencedError when another has claimed the session."""
    epoch = (await log.info(lease.session)).epoch
    if epoch != lease.epoch:
        raise FencedError(lease.session, lease.epoch, epoch)


async def _claim(log: EventLog, session: str, ttl_us: int) -> tuple[Lease, ...]:
    return (await log.claim(session, ttl_us=ttl_us),)


async def taken(log: EventLog, claiming: Coroutine[None, None, tuple[Lease, ...]]) -> tuple[Lease, ...]:
    """Wait for leases to be claimed; who is cancelled meanwhile has none."""
    task = asyncio.ensure_future(claiming)
    try:
        await outlast(task)
    except asyncio.CancelledError:
        if not task.cancelled() and task.exception() is None:
            for lease in task.result():
                await finish(log.release(lease))
        raise
    return task.result()


class _Keeper:
    """Renews a lease when it is time; until then there is a timer and no task.

    Times are those of a grid, so that the leases of many sessions are renewed together, and one transaction does it.
    """

    def __init__(self, log: EventLog, held: HeldLease, ttl_us: int, lost: Callable[[FencedError], None]) -> None:
        self._log, self._held, self._ttl_us, self._lost = log, held, ttl_us, lost
        self._pause_s = ttl_us / _RENEWALS / 1_000_000
        self._task: asyncio.Task[None] | None = None
        self._timer = self._after(self._pause_s)

    def _after(self, pause_s: float) -> asyncio.TimerHandle:
        loop, step_s = asyncio.get_running_loop(), self._pause_s / _AGAIN
        due_s = loop.time() + pause_s
        return loop.call_at(max(due_s - due_s % step_s, loop.time() + step_s / 2), self._begin)

    def _begin(self) -> None:
        self._task = asyncio.get_running_loop().create_task(self._renew())

    async def _renew(self) -> None:
        try:
            self._held.lease = await self._log.renew(self._held.lease, ttl_us=self._ttl_us)
        except FencedError as error:
            self._held.lost = error
            self._lost(error)
        except (RefoldError, OSError):  # a store that fails now may not fail later; only a newer epoch takes a lease
            self._timer = self._after(self._pause_s / _AGAIN)
        else:
            self._timer = self._after(self._pause_s)

    async def stop(self) -> None:
        """Renew no more."""
        self._timer.cancel()
        if self._task is not None:
            await stop(self._task)
            self._timer.cancel()


async def _give_back(log: EventLog, held: HeldLease, keeper: _Keeper) -> None:
    await keeper.stop()
    await until_known(partial(log.release, held.lease, head=held.seen))
