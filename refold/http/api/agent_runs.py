"""Runs of agents in this process: begun by a request, they go on when it has been answered."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from typing import TypeAlias

from eventsource.background import settled, stop
from eventsource.errors import LeaseHeldError
from eventsource.events import QueuePush
from eventsource.log import random_id
from eventsource.log.load import read_all
from eventsource.machine.state import State
from eventsource.messages import Message

from ...agent import Agent
from ...run import Run
from ...session import Session
from ...session_runner import hand_back

GRACE_S = 5.0
"""How long runs under way may take to end when the server stops; then they are handed back, as after a crash."""

Running: TypeAlias = Coroutine[object, object, Run[object]]
Chooser = Callable[[str, State], tuple[Agent[object], object]]
"""Which agent runs a session, and its deps: given the session's id and its state."""


class AgentRuns:
    """The runs under way in this process, at most one for a session.

    `choose` says who runs a session; what it raises is why a run cannot begin, and nothing is recorded then. `fail`
    hears of a run that could not come to its end.
    """

    def __init__(self, choose: Chooser, fail: Callable[[str, Exception], None] = lambda session, error: None) -> None:
        self._choose, self._fail = choose, fail
        self._running: dict[str, asyncio.Task[Run[object]]] = {}
        self._more: set[str] = set()
        self._stopping = False

    async def begin(self, session: Session, prompt: Sequence[Message] = (), key: str | None = None) -> int:
        """Put a prompt on record and run the session, or go on with it; nothing is put on record twice for a key.

        Returns: the head when the prompt was on record, or now.
        Raises: LeaseHeldError when it runs already, here or elsewhere; MissingToolError, MissingModelError.
        """
        state = await session.state()
        agent, deps = self._choose(session.id, state)
        agent.check_deps(deps)
        agent.config()
        known = key is not None and bool(prompt) and await _is_known(session, key)
        info = await session.info()
        if not known and info.status == "running":
            raise LeaseHeldError(session.id, info.owner, info.expires_at_us)
        key = key or random_id()
        head = await session.core.push("prompt", *prompt, key=key) if prompt else info.head
        if session.id in self._running:
            self._more.add(session.id)
        elif not (known and info.status == "running"):
            work = agent.run(list(prompt), session=session, deps=deps, key=key) if prompt else None
            self._start(session, work or agent.resume(session, deps=deps), lambda: agent.resume(session, deps=deps))
        return head

    def running(self, session: str) -> bool:
        """Return whether a session is being run by this process."""
        return session in self._running

    async def wait(self, session: str, timeout_s: float) -> Run[object] | None:
        """Wait for the end of a run. Returns: what it came to; None when it goes on. Raises: what kept it from it.

        What was said while a run came to its end is done by the one behind it, which is then waited for.
        """
        clock = asyncio.get_running_loop().time
        until, task, more = clock() + timeout_s, self._running.get(session), session in self._more
        while task is not None:
            await asyncio.wait([task], timeout=max(until - clock(), 0))
            following = self._running.get(session) if more and task.done() else None
            if following is None:
                return task.result() if task.done() else None
            task, more = following, False
        return None

    async def stop(self) -> None:
        """Let runs end for a while, then hand them back: whoever resumes a session goes on where its log stops."""
        self._stopping = True
        tasks = list(self._running.values())
        if tasks:
            await settled(*tasks, timeout_s=GRACE_S)
        left = [task for task in tasks if not task.done()]
        for task in left:
            hand_back(task)
        await stop(*left)

    def _start(self, session: Session, work: Running, again: Callable[[], Running]) -> None:
        task = asyncio.create_task(work)
        self._running[session.id] = task

        def ended(task: asyncio.Task[Run[object]]) -> None:
            if self._running.get(session.id) is task:
                del self._running[session.id]
            if not task.cancelled() and isinstance(error := task.exception(), Exception):
                self._fail(session.id, error)
            if session.id in self._more:  # what came while it ended
                self._more.discard(session.id)
                if not self._stopping:
                    self._start(session, again(), again)

        task.add_done_callback(ended)


async def _is_known(session: Session, key: str) -> bool:
    """Return whether a prompt of this key is on record."""
    async for recorded in read_all(session.core.log, session.id, updates=False):
        if isinstance(recorded.event, QueuePush) and recorded.event.key == key:
            return True
    return False
