"""A worker: looks for sessions whose task is due, and runs them, several at once, until it is told to stop."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from functools import partial

from eventsource.background import finish, outlast, running, stop
from eventsource.durations import Duration, duration_us
from eventsource.envelope import Lease
from eventsource.errors import RefoldError
from eventsource.runner.lease import taken
from eventsource.runner.operator_log import logger
from eventsource.user_code.argument_checks import checked
from eventsource.user_code.error_words import words

from ..child_sessions import runner_of
from ..log import Log
from ..runtime import Runtime
from .queues import shown_queue, stored_queue
from .runner import AnyTask
from .ticker import ASIDE_S, Ticker, WorkerReport

LOGGER = logger(__name__)
_MAX_LEFT = 10_000
_OTHERS = 100


class Worker:
    """Runs the due sessions of some tasks. Any number of workers may share a log.

    It claims a session under a lease, which it renews at a third of its length; another worker takes over when it is
    not. A session is due when a token, a message, a deadline or a cancellation woke it, and when its owner is gone.
    """

    @checked()
    def __init__(
        self,
        log: Log,
        tasks: Sequence[AnyTask],
        *,
        queues: Sequence[str] | None = None,
        concurrency: int = 10,
        limits: Mapping[str, int] | None = None,
        lease: Duration = "30s",
        look: Duration = "250ms",
        grace: Duration = "10s",
        tell: Callable[[WorkerReport], None] = lambda report: None,
    ) -> None:
        """Prepare.

        Args:
            tasks: those that this worker knows; sessions of others are left to other workers.
            queues: it takes what is for one of these; `default` is the queue of tasks that name none. Without, all.
            concurrency: how many sessions at once.
            limits: of a queue, how many sessions run at once in all workers together. Each worker keeps to its own
                limits, so give all the same ones.
            look: how long it waits when nothing is due.
            grace: how long, once it is to stop, what is under way may take before it is handed back as it is.
            tell: called with what became of each session.
        """
        self._log = log
        self._queues = None if queues is None else [stored_queue(name, "Worker: queues") for name in queues]
        self._limits = {
            stored_queue(name, "Worker: limits"): _limit(name, most) for name, most in (limits or {}).items()
        }
        if self._queues is not None and (others := self._limits.keys() - {*self._queues}):
            name = shown_queue(min(others))
            raise ValueError(
                f"Worker: limits: it takes nothing from queue {name}; leave the limit out, or take from it"
            )
        self._concurrency, self._look_s = concurrency, duration_us(look) / 1_000_000
        self.runtime = Runtime(
            log=log.store, clock=log.clock, lease_us=duration_us(lease), grace_s=duration_us(grace) / 1_000_000
        )
        self._ticker = Ticker(self.runtime, tasks, tell)
        self._running: dict[str, asyncio.Task[None]] = {}
        self._taken: dict[str, Lease] = {}
        self._aside: dict[str, float] = {}

    @property
    def stuck(self) -> Mapping[str, str]:
        """Sessions that this worker could not run, and why."""
        return self._ticker.stuck

    def stop(self) -> None:
        """Claim no more sessions; finish those under way, or hand them back."""
        self.runtime.stopping.set()

    async def run(self) -> None:
        """Run what is due until stopped."""
        try:
            while not self.runtime.stopping.is_set():
                if not await self._look():
                    await self._pause()
        finally:
            self.stop()
            left = tuple(self._running.values())
            try:
                await outlast(*left, timeout_s=self.runtime.grace_s + 1)
            finally:
                await self._stop(*left)

    async def _look(self) -> int:
        """Look for what is due; a log that cannot be read just now is looked at again."""
        try:
            return await self.look()
        except (RefoldError, OSError) as error:
            self._ticker.report(WorkerReport("", "", "stuck", words(error), at_us=self.runtime.clock()))
            LOGGER.warning("the log cannot be read: %s", words(error))
            return 0

    async def drain(self) -> None:
        """Run what is due until nothing is. When cancelled meanwhile, what is under way is handed back.

        What is left then because nobody here knows its task is put on record as stuck.
        """
        try:
            while await self.look() or self._running:
                if self._running:
                    await asyncio.wait(self._running.values(), return_when=asyncio.FIRST_COMPLETED)
            await self._ticker.note_left(await self._log.store.due(limit=_MAX_LEFT, queues=self._queues))
        finally:
            await self._stop(*self._running.values())

    async def _stop(self, *running: asyncio.Task[None]) -> None:
        """Stop what is under way, and hand back what was taken and not begun."""
        try:
            await stop(*running)
        finally:
            await finish(self._give_back())

    async def _give_back(self) -> None:
        leases, self._taken = tuple(self._taken.values()), {}
        for lease in leases:
            await self._log.store.release(lease)

    async def look(self) -> int:
        """Start sessions that are due, as far as there is room. Returns: how many were started."""
        room = self._concurrency - len(self._running)
        if room <= 0:
            return 0
        store, now_s = self._log.store, asyncio.get_running_loop().time()
        self._aside = {session: until_s for session, until_s in self._aside.items() if until_s > now_s}
        wanted = partial(store.take_due, limit=room, ttl_us=self.runtime.lease_us, tasks=self._ticker.tasks)
        but = {*self._aside, *self._running}  # it may have lost what it runs, and notices when it goes on with that
        leases = await taken(store, wanted(queues=self._queues, but=but, limits=self._limits))
        for lease in leases:
            self._begin(lease)
        if len(leases) < room:
            await self._look_at_others()
        return len(leases)

    async def _look_at_others(self) -> None:
        """See which sessions are due that this worker does not take, since it does not know their task."""
        most = _OTHERS + len(self._running) + len(self._aside)
        for session in await self._log.store.due(limit=most, queues=self._queues):
            if session in self._aside:
                continue
            try:
                runner = await runner_of(self._log.store, session)
            except (RefoldError, OSError) as error:  # a session that cannot be read
                self._set_aside(session, await self._ticker.fail(session, "", words(error)))
                continue
            if (
                runner.id not in self._running
                and runner.id not in self._aside
                and runner.task not in self._ticker.tasks
            ):
                self._set_aside(session, ASIDE_S)
                await self._ticker.leave(session, runner.task)

    def _begin(self, lease: Lease) -> None:
        self._taken[lease.session] = lease
        running = asyncio.create_task(self._work(lease))
        self._running[lease.session] = running
        running.add_done_callback(lambda done: self._running.pop(lease.session, None))

    async def _work(self, lease: Lease) -> None:
        session, task = lease.session, ""
        with suppress(RefoldError, OSError):
            task = (await self._log.store.info(session)).task
        del self._taken[session]  # from here on it is released by who holds it
        if seconds := await self._ticker.run(session, task, lease=lease):
            self._set_aside(session, seconds)

    def _set_aside(self, session: str, seconds: float) -> None:
        self._aside[session] = asyncio.get_running_loop().time() + seconds

    async def _pause(self) -> None:
        """Wait for a while, or until there is room again, or until stopped."""
        full = len(self._running) >= self._concurrency
        async with running(self.runtime.stopping.wait()) as stopping:
            waited = [*stopping, *(self._running.values() if full else ())]
            await asyncio.wait(waited, timeout=self._look_s, return_when=asyncio.FIRST_COMPLETED)


def _limit(queue: str, most: int) -> int:
    if type(most) is not int or most < 0:
        raise ValueError(f"Worker: limits: {queue}: expected a whole number, 0 or more; found {most!r}")
    return most
