"""The workflow that drives one session: tick, wait until its time or a poke, tick again.

What is written here is replayed from histories that older releases recorded: another order of its commands needs
`workflow.patched`. The tests replay a recorded history.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from datetime import timedelta

from temporalio import workflow
from temporalio.common import RetryPolicy

TICK = "refold.tick"
DRIVE = "refold.session"
_HISTORY = 1_000
"""At how many events a run of the workflow is continued as a new one: Temporal warns at 10,240."""
_LONGEST = timedelta(days=7)
_RETRY = RetryPolicy(initial_interval=timedelta(seconds=1), backoff_coefficient=1.0)
"""A tick fails only with its worker, and another one makes it then; a frozen one may be given one, for nothing."""


@dataclass
class Ticked:
    """What the activity returns: how long to wait (None: for a poke), and whether the session's task is over."""

    wait_ms: int | None = None
    ended: bool = False


@workflow.defn(name=DRIVE)
class Drive:
    """Drives a session of which it knows nothing but its id."""

    def __init__(self) -> None:
        self._poked = False

    @workflow.run
    async def run(self, session: str, heartbeat_ms: int) -> None:
        """Tick until the task is over."""
        while workflow.info().get_current_history_length() < _HISTORY:
            self._poked = False
            ticked = await workflow.execute_activity(
                TICK,
                session,
                result_type=Ticked,
                start_to_close_timeout=_LONGEST,
                heartbeat_timeout=timedelta(milliseconds=heartbeat_ms),
                retry_policy=_RETRY,
            )
            if ticked.ended and not self._poked:
                return
            await self._rest(ticked)
        workflow.continue_as_new(args=[session, heartbeat_ms])

    async def _rest(self, ticked: Ticked) -> None:
        pause = None if ticked.wait_ms is None else timedelta(milliseconds=ticked.wait_ms)
        if not self._poked and pause != timedelta():
            try:
                await workflow.wait_condition(lambda: self._poked, timeout=pause)
            except asyncio.TimeoutError:  # noqa: UP041 - what Temporal says, in each Python
                pass

    @workflow.signal
    def poke(self) -> None:
        """Tick at once."""
        self._poked = True
