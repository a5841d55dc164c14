"""Temporal as an engine: a workflow for each session, whose one activity is its tick.

Temporal keeps the ids of sessions and how long each waits; nothing that is said in one ever reaches it.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from datetime import timedelta
from urllib.parse import parse_qs, urlsplit

from eventsource.background import running
from eventsource.durations import duration_us
from eventsource.errors import DurationError
from eventsource.runner.operator_log import logger

from ..tasks.queues import shown_queue
from .protocol import EngineError, RunTick

try:
    from temporalio import activity
    from temporalio.client import Client
    from temporalio.common import WorkflowIDConflictPolicy
    from temporalio.service import RPCError
    from temporalio.worker import UnsandboxedWorkflowRunner, Worker
except ImportError as error:
    raise EngineError(
        "temporal://", f"temporalio cannot be loaded ({error})", "install it: pip install 'refold[temporal]'"
    ) from error

from .temporal_workflow import TICK, Drive, Ticked

LOGGER = logger(__name__)
API_KEY = "TEMPORAL_API_KEY"
_FORM = "write temporal://HOST:7233/NAMESPACE?queue=NAME, with rate=, heartbeat= and tls= if need be"
_SHORTEST_US = 1_000_000
_TICK_POLLS, _WORKFLOW_POLLS = 1, 2
"""Questions for work that are open at Temporal, of each queue: what comes for them to a worker that is frozen, or whose
network was cut a moment ago, is lost until it is missed. Of a workflow's, one is for those that it knows."""
_OWN_STEP = timedelta(seconds=2)
"""How long a step of a workflow waits for the worker that made the last one, before it is anybody's: Temporal's custom
of ten seconds is added to each session that a worker had that is away. Somebody else reads 1,000 events at most."""


@dataclass(frozen=True, kw_only=True)
class TemporalPlace:
    """What an address says: the server, and what is asked of it.

    `rate`: how many ticks Temporal begins in a second, of each queue. `heartbeat_ms`: after how long without a sign of
    life a worker is given up.
    """

    shown: str
    target: str
    namespace: str
    queues: tuple[str, ...] = ()
    rate: float | None = None
    heartbeat_ms: int = 15_000
    tls: bool = False


def read_address(url: str) -> TemporalPlace:
    """Read an address. Raises: EngineError."""
    found, given = urlsplit(url), dict[str, list[str]]()
    try:
        if found.scheme != "temporal" or not found.hostname or "@" in found.netloc or "/" in found.path[1:]:
            raise ValueError("it is not of that form")
        target = f"{found.hostname}:{found.port or 7233}"
        given = parse_qs(found.query, strict_parsing=bool(found.query))
        if unknown := sorted(given.keys() - {"queue", "rate", "heartbeat", "tls"}):
            raise ValueError(f"there is no option {unknown[0]!r}")
        last = {name: values[-1] for name, values in given.items()}
        heartbeat_us = duration_us(last.get("heartbeat", "15s"))
        rate = float(last["rate"]) if "rate" in last else None
        if heartbeat_us < _SHORTEST_US or (rate is not None and not 0 < rate < float("inf")):
            raise ValueError("heartbeat is a second or more, and rate a number above 0")
        if last.get("tls", "true") not in ("true", "false"):
            raise ValueError("tls is true or false")
    except (ValueError, DurationError) as error:
        shown = f"temporal://{found.hostname or ''}"
        raise EngineError(shown, f"its address cannot be used: {error}", _FORM) from error
    return TemporalPlace(
        shown=f"temporal://{target}/{found.path[1:] or 'default'}",
        target=target,
        namespace=found.path[1:] or "default",
        queues=tuple(given.get("queue", ())),
        rate=rate,
        heartbeat_ms=heartbeat_us // 1_000,
        tls=last.get("tls") == "true" or (bool(os.environ.get(API_KEY)) and last.get("tls") != "false"),
    )


def workflow_id(session: str) -> str:
    """Return the id of the workflow that drives a session: there is one at most."""
    return f"refold/{session}"


class TemporalEngine:
    """Keeps `Engine` with a server of Temporal; `connect` makes one."""

    def __init__(self, place: TemporalPlace, client: Client) -> None:
        self._place, self.client = place, client

    async def poke(self, session: str, queue: str) -> None:
        """Begin the session's workflow, or wake it. Raises: EngineError."""
        try:
            await self.client.start_workflow(
                Drive.run,
                args=[session, self._place.heartbeat_ms],
                id=workflow_id(session),
                task_queue=shown_queue(queue),
                id_conflict_policy=WorkflowIDConflictPolicy.USE_EXISTING,
                start_signal="poke",
            )
        except RPCError as error:
            raise _error(self._place, error) from error

    async def serve(
        self, tick: RunTick, *, queues: Sequence[str], concurrency: int, grace_s: float, stopping: asyncio.Event
    ) -> None:
        """Work on the task queues of these names until stopped. Raises: EngineError."""
        run_tick = self._activity(tick)
        async with AsyncExitStack() as workers:
            for queue in queues:
                worker = Worker(
                    self.client,
                    task_queue=shown_queue(queue),
                    workflows=[Drive],
                    activities=[run_tick],
                    max_concurrent_activities=concurrency,
                    max_concurrent_activity_task_polls=_TICK_POLLS,
                    max_concurrent_workflow_task_polls=_WORKFLOW_POLLS,
                    sticky_queue_schedule_to_start_timeout=_OWN_STEP,
                    max_task_queue_activities_per_second=self._place.rate,
                    graceful_shutdown_timeout=timedelta(seconds=grace_s + 1),
                    workflow_runner=UnsandboxedWorkflowRunner(),  # it is ours, and imports nothing that changes
                )
                try:
                    await workers.enter_async_context(worker)
                except (RPCError, RuntimeError) as error:
                    raise _error(self._place, error) from error
            await stopping.wait()

    def _activity(self, tick: RunTick) -> Callable[[str], Awaitable[Ticked]]:
        pause_s = self._place.heartbeat_ms / 1_000 / 3

        async def beat() -> None:
            while True:
                activity.heartbeat()
                await asyncio.sleep(pause_s)

        @activity.defn(name=TICK)
        async def run_tick(session: str) -> Ticked:
            try:
                async with running(beat()):  # whatever the tick does, it says that it lives
                    ticked = await tick(session)
            except asyncio.CancelledError:  # given up: too late, or this worker ends; somebody else makes it again
                LOGGER.info("session %s: handed back in the middle of a tick", session, extra={"session": session})
                return Ticked(0)
            wait_us = ticked.wait_us
            return Ticked(None if wait_us is None else -(-wait_us // 1_000), ticked.ended)

        return run_tick


async def connect(url: str) -> TemporalEngine:
    """Connect to the server of an address. Raises: EngineError."""
    place = read_address(url)
    try:
        client = await Client.connect(
            place.target, namespace=place.namespace, tls=place.tls, api_key=os.environ.get(API_KEY) or None
        )
    except (RPCError, RuntimeError) as error:
        raise _error(place, error) from error
    return TemporalEngine(place, client)


def _error(place: TemporalPlace, error: Exception) -> EngineError:
    said = " ".join(str(error).split())[:300]
    return EngineError(
        place.shown,
        f"it cannot be used ({said})",
        "check that the server runs, and that host, port and namespace are right",
    )
