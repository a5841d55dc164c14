"""What an export may lack, judged by what stands in the file: pure."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Sequence
from hashlib import sha256

from eventsource.codec import encode
from eventsource.envelope import Recorded
from eventsource.events import UPDATE_TYPES, Erase, MessageUpdate
from eventsource.log.allowed_gaps import droppable, named_shapes, shape_problem, still_open, within
from eventsource.log.digest import link_at_update

from .file import DroppedLine, ExportedSession


def named_behind(one: ExportedSession) -> list[int]:
    """List the seqs that an `erase` behind a session's exported events must have named.

    Of an erased event, its own; of updates that are gone from a message or call which has not ended here, the start's.
    """
    named = named_shapes(one.events)
    found = [line.seq for line in one.gone if line.b and line.seq not in named]
    if any(True for _ in _unexplained(one, named)):
        message, calls = still_open(one.events)
        found += [seq for seq in ([message] if message else calls) if seq not in named]
    return found


def lack_problems(one: ExportedSession) -> Iterator[tuple[int, str]]:
    """List what is missing from a session of a file, or is marked as erased there, without a reason: (seq, what)."""
    named = named_shapes(one.events)
    behind = named_behind(one)
    if len(behind) != one.row.behind:
        problem = (
            f"{one.row.behind} erased things are named by no event of the file, so it says; there are {len(behind)}"
        )
        yield one.row.last, problem
    for gap in _unexplained(one, {**named, **dict.fromkeys(behind, "")}):
        yield gap.first, f"the updates {gap.first} to {gap.last} are missing: no message that has ended held them"
    yield from _events_problems(one, named)
    yield from _updates_problems(one)


def fork_problem(parent: ExportedSession, fork: ExportedSession) -> str:
    """Check the digest at which a fork begins, where updates of its parent are gone. Returns: what is wrong, if any."""
    base = bytes.fromhex(fork.row.base)
    if bool(base) == bool(parent.row.digest):
        return f"the digest at which session {fork.row.session} begins is missing, or there twice"
    if len(base) == 64 and link_at_update(bytes.fromhex(parent.row.link), base[32:]) != base[:32]:
        return f"the digest at which session {fork.row.session} begins was changed"
    return ""


def _unexplained(one: ExportedSession, named: dict[int, str]) -> Iterator[DroppedLine]:
    erased = {line.seq for line in one.gone if line.b}
    messages, calls = droppable(one.events, erased.__contains__, named, one.row.fork_seq)
    yield from (gap for gap in one.dropped if not within([*messages, *calls], gap.first, gap.last))


def _events_problems(one: ExportedSession, named: dict[int, str]) -> Iterator[tuple[int, str]]:
    lines = {line.seq: line for line in one.gone if line.b}
    erases = {r.event.target_seq: r.seq for r in one.events if isinstance(r.event, Erase)}
    for seq, event in ((one.seq, one.event) for one in one.events if one.seq in lines or one.seq in named):
        body = encode(event)
        line = lines.get(seq)
        if line is None:
            if named[seq] not in ("", sha256(body).hexdigest()):
                yield seq, "an `erase` names it, and what stands there is not what it left"
        elif line.erase != erases.get(seq, 0):
            yield seq, f"it was erased by the event {line.erase}, so the file says; that one does not name it"
        elif problem := shape_problem(event, body, named.get(seq, sha256(body).hexdigest())):
            yield seq, problem


def _updates_problems(one: ExportedSession) -> Iterator[tuple[int, str]]:
    """Compare the digests of updates that are given with where updates are missing."""
    facts = [recorded.seq for recorded in one.events if not isinstance(recorded.event, UPDATE_TYPES)]
    erased = {line.seq for line in one.gone if line.b}
    _, calls = droppable(one.events, erased.__contains__, {}, one.row.fork_seq)
    lacking: set[int] = set()
    for gap in one.dropped:
        at = bisect_left(facts, gap.first)
        before, after = facts[at - 1] if at else one.row.fork_seq, facts[at] if at < len(facts) else one.row.last + 1
        lacking.add(after)
        if not within(calls, gap.first, gap.last) and _has_deltas(one.events, before, after):
            yield gap.first, "a part of a message's updates is missing: they are dropped as a whole"
    given = {line.seq for line in one.gone if line.u}
    for seq in sorted((lacking & set(facts)) ^ given):
        yield seq, "the digest of the updates before it is given, and none is missing, or is missing itself"


def _has_deltas(events: Sequence[Recorded], before: int, after: int) -> bool:
    first = bisect_left(events, before + 1, key=_seq)
    return any(isinstance(one.event, MessageUpdate) for one in events[first : bisect_left(events, after, key=_seq)])


def _seq(recorded: Recorded) -> int:
    return recorded.seq
