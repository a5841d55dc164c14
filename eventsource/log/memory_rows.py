"""Which sessions the log in memory lists, and in which order."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import NamedTuple

from ..envelope import Figure, SessionInfo, SessionSort
from .memory_session import MemorySession

_SORTS: Mapping[SessionSort, Callable[[MemorySession], int]] = {
    "updated": lambda one: one.updated_at_us,
    "created": lambda one: one.created_at_us,
    "cost": lambda one: one.folds.cost_microusd or 0,
    "turns": lambda one: one.folds.turns,
    "events": lambda one: one.head,
    "errors": lambda one: one.folds.errors,
}
"""By what sessions are listed."""


def in_order(sessions: Iterable[MemorySession], sort: SessionSort) -> list[MemorySession]:
    """List sessions, what is largest or latest first, and of equal ones what was updated last."""
    by = _SORTS[sort]
    return sorted(sessions, key=lambda one: (by(one), one.updated_at_us, one.touched), reverse=True)


class Wanted(NamedTuple):
    """What is asked of sessions' rows; see `EventLog.sessions`."""

    open: bool | None
    status: str | Collection[str] | None
    parent: str | Collection[str] | None
    source: str | None
    imported_from: str | None
    title: str | None
    task: str | None
    agent: str | None
    folder: str | None
    branch: str | None
    model: str | None
    figures: Sequence[Figure]
    last: Collection[str] | None
    among: Collection[str] | None

    def has(self, info: SessionInfo) -> bool:
        """Return whether a row is as asked."""
        parents = [self.parent] if isinstance(self.parent, str) else self.parent
        statuses = [self.status] if isinstance(self.status, str) else self.status
        return bool(
            (self.open is None or info.open == self.open)
            and (statuses is None or info.status in statuses)
            and (parents is None or info.parent in parents)
            and (self.source is None or info.source == self.source)
            and (self.imported_from is None or _is_from(info.source, self.imported_from))
            and (self.title is None or self.title.casefold() in info.title.casefold())
            and (self.task is None or info.task == self.task)
            and (self.agent is None or info.agent == self.agent)
            and (self.folder is None or _is_within(info.folder, self.folder))
            and (self.branch is None or info.branch == self.branch)
            and (self.model is None or any(self.model.lower() in one.lower() for one in info.models))
            and all(figure.fits(info) for figure in self.figures)
            and (self.last is None or info.last in self.last)
            and (self.among is None or info.id in self.among)
        )


def _is_from(source: str, format_: str) -> bool:
    return bool(source) and format_ in ("", source.partition(":")[0])


def _is_within(folder: str, above: str) -> bool:
    return bool(folder) and f"{folder}/".startswith(f"{above.rstrip('/')}/")
