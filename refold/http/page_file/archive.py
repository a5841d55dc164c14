"""What a server would answer about sessions, put together once: the page in a file takes its windows from it.

It is of each at its head and at each of its facts. What is the same in many answers stands there once: a
request names its lines by their numbers, and says up to which place they are those of the one before it.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from typing import TypeVar

import msgspec
from msgspec.structs import replace
from starlette.datastructures import Headers

from eventsource.envelope import Recorded, SessionInfo
from eventsource.log.load import read_pages
from eventsource.machine.evolve import evolve
from eventsource.machine.state import State
from eventsource.messages import AssistantMessage
from eventsource.request import request_sha256
from eventsource.session import SessionHandle
from projections.context import entry_of
from projections.pairing import ContextMessage
from replay.why import digest_agreement

from ...log import Log
from ...views.changes import RequestChanges, request_changes
from ...views.cutting import CutJson
from ...views.index import SEEN, At, on_lists
from ...views.jump import Jump, jump_to
from ...views.requests import (
    AskedRequest,
    LeftOut,
    PartLine,
    RequestHead,
    SentTool,
    WindowRequests,
    head_of,
    part_window,
    request_head,
)
from ...views.rows import Row, RowColumns, row_columns, some_rows
from ...views.said_where import SaidWhere, answer_text, said_where
from ...views.series import CallSeries, Timespans
from ...views.sessions import Family
from ...views.transcript import ChatMessage, transcript_window
from ..api.frames import sent_event
from ..api.page.charts import SpansQuery, read_series, read_spans
from ..api.page.parameters import PartialQuery, WindowQuery
from ..api.page.reading import SessionHead, read_head
from ..api.page.requests import RequestCheck
from ..api.page.tables import read_family
from ..api.routes import Call, Nothing
from ..api.served import Served
from ..interface.events import SentEvent
from .chosen import Chosen
from .comparisons import Comparison, compared_branches

MOST_CHANGES = 200
"""Of a request, against the one before it."""
MOST_LINES = 1_000
"""Messages of a request: of a longer one the last ones, and of what was left out as many."""
MOST_SEARCHED = 5_000
"""Messages of a session in which it is looked for where each answer has its words from; in longer ones it is not."""
MOST_PIXELS = 10_000
_CALLS = 500  # of the series that are read at a time


class ArchivedRequest(msgspec.Struct, frozen=True, kw_only=True):
    """A request: its head but for its tools, what changed in it, and its messages, from a place on.

    They are those of the request before it up to the place `keep`, then the lines of these numbers. `tools`,
    `left_out`: the numbers of the lists of its tools, and of what was not sent.
    """

    head: RequestHead
    check: RequestCheck
    changes: RequestChanges
    first: int
    keep: int
    lines: tuple[int, ...]
    tools: int
    left_out: int
    more_left_out: int


class ArchivedSession(msgspec.Struct, frozen=True, kw_only=True):
    """A session of a file.

    messages: as they stand at the head. sources: where the answers and calls of the rows have their words from, by the
    numbers of these. inherited: the session of the file whose facts its history begins with, and up to which seq.
    facts: every event behind that but streamed pieces. jumps: at each fact of the history; an event that was not cut
    stands among the facts alone. requests: each that was sent once, and what would come next wherever that is another
    one; in order.
    """

    head: SessionHead
    rows: RowColumns
    previews: tuple[Row, ...]
    messages: tuple[ChatMessage, ...]
    sources: dict[str, SaidWhere]
    inherited: tuple[str, int] | None
    facts: tuple[SentEvent, ...]
    jumps: tuple[Jump, ...]
    requests: tuple[ArchivedRequest, ...]
    series: CallSeries
    spans: Timespans


class Archive(msgspec.Struct, frozen=True, kw_only=True):
    """Sessions as the page reads them from a file, the one that it is of first.

    without: what a server would answer and this cannot, in words. omitted: what was left out of it because somebody
    asked for that, in words; marks stand in its place. lines, tools, left_out, parts: what their requests are made of,
    each once; `parts` is content by its hash.
    """

    version: str
    without: tuple[str, ...]
    omitted: tuple[str, ...]
    family: Family
    sessions: tuple[ArchivedSession, ...]
    comparisons: tuple[Comparison, ...]
    lines: tuple[PartLine, ...]
    tools: tuple[tuple[SentTool, ...], ...]
    left_out: tuple[tuple[LeftOut, ...], ...]
    parts: dict[str, msgspec.Raw]


async def archive(served: Served, chosen: Chosen, *, version: str, omitted: Sequence[str] = ()) -> Archive:
    """Put together what is answered about sessions; others have their turn meanwhile.

    Args:
        omitted: what the log that is served lacks of them, in words.

    Raises: UnknownSessionError.
    """
    pool, limits, sessions = Pool(), dict[str, None](), list[ArchivedSession]()
    for name in _parents_first(chosen.inside, {one: await served.log.store.info(one) for one in chosen.inside}):
        sessions.append(await _session(served, name, chosen.inside, pool, limits))
    sessions.sort(key=lambda one: chosen.inside.index(one.head.info.id))
    compared, missing = await compared_branches(served.log, [one.head.info for one in sessions])
    return Archive(
        version=version,
        without=(*limits, *missing, *chosen.without),
        omitted=tuple(omitted),
        family=await read_family(_call(served, chosen.inside[0], Nothing())),
        sessions=tuple(sessions),
        comparisons=compared,
        lines=tuple(pool.lines),
        tools=tuple(pool.tools),
        left_out=tuple(pool.left_out),
        parts=pool.parts,
    )


async def _session(
    served: Served, session: str, inside: Sequence[str], pool: Pool, limits: dict[str, None]
) -> ArchivedSession:
    """Put together what is answered about one session. `limits`: gets what it is without."""
    log, head_at = served.log, await served.index.at(session, patience_s=None)
    head = await read_head(_call(served, session, PartialQuery()))
    whole, forks = head_at.whole, head.forks
    keeper, sources = _Requests(SessionHandle(log.store, session, clock=log.clock), pool), _Sources(head_at)
    inherited = next(((name, seq) for name, seq in head.lineage[1:] if name in inside), None)
    facts: list[SentEvent] = []
    jumps: list[Jump] = []
    async for before, at, fact in _each(log, head_at):
        jump = jump_to(at, fact, (), forks)
        if not jump.event.is_cut:
            jump = replace(jump, event=CutJson(value=msgspec.Raw(b"null"), size_bytes=jump.event.size_bytes))
        if inherited is None or fact.seq > inherited[1]:
            facts.append(sent_event(session, fact))
        jumps.append(jump)
        await keeper.take(at, jump.request.request_seq)
        sources.take(before, fact.seq)
        await asyncio.sleep(0)
    limits.update(dict.fromkeys(_limits(head, len(jumps), keeper, sources)))
    return ArchivedSession(
        head=head,
        rows=row_columns(whole.columns),
        previews=some_rows(whole.columns, head_at.view, range(len(whole.columns))),
        sources=sources.found,
        messages=tuple(_messages(head_at)),
        inherited=inherited,
        facts=tuple(facts),
        jumps=tuple(jumps),
        requests=tuple(keeper.requests),
        series=await _series(served, session),
        spans=await read_spans(_call(served, session, SpansQuery(px=MOST_PIXELS))),
    )


def _parents_first(names: Sequence[str], infos: Mapping[str, SessionInfo]) -> list[str]:
    return sorted(names, key=lambda name: infos[name].number)


def _messages(head: At) -> Iterator[ChatMessage]:
    """Yield all messages; those whose texts are cut because there are many are read once more, alone."""
    for message in transcript_window(head, head.seq + 1, len(head.view.entries), 0).messages:
        calls = (text for call in message.calls for text in (call.arguments, call.asked, call.result))
        texts = (message.text, message.thinking, *calls)
        if all(text is None or len(text.text) == text.characters for text in texts):
            yield message
            continue
        alone = transcript_window(head, message.seq, 0, 1).messages[0]
        told = {call.place: call.result_seq for call in message.calls}
        yield replace(alone, calls=tuple(replace(call, result_seq=told[call.place]) for call in alone.calls))


Q = TypeVar("Q", bound=msgspec.Struct)
T = TypeVar("T")


def _call(served: Served, session: str, query: Q) -> Call[Q, Nothing]:
    return Call(served=served, path={"session": session}, query=query, body=Nothing(), headers=Headers())


def _limits(head: SessionHead, facts: int, requests: _Requests, sources: _Sources) -> Iterator[str]:
    """Say what a server would answer about a session, and the file cannot."""
    if head.info.head > facts:
        yield "pieces of streamed messages"
    if any(one.first for one in requests.requests):
        yield f"all but the last {MOST_LINES:,} messages of each request"
    if any(not one.check.request_sha256 for one in requests.requests):
        yield f"digests of requests of more than {MOST_LINES:,} messages that have none on record"
    if not sources.is_whole:
        yield f"where answers have their words from, of more than {MOST_SEARCHED:,} messages"
    yield "wire bodies"
    yield "comparisons of requests with a pin"


async def _each(log: Log, head: At) -> AsyncIterator[tuple[At, At, Recorded]]:
    """Yield each fact of a session, with how the session stands before it and there."""
    state, seen = State(), SEEN.initial
    before = At(info=head.info, seq=0, state=state, seen=on_lists(seen, head.whole.seen), whole=head.whole)
    async for page in read_pages(log.store, head.info.id, upto=head.seq, updates=False):
        for fact in page:
            state, seen = evolve(state, fact), SEEN.step(seen, fact)
            placed = on_lists(seen, head.whole.seen)
            at = At(info=head.info, seq=fact.seq, state=state, seen=placed, whole=head.whole)
            yield before, at, fact
            before = at


async def _series(served: Served, session: str) -> CallSeries:
    """Read the figures of all model calls."""
    whole = await read_series(_call(served, session, WindowQuery(limit=_CALLS)))
    while len(whole.seq) < whole.calls:
        more = await read_series(_call(served, session, WindowQuery(start=len(whole.seq), limit=_CALLS)))
        joined = {
            name: [*value, *getattr(more, name)]
            for name, value in msgspec.structs.asdict(whole).items()
            if isinstance(value, list) and name != "models"
        }
        models = list(dict.fromkeys([*whole.models, *more.models]))
        joined["model"] = [
            *whole.model[: len(whole.seq)],
            *(models.index(more.models[number]) for number in more.model),
        ]
        whole = replace(whole, models=models, **joined)
    return whole


class Pool:
    """What requests are made of, each once, by its number or its hash."""

    def __init__(self) -> None:
        self.lines: list[PartLine] = []
        self.tools: list[tuple[SentTool, ...]] = []
        self.left_out: list[tuple[LeftOut, ...]] = []
        self.parts: dict[str, msgspec.Raw] = {}
        self._numbers: dict[bytes, int] = {}

    def number(self, listed: list[T], one: T) -> int:
        """Return the number of a thing among those of its kind."""
        number = self._numbers.setdefault(msgspec.json.encode((id(listed), one)), len(listed))
        if number == len(listed):
            listed.append(one)
        return number


class _Requests:
    """The requests that the facts of a session are about, each once."""

    def __init__(self, session: SessionHandle, pool: Pool) -> None:
        self._session, self._pool = session, pool
        self.requests: list[ArchivedRequest] = []
        self._asked: dict[int, ContextMessage] = {}
        self._left: tuple[LeftOut, ...] = ()
        self._shape: object = None
        self._last = 0

    async def take(self, at: At, request_seq: int) -> None:
        """Take the request that a fact is about, unless it is the one before."""
        if request_seq and request_seq == self._last:
            return
        self._last, pool = request_seq, self._pool
        one = AskedRequest(at)
        first = max(len(one) - MOST_LINES, 0)
        asked = dict(enumerate(one.between(first, len(one)), first))
        keep = next((place for place, part in asked.items() if not _is_same(part, self._asked.get(place))), len(one))
        window = part_window(at, keep, MOST_LINES)
        left = (*(gone for gone in self._left if first <= gone.before < keep), *window.left_out)
        lines = tuple(pool.number(pool.lines, line) for line in window.parts)
        head = request_head(at)
        tools, left_out = pool.number(pool.tools, head.tools), pool.number(pool.left_out, left[-MOST_LINES:])
        shape = (request_seq, len(one), tools, left_out, head.parts)
        if shape == self._shape and not lines:
            return  # what would come next is what it was before
        self._shape, self._asked, self._left = shape, asked, left
        self._keep_parts(at, one, keep)
        self.requests.append(
            ArchivedRequest(
                head=replace(head, tools=()),
                check=await self._checked(at, head),
                changes=request_changes(at, None, 0, MOST_CHANGES),
                first=first,
                keep=keep,
                lines=lines,
                tools=tools,
                left_out=left_out,
                more_left_out=max(len(left) - MOST_LINES, 0),
            )
        )

    async def _checked(self, at: At, head: RequestHead) -> RequestCheck:
        """Compare the digest of a request that was built again with the one on record.

        A long one that has none on record has none here either, and no wire body is compared: that takes longer.
        """
        trace, (asked, _) = at.seen.trace, at.seen.trace.about()
        if not head.recorded_sha256 and head.messages > MOST_LINES:
            return RequestCheck(
                request_seq=asked.seq, request_sha256="", recorded_sha256="", digest="unchecked", body="unchecked"
            )
        selection = asked.event.selection if asked.event is not None else None
        digest = request_sha256(WindowRequests(at).build(asked.view, selection), at.whole.hashes)
        return RequestCheck(
            request_seq=asked.seq,
            request_sha256=digest,
            recorded_sha256=head.recorded_sha256,
            digest=await digest_agreement(self._session, trace, asked, digest),
            body="unchecked",
        )

    def _keep_parts(self, at: At, one: AskedRequest, first: int) -> None:
        for part in one.between(first, len(one)):
            name = at.whole.hashes.of(part.message).hex()
            if name not in self._pool.parts:
                self._pool.parts[name] = msgspec.Raw(msgspec.json.encode(part.message))
        for _, content in one.sources.config_parts(head_of(one.view)):
            encoded = msgspec.json.encode(content)
            self._pool.parts.setdefault(hashlib.sha256(encoded).hexdigest(), msgspec.Raw(encoded))


class _Sources:
    """Where the answers of a session, and their calls, have their words from; see `said_where`."""

    def __init__(self, head: At) -> None:
        columns, self._view = head.whole.columns, head.whole.seen.trace.view
        self.found: dict[str, SaidWhere] = {}
        self.is_whole = len(self._view.entries) <= MOST_SEARCHED
        self._rows: dict[int, list[tuple[int, int | None]]] = {}
        for row in range(len(columns) if self.is_whole else 0):
            name, call = columns.places.get(row, (columns.names[row], None))
            self._rows.setdefault(name, []).append((row, call))

    def take(self, before: At, name: int) -> None:
        """Look where an answer of this name, if it is one, has its words from."""
        entry = entry_of(self._view, name) if name in self._rows else None
        if entry is None or not isinstance(entry.message, AssistantMessage):
            return
        asked = AskedRequest(before)
        for row, call in self._rows[name]:
            self.found[str(row)] = said_where(asked, name, answer_text(entry.message, call))


def _is_same(part: ContextMessage, before: ContextMessage | None) -> bool:
    """Return whether two requests have the same message in a place: the index keeps each of them once."""
    return before is not None and part.seq == before.seq and part.message is before.message
