"""The sessions of a log as a table shows them, how they are filtered, and the family that one belongs to."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Literal

import msgspec

from eventsource.envelope import Figure, FoundText, SessionInfo
from eventsource.found_text import pattern_of
from eventsource.messages import Usage
from projections.tree import Branch

from ..session_tree import above
from ..status import STATUSES, SessionStatus

_TIMES = ("after", "before")
_COMPARED: Mapping[str, tuple[Literal["cost_microusd", "turns", "errors", "head"], int]] = {
    "cost": ("cost_microusd", 1_000_000),
    "turns": ("turns", 1),
    "errors": ("errors", 1),
    "events": ("head", 1),
}
"""Fields that are compared: which number of a row each is, and how many of its unit are one of the filter's."""
_LARGEST = 10**18 - 1
"""No figure of a row comes near it."""
_FIELDS = ("status", "model", "agent", "folder", "branch", "title", "tool", "source", *_TIMES, *_COMPARED)
ANY_SOURCE = "any"
"""In place of a format: whatever a session was imported from."""
_TERM = re.compile(r'(?:(?P<field>[a-z_]+)(?P<sign>[:<>]))?(?P<value>(?:"[^"]*"|[^\s"])+)')


class FilterError(ValueError):
    """A filter that cannot be understood; the words say why."""


class SessionFilter(msgspec.Struct, frozen=True, kw_only=True):
    """What a filter asks for.

    `status`: as a session stands, which its row may not say. `source`: the format that it was imported from, or `any`.
    `words`: are searched for.
    """

    status: str | None = None
    model: str | None = None
    agent: str | None = None
    folder: str | None = None
    branch: str | None = None
    title: str | None = None
    tool: str | None = None
    source: str | None = None
    figures: tuple[Figure, ...] = ()
    words: tuple[str, ...] = ()


def read_filter(text: str) -> SessionFilter:
    """Read a filter: `status:failed model:opus cost>1 after:2026-11-01 "exact words"`.

    Raises: FilterError.
    """
    if text.count('"') % 2:
        raise FilterError(f"filter {text!r}: a quotation mark is open")
    fields: dict[str, str] = {}
    figures: list[Figure] = []
    words: list[str] = []
    for term in _TERM.finditer(text):
        field, sign, value = term["field"], term["sign"], (term["value"] or "").replace('"', "")
        if field is None:
            words.append(term[0].replace('"', ""))
            continue
        if field not in _FIELDS:
            raise FilterError(f"filter: there is no field {field!r}; expected {', '.join(_FIELDS)}, or words in quotes")
        if field in fields:
            raise FilterError(f"filter: {field} is there twice")
        if field in _COMPARED:
            figures.append(_figure(field, sign, value))
        elif sign != ":":
            raise FilterError(f"filter: {field} is compared by `:`, found `{sign}`")
        elif field == "status" and value not in STATUSES:
            raise FilterError(f"filter: there is no status {value!r}; expected {', '.join(STATUSES)}")
        elif field in _TIMES:
            fields[field] = value
            at_us = _time(field, value)
            figures.append(Figure("updated_at_us", *((">", at_us - 1) if field == "after" else ("<", at_us))))
        else:
            fields[field] = value
    kept = {name: value for name, value in fields.items() if name not in _TIMES}
    return SessionFilter(**kept, figures=tuple(figures), words=tuple(words))


def _time(field: str, value: str) -> int:
    try:
        at = datetime.fromisoformat(value)
    except ValueError as error:
        raise FilterError(f"filter: {field} takes a day or a time such as 2026-11-01, found {value!r}") from error
    return int((at if at.tzinfo is not None else at.replace(tzinfo=UTC)).timestamp() * 1_000_000)


def _figure(field: str, sign: str, value: str) -> Figure:
    """Read what is asked of a figure, which is a whole number in the row: in the row's unit, cut to what it may be."""
    try:
        number = float(value)
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise FilterError(f"filter: {field} takes a number, found {value!r}")
    name, unit = _COMPARED[field]
    number = round(number * unit, 3)
    whole = math.ceil(number) if sign == "<" else math.floor(number)
    kept = max(min(whole, _LARGEST), -_LARGEST)
    if sign == ":":
        return Figure(name, "=", kept if kept == number else -_LARGEST)  # no row has a part of one
    return Figure(name, "<" if sign == "<" else ">", kept)


class TableRow(msgspec.Struct, frozen=True, kw_only=True):
    """A row of the table: the session's own row in the log, how it stands and why, and how many forks it has."""

    info: SessionInfo
    status: str
    reason: str
    forks: int
    duration_us: int


def session_row(info: SessionInfo, stands: SessionStatus, forks: int) -> TableRow:
    """Make a row of the table."""
    took = max(info.updated_at_us - info.created_at_us, 0)
    return TableRow(info=info, status=stands.status, reason=stands.reason, forks=forks, duration_us=took)


