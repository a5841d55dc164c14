"""Sessions as a tree: with their forks, and with the sessions that they started."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import msgspec

from eventsource.envelope import Recorded, SessionInfo
from eventsource.events import Label

from .projection import Projection

Labels = tuple[tuple[int, str], ...]
"""Bookmarks: (seq, text), in the order of their seqs."""


class Branch(msgspec.Struct, frozen=True):
    """A session, the bookmarks that it set itself, the children it started, its forks by the seqs they begin after."""

    info: SessionInfo
    labels: Labels = ()
    forks: tuple[Branch, ...] = ()
    children: tuple[Branch, ...] = ()


def _step(labels: Labels, recorded: Recorded) -> Labels:
    event = recorded.event
    if not isinstance(event, Label) or not event.target_seq:
        return labels
    named = dict(labels)
    named.pop(event.target_seq, None)
    return tuple(sorted({**named, **({event.target_seq: event.text} if event.text else {})}.items()))


LABELS = Projection(name="labels", version=1, initial=Labels(), step=_step)


def fork_tree(
    rows: Sequence[SessionInfo],
    labels: Mapping[str, Labels] | None = None,
) -> tuple[Branch, ...]:
    """Arrange sessions as trees, in the order given; one whose parent or starter is not among them stands at the top.

    `labels`: the bookmarks that each session set itself, on whatever seq of its history; each is shown there alone.
    """
    known = {row.id: row.number for row in rows}
    above = {row.id: _above(row, known) for row in rows}
    forks: dict[str, list[SessionInfo]] = {}
    for row in rows:
        if (parent := above[row.id]) in known:
            forks.setdefault(parent, []).append(row)
    branches: dict[str, Branch] = {}
    waiting = [row for row in rows if above[row.id] not in known]
    order = []
    while waiting:  # parents before children, without recursion: a tree may be deep
        row = waiting.pop()
        order.append(row)
        waiting += forks.get(row.id, ())
    marks = labels or {}
    for row in reversed(order):
        own = marks.get(row.id, ())
        if row.id not in forks:
            branches[row.id] = Branch(row, own)
            continue
        below = forks[row.id]
        begun = sorted((one for one in below if one.parent is not None), key=lambda fork: fork.fork_seq)
        started = sorted((one for one in below if one.parent is None), key=lambda child: child.created_at_us)
        children = tuple(branches[child.id] for child in started)
        branches[row.id] = Branch(row, own, tuple(branches[fork.id] for fork in begun), children)
    return tuple(branches[row.id] for row in rows if above[row.id] not in known)


def _above(row: SessionInfo, numbers: Mapping[str, int]) -> str:
    """Name what a session stands below; no session that was made later, under the id of a deleted one."""
    name = row.parent if row.parent is not None else row.started_by
    return "" if row.number and numbers.get(name, 0) >= row.number else name


def tree_lines(branches: Sequence[Branch]) -> Iterator[str]:
    """Draw trees, a line for each session."""
    waiting = [(branch, "", "", False) for branch in reversed(branches)]
    while waiting:
        branch, lead, below, child = waiting.pop()
        yield lead + _line(branch, child=child)
        if not branch.forks and not branch.children:
            continue
        both = [*((one, True) for one in branch.children), *((one, False) for one in branch.forks)]
        for number, (one, started) in enumerate(reversed(both)):
            last = number == 0
            waiting.append((one, below + ("└─ " if last else "├─ "), below + ("   " if last else "│  "), started))


def _line(branch: Branch, *, child: bool) -> str:
    info = branch.info
    words = ["child"] if child else [f"at {info.fork_seq}"] if info.parent is not None else []
    words += [info.id, *([info.title] if info.title else []), f"{info.head} events", info.status]
    words += [f"[{seq} {text}]" for seq, text in branch.labels]
    return "  ".join(words)
