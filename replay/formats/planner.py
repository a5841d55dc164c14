"""What an import will write, computed before anything is written; and the writing."""

from __future__ import annotations

from itertools import pairwise

import msgspec

from eventsource.envelope import SessionInfo
from eventsource.events import Event, Label
from eventsource.log.admitted import admitted, append_admitted
from eventsource.log.protocol import EventLog
from eventsource.models.secrets import MARK

from .atomic import create_session, roll_back
from .jsonl import LineNote

_SECRETS = f"of its events told a secret that this process knows (a key, a variable's value): {MARK} stands there"


class PlannedBranch(msgspec.Struct, frozen=True, kw_only=True):
    """One session to write: its own events (at least one), and the branch it parts from, after which seq."""

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
    named = plan.title or title
    extra = Label(text=named) if named and not plan.title else None
    written: list[str] = []
    redacted = 0
    try:
        for branch in plan.branches:
            await create_session(_open(log, branch, written, session), written)
            events = branch.events
            if branch.parent is None and extra is not None:
                events = (*events, (events[-1][0], extra))
            pairs = admitted(events)
            redacted += sum(pair.redacted for pair in pairs)
            await append_admitted(log, written[-1], pairs)
    except BaseException:
        await roll_back(log, written)
        raise
    done = tuple(_imported(branch, number, written) for number, branch in enumerate(plan.branches))
    return ImportReport(
        path=path,
        format=plan.format,
        version=plan.version,
        session=written[0],
        title=named,
        branches=done,
        entries=len(plan.entries),
        messages=sum(branch.messages for branch in done),
        recovered=plan.recovered,
        lost=(*plan.lost, *([LineNote(0, f"{redacted} {_SECRETS}")] if redacted else [])),
    )


async def _open(log: EventLog, branch: PlannedBranch, written: list[str], session: str | None) -> SessionInfo:
    if branch.parent is None:
        return await log.create(session)
    return await log.fork(written[branch.parent], branch.fork_seq, at_us=branch.events[0][0])


def _imported(branch: PlannedBranch, number: int, written: list[str]) -> ImportedBranch:
    return ImportedBranch(
        session=written[number],
        leaf=branch.leaf,
        parent=None if branch.parent is None else written[branch.parent],
        fork_seq=branch.fork_seq,
        messages=branch.messages,
    )


def runs(numbers: list[int]) -> list[list[int]]:
    """Group numbers into ranges [first, last] of consecutive ones."""
    found: list[list[int]] = [[numbers[0], numbers[0]]] if numbers else []
    for before, number in pairwise(numbers):
        if number == before + 1:
            found[-1][1] = number
        else:
            found.append([number, number])
    return found
