"""A session as the page reads it: its head, its rows, jumps to seqs, what was said, and events by themselves."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Annotated
from urllib.parse import quote

import msgspec
from starlette.responses import Response, StreamingResponse

from eventsource.codec import encode
from eventsource.envelope import Cursor, Recorded, SessionInfo
from eventsource.errors import UnknownSeqError
from eventsource.events import WaitEnd
from projections.tree import Labels
from replay.formats.refold.write import export_parts
from replay.lineage import forks_of, lineage

from ....session_tree import session_rows
from ....status import SessionStatus, find_status
from ....views.index import At
from ....views.jump import Jump, Used, jump_to, open_message_seq, used_of
from ....views.pytest_file import NoTestError, PytestFile, pytest_file
from ....views.rows import Row, RowColumns, row_pieces, some_rows
from ....views.transcript import TextOf, Transcript, transcript_window, whole_of_message
from ....waits import ended_words
from ...interface.events import EVENT_STREAM, EventPage, EventsQuery
from ...interface.values import Seq
from ..problems import ProblemError
from ..routes import Call, Nothing, Q, Route
from ..v1.events import read_events
from ..v1.parameters import session_of
from .parameters import PartialQuery, Place, WindowQuery, WindowSize, as_indexed, at_of, seq_in, whole_of

JSON_LINES = "application/jsonl"
_WORDS = 1_000
"""Characters of what was decided that are shown."""
MOST_CHARACTERS = 200_000
"""Of a text, in one slice."""
_UPDATES_READ = 20_000
"""Of a message that is open at a seq, so many updates are put together at the most; of a longer one its beginning."""


class ModelUse(msgspec.Struct, frozen=True, kw_only=True):
    """What a session used of a model itself: so many answers, `unpriced` of them without a known price."""

    model: str
    calls: int
    used: Used


class SessionHead(msgspec.Struct, frozen=True, kw_only=True):
    """A session's head, as it stands above its page.

    `lineage`: the sessions that its history is made of, itself first, each with the last seq taken from it. `family`:
    how many sessions belong to its tree. `forks`: the seqs at which other sessions begin in it. `used`: of the whole
    history, of which `inherited` was its parents' and `adopted` came with messages from elsewhere. `indexed_to`: up to
    which seq the page's answers know it. `kept_seq`: the first message that the last compaction kept, 0 without one.
    """

    info: SessionInfo
    stands: SessionStatus
    cursor: Cursor
    lineage: tuple[tuple[str, int], ...]
    family: int
    labels: Labels
    forks: tuple[int, ...]
    models: tuple[ModelUse, ...]
    used: Used
    inherited: Used
    adopted: Used
    rows: int
    calls: int
    indexed_to: int
    kept_seq: int


class RowWindow(msgspec.Struct, frozen=True, kw_only=True):
    """Rows with their first words, from one on; `rows_in_all` is how many there are."""

    indexed_to: int
    rows_in_all: int
    rows: tuple[Row, ...]


class TranscriptQuery(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Which messages: so many that end before a seq, and so many from it on. `at`: as they stood at this seq."""

    around: Seq | None = None
    before: WindowSize = 50
    after: WindowSize = 50
    at: Seq | None = None


class TextQuery(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename={"start": "from"}):
    """Which text of a message, and so many of its characters from one on, counted from 0."""

    of: TextOf = "text"
    start: Place = 0
    limit: Annotated[int, msgspec.Meta(ge=1, le=MOST_CHARACTERS)] = MOST_CHARACTERS


class TextSlice(msgspec.Struct, frozen=True, kw_only=True):
    """A slice of a text; `end` is where the next one begins, `characters` how long all of it is."""

    text: str
    end: int
    characters: int


