"""What a server would answer about sessions, put together once: the page in a file takes its windows from it.

It is of each at its head and at each of its facts. What is the same in many answers stands there once: a
request names its lines by their numbers, and says up to which place they are those of the one before it. Whatever grows
with a session stands in blocks (`blocks.py`), so that a page unpacks what it shows.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from functools import partial
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
from ...views.jump import jump_to
from ...views.requests import (
    AskedRequest,
    LeftOut,
    PartLine,
    RequestHead,
    WindowRequests,
    head_of,
    part_window,
    request_head,
)
from ...views.rows import row_columns, some_rows
from ...views.said_where import answer_text, said_where
from ...views.series import CallSeries
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
from .blocks import Blocks, Listed, Listing, steps
from .chosen import Chosen
from .comparisons import compared_branches

MOST_CHANGES = 200
"""Of a request, against the one before it."""
MOST_LINES = 1_000
"""Messages of a request: of a longer one the last ones, and of what was left out as many."""
MOST_SEARCHED = 5_000
"""Messages of a session in which it is looked for where each answer has its words from; in longer ones it is not."""
MOST_PIXELS = 10_000
_NULL = msgspec.Raw(b"null")
_CALLS = 500  # of the series that are read at a time


class ArchivedLine(msgspec.Struct, frozen=True, kw_only=True):
    """A part of requests, and all of it: `of` is the number of the line with that content, often its own.

    content: None where that of another line is the same.
    """

    line: PartLine
    of: int
    content: msgspec.Raw | None


class ArchivedRequest(msgspec.Struct, frozen=True, kw_only=True):
    """A request: its head but for its parts and tools, what changed in it, and where it begins to be told.

    `config`, `tools`, `left_out`: the numbers of the lines of its parts that are no messages, of the list of its
    tools, and of the list of what was not sent.
    """

    head: RequestHead
    config: tuple[int, ...]
    check: RequestCheck
    changes: RequestChanges
    first: int
    tools: int
    left_out: int
    more_left_out: int


class ArchivedSession(msgspec.Struct, frozen=True, kw_only=True):
    """A session of a file. Lists are of what stands behind their names; numbers are told as steps from one to the next.

    rows: `RowColumns`, one. previews: `Row`. messages: `ChatMessage`, as they stand at the head; message_seqs: theirs.
    sources: `SaidWhere`, where the answers and calls of rows have their words from; source_rows: these.
    inherited: the session of the file whose facts its history begins with, and up to which seq.
    facts: `SentEvent`, every event behind that but streamed pieces; seqs: theirs. jumps: `Jump`, at each fact of the
    history; an event that was not cut stands among the facts alone. asked: for each of these, the number of the request
    that it is about. requests: `ArchivedRequest`, each that was sent once, and what would come next wherever that is
    another one; in order. sent: of each, up to which place its messages are those of the request before it, and the
    numbers of the lines that follow. series: `CallSeries`, one. spans: `Timespans`, one.
    """

    head: SessionHead
    rows: Listed
    previews: Listed
    messages: Listed
    message_seqs: tuple[int, ...]
    sources: Listed
    source_rows: tuple[int, ...]
    inherited: tuple[str, int] | None
    facts: Listed
    seqs: tuple[int, ...]
    jumps: Listed
    asked: tuple[int, ...]
    requests: Listed
    sent: Listed
    series: Listed
    spans: Listed


class Archive(msgspec.Struct, frozen=True, kw_only=True):
    """Sessions as the page reads them from a file, the one that it is of first.

    blocks: how many there are. without: what a server would answer and this cannot, in words. omitted: what was left
    out of it because somebody asked for that, in words; marks stand in its place. comparisons: `Comparison`; compared:
    the branches of each. lines, tools, left_out: what requests are made of, each once: `ArchivedLine`, and lists of
    `SentTool` and of `LeftOut`.
    """

    version: str
    blocks: int
    without: tuple[str, ...]
    omitted: tuple[str, ...]
    family: Family
    sessions: tuple[ArchivedSession, ...]
    comparisons: Listed
    compared: tuple[tuple[str, str], ...]
    lines: Listed
    tools: Listed
    left_out: Listed


async def archive(
    served: Served, chosen: Chosen, *, version: str, omitted: Sequence[str] = ()
) -> tuple[Archive, Blocks]:
    """Put together what is answered about sessions; others have their turn meanwhile.

    Args:
        omitted: what the log that is served lacks of them, in words.

    Raises: UnknownSessionError.
    """
    blocks = Blocks()
    pool, limits, sessions = Pool(blocks), dict[str, None](), list[ArchivedSession]()
    for name in _parents_first(chosen.inside, {one: await served.log.store.info(one) for one in chosen.inside}):
        sessions.append(await _session(served, name, chosen.inside, pool, limits))
    sessions.sort(key=lambda one: chosen.inside.index(one.head.info.id))
    compared, missing = await compared_branches(served.log, [one.head.info for one in sessions])
    comparisons = await blocks.of(compared)
    lines, tools, left_out = pool.lines.end(), pool.tools.end(), pool.left_out.end()
    found = Archive(
        version=version,
        blocks=len(blocks.packed),
        without=(*limits, *missing, *chosen.without),
        omitted=tuple(omitted),
        family=await read_family(_call(served, chosen.inside[0], Nothing())),
        sessions=tuple(sessions),
        comparisons=comparisons,
        compared=tuple((one.head.left.session, one.head.right.session) for one in compared),
        lines=lines,
        tools=tools,
        left_out=left_out,
    )
    return found, blocks


async def _session(
    served: Served, session: str, inside: Sequence[str], pool: Pool, limits: dict[str, None]
) -> ArchivedSession:
    """Put together what is answered about one session. `limits`: gets what it is without."""
    log, head_at, blocks = served.log, await served.index.at(session, patience_s=None), pool.blocks
    head = await read_head(_call(served, session, PartialQuery()))
    whole, forks = head_at.whole, head.forks
    keeper = _Requests(SessionHandle(log.store, session, clock=log.clock), pool)
    sources = _Sources(head_at, blocks)
    inherited = next(((name, seq) for name, seq in head.lineage[1:] if name in inside), None)
    facts, jumps, seqs, asked = Listing(blocks), Listing(blocks), list[int](), list[int]()
    async for before, at, fact in _each(log, head_at):
        jump = jump_to(at, fact, (), forks)
        if not jump.event.is_cut:
            jump = replace(jump, event=CutJson(value=_NULL, size_bytes=jump.event.size_bytes))
        if inherited is None or fact.seq > inherited[1]:
            facts.append(sent_event(session, fact))
            seqs.append(fact.seq)
        jumps.append(jump)
        asked.append(await keeper.take(at, jump.request.request_seq))
        sources.take(before, fact.seq)
        await asyncio.sleep(0)
    limits.update(dict.fromkeys(_limits(head, len(jumps), keeper, sources)))
    messages = tuple(_messages(head_at))
    return ArchivedSession(
        head=head,
        rows=await blocks.of_one(row_columns(whole.columns)),
        previews=await blocks.of(some_rows(whole.columns, head_at.view, range(len(whole.columns)))),
        sources=sources.found.end(),
        source_rows=steps(sources.rows),
        messages=await blocks.of(messages),
        message_seqs=steps(one.seq for one in messages),
        inherited=inherited,
        facts=facts.end(),
        seqs=steps(seqs),
        jumps=jumps.end(),
        asked=steps(asked),
        requests=keeper.requests.end(),
        sent=keeper.sent.end(),
        series=await blocks.of_one(await _series(served, session)),
        spans=await blocks.of_one(await read_spans(_call(served, session, SpansQuery(px=MOST_PIXELS)))),
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


def _call(served: Served, session: str, query: Q) -> Call[Q, Nothing]:
    return Call(served=served, path={"session": session}, query=query, body=Nothing(), headers=Headers())


def _limits(head: SessionHead, facts: int, requests: _Requests, sources: _Sources) -> Iterator[str]:
    """Say what a server would answer about a session, and the file cannot."""
    if head.info.head > facts:
        yield "pieces of streamed messages"
    if requests.is_cut:
        yield f"all but the last {MOST_LINES:,} messages of each request"
    if requests.is_unchecked:
        yield f"digests of requests of more than {MOST_LINES:,} messages that have none on record"
    if not sources.is_whole:
        yield f"where answers have their words from, of more than {MOST_SEARCHED:,} messages"
    yield "wire bodies"
    yield "comparisons of requests with any but the one before"


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
    """What requests are made of, each once, by its number."""

    def __init__(self, blocks: Blocks) -> None:
        self.blocks = blocks
        self.lines, self.tools, self.left_out = Listing(blocks), Listing(blocks), Listing(blocks)
        self._numbers: dict[bytes, int] = {}
        self._contents: dict[str, int] = {}

    def number(self, listed: Listing, one: object) -> int:
        """Return the number of a thing among those of its kind."""
        number = self._numbers.setdefault(_name_of(listed, one), len(listed))
        if number == len(listed):
            listed.append(one)
        return number

    def line(self, line: PartLine, content: Callable[[], bytes]) -> int:
        """Return the number of a line. `content`: encodes all of the part, which its hash is of."""
        number = self._numbers.setdefault(_name_of(self.lines, line), len(self.lines))
        if number == len(self.lines):
            of = self._contents.setdefault(line.sha256, number)
            all_of_it = msgspec.Raw(content()) if of == number else None
            self.lines.append(ArchivedLine(line=line, of=of, content=all_of_it))
        return number


def _name_of(listed: Listing, one: object) -> bytes:
    """Name a thing of a list, with few bytes: there are many."""
    return hashlib.sha256(msgspec.json.encode((id(listed), one))).digest()


class _Requests:
    """The requests that the facts of a session are about, each once."""

    def __init__(self, session: SessionHandle, pool: Pool) -> None:
        self._session, self._pool = session, pool
        self.requests, self.sent = Listing(pool.blocks), Listing(pool.blocks)
        self.is_cut = self.is_unchecked = False
        self._before: AskedRequest | None = None
        self._first = 0
        self._left: tuple[LeftOut, ...] = ()
        self._shape: object = None
        self._last = 0

    async def take(self, at: At, request_seq: int) -> int:
        """Take the request that a fact is about, unless it is the one before. Returns: its number."""
        if not request_seq or request_seq != self._last:
            await self._take(at, request_seq)
        return len(self.requests) - 1

    async def _take(self, at: At, request_seq: int) -> None:
        self._last, pool = request_seq, self._pool
        one = AskedRequest(at)
        first = max(len(one) - MOST_LINES, 0)
        keep = self._kept(one, first)
        window = part_window(at, keep, MOST_LINES)
        left = (*(gone for gone in self._left if first <= gone.before < keep), *window.left_out)
        head = request_head(at)
        tools, left_out = pool.number(pool.tools, head.tools), pool.number(pool.left_out, left[-MOST_LINES:])
        shape = (request_seq, len(one), tools, left_out, head.parts)
        if shape == self._shape and not window.parts:
            return  # what would come next is what it was before
        self._shape, self._before, self._first, self._left = shape, one, first, left
        lines = tuple(
            pool.line(line, partial(msgspec.json.encode, part.message))
            for line, part in zip(window.parts, one.between(keep, len(one)), strict=True)
        )
        check = await self._checked(at, head)
        self.is_cut, self.is_unchecked = self.is_cut or first > 0, self.is_unchecked or not check.request_sha256
        self.sent.append((keep, lines))
        self.requests.append(
            ArchivedRequest(
                head=replace(head, tools=(), parts=()),
                config=tuple(self._config(one, head)),
                check=check,
                changes=request_changes(at, None, 0, MOST_CHANGES),
                first=first,
                tools=tools,
                left_out=left_out,
                more_left_out=max(len(left) - MOST_LINES, 0),
            )
        )

    def _kept(self, one: AskedRequest, first: int) -> int:
        """Return up to which place a request has the messages of the one before it, from where this one is told."""
        before = self._before
        if before is None or first < self._first:
            return first
        shared = one.default.shared(before.default) if one.chosen is None is before.chosen else 0
        start, end = max(first, shared), min(len(one), len(before))
        pairs = enumerate(zip(one.between(start, end), before.between(start, end), strict=True), start)
        return next((place for place, (part, was) in pairs if not _is_same(part, was)), max(start, end))

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

    def _config(self, one: AskedRequest, head: RequestHead) -> Iterator[int]:
        """Yield the numbers of the lines of a request that are no messages."""
        encoded = [msgspec.json.encode(content) for _, content in one.sources.config_parts(head_of(one.view))]
        contents = {hashlib.sha256(content).hexdigest(): content for content in encoded}
        for line in head.parts:
            yield self._pool.line(line, partial(contents.__getitem__, line.sha256))


class _Sources:
    """Where the answers of a session, and their calls, have their words from; see `said_where`."""

    def __init__(self, head: At, blocks: Blocks) -> None:
        columns, self._view = head.whole.columns, head.whole.seen.trace.view
        self.found, self.rows = Listing(blocks), list[int]()
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
            self.found.append(said_where(asked, name, answer_text(entry.message, call)))
            self.rows.append(row)


def _is_same(part: ContextMessage, before: ContextMessage) -> bool:
    """Return whether two requests have the same message in a place: the index keeps each of them once."""
    return part.seq == before.seq and part.message is before.message
