"""Runs of tasks, read from their sessions: how each stands, and which there are."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import msgspec

from eventsource import session as core
from eventsource.codec import from_json, to_json
from eventsource.events import TaskEnd
from eventsource.log.load import load, read_all
from eventsource.machine.state import CHILD, State
from eventsource.user_code.argument_checks import checked

from ..context_fold import CONTEXT
from ..session import Session
from ..waits import Waiting, waiting
from .errors import NoTaskError
from .journal import Journal
from .run_fields import ListsRuns, TaskRunFields, TaskRunStatus

if TYPE_CHECKING:
    from ..log import Log


class TaskRun(msgspec.Struct, frozen=True, kw_only=True):
    """A run of a task at one moment: all of it is read from its session.

    status: running (somebody holds it), due (it is for a worker to take up), waiting, stuck (nobody could go on with
    it; `error` says why), cancelled (also when it is yet to end), done or error.
    steps: how often each began, by key. children: their sessions, by key. waits: what it and its children wait for.
    """

    session: Session
    task: str
    status: TaskRunStatus
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
    token_limit: int | None = None

    @property
    def over_limit(self) -> int:
        """How many tokens it used beyond its `token_limit`, since calls that are under way then are not stopped."""
        return max(0, self.tokens - self.token_limit) if self.token_limit is not None else 0

    @property
    def id(self) -> str:
        """The id of its session."""
        return self.session.id

    async def refresh(self) -> TaskRun:
        """Read the run as it stands now."""
        return await load_run(self.session)

    @checked()
    async def cancel(self, reason: str = "") -> None:
        """Ask the run to end, and its children; whoever runs it sees to that."""
        await self.session.cancel(reason)


def fields_of(run: TaskRun) -> TaskRunFields:
    """Return a run as it is told."""
    same = ("task", "status", "attempt", "error", "tags", "waits", "tokens", "token_limit")
    return TaskRunFields(
        session=run.id,
        payload=to_json(run.payload),
        result=to_json(run.result),
        metadata={name: to_json(value) for name, value in run.metadata.items()},
        steps=dict(run.steps),
        children=dict(run.children),
        **{name: getattr(run, name) for name in same},
    )


def _run_of(told: TaskRunFields, log: Log) -> TaskRun:
    same = ("task", "status", "attempt", "error", "tags", "waits", "steps", "children", "tokens", "token_limit")
    return TaskRun(
        session=Session(core.SessionHandle(log.store, told.session, clock=log.clock)),
        payload=from_json(told.payload),
        result=from_json(told.result),
        metadata={name: from_json(value) for name, value in told.metadata.items()},
        **{name: getattr(told, name) for name in same},
    )


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
    is_held = (await log.info(session.id)).status == "running"
    problem = end.error if end is not None and not state.task else ""
    if state.cancelled is not None:
        problem = state.cancelled.error
    elif state.stuck and not is_held:
        problem = state.stuck
    return TaskRun(
        session=session,
        task=start.task,
        status=_status(state, end, is_held=is_held, waits=not all(map(_is_run_with_it, waits))),
        attempt=journal.attempt,
        payload=from_json(start.payload),
        result=from_json(end.result) if end is not None and not state.task else None,
        error=problem,
        tags=start.tags,
        metadata=dict(journal.metadata),
        waits=waits,
        steps={key: step.attempts for key, step in journal.steps.items()},
        children={key: child.session for key, child in journal.children.items()},
        tokens=state.spent_tokens,
        token_limit=journal.token_limit,
    )


def _is_run_with_it(wait: Waiting) -> bool:
    """Return whether a wait is for a child that has something to do, and that whoever runs this run runs with it."""
    return wait.reason == CHILD and wait.deadline_us is None


def _status(state: State, end: TaskEnd | None, *, is_held: bool, waits: bool) -> TaskRunStatus:
    if not state.task:
        cancelled = end is not None and end.cancelled
        return "cancelled" if cancelled else "error" if end is not None and end.error else "done"
    if state.cancelled is not None:
        return "cancelled"
    if state.stuck and not is_held:
        return "stuck"
    return "waiting" if waits else "running" if is_held else "due"


@checked("after")
async def runs(
    log: Log,
    *,
    status: TaskRunStatus | None = None,
    task: str | None = None,
    tag: str | None = None,
    unfinished: bool | None = None,
    after: str | None = None,
    limit: int = 100,
) -> tuple[TaskRun, ...]:
    """List runs of tasks, latest first: of one task by its id, with a tag, that stand so.

    `after`: the last one of the page before. `limit` counts sessions looked at.
    """
    if isinstance(log.store, ListsRuns):
        told = await log.store.task_runs(
            status=status, task=task, tag=tag, unfinished=unfinished, after=after, limit=limit
        )
        return tuple(_run_of(one, log) for one in told)
    found, _ = await run_page(log, status=status, task=task, tag=tag, unfinished=unfinished, after=after, limit=limit)
    return found


async def run_page(
    log: Log,
    *,
    status: TaskRunStatus | None,
    task: str | None,
    tag: str | None,
    unfinished: bool | None,
    after: str | None,
    limit: int,
) -> tuple[tuple[TaskRun, ...], str | None]:
    """List runs; see `runs`. Returns: them, and the last session that was looked at, if there may be more."""
    row = status if status in ("stuck", "waiting") else None
    found = await log.store.sessions(task=task, open=unfinished, status=row, after=after, limit=limit)
    sessions = (Session(core.SessionHandle(log.store, info.id, clock=log.clock)) for info in found if info.task)
    loaded = [await load_run(session) for session in sessions]
    chosen = tuple(run for run in loaded if (tag is None or tag in run.tags) and status in (None, run.status))
    return chosen, found[-1].id if len(found) == limit else None
