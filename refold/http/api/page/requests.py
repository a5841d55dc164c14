"""The request that a seq is about: its head, its parts by windows, its wire body, and what changed since another."""

from __future__ import annotations

import asyncio
import hashlib
from typing import Annotated

import msgspec
from starlette.responses import Response

from eventsource.messages import AssistantMessage
from eventsource.request import Request, request_sha256
from projections.context import entry_of
from projections.pairing import ContextMessage
from replay.lineage import shared_seq
from replay.request_parts import PartSources, SentRequest
from replay.why import Agreement, body_agreement, digest_agreement

from ....models import encode_recorded
from ....views.changes import RequestChanges, request_changes
from ....views.index import At
from ....views.requests import (
    AskedRequest,
    PartContent,
    PartWindow,
    RequestHead,
    WindowRequests,
    head_of,
    part_contents,
    part_window,
    request_head,
)
from ....views.said_where import SaidWhere, answer_text, said_where
from ...interface.values import Seq, Text
from ..problems import ProblemError
from ..routes import Call, Nothing, Route
from ..v1.parameters import session_of
from .parameters import Place, WindowQuery, WindowSize, at_in, at_of, seq_in

_FOR_EVER = {"cache-control": "private, max-age=31536000, immutable"}


class PartContents(msgspec.Struct, frozen=True, kw_only=True):
    """Messages of a request with their content, cut where it is long."""

    seq: int
    messages: int
    parts: tuple[PartContent, ...]


class RequestCheck(msgspec.Struct, frozen=True, kw_only=True):
    """Whether a request that is built again is the one on record; see `replay.Why`."""

    request_seq: int
    request_sha256: str
    recorded_sha256: str
    digest: Agreement
    body: Agreement


class WireBodyAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """A request as it goes over the wire, by the codec of its model; and whether it is the one on record."""

    request_seq: int
    codec: str
    recorded_codec: str
    sha256: str
    recorded_sha256: str
    agrees: Agreement
    body: Annotated[msgspec.Raw, msgspec.Meta(extra_json_schema={"description": "Any JSON."})]


class ChangesQuery(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename={"start": "from"}):
    """What to compare with: the request that another seq is about (`12204`), also of another session (`id:12204`).

    By default the request before. A window of the changes, from one on.
    """

    against: Text | None = None
    start: Place = 0
    limit: WindowSize = 100


