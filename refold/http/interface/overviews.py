"""What is told of all sessions together: what they used, and which runs of tasks there are."""

from __future__ import annotations

from typing import Annotated

import msgspec

from projections.usage import Spent

from ...spending import SpentBy
from ...tasks.run_fields import TaskRunFields, TaskRunStatus
from .values import PageSize, Text

QUARTER_US = 15 * 60 * 1_000_000
"""Times are told apart so far: then whoever asks, wherever he is, finds the days of his own."""


class UsageQuery(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """By what it is added up, and since when (UTC microseconds)."""

    by: SpentBy = "model"
    since_us: Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)] = 0


class UsageEntry(msgspec.Struct, frozen=True):
    """What answers of a model used: of one session, when added up by session; else of all.

    `at_us`, when added up by day: the quarter of an hour in which they came begins there (UTC microseconds).
    """

    model: str
    spent: Spent
    session: str = ""
    at_us: int | None = None


class UsageEntries(msgspec.Struct, frozen=True):
    """What all sessions used, each answer counted once, in the session that recorded it."""

    entries: tuple[UsageEntry, ...]


class RunsQuery(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Which runs: of a task by its id, with a tag, that stand so; `unfinished`, or not.

    `after`: the `next` of the page before. `limit` counts sessions that are looked at.
    """

    status: TaskRunStatus | None = None
    task: Text | None = None
    tag: Text | None = None
    unfinished: bool | None = None
    after: Text | None = None
    limit: PageSize = 100


class RunList(msgspec.Struct, frozen=True):
    """Runs of tasks, latest first; `next`: the `after` of the page behind it, if there may be one."""

    runs: tuple[TaskRunFields, ...]
    next: str | None
