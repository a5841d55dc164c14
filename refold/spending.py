"""What sessions spent: each answer counted once, in the session that recorded it, by day and by model."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Collection, Mapping, Sequence
from datetime import datetime
from typing import Literal, Protocol, TypeAlias, runtime_checkable

import msgspec

from eventsource.envelope import SessionInfo
from eventsource.errors import UnknownSessionError
from eventsource.events import ChildStart, ConfigChange, MessageAdopt, MessageEnd, ModelRef, Retry, StepEnd
from eventsource.log.load import load, read_all
from eventsource.log.protocol import EventLog
from eventsource.messages import AssistantMessage, Usage
from projections import USAGE
from projections.usage import Spent, UsageView, added, model_name, spent_by
from replay.adopt import SOURCE

from .session_tree import session_rows

SpentBy: TypeAlias = Literal["model", "day", "session"]


class SpendingEntry(msgspec.Struct, frozen=True, kw_only=True):
    """What one model used for one session on one day (of this computer's time, YYYY-MM-DD)."""

    session: str
    day: str
    model: str
    spent: Spent


class Spending(msgspec.Struct, frozen=True, kw_only=True):
    """What a session spent.

    `entries` are its own. Not among them, since they count elsewhere: `inherited`, what its parent had used up to the
    fork; `adopted`, answers that were taken from sessions of this log; `children`, what the sessions in `child_ids`
    used, which this one started (compaction and agents as tools among them), and those that they started.
    """

    session: str
    entries: tuple[SpendingEntry, ...] = ()
    inherited: Spent = Spent()
    adopted: Spent = Spent()
    children: Spent = Spent()
    child_ids: tuple[str, ...] = ()

    @property
    def own(self) -> Spent:
        """What the session itself used."""
        return added(entry.spent for entry in self.entries)


@runtime_checkable
class AddsUpSpending(Protocol):
    """A log that adds up itself what its sessions spent."""

    async def total_spending(self, by: SpentBy, *, since_us: int = 0) -> list[SpendingEntry]:
        """Add up what all sessions spent; see the function of this name."""
        ...


class _OwnSpending(msgspec.Struct):
    """What a session's own facts say: the changes of the model too, for those that begin in it."""

    entries: tuple[SpendingEntry, ...]
    adopted: Spent
    children: tuple[str, ...]
    models: tuple[tuple[int, ModelRef], ...]


async def spending(log: EventLog, session: str, *, since_us: int = 0) -> Spending:
    """Compute what one session spent; its inherited events are read too."""
    info = await log.info(session)
    inherited = await _inherited(log, info)
    known = _SessionCache(log)
    own = await _own(log, info, inherited.model, since_us, known)
    left, seen, used = list(own.children), list[str](), Spent()
    while left:
        child = left.pop(0)
        if child in seen or not await known.has(child):
            continue
        seen.append(child)
        row = await log.info(child)
        below = await _own(log, row, (await _inherited(log, row)).model, since_us, known)
        used += added(entry.spent for entry in below.entries)
        left += below.children
    return Spending(
        session=session,
        entries=own.entries,
        inherited=inherited.own + inherited.inherited,
        adopted=own.adopted,
        children=used,
        child_ids=tuple(seen),
    )


async def total_spending(log: EventLog, by: SpentBy, *, since_us: int = 0) -> list[SpendingEntry]:
    """Add up what all sessions of a log spent, as far as a table of it by model, day or session needs.

    What an entry is not told apart by is empty in it. A log that is elsewhere adds up there.
    """
    if isinstance(log, AddsUpSpending):
        return await log.total_spending(by, since_us=since_us)
    return await added_up(log, by, since_us=since_us)


async def added_up(
    log: EventLog, by: SpentBy, *, since_us: int = 0, day: Callable[[int], str] | None = None
) -> list[SpendingEntry]:
    """Add up what all sessions spent; see `total_spending`. `day`: names the day of a time (UTC microseconds)."""
    sums: dict[tuple[str, str, str], Spent] = {}
    async for one in all_spending(log, since_us=since_us, day=day or local_day):
        key = (one.session if by == "session" else "", one.day if by == "day" else "", one.model)
        sums[key] = sums.get(key, Spent()) + one.spent
    return [SpendingEntry(session=key[0], day=key[1], model=key[2], spent=spent) for key, spent in sums.items()]


def local_day(at_us: int) -> str:
    """Return the day of a time, of this computer's."""
    return f"{datetime.fromtimestamp(at_us / 1e6).astimezone():%Y-%m-%d}"


async def all_spending(
    log: EventLog, *, since_us: int = 0, day: Callable[[int], str] = local_day
) -> AsyncIterator[SpendingEntry]:
    """Yield what every session of a log spent: each session's own facts are read once, forks after their parents."""
    rows = await session_rows(log)
    models: dict[str, tuple[tuple[int, ModelRef], ...]] = {}
    known = _SessionCache(log, {row.id for row in rows})
    begun_in = {row.parent for row in rows}
    for row in _parents_first(rows):
        if row.updated_at_us < since_us and row.id not in begun_in:
            continue
        before = tuple(one for one in models.get(row.parent or "", ()) if one[0] <= row.fork_seq)
        own = await _own(log, row, before[-1][1] if before else None, since_us, known, day)
        if row.id in begun_in:
            models[row.id] = (*before, *own.models)
        for entry in own.entries:
            yield entry


def summed(entries: Sequence[SpendingEntry], by: str) -> Mapping[str, Spent]:
    """Add entries up by `day`, `model` or `session`; days in order, the others with the most tokens first."""
    sums: dict[str, Spent] = {}
    for entry in entries:
        name = getattr(entry, by)
        sums[name] = sums.get(name, Spent()) + entry.spent
    if by == "day":
        return dict(sorted(sums.items()))
    return dict(sorted(sums.items(), key=lambda pair: -pair[1].usage.total_tokens))


class _SessionCache:
    """Which sessions a log has, asked once for each."""

    def __init__(self, log: EventLog, known: Collection[str] = ()) -> None:
        self._log, self._known = log, dict.fromkeys(known, True)

    async def has(self, session: str) -> bool:
        """Return whether the log has a session of this id."""
        if session not in self._known:
            try:
                await self._log.info(session)
            except UnknownSessionError:
                self._known[session] = False
            else:
                self._known[session] = True
        return self._known[session]


async def _inherited(log: EventLog, info: SessionInfo) -> UsageView:
    if info.parent is None:
        return UsageView()
    _, _, view = await load(log, info.id, context=USAGE, upto=info.fork_seq)
    return view


async def _own(
    log: EventLog,
    info: SessionInfo,
    model: ModelRef | None,
    since_us: int,
    known: _SessionCache,
    day: Callable[[int], str] = local_day,
) -> _OwnSpending:
    sums: dict[tuple[str, str], Spent] = {}
    adopted, children, models = Spent(), list[str](), list[tuple[int, ModelRef]]()
    async for recorded in read_all(log, info.id, after=info.fork_seq, updates=False):
        at_us, asked = recorded.at_us, model
        match recorded.event:
            case ConfigChange(model=ModelRef() as model):
                models.append((recorded.seq, model))
                continue
            case ChildStart(child=child):
                children.append(child)
                continue
            case MessageEnd(message=AssistantMessage(usage=Usage() as usage) as message):
                pass
            case StepEnd(usage=Usage() as usage, model=asked):
                message = AssistantMessage()
            case Retry(usage=Usage() as usage):
                message = AssistantMessage()
            case MessageAdopt(message=AssistantMessage(usage=Usage() as usage) as message, origin=origin) as adopt:
                if origin.source == SOURCE and await known.has(origin.session):
                    adopted += spent_by(usage)
                    continue
                at_us = adopt.sent_at_us or at_us
            case _:
                continue
        if at_us >= since_us:
            key = (day(at_us), model_name(message, asked))
            sums[key] = sums.get(key, Spent()) + spent_by(usage)
    entries = tuple(
        SpendingEntry(session=info.id, day=when, model=name, spent=spent) for (when, name), spent in sums.items()
    )
    return _OwnSpending(entries, adopted, tuple(children), tuple(models))


def _parents_first(rows: Sequence[SessionInfo]) -> list[SessionInfo]:
    known = {row.id for row in rows}
    forks: dict[str, list[SessionInfo]] = {}
    for row in rows:
        if row.parent in known:
            forks.setdefault(row.parent or "", []).append(row)
    ordered = [row for row in rows if row.parent not in known]
    for row in ordered:  # grows while it is read
        ordered += forks.get(row.id, ())
    return ordered
