"""What a task, or a run, and everything below it may still use together."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import partial

from eventsource.errors import UnknownSessionError
from eventsource.log.load import load_state
from eventsource.log.protocol import EventLog
from eventsource.machine.state import passed_by

from .child_sessions import child_id


@dataclass(eq=False)
class Budget:
    """A limit of tokens, shared by a session and by its children while they are at work.

    Nothing is handed out in advance: each model call asks, before it is made, what all have used until then. What is
    under way at that moment may still be added. What a child used is in its own log until it ends, then in its
    parent's too.

    name: whose budget it is, for people. limit: how many tokens may be used; None: any number. spent: how many the
    session used, children that have ended included. outer: the budget of its parent, which counts too.
    """

    name: str
    limit: Callable[[], int | None]
    spent: Callable[[], int]
    outer: Budget | None = None
    _running: dict[str, Callable[[], int]] = field(default_factory=dict, init=False)

    def used(self) -> int:
        """Count what was used, that of children at work included."""
        return self.spent() + sum(used() for used in self._running.values())

    def problem(self) -> str:
        """Return the reason why no token is left, here or in a parent's budget; empty when some are."""
        limit, used = self.limit(), self.used()
        if limit is not None and used >= limit:
            words = f"the token budget of {self.name} is used up: {used:,} of {limit:,} tokens"
            return words + passed_by(used, limit)
        return self.outer.problem() if self.outer is not None else ""

    def count(self, child: str, used: Callable[[], int]) -> None:
        """Count what a child uses, from now on until it has ended."""
        self._running[child] = used

    def has_ended(self, child: str) -> None:
        """Stop counting a child whose end, with its usage, is on record here."""
        self._running.pop(child, None)

    async def read(self, log: EventLog, session: str, keys: Iterable[str]) -> None:
        """Load the usage of children that an earlier process left running, so that they count before they go on."""
        if not self._is_limited():
            return
        for key in keys:
            child = child_id(session, key)
            if child not in self._running:
                self._running[child] = partial(int, await _used(log, child))

    def _is_limited(self) -> bool:
        return self.limit() is not None or (self.outer is not None and self.outer._is_limited())


async def _used(log: EventLog, session: str) -> int:
    try:
        _, state = await load_state(log, session)
    except UnknownSessionError:  # it was to be started when its parent's process ended
        return 0
    return state.spent_tokens + sum([await _used(log, child_id(session, key)) for key in state.children])
