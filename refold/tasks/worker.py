"""A worker: looks for sessions whose task is due, and runs them, several at once, until it is told to stop."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from functools import partial

import msgspec
from msgspec.structs import replace

from eventsource.background import finish, outlast, running, stop
from eventsource.durations import Duration, duration_us
from eventsource.envelope import Lease
from eventsource.errors import FencedError, RefoldError
from eventsource.log.load import load_state
from eventsource.runner.lease import taken
from eventsource.runner.operator_log import logger
from eventsource.user_code.argument_checks import checked
from eventsource.user_code.calls import attempt, by_signal
from eventsource.user_code.error_words import words

from ..child_sessions import runner_of
from ..log import Log
from ..runtime import Runtime
from .queues import shown_queue, stored_queue
from .runner import AnyTask, note_stuck, run_task_session

LOGGER = logger(__name__)
_ASIDE_S = 5.0
_MOST_ASIDE_S = 300.0
_MAX_KNOWN = 10_000
_OTHERS = 100
_UNKNOWN_S = 30.0
"""How long a session may be due before a worker that does not know its task puts that on record."""


class WorkerReport(msgspec.Struct, frozen=True):
    """What a worker did: the session, its task, and how it stands now (or what went wrong).

    status: done, error, cancelled or waiting; `stuck`: set aside for a while, since it could not be run; `lost`:
    another worker took it over; `left`: this worker does not know its task (said once). step: the one that began last.
    attempt: the task's. at_us: when the worker let it go; duration_us: how long it had it.
    """

    session: str
    task: str
    status: str
    error: str = ""
    step: str = ""
    attempt: int = 0
    at_us: int = 0
    duration_us: int = 0


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
        self._log, self._tasks, self._tell = log, {task.id: task for task in tasks}, tell
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
        self._running: dict[str, asyncio.Task[None]] = {}
        self._taken: dict[str, Lease] = {}
        self._aside: dict[str, float] = {}
        self._failures: dict[str, int] = {}
        self._left: dict[str, tuple[float, str]] = {}
        self.stuck: dict[str, str] = {}
        """Sessions that this worker could not run, and why."""

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
            self._report(WorkerReport("", "", "stuck", words(error), at_us=self.runtime.clock()))
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
            for session in await self._log.store.due(limit=_MAX_KNOWN, queues=self._queues):
                if session in self._left:
                    await self._note_stuck(session, self._left[session][1])
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
        wanted = partial(store.take_due, limit=room, ttl_us=self.runtime.lease_us, tasks=self._tasks)
        leases = await taken(store, wanted(queues=self._queues, but=self._aside, limits=self._limits))
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
                await self._set_aside_for(session, "", words(error))
                continue
            if runner.id not in self._running and runner.id not in self._aside and runner.task not in self._tasks:
                await self._leave(session, runner.task)

    async def _leave(self, session: str, task: str) -> None:
        """Leave a session to workers that know its task, and say so once; when none comes for long, it is stuck."""
        self._set_aside(session, _ASIDE_S)
        now_s = asyncio.get_running_loop().time()
        what = f"this worker does not know task {task!r}" if task else "no task was ever started in it"
        if session not in self._left:
            self._left[session] = (now_s, what)
            LOGGER.info("session %s: left alone: %s", session, what, extra={"session": session})
            self._report(WorkerReport(session, task, "left", what, at_us=self.runtime.clock()))
        elif now_s >= self._left[session][0] + _UNKNOWN_S:
            await self._note_stuck(session, what)
        while len(self._left) > _MAX_KNOWN:
            del self._left[next(iter(self._left))]

    async def _note_stuck(self, session: str, problem: str) -> None:
        """Record why a session cannot be run, if it can be written to."""
        self.stuck[session] = problem
        try:
            await note_stuck(self.runtime, session, (await load_state(self._log.store, session))[1], problem)
        except (RefoldError, OSError) as error:
            LOGGER.warning("session %s: that it is stuck cannot be put on record: %s", session, words(error))

    def _begin(self, lease: Lease) -> None:
        self._taken[lease.session] = lease
        running = asyncio.create_task(self._work(lease))
        self._running[lease.session] = running
        running.add_done_callback(lambda done: self._running.pop(lease.session, None))

    async def _work(self, lease: Lease) -> None:
        """Run a session; whatever keeps it from being run keeps nobody else from working."""
        session, task, began_us = lease.session, "", self.runtime.clock()
        try:
            with suppress(RefoldError, OSError):
                task = (await self._log.store.info(session)).task
            del self._taken[session]  # from here on it is released by who holds it
            outcome = await run_task_session(self.runtime, session, self._tasks.get, lease=lease)
        except FencedError as error:
            self._report(WorkerReport(session, task, "lost", words(error), at_us=self.runtime.clock()))
        except asyncio.CancelledError:
            raise
        except BaseException as error:
            if by_signal(error):
                raise
            problem = words(error, typed=not isinstance(error, RefoldError | OSError))
            await self._set_aside_for(session, task, problem, began_us)
        else:
            self._failures.pop(session, None)
            self.stuck.pop(session, None)
            if outcome.status == "waiting" and outcome.error:
                self._set_aside(session, _ASIDE_S)
            ended_us = self.runtime.clock()
            report = WorkerReport(session, task, outcome.status, outcome.error, outcome.step, outcome.attempt, ended_us)
            self._report(replace(report, duration_us=ended_us - began_us))

    async def _set_aside_for(self, session: str, task: str, problem: str, began_us: int | None = None) -> None:
        """Leave a session alone for a while, longer each time, and say why."""
        failures = self._failures[session] = self._failures.get(session, 0) + 1
        seconds = min(_ASIDE_S * 2 ** (failures - 1), _MOST_ASIDE_S)
        self._set_aside(session, seconds)
        now_us = self.runtime.clock()
        took_us = now_us - began_us if began_us is not None else 0
        self._report(WorkerReport(session, task, "stuck", problem, at_us=now_us, duration_us=took_us))
        await self._note_stuck(session, problem)
        LOGGER.warning("session %s: set aside for %g s: %s", session, seconds, problem, extra={"session": session})

    def _report(self, report: WorkerReport) -> None:
        called = attempt(lambda: self._tell(report))
        if called.error is not None:
            LOGGER.error("the worker's callback raised: %s", words(called.error), extra={"session": report.session})

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