class PartQuery(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Where a part is looked for: in which session, at which seq, under which name (0: all that is sent there)."""

    session: Text
    seq: Seq
    name: Seq = 0


async def read_request_head(call: Call[Nothing, Nothing]) -> RequestHead:
    """Read the request that a seq is about, but for its messages: the one that led there, or that would come next."""
    return request_head(await at_of(call, seq_in(call)))


async def read_parts(call: Call[WindowQuery, Nothing]) -> PartWindow:
    """List a request's messages, a line each, and what was left out among them."""
    return part_window(await at_of(call, seq_in(call)), call.query.start, call.query.limit)


async def read_contents(call: Call[WindowQuery, Nothing]) -> PartContents:
    """Read a request's messages with their content."""
    at = await at_of(call, seq_in(call))
    parts = part_contents(at, call.query.start, call.query.limit)
    return PartContents(seq=at.seq, messages=len(AskedRequest(at)), parts=parts)


async def check_request(call: Call[Nothing, Nothing]) -> RequestCheck:
    """Build a request again, and compare its digest, and that of its wire body, with those on record."""
    at = await at_of(call, seq_in(call))
    trace, (asked, _) = at.seen.trace, at.seen.trace.about()
    request = await _built(at, asked)
    async with at.whole.digesting:
        digest = await asyncio.to_thread(request_sha256, request, at.whole.hashes)
    return RequestCheck(
        request_seq=asked.seq,
        request_sha256=digest,
        recorded_sha256=asked.event.request_sha256 if asked.event is not None else "",
        digest=await digest_agreement((await session_of(call)).core, trace, asked, digest),
        body=await asyncio.to_thread(body_agreement, asked.event, request, encode_recorded),
    )


async def _built(at: At, asked: SentRequest) -> Request:
    """Build a request, in slices between which others have their turn."""
    requests, parts = WindowRequests(at), list[ContextMessage]()
    for some in requests.slices(asked.view):
        parts += some
        await asyncio.sleep(0)
    return requests.put_together(asked.view, parts, asked.event.selection if asked.event is not None else None)


async def read_body(call: Call[Nothing, Nothing]) -> WireBodyAnswer:
    """Write a request as it goes over the wire."""
    at = await at_of(call, seq_in(call))
    asked, _ = at.seen.trace.about()
    request = await _built(at, asked)
    wire = await asyncio.to_thread(encode_recorded, request)
    if wire is None:
        model = request.model
        raise ProblemError(404, f"no codec writes requests to {model.provider or 'no provider'}:{model.model} here")
    return WireBodyAnswer(
        request_seq=asked.seq,
        codec=wire.codec,
        recorded_codec=asked.event.body_codec if asked.event is not None else "",
        sha256=(await asyncio.to_thread(hashlib.sha256, wire.body)).hexdigest(),
        recorded_sha256=asked.event.body_sha256 if asked.event is not None else "",
        agrees=await asyncio.to_thread(body_agreement, asked.event, request, lambda _: wire),
        body=msgspec.Raw(wire.body),
    )


async def read_changes(call: Call[ChangesQuery, Nothing]) -> RequestChanges:
    """Compare the request that a seq is about with another: what came, what is gone, what is otherwise."""
    asked, new = call.query, await at_of(call, seq_in(call))
    old = await _against(call, asked.against, new) if asked.against is not None else None
    is_other = old is not None and old.info.id != new.info.id
    shared = await shared_seq(call.served.log.store, old.info.id, new.info.id) if old is not None and is_other else None
    return request_changes(new, old, asked.start, asked.limit, shared_seq=shared)


async def _against(call: Call[ChangesQuery, Nothing], against: str, new: At) -> At:
    session, _, seq = against.rpartition(":")
    if not (seq.isascii() and seq.isdecimal() and len(seq) <= 10):
        raise ProblemError(422, f"the query: against: expected a seq, or a session and a seq, found {against[:100]!r}")
    name = await call.served.log.store.resolve(session, prefix=False) if session else new.info.id
    return await at_in(call, name, int(seq))


async def read_part(call: Call[PartQuery, Nothing]) -> Response:
    """Read all of a part by its hash; it never changes.

    It is looked for in the request that a seq of a session is about: as the message of a name, or in all of it.
    """
    asked, wanted = call.query, call.path["sha256"]
    session = await call.served.log.store.resolve(asked.session, prefix=False)
    at = await at_in(call, session, asked.seq)
    found = _find_part(at, wanted, asked.name)
    if found is None:
        raise ProblemError(404, f"session {session}, seq {asked.seq}: no part of the request there has this hash")
    return Response(found, media_type="application/json", headers=_FOR_EVER)


def _find_part(at: At, sha256: str, name: int) -> bytes | None:
    asked = AskedRequest(at)
    if name:
        entry = entry_of(at.whole.seen.trace.view, name)
        told = [] if entry is None else [entry.message, entry.standing, entry.sent]
        told += [edit.sent for edit in asked.view.edits if edit.edits == name]
        messages = [message for message in told if message is not None]
    else:
        messages = [part.message for part in asked.between(0, len(asked))]
    for message in messages:
        if at.whole.hashes.of(message).hex() == sha256:
            return msgspec.json.encode(message)
    sources = PartSources(asked.trace, asked.asked)
    for _, content in sources.config_parts(head_of(asked.view)):
        encoded = msgspec.json.encode(content)
        if hashlib.sha256(encoded).hexdigest() == sha256:
            return encoded
    return None


async def read_sources(call: Call[Nothing, Nothing]) -> SaidWhere:
    """Read where an answer, or a call, has its paths, identifiers and numbers from.

    Plain text is compared: the last part in which a term stands is named, or that none does, and what kept the message
    out that does. The seq is that of an answer's end, or of an event of a call.
    """
    at = await at_of(call, seq_in(call))
    columns, view = at.whole.columns, at.whole.seen.trace.view
    page = await call.served.log.store.read(at.info.id, after=max(at.seq - 1, 0), upto=at.seq, limit=1)
    row = columns.row_at(at.seq, page[0].event if page else None)
    place = columns.places.get(row) if row is not None else None
    name = place[0] if place is not None else columns.names[row] if row is not None else 0
    entry = entry_of(view, name) if name else None
    if entry is None or not isinstance(entry.message, AssistantMessage):
        raise ProblemError(
            404, f"session {at.info.id}, seq {at.seq}: this is of no answer that has ended, and of no call"
        )
    text = answer_text(entry.message, place[1] if place is not None else None)
    asked = AskedRequest(await at_in(call, at.info.id, name - 1))
    return await asyncio.to_thread(said_where, asked, name, text)


_PATH = "/api/sessions/{session}/requests/{seq}"
REQUESTS = (
    Route(method="GET", path=_PATH, does=read_request_head, tag="page", errors=(404,)),
    Route(method="GET", path=f"{_PATH}/parts", does=read_parts, tag="page", errors=(404,)),
    Route(method="GET", path=f"{_PATH}/contents", does=read_contents, tag="page", errors=(404,)),
    Route(method="GET", path=f"{_PATH}/check", does=check_request, tag="page", errors=(404,)),
    Route(method="GET", path=f"{_PATH}/body", does=read_body, tag="page", errors=(404,)),
    Route(method="GET", path=f"{_PATH}/changes", does=read_changes, tag="page", errors=(404,)),
    Route(method="GET", path="/api/sessions/{session}/sources/{seq}", does=read_sources, tag="page", errors=(404,)),
    Route(
        method="GET",
        path="/api/parts/{sha256}",
        does=read_part,
        tag="page",
        also={200: ("application/json",)},
        errors=(404,),
    ),
)
