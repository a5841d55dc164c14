"""What tasks and children need of the process that runs them: its log, clock and random numbers, and when to stop."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextvars import ContextVar
from dataclasses import dataclass, field
from random import randint

from eventsource.errors import RefoldError
from eventsource.log import utc_now_us
from eventsource.log.protocol import EventLog
from eventsource.machine.backoff import JITTER_PPM
from eventsource.runner.lease import LEASE_US
from eventsource.runner.writer import Writer
from projections.context import ContextView

from .budget import Budget

_GRACE_S = 10.0


def _jitter_ppm() -> int:
    return randint(0, JITTER_PPM)


@dataclass(frozen=True, kw_only=True)
class Runtime:
    """What runs tasks in this process. `stopping`: set when sessions are to be handed back.

    `seed`: where random numbers begin. `jitter_ppm`: what is added at random to the wait for a next attempt, in parts
    per million.
    """

    log: EventLog
    clock: Callable[[], int] = utc_now_us
    seed: Callable[[], int] = utc_now_us
    jitter_ppm: Callable[[], int] = _jitter_ppm
    lease_us: int = LEASE_US
    stopping: asyncio.Event = field(default_factory=asyncio.Event)
    grace_s: float = _GRACE_S


@dataclass(frozen=True)
class ChildContext:
    """What a running tool needs to start children of its call; whoever drives a session puts it in place.

    The process, the writer of the parent's session, what it may use, the root session if it is another. `errors`: what
    kept children from going on, which is no result of theirs; for whoever drives the session.
    """

    runtime: Runtime
    writer: Writer[ContextView]
    budget: Budget
    root: str = ""
    errors: list[RefoldError] = field(default_factory=list)


CHILD_CONTEXT: ContextVar[ChildContext] = ContextVar("child_context")
