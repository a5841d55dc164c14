"""Sessions as resources: what is asked of them, and their rows."""

from __future__ import annotations

from typing import Annotated

import msgspec

from eventsource.envelope import FoundCount, FoundText, SessionInfo, SessionSort
from eventsource.messages import Usage

from ...status import SessionStatus
from .events import SentEvent
from .values import MOST, PageSize, Seq, Text


class SessionRow(SessionInfo, frozen=True, kw_only=True):
    """A session's row as the log keeps it, and how it stands, in words (no status: that was not asked for)."""

    stands: SessionStatus = SessionStatus(status="")


class ListQuery(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Which sessions: `title` and `model` match a part, `folder` is where an agent worked, or a folder above.

    `status`, and `last` (how the last run ended): one, or some with commas between them. `tool`: one that their history
    calls, by its name in any case. `imported_from`: the format of their source; empty: any. `figures`: of numbers in
    their rows, as `cost_microusd>1000000,turns<5`. `among`: ids, with spaces between them; only these. `sort`: what is
    largest, or latest, comes first. `open`: whose run is unfinished, or not. `parent`: forks of this session, or of
    some with spaces between them; `tree`: all of its tree. `after`: the id of the last one of the page before.
    `stands`: false leaves out how they stand, which is not in their rows.
    """

    open: bool | None = None
    status: Text | None = None
    parent: Text | None = None
    tree: Text | None = None
    source: Text | None = None
    imported_from: Text | None = None
    title: Text | None = None
    task: Text | None = None
    agent: Text | None = None
    folder: Text | None = None
    branch: Text | None = None
    model: Text | None = None
    tool: Text | None = None
    figures: Text | None = None
    last: Text | None = None
    among: Text | None = None
    sort: SessionSort = "updated"
    after: Text | None = None
    limit: PageSize = 100
    stands: bool = True


class RowQuery(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`stands`: false leaves out how the session stands."""

    stands: bool = True


class SessionPage(msgspec.Struct, frozen=True):
    """Sessions, latest updated first; `next`: the `after` of the page behind it, if there may be one."""

    sessions: tuple[SessionRow, ...]
    next: str | None = None


class FindQuery(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`name`: an id, a title, or the beginning of an id (unless `prefix` is false)."""

    name: Text
    prefix: bool = True


class Found(msgspec.Struct, frozen=True):
    """The id of the session that a name means."""

    session: str


class SearchQuery(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`q`: a text, found in any case. `session`: in this one only. `after`: the `next` of the page before."""

    q: Annotated[str, msgspec.Meta(min_length=1, max_length=10_000)]
    session: Text | None = None
    after: Text | None = None
    limit: PageSize = 100


class SearchPage(msgspec.Struct, frozen=True):
    """Messages in which a text stands; `next`: the `after` of the page behind it, if there may be one."""

    found: tuple[FoundText, ...]
    next: str | None = None


class CountBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """In which sessions a text is counted, by their whole ids; by default in all, up to `limit` of them.

    `inherited`: with what they share with their parents. `most`: each is counted up to so often.
    """

    text: Annotated[str, msgspec.Meta(min_length=1, max_length=10_000)]
    sessions: Annotated[tuple[Text, ...], msgspec.Meta(max_length=MOST)] | None = None
    inherited: bool = False
    most: Annotated[int, msgspec.Meta(ge=1, le=MOST)] = 1
    limit: PageSize = MOST


class InheritedBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Of which sessions, by their whole ids."""

    sessions: Annotated[tuple[Text, ...], msgspec.Meta(max_length=MOST)]


class InheritedUsages(msgspec.Struct, frozen=True):
    """What the history of each had used where it began, in the order in which they were named."""

    usages: tuple[Usage, ...]


class FoundCounts(msgspec.Struct, frozen=True):
    """How often a text was found in each session that has it."""

    counts: tuple[FoundCount, ...]


class CursorQuery(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`seq`: a place; the head by default."""

    seq: Seq | None = None


class DroppedRanges(msgspec.Struct, frozen=True):
    """Ranges (first seq, last seq) of updates whose content was dropped or erased."""

    session: str
    dropped: tuple[tuple[int, int], ...]


class FactsBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Of which sessions, by their whole ids, which types of events are looked for among so many last facts of each."""

    sessions: Annotated[tuple[Text, ...], msgspec.Meta(max_length=MOST)]
    types: tuple[Text, ...]
    limit: Annotated[int, msgspec.Meta(ge=1, le=2**32 - 1)] = 64


class LastFacts(msgspec.Struct, frozen=True):
    """What was found of each session, in the order in which they were named."""

    facts: tuple[tuple[SentEvent, ...], ...]


class DueQuery(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How many sessions are named at most."""

    limit: PageSize = 100


class DueSessions(msgspec.Struct, frozen=True):
    """The ids of sessions that are due."""

    due: tuple[str, ...]