class EndedWaitQuery(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`key`: of a wait or token of the session."""

    key: str


class EndedWait(msgspec.Struct, frozen=True, kw_only=True):
    """How a wait ended: at which seq, what was decided, by whom; `words` say it in a line."""

    session: str
    key: str
    seq: int
    at_us: int
    outcome: str
    decided_by: str
    words: str


class UptoQuery(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`upto`: only up to this seq; by default all of it."""

    upto: Seq | None = None


async def read_head(call: Call[PartialQuery, Nothing]) -> SessionHead:
    """Read what stands above a session's page."""
    (at, _), store = await (as_indexed if call.query.partial else whole_of)(call), call.served.log.store
    info, usage = at.info, at.seen.usage
    return SessionHead(
        info=info,
        stands=await find_status(store, info),
        cursor=await store.cursor(info.id),
        lineage=await lineage(store, info.id),
        family=len(await session_rows(store, tree=info.id)),
        labels=at.whole.columns.labels,
        forks=await _forks(call, at),
        models=tuple(
            ModelUse(model=name, calls=spent.calls, used=used_of(spent.usage, spent.unpriced))
            for name, spent in usage.by_model
        ),
        used=used_of(usage.total, (usage.own + usage.inherited).unpriced),
        inherited=used_of(usage.inherited.usage, usage.inherited.unpriced),
        adopted=used_of(usage.adopted),
        rows=len(at.whole.columns),
        calls=len(at.whole.columns.calls),
        indexed_to=at.whole.reached,
        kept_seq=at.whole.columns.kept_seq,
    )


async def read_rows(call: Call[PartialQuery, Nothing]) -> Response:
    """Read all rows of a session's list, as columns."""
    _, whole = await (as_indexed if call.query.partial else whole_of)(call)

    async def pieces() -> AsyncIterator[bytes]:
        for piece in row_pieces(whole.columns):
            yield piece
            await asyncio.sleep(0)  # others have their turn

    return StreamingResponse(pieces(), media_type="application/json")


async def read_previews(call: Call[WindowQuery, Nothing]) -> RowWindow:
    """Read a window of the rows with their first words, of those that are indexed by now."""
    at, whole = await as_indexed(call)
    window = range(call.query.start, call.query.start + call.query.limit)
    rows = some_rows(whole.columns, at.view, window)
    return RowWindow(indexed_to=whole.reached, rows_in_all=len(whole.columns), rows=rows)


async def read_jump(call: Call[Nothing, Nothing]) -> Jump:
    """Read a session at a seq: what happened there, how the run stood, and where to go from there."""
    at = await at_of(call, seq_in(call))
    page = await _around(call, at)
    event = next((one for one in reversed(page) if one.seq == at.seq), None)
    return jump_to(at, event, page, await _forks(call, at))


async def read_ended_wait(call: Call[EndedWaitQuery, Nothing]) -> EndedWait:
    """Read how a wait or token ended that is open no more; 404 while it is open, and where there was none."""
    at, whole = await whole_of(call)
    seq = whole.columns.ended_waits.get(call.query.key)
    page = await call.served.log.store.read(at.info.id, after=seq - 1, upto=seq) if seq is not None else ()
    if not page or not isinstance(end := page[0].event, WaitEnd):
        raise ProblemError(404, f"session {at.info.id}: no wait {call.query.key!r} has ended")
    return EndedWait(
        session=at.info.id,
        key=end.key,
        seq=page[0].seq,
        at_us=page[0].at_us,
        outcome=end.outcome,
        decided_by=end.decided_by,
        words=ended_words(end)[:_WORDS],
    )


async def _around(call: Call[Nothing, Nothing], at: At) -> tuple[Recorded, ...]:
    """Read the event at a seq, and of a message that is open there what came of it so far."""
    store, start = call.served.log.store, open_message_seq(at)
    if not at.seq:
        return ()
    page = await store.read(at.info.id, after=(start or at.seq) - 1, upto=at.seq, limit=_UPDATES_READ)
    if page and page[-1].seq != at.seq and len(page) == _UPDATES_READ:
        page += await store.read(at.info.id, after=at.seq - 1, upto=at.seq, limit=1)
    return page


async def _forks(call: Call[Q, Nothing], at: At) -> tuple[int, ...]:
    return tuple(sorted({fork.fork_seq for fork in await forks_of(call.served.log.store, at.info.id)}))


async def read_transcript(call: Call[TranscriptQuery, Nothing]) -> Transcript:
    """Read the messages around a seq, with their calls and what came of these."""
    asked = call.query
    at = await at_of(call, asked.at)
    around = asked.around if asked.around is not None else at.seq + 1
    return transcript_window(at, around, asked.before, asked.after)


async def read_text(call: Call[TextQuery, Nothing]) -> TextSlice:
    """Read a slice of what a message says, by its name; a result's is that of its message."""
    text = whole_of_message(await at_of(call, None), seq_in(call), call.query.of)
    part = text[call.query.start : call.query.start + call.query.limit]
    return TextSlice(text=part, end=min(call.query.start, len(text)) + len(part), characters=len(text))


async def read_page_events(call: Call[EventsQuery, Nothing]) -> Response:
    """Read events as they are stored; see the resource of the same name under /v1."""
    return await read_events(call)


async def read_event(call: Call[Nothing, Nothing]) -> Response:
    """Read all of one event, as it is stored."""
    session, seq = await session_of(call), seq_in(call)
    page = await session.events(after=max(seq - 1, 0), upto=seq, limit=1) if seq else ()
    if not page:
        raise UnknownSeqError(session.id, seq, (await session.info()).head)
    return Response(encode(page[0].event), media_type="application/json")


async def read_test(call: Call[UptoQuery, Nothing]) -> PytestFile:
    """Read the session up to a seq as a test for pytest."""
    try:
        return pytest_file(await at_of(call, call.query.upto))
    except NoTestError as error:
        raise ProblemError(409, str(error)) from error


async def read_export(call: Call[UptoQuery, Nothing]) -> Response:
    """Read the session up to a seq as a file that an import reads, with what it inherits."""
    session = await session_of(call)
    parts = export_parts(call.served.log.store, session.id, upto=call.query.upto)
    first = await anext(parts, b"")  # what cannot be exported is refused before anything is sent

    async def whole() -> AsyncIterator[bytes]:
        yield first
        async for part in parts:
            yield part

    name = f"{quote(session.id, safe='')}.refold.jsonl"
    headers = {"content-disposition": f"attachment; filename*=UTF-8''{name}"}
    return StreamingResponse(whole(), media_type=JSON_LINES, headers=headers)


READING = (
    Route(method="GET", path="/api/sessions/{session}", does=read_head, tag="page", errors=(404,)),
    Route(
        method="GET",
        path="/api/sessions/{session}/rows",
        does=read_rows,
        tag="page",
        also={200: (RowColumns,)},
        errors=(404,),
    ),
    Route(method="GET", path="/api/sessions/{session}/previews", does=read_previews, tag="page", errors=(404,)),
    Route(method="GET", path="/api/sessions/{session}/at/{seq}", does=read_jump, tag="page", errors=(404,)),
    Route(method="GET", path="/api/sessions/{session}/ended-waits", does=read_ended_wait, tag="page", errors=(404,)),
    Route(method="GET", path="/api/sessions/{session}/transcript", does=read_transcript, tag="page", errors=(404,)),
    Route(method="GET", path="/api/sessions/{session}/messages/{seq}/text", does=read_text, tag="page", errors=(404,)),
    Route(
        method="GET",
        path="/api/sessions/{session}/events",
        does=read_page_events,
        tag="page",
        also={200: (EventPage, EVENT_STREAM)},
        errors=(404,),
    ),
    Route(
        method="GET",
        path="/api/sessions/{session}/events/{seq}",
        does=read_event,
        tag="page",
        also={200: ("application/json",)},
        errors=(404,),
    ),
    Route(method="GET", path="/api/sessions/{session}/test", does=read_test, tag="page", errors=(404, 409)),
    Route(
        method="GET",
        path="/api/sessions/{session}/export",
        does=read_export,
        tag="page",
        also={200: (JSON_LINES,)},
        errors=(404,),
    ),
)
