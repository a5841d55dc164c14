"""A worker that an engine tells what to run; it tells the engine what is due."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

from eventsource.background import running
from eventsource.durations import Duration, duration_us
from eventsource.errors import RefoldError, UnknownSessionError
from eventsource.runner.operator_log import logger
from eventsource.user_code.error_words import words

from ..child_sessions import runner_of
from ..log import Log
from ..runtime import Runtime
from ..tasks.queues import stored_queue
from ..tasks.runner import AnyTask
from ..tasks.ticker import Tick, Ticker, WorkerReport
from .protocol import Engine

LOGGER = logger(__name__)
_MOST_AGAIN_S = 600.0
"""The longest time after which a session that is still due is poked again."""
_MOST = 1_000


class EngineWorker:
    """Runs the sessions that an engine ticks here, and pokes those of its queues that are due.

    So whoever triggers a task, completes a token or sends a message need not know of the engine: the log says what is
    due, and any worker reads it there.
    """

    def __init__(
        self,
        log: Log,
        tasks: Sequence[AnyTask],
        engine: Engine,
        *,
        queues: Sequence[str] = ("default",),
        concurrency: int = 10,
        lease: Duration = "30s",
        look: Duration = "250ms",
        again: Duration = "15s",
        grace: Duration = "10s",
        tell: Callable[[WorkerReport], None] = lambda report: None,
    ) -> None:
        """Prepare; the arguments are those of `Worker`.

        Args:
            concurrency: how many sessions at once, of each queue.
            again: after how long a session that is still due is poked again; twice as long each further time.
        """
        self._log, self._engine, self._concurrency = log, engine, concurrency
        self._queues = tuple(dict.fromkeys(stored_queue(name, "EngineWorker: queues") for name in queues))
        self._look_s, self._again_s = duration_us(look) / 1_000_000, duration_us(again) / 1_000_000
        self.runtime = Runtime(
            log=log.store, clock=log.clock, lease_us=duration_us(lease), grace_s=duration_us(grace) / 1_000_000
        )
        self._ticker = Ticker(self.runtime, tasks, tell)
        self._poked: dict[tuple[str, int], tuple[float, float]] = {}

    def stop(self) -> None:
        """Begin no more; finish what is under way, or hand it back."""
        self.runtime.stopping.set()

    async def run(self) -> None:
        """Run what the engine ticks until stopped. Raises: EngineError."""
        async with running(self._feed()):
            await self._engine.serve(
                self._tick,
                queues=self._queues,
                concurrency=self._concurrency,
                grace_s=self.runtime.grace_s,
                stopping=self.runtime.stopping,
            )

    async def _tick(self, session: str) -> Tick:
        try:
            return await self._ticker.tick(session)
        except asyncio.CancelledError:
            if not self.runtime.stopping.is_set():
                problem = "the engine gave it up here, for want of a sign of life; what is on record stands"
                self._ticker.report(WorkerReport(session, "", "lost", problem, at_us=self.runtime.clock()))
            raise

    async def _feed(self) -> None:
        """Poke what is due; what cannot be read or poked just now is looked at again."""
        while not self.runtime.stopping.is_set():
            try:
                await self.look()
            except (RefoldError, OSError) as error:
                self._ticker.report(WorkerReport("", "", "stuck", words(error), at_us=self.runtime.clock()))
                LOGGER.warning("what is due cannot be poked: %s", words(error))
            async with running(self.runtime.stopping.wait()) as stopping:
                await asyncio.wait(stopping, timeout=self._look_s)

    async def look(self) -> int:
        """Poke the sessions that are due and whose time has come. Returns: how many."""
        now_s, count = asyncio.get_running_loop().time(), 0
        due = await self._log.store.due_since(limit=_MOST + len(self._poked), queues=self._queues)
        self._poked = {one: self._poked[one] for one in due if one in self._poked}
        for one in due:
            at_s, pause_s = self._poked.get(one, (now_s, self._again_s))
            if at_s > now_s:
                continue
            try:
                runner = await runner_of(self._log.store, one[0])
            except UnknownSessionError:
                continue
            await self._engine.poke(runner.id, runner.queue)
            self._poked[one] = (now_s + pause_s, min(2 * pause_s, _MOST_AGAIN_S))
            count += 1
        return count
