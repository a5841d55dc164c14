"""The process that runs tasks and children: its clock, its chance, its log, and whether it is to stop."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from random import randint

from eventsource.log import utc_now_us
from eventsource.log.protocol import EventLog
from eventsource.machine.backoff import JITTER_PPM
from eventsource.runner.lease import LEASE_US

_GRACE_S = 10.0


def _jitter_ppm() -> int:
    return randint(0, JITTER_PPM)


@dataclass(frozen=True, kw_only=True)
class Host:
    """The process that runs tasks. `stopping`: hand sessions back. `seed`: where random numbers begin.

    `jitter_ppm`: what chance adds to a wait for a next attempt, in millionths of it.
    """

    log: EventLog
    clock: Callable[[], int] = utc_now_us
    seed: Callable[[], int] = utc_now_us
    jitter_ppm: Callable[[], int] = _jitter_ppm
    lease_us: int = LEASE_US
    stopping: asyncio.Event = field(default_factory=asyncio.Event)
    grace_s: float = _GRACE_S
