"""What an import will write, worked out before anything is written; and the writing."""

from __future__ import annotations

from itertools import pairwise

import msgspec

from eventsource.events import Event, Label
from eventsource.ports import EventLog

from .jsonl import LineNote


class PlannedBranch(msgspec.Struct, frozen=True, kw_only=True):
    """One session to write: its own events, and which branch it parts from, after which seq (None: from none)."""

    events: tuple[tuple[int, Event], ...]
    leaf: str
    parent: int | None = None
    fork_seq: int = 0
    messages: int = 0


class PlannedEntry(msgspec.Struct, frozen=True, kw_only=True):
    """Where an entry of the file went: its branch, the seq that names it, and the last seq that belongs to it."""

    entry: str
    line: int
    branch: int
    seq: int
    last_seq: int


class ImportPlan(msgspec.Struct, frozen=True, kw_only=True):
    """A file's whole content as events; the first branch is the one that the file ends in."""

    format: str
    version: int
    source_session: str
    title: str
    branches: tuple[PlannedBranch, ...]
    entries: tuple[PlannedEntry, ...]
    recovered: tuple[LineNote, ...] = ()
    lost: tuple[LineNote, ...] = ()


class ImportedBranch(msgspec.Struct, frozen=True, kw_only=True):
    """One session that was written; `messages` counts its own."""

    session: str
    leaf: str
    parent: str | None = None
    fork_seq: int = 0
    messages: int = 0


class ImportReport(msgspec.Struct, frozen=True, kw_only=True):
    """What an import did; `recovered` and `lost` name the lines that were damaged."""

    path: str
    format: str
    version: int
    session: str
    title: str
    branches: tuple[ImportedBranch, ...]
    entries: int
    messages: int
    recovered: tuple[LineNote, ...] = ()
    lost: tuple[LineNote, ...] = ()


async def write_plan(
    log: EventLog, plan: ImportPlan, *, path: str, session: str | None = None, title: str = ""
) -> ImportReport:
    """Write a plan: the main branch as a session, the others as its forks; all of it, or nothing is left behind.

    `title` stands where the file says none.
    """
    written: list[str] = []
    named = plan.title or title
    try:
        for number, branch in enumerate(plan.branches):
            events = branch.events
            if branch.parent is None:
                info = await log.create(session)
                at_us = events[-1][0] if events else 0
                events = events if plan.title or not named else (*events, (at_us, Label(text=named)))
            else:
                at_us = events[0][0] if events else 0
                info = await log.fork(written[branch.parent], branch.fork_seq, at_us=at_us)
            written.append(info.id)
            if events:
                await log.append(info.id, events, expected=branch.fork_seq + 1 if number else 0)
    except BaseException:
        for one in reversed(written):
            await log.delete(one)
        raise
    return ImportReport(
        path=path,
        format=plan.format,
        version=plan.version,
        session=written[0],
        title=named,
        branches=tuple(
            ImportedBranch(
                session=session_id,
                leaf=branch.leaf,
                parent=None if branch.parent is None else written[branch.parent],
                fork_seq=branch.fork_seq,
                messages=branch.messages,
            )
            for session_id, branch in zip(written, plan.branches, strict=True)
        ),
        entries=len(plan.entries),
        messages=sum(branch.messages for branch in plan.branches),
        recovered=plan.recovered,
        lost=plan.lost,
    )


def runs(numbers: list[int]) -> list[list[int]]:
    """Say numbers as runs [first, last] of numbers that follow one another."""
    found: list[list[int]] = [[numbers[0], numbers[0]]] if numbers else []
    for before, number in pairwise(numbers):
        if number == before + 1:
            found[-1][1] = number
        else:
            found.append([number, number])
    return found
