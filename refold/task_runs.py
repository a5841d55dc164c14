"""Runs of tasks as somebody who looks at them sees them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Literal

import msgspec

from eventsource import session as core
from eventsource.codec import from_json
from eventsource.loading import load, read_all

from .context import CONTEXT
from .journal import Journal
from .session import Session
from .task_errors import NoTaskError
from .waiting import Waiting, waiting

if TYPE_CHECKING:
    from .log import Log

RunState = Literal["running", "waiting", "done", "error", "cancelled"]


class TaskRun(msgspec.Struct, frozen=True, kw_only=True):
    """A run of a task at one moment: all of it is read from its session.

    steps: how often each began, by key. children: their sessions, by key. waits: what it and its children wait for.
    """

    session: Session
    task: str
    status: RunState
    attempt: int
    payload: object = None
    result: object = None
    error: str = ""
    tags: tuple[str, ...] = ()
    metadata: Mapping[str, object] = {}
    waits: tuple[Waiting, ...] = ()
    steps: Mapping[str, int] = {}
    children: Mapping[str, str] = {}
    tokens: int = 0

    @property
    def id(self) -> str:
        """The id of its session."""
        return self.session.id

    async def refresh(self) -> TaskRun:
        """Look again."""
        return await load_run(self.session)

    async def cancel(self, reason: str = "") -> None:
        """Ask the run to end, and its children; whoever runs it sees to that."""
        await self.session.cancel(reason)


async def load_run(session: Session) -> TaskRun:
    """Read a run. Raises: NoTaskError when no task was ever started in the session."""
    log, journal = session.core.log, Journal()
    head, state, view = await load(log, session.id, context=CONTEXT)
    async for recorded in read_all(log, session.id, upto=head, updates=False):
        journal.feed(recorded)
    start, end = journal.start, journal.end
    if start is None:
        raise NoTaskError(session.id, "")
    waits = await waiting(log, session.id, state, view)
    status: RunState = "waiting" if waits else "running"
    if not state.task:
        status = "done" if end is None or not end.error else "error"
        status = "cancelled" if end is not None and end.cancelled else status
    return TaskRun(
        session=session,
        task=start.task,
        status=status,
        attempt=journal.attempt,
        payload=from_json(start.payload),
        result=from_json(end.result) if end is not None else None,
        error=end.error if end is not None else "",
        tags=start.tags,
        metadata=dict(journal.metadata),
        waits=waits,
        steps={key: step.attempts for key, step in journal.steps.items()},
        children={key: child.session for key, child in journal.children.items()},
        tokens=state.spent_tokens,
    )


async def runs(
    log: Log,
    *,
    task: str | None = None,
    tag: str | None = None,
    unfinished: bool | None = None,
    after: str | None = None,
    limit: int = 100,
) -> tuple[TaskRun, ...]:
    """List runs of tasks, latest first: of one task by its id, with a tag; `after`: the last one of the page before.

    `limit` counts sessions looked at.
    """
    found = await log.store.sessions(task=task, open=unfinished, after=after, limit=limit)
    sessions = (Session(core.Session(log.store, info.id, clock=log.clock)) for info in found if info.task)
    loaded = [await load_run(session) for session in sessions]
    return tuple(run for run in loaded if tag is None or tag in run.tags)
