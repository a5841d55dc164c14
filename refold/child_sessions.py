"""Child sessions: their ids, and whether one of them has something to do."""

from __future__ import annotations

import hashlib

from eventsource.errors import UnknownSessionError
from eventsource.log.load import load_state
from eventsource.log.protocol import EventLog
from eventsource.machine.state import CHILD, State
from eventsource.machine.steps import Suspend, expired, next_step

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


async def tree_is_due(log: EventLog, session: str, now_us: int) -> bool:
    """Return whether a session has something to do, or one of the children it waits for."""
    try:
        due_at_us = (await log.info(session)).due_at_us
    except UnknownSessionError:
        return True
    _, state = await load_state(log, session)
    if due_at_us is not None and due_at_us <= now_us:
        return not waits_for_run(state, now_us)
    return bool(await due_children(log, session, state, now_us))


def waits_for_run(state: State, now_us: int) -> bool:
    """Return whether a task's next attempt, due or not, comes after a run in its session that is waiting itself."""
    waits = state.retry_at_us is not None and state.run is not None and isinstance(next_step(state), Suspend)
    return waits and not expired(state, now_us)


async def due_children(log: EventLog, session: str, state: State, now_us: int) -> list[str]:
    """List the keys of the waits for children that have something to do."""
    waits = [wait.key for wait in state.waits if wait.reason == CHILD]
    return [key for key in waits if await tree_is_due(log, child_id(session, key.removeprefix("child:")), now_us)]