class TablePage(msgspec.Struct, frozen=True, kw_only=True):
    """Rows of the table. `next`: the `after` of the page behind it, empty without one.

    `looked_at`: how many sessions were read for it.
    """

    sessions: tuple[TableRow, ...]
    next: str
    looked_at: int


class OwnUsage(msgspec.Struct, frozen=True, kw_only=True):
    """What a session used itself: what it shares with its parent was used there, and counts there.

    `input_tokens` are those that were not cached.
    """

    input_tokens: int
    output_tokens: int
    cost_microusd: int | None
    cache_read_tokens: int
    cache_write_tokens: int
    reasoning_tokens: int


class FamilyMember(msgspec.Struct, frozen=True, kw_only=True):
    """A session of a family: a fork of its parent at a seq, or started by another one; the first one is neither.

    `labels`: the bookmarks that it set itself, (seq, text), also on what it shares. `used`: what it used itself,
    without what it shares with its parent.
    """

    info: SessionInfo
    above: str
    depth: int
    is_child: bool
    labels: tuple[tuple[int, str], ...]
    status: str
    reason: str
    used: OwnUsage


class Family(msgspec.Struct, frozen=True, kw_only=True):
    """A family, parents before what begins in them. `session`: the one that was asked about."""

    session: str
    members: tuple[FamilyMember, ...]
    used: OwnUsage


def family(session: str, tree: Branch, statuses: Sequence[SessionStatus], inherited: Sequence[Usage]) -> Family:
    """Lay a tree out; `statuses`, and what was `inherited`, are those of its sessions in the order of `tree_rows`."""
    members = tuple(
        FamilyMember(
            info=branch.info,
            above=above(branch.info) if depth else "",
            depth=depth,
            is_child=branch.info.parent is None and depth > 0,
            labels=branch.labels,
            status=stands.status,
            reason=stands.reason,
            used=_own(branch.info, before),
        )
        for (branch, depth), stands, before in zip(_walk(tree), statuses, inherited, strict=True)
    )
    return Family(session=session, members=members, used=_sum([member.used for member in members]))


def tree_rows(tree: Branch) -> list[SessionInfo]:
    """List the rows of a tree, parents first."""
    return [branch.info for branch, _ in _walk(tree)]


def _walk(tree: Branch) -> Iterator[tuple[Branch, int]]:
    waiting = [(tree, 0)]
    while waiting:  # without recursion: a tree may be deep
        branch, depth = waiting.pop()
        yield branch, depth
        waiting += [(one, depth + 1) for one in reversed((*branch.children, *branch.forks))]


def _own(info: SessionInfo, before: Usage) -> OwnUsage:
    cost = info.cost_microusd
    return OwnUsage(
        input_tokens=info.input_tokens - before.input_tokens,
        output_tokens=info.output_tokens - before.output_tokens,
        cost_microusd=cost - (before.cost_microusd or 0) if cost is not None else None,
        cache_read_tokens=info.cache_read_tokens - before.cache_read_tokens,
        cache_write_tokens=info.cache_write_tokens - before.cache_write_tokens,
        reasoning_tokens=info.reasoning_tokens - before.reasoning_tokens,
    )


def _sum(parts: Sequence[OwnUsage]) -> OwnUsage:
    costs = [one.cost_microusd for one in parts if one.cost_microusd is not None]
    return OwnUsage(
        input_tokens=sum(one.input_tokens for one in parts),
        output_tokens=sum(one.output_tokens for one in parts),
        cost_microusd=sum(costs) if costs else None,
        cache_read_tokens=sum(one.cache_read_tokens for one in parts),
        cache_write_tokens=sum(one.cache_write_tokens for one in parts),
        reasoning_tokens=sum(one.reasoning_tokens for one in parts),
    )


class Hit(msgspec.Struct, frozen=True, kw_only=True):
    """A message in which a text was found. `marks`: where it stands in the excerpt, from and up to which character."""

    session: str
    title: str
    seq: int
    role: str
    at_us: int
    excerpt: str
    marks: tuple[tuple[int, int], ...]


class HitCount(msgspec.Struct, frozen=True):
    """How many hits a session has on all pages; `more`: it has more than were counted."""

    session: str
    hits: int
    more: bool


class Hits(msgspec.Struct, frozen=True, kw_only=True):
    """What was found, on a page. `next`: the `after` of the page behind it, empty without one.

    `counts`: of each session that has hits on this page, how many it recorded itself; of the one that was searched
    alone, how many its whole history has.
    """

    hits: tuple[Hit, ...]
    next: str
    counts: tuple[HitCount, ...]


def hit(found: FoundText, title: str, text: str) -> Hit:
    """Return what was found, with marks."""
    marks = tuple((match.start(), match.end()) for match in pattern_of(" ".join(text.split())).finditer(found.excerpt))
    return Hit(
        session=found.session,
        title=title,
        seq=found.seq,
        role=found.role,
        at_us=found.at_us,
        excerpt=found.excerpt,
        marks=marks,
    )
