"""Running one session as far as it goes, for whoever says which: a worker, or an engine around the log."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

import msgspec
from msgspec.structs import replace

from eventsource.background import running
from eventsource.envelope import Lease
from eventsource.errors import (
    FencedError,
    LeaseHeldError,
    OutcomeUnknownError,
    RefoldError,
    StoreError,
    UnknownSessionError,
)
from eventsource.log.load import load_state
from eventsource.runner.operator_log import logger
from eventsource.user_code.calls import attempt, by_signal
from eventsource.user_code.error_words import words

from ..child_sessions import NextLook, tree_is_due
from ..runtime import Runtime
from .runner import AnyTask, TaskOutcome, note_stuck, run_task_session

LOGGER = logger(__name__)
ASIDE_S = 5.0
"""How long a session that could not be run is left alone; twice as long each further time."""
_MOST_ASIDE_S = 300.0
_AGAIN_S = (0.05, 0.2, 1.0)
"""After how long a session is run again whose log failed: a server that was restarted is there again."""
_MAX_KNOWN = 10_000
_UNKNOWN_S = 30.0
"""How long a session may be due before a worker that does not know its task puts that on record."""


class WorkerReport(msgspec.Struct, frozen=True):
    """What a worker did: the session, its task, and how it stands now (or what went wrong).

    status: done, error, cancelled or waiting; `stuck`: set aside for a while, since it could not be run; `lost`:
    another worker took it over; `left`: this worker does not know its task (said once); `again`: its log failed, and
    it is run again at once. step: the one that began last.
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


class Tick(msgspec.Struct, frozen=True):
    """What a session needs after it was run as far as it goes.

    `wait_us`: how long until it is to be run again; None: until something comes for it. `ended`: its task is over.
    """

    wait_us: int | None = None
    ended: bool = False


