"""What an engine is: it lets sessions be run, each at one time and place, when they are poked and when they say."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import ClassVar, Protocol

from eventsource.errors import RefoldError

from ..tasks.ticker import Tick

RunTick = Callable[[str], Awaitable[Tick]]
"""Runs a session as far as it goes; see `Ticker.tick`. Cancelled, it hands the session back as it is."""


@dataclass(eq=False, repr=False)
class EngineError(RefoldError):
    """An engine cannot be used: its address is wrong, its package is missing, or its server cannot be reached."""

    engine: str
    problem: str
    advice: str
    _TEXT: ClassVar[str] = "{engine}: {problem}; {advice}"


class Engine(Protocol):
    """Ticks sessions. It knows a session's id, its queue, and how long to wait before it is ticked again.

    History, state, retries and what is waited for are the log's. So an engine may lose a poke, do it twice or late,
    tick a session once too often, or forget everything: whoever serves it pokes what is due.
    """

    async def poke(self, session: str, queue: str) -> None:
        """Let a session be ticked soon, by somebody who serves its queue. Raises: EngineError."""
        ...

    async def serve(
        self, tick: RunTick, *, queues: Sequence[str], concurrency: int, grace_s: float, stopping: asyncio.Event
    ) -> None:
        """Tick what is poked in some queues, and again when its tick says so, until `stopping` is set.

        Then nothing is begun; ticks under way are cancelled when they go on for longer than `grace_s`. A tick that is
        cut off is made again, by somebody else if need be.

        Args:
            concurrency: how many ticks at once, of each queue.

        Raises: EngineError when that cannot be begun.
        """
        ...
