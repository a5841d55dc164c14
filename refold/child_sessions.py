"""Child sessions: their ids, who runs them, and whether one of them has something to do."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable, Collection

from eventsource.background import running
from eventsource.envelope import SessionInfo
from eventsource.errors import UnknownSessionError
from eventsource.log.load import load_state
from eventsource.log.protocol import EventLog
from eventsource.machine.state import CHILD, State
from eventsource.machine.steps import Suspend, expired, next_step

_CLOCK_S = 10.0
"""The longest time for which nobody looks at a clock that may be set, or stand still while the machine sleeps."""
_HELD_S = 0.2
"""Between two looks at a session that somebody runs."""
_ALPHABET = "0123456789abcdefghijklmnopqrstuvwxyz"


def child_id(parent: str, key: str) -> str:
    """Return the id of a child, made of its parent's session and its key there, so that it is started at most once."""
    number = int.from_bytes(hashlib.sha256(f"{parent}\n{key}".encode()).digest()[:10])
    letters = []
    for _ in range(15):
        number, digit = divmod(number, 36)
        letters.append(_ALPHABET[digit])
    return "".join(letters)


def child_wait(key: str) -> str:
    """Return the key of the wait for a child that is suspended."""
    return f"{CHILD}:{key}"


async def waits_for(log: EventLog, info: SessionInfo) -> SessionInfo | None:
    """Read the row of the session that started one as its child and whose task is open; None: nobody waits for it."""
    if info.parent is not None or not info.started_by:
        return None
    try:
        above = await log.info(info.started_by)
    except UnknownSessionError:
        return None
    is_older = above.number < info.number  # one that was made later has the id of a deleted one
    return above if is_older and (await load_state(log, above.id))[1].task else None


async def runner_of(log: EventLog, session: str) -> SessionInfo:
    """Read the row of the session whose runner runs this one: a child's parent does, where both are in one queue."""
    info = await log.info(session)
    while (above := await waits_for(log, info)) is not None and above.queue == info.queue:
        info = above
    return info


class NextLook:
    """When to look again at sessions that have nothing to do: where they ended, and the first time that counts."""

    def __init__(self) -> None:
        self._heads: dict[str, int] = {}
        self.at_us: int | None = None
        self._is_held = False

    def note_head(self, info: SessionInfo) -> None:
        """Note what was seen of a session that others run: what they append is looked at, and nothing else."""
        self._heads[info.id] = info.head

    def note(self, info: SessionInfo, state: State, now_us: int) -> None:
        """Note what was seen of a session."""
        self._heads[info.id] = info.head
        self._is_held = self._is_held or bool(info.owner)
        times = [info.due_at_us, *(wait.deadline_us for wait in state.waits)]
        self.at_us = min(
            (at_us for at_us in (self.at_us, *times) if at_us is not None and at_us > now_us), default=None
        )

    async def wait(self, log: EventLog, now_us: int) -> None:
        """Wait until one of the sessions may have something to do; one that is given back gets no event for that."""
        left_s = _CLOCK_S if self.at_us is None else min((self.at_us - now_us) / 1_000_000, _CLOCK_S)
        limit_s = min(left_s, _HELD_S) if self._is_held else left_s
        waits = (log.wait(session, head, limit_s) for session, head in self._heads.items())
        async with running(*waits) as tasks:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)


async def tree_is_due(log: EventLog, session: str, now_us: int, next_look: NextLook | None = None) -> bool:
    """Return whether a session has something to do, or one of the children it waits for."""
    try:
        info = await log.info(session)
    except UnknownSessionError:
        return True
    _, state = await load_state(log, session)
    if next_look is not None:
        next_look.note(info, state, now_us)
    if info.due_at_us is not None and info.due_at_us <= now_us:
        return not waits_for_run(state, now_us)
    return bool(await due_children(log, session, state, now_us, next_look))


async def wait_until_due(log: EventLog, session: str, clock: Callable[[], int]) -> None:
    """Wait until a session has something to do, or one of the children it waits for."""
    while not await tree_is_due(log, session, clock(), next_look := NextLook()):
        await next_look.wait(log, clock())


async def first_due(log: EventLog, session: str, keys: Collection[str], clock: Callable[[], int]) -> list[str]:
    """Wait until some of the children that a session waits for have something to do. Returns: the waits' keys."""
    while True:
        next_look = NextLook()
        if due := await _due(log, session, keys, clock(), next_look):
            return due
        await next_look.wait(log, clock())


def waits_for_run(state: State, now_us: int) -> bool:
    """Return whether a task's next attempt, due or not, comes after a run in its session that is waiting itself."""
    waits = state.retry_at_us is not None and state.run is not None and isinstance(next_step(state), Suspend)
    return waits and not expired(state, now_us)


def child_waits(state: State) -> frozenset[str]:
    """Return the keys of the waits for children that are suspended."""
    return frozenset(wait.key for wait in state.waits if wait.reason == CHILD)


async def due_children(
    log: EventLog, session: str, state: State, now_us: int, next_look: NextLook | None = None
) -> list[str]:
    """List the keys of the waits for children that have something to do."""
    return await _due(log, session, [wait.key for wait in state.waits if wait.reason == CHILD], now_us, next_look)


async def _due(
    log: EventLog, session: str, keys: Collection[str], now_us: int, next_look: NextLook | None
) -> list[str]:
    child = {key: child_id(session, key.removeprefix("child:")) for key in keys}
    queue = (await log.info(session)).queue if keys else ""
    return [key for key in keys if await _child_is_due(log, child[key], queue, now_us, next_look)]


async def _child_is_due(log: EventLog, child: str, queue: str, now_us: int, next_look: NextLook | None) -> bool:
    """Return whether a child has something for its parent: what is to be run with it, or of another queue its end."""
    try:
        info = await log.info(child)
    except UnknownSessionError:
        return True
    if info.queue == queue or not info.task:
        return await tree_is_due(log, child, now_us, next_look)
    if next_look is not None:
        next_look.note_head(info)
    return not (await load_state(log, child))[1].task
