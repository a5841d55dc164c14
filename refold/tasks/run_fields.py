"""A run of a task as it is told over HTTP."""

from __future__ import annotations

from typing import Literal, Protocol, get_args, runtime_checkable

import msgspec

from ..waits import Waiting

TaskRunStatus = Literal["due", "running", "waiting", "stuck", "cancelled", "done", "error"]
STATUSES: tuple[TaskRunStatus, ...] = get_args(TaskRunStatus)


class TaskRunFields(msgspec.Struct, frozen=True, kw_only=True):
    """A run of a task as it is told over HTTP; see `TaskRun`."""

    session: str
    task: str
    status: TaskRunStatus
    attempt: int
    payload: msgspec.Raw
    result: msgspec.Raw
    error: str
    tags: tuple[str, ...]
    metadata: dict[str, msgspec.Raw]
    waits: tuple[Waiting, ...]
    steps: dict[str, int]
    children: dict[str, str]
    tokens: int
    token_limit: int | None


@runtime_checkable
class ListsRuns(Protocol):
    """A log that lists itself the runs of tasks in it."""

    async def task_runs(
        self,
        *,
        status: TaskRunStatus | None,
        task: str | None,
        tag: str | None,
        unfinished: bool | None,
        after: str | None,
        limit: int,
    ) -> list[TaskRunFields]:
        """List runs; see `runs`."""
        ...