class Ticker:
    """Runs sessions of some tasks, and keeps in mind which could not be run. `stuck`: those, and why."""

    def __init__(self, runtime: Runtime, tasks: Sequence[AnyTask], tell: Callable[[WorkerReport], None]) -> None:
        self.runtime, self.tasks, self._tell = runtime, {task.id: task for task in tasks}, tell
        self._failures: dict[str, int] = {}
        self._left: dict[str, tuple[float, str]] = {}
        self.stuck: dict[str, str] = {}

    async def tick(self, session: str) -> Tick:
        """Run a session if it has something to do. Once too often, late or in vain does no harm.

        What keeps it from being run is told, and is no error: it is to be tried again.
        """
        log, now_us, look = self.runtime.log, self.runtime.clock(), NextLook()
        if self.runtime.stopping.is_set():  # somebody else may have it
            return Tick(1_000_000)
        try:
            info = await log.info(session)
            if await tree_is_due(log, session, now_us, look) or info.owner:  # who holds it may be gone
                pause_s = await self._run_known(session, info.task)
                if pause_s or self.runtime.stopping.is_set():
                    return Tick(round(pause_s * 1_000_000))
                now_us, look = self.runtime.clock(), NextLook()
                if await tree_is_due(log, session, now_us, look):
                    return Tick(0)
            ended = not (await load_state(log, session))[1].task
        except UnknownSessionError:  # it was deleted
            return Tick(ended=True)
        return Tick(None if look.at_us is None else max(look.at_us - now_us, 0), ended)

    async def _run_known(self, session: str, task: str) -> float:
        if task not in self.tasks:
            await self.leave(session, task)
            return ASIDE_S
        return await self.run(session, task)

    async def run(self, session: str, task: str, *, lease: Lease | None = None) -> float:
        """Run a session; whatever keeps it from being run keeps nobody else from working.

        `lease`: the session's, if it was claimed already; it is released in any case.

        Returns: for how many seconds it is to be left alone.
        """
        began_us = self.runtime.clock()
        try:
            outcome = await self._run_again(session, task, lease)
        except FencedError as error:
            self.report(WorkerReport(session, task, "lost", words(error), at_us=self.runtime.clock()))
            return 0.0
        except LeaseHeldError as error:
            return min(max(error.expires_at_us - self.runtime.clock(), 0) / 1_000_000 + 0.1, ASIDE_S)
        except asyncio.CancelledError:
            raise
        except BaseException as error:
            if by_signal(error):
                raise
            problem = words(error, typed=not isinstance(error, RefoldError | OSError))
            return await self.fail(session, task, problem, began_us)
        self._failures.pop(session, None)
        self.stuck.pop(session, None)
        ended_us = self.runtime.clock()
        report = WorkerReport(session, task, outcome.status, outcome.error, outcome.step, outcome.attempt, ended_us)
        self.report(replace(report, duration_us=ended_us - began_us))
        return ASIDE_S if outcome.status == "waiting" and outcome.error else 0.0

    async def _run_again(self, session: str, task: str, lease: Lease | None) -> TaskOutcome:
        """Run a session, and again when its log fails meanwhile. Raises: what `run_task_session` raises."""
        for pause_s in _AGAIN_S:
            try:
                return await run_task_session(self.runtime, session, self.tasks.get, lease=lease)
            except (StoreError, OutcomeUnknownError) as error:
                lease = None
                self.report(WorkerReport(session, task, "again", words(error), at_us=self.runtime.clock()))
                LOGGER.warning("session %s: run again: %s", session, words(error), extra={"session": session})
            async with running(self.runtime.stopping.wait()) as stopping:
                await asyncio.wait(stopping, timeout=pause_s)
        return await run_task_session(self.runtime, session, self.tasks.get)

    async def fail(self, session: str, task: str, problem: str, began_us: int | None = None) -> float:
        """Put on record why a session cannot be run. Returns: for how long it is left alone, longer each time."""
        failures = self._failures[session] = self._failures.get(session, 0) + 1
        seconds = min(ASIDE_S * 2.0 ** (failures - 1), _MOST_ASIDE_S)
        now_us = self.runtime.clock()
        took_us = now_us - began_us if began_us is not None else 0
        self.report(WorkerReport(session, task, "stuck", problem, at_us=now_us, duration_us=took_us))
        await self._note_stuck(session, problem)
        LOGGER.warning("session %s: set aside for %g s: %s", session, seconds, problem, extra={"session": session})
        return seconds

    async def leave(self, session: str, task: str) -> None:
        """Leave a session to workers that know its task, and say so once; when none comes for long, it is stuck."""
        now_s = asyncio.get_running_loop().time()
        what = f"this worker does not know task {task!r}" if task else "no task was ever started in it"
        if session not in self._left:
            self._left[session] = (now_s, what)
            LOGGER.info("session %s: left alone: %s", session, what, extra={"session": session})
            self.report(WorkerReport(session, task, "left", what, at_us=self.runtime.clock()))
        elif now_s >= self._left[session][0] + _UNKNOWN_S:
            await self._note_stuck(session, what)
        while len(self._left) > _MAX_KNOWN:
            del self._left[next(iter(self._left))]

    async def note_left(self, sessions: Sequence[str]) -> None:
        """Put on record, of those among some sessions that were left, that nobody took them."""
        for session in sessions:
            if session in self._left:
                await self._note_stuck(session, self._left[session][1])

    async def _note_stuck(self, session: str, problem: str) -> None:
        """Record why a session cannot be run, if it can be written to."""
        self.stuck[session] = problem
        try:
            await note_stuck(self.runtime, session, (await load_state(self.runtime.log, session))[1], problem)
        except (RefoldError, OSError) as error:
            LOGGER.warning("session %s: that it is stuck cannot be put on record: %s", session, words(error))

    def report(self, report: WorkerReport) -> None:
        """Tell what became of a session."""
        called = attempt(lambda: self._tell(report))
        if called.error is not None:
            LOGGER.error("the worker's callback raised: %s", words(called.error), extra={"session": report.session})
