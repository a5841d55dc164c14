"""Why a model was sent what it was sent: each part of a request, and the event that put it there."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable
from itertools import islice, starmap
from typing import Literal, TypeAlias, TypeVar

import msgspec

from eventsource.envelope import Recorded
from eventsource.errors import UnknownSeqError
from eventsource.events import AgentEnd, ModelRequest
from eventsource.log.load import load
from eventsource.models.protocol import WireBody
from eventsource.request import PartHashes, Request, request_sha256
from eventsource.session import SessionHandle
from projections.context import Requests

from .lineage import erased_seqs
from .provenance import Provenance
from .request_changes import BuiltRequest, Change, find_changes
from .request_parts import TRACE, RequestPart, SentRequest, Trace
from .why_text import pretty, standing_text

T = TypeVar("T", bound=msgspec.Struct)

PAGE_BYTES = 15_000
"""What the messages of a page take as JSON, and what its changes do; one that is larger stands alone."""
Agreement: TypeAlias = Literal["equal", "differs", "unchecked"]
Encode: TypeAlias = Callable[[Request], WireBody | None]


class Why(msgspec.Struct, frozen=True, kw_only=True):
    """Where a run stood at a seq, and what the model was, or would next be, sent there.

    `request_seq`: the `model_request` it is about, 0 when it was not sent yet. `request_sha256` is computed now, and
    `recorded_sha256` stands in the log. `digest` and `body` say whether they are equal: `unchecked` without a request
    on record, after its content was erased, or (the body) without a codec of the recorded version.
    `left_out`: messages that a hook kept from this request. `before_seq`: the request that `changes` compare with.
    `earlier`: how many messages a limit has left out before those in `parts` and `request`; `more_changes`: how many
    changes behind those in `changes`. `adopted`: `request_seq` is that of an answer that was made elsewhere, and its
    request is put together from what had been said by then.
    """

    session: str
    seq: int
    at_us: int
    event: str
    phase: str
    standing: str
    request: Request
    request_seq: int
    request_sha256: str
    recorded_sha256: str
    digest: Agreement
    body: Agreement
    parts: tuple[RequestPart, ...]
    left_out: tuple[RequestPart, ...]
    before_seq: int
    changes: tuple[Change, ...]
    earlier: int = 0
    more_changes: int = 0
    adopted: bool = False

    def pretty(self, *, last: int | None = None) -> str:
        """Write it for a person; of the messages only the last so many, and how many there are before them."""
        return pretty(self, last)

    def json(self) -> str:
        """Write it as one JSON object."""
        return msgspec.json.encode(self).decode()


async def why(session: SessionHandle, seq: int, *, encode: Encode | None = None, limit: int | None = None) -> Why:
    """Explain why the model was sent what it was sent.

    Within a turn, from its `model_request` on, it is about that request, so at an answer's or a tool call's seq about
    the request that led to it; at an answer that was adopted, and its calls, about what had been said before it;
    anywhere else about the one that would come next.

    Args:
        encode: makes the wire body, to check the recorded body's digest; see `Model.encode`.
        limit: tell of the last so many messages, and of so many changes, in 64 kB; the digests are those of all.

    Raises: UnknownSeqError.
    """
    limit = None if limit is None else max(limit, 0)
    info = await session.info()
    if not 1 <= seq <= info.head:
        raise UnknownSeqError(session.id, seq, info.head)
    _, state, trace = await load(session.log, session.id, context=TRACE, upto=seq, info=info)
    [at] = await session.events(after=seq - 1, upto=seq, limit=1) or [trace.last or Recorded(seq, 0, AgentEnd())]
    asked, before = trace.about()
    requests, hashes = session.log.folds.beside(info, TRACE.step, lambda: (Requests(), PartHashes()))
    old = BuiltRequest(trace, before, requests) if before is not None else None
    built = BuiltRequest(trace, asked, requests.copy() if old is not None else requests)
    digest = request_sha256(built.request, hashes)
    agreement = await digest_agreement(session, trace, asked, digest)
    most = _fitting(reversed(built.request.messages), limit)
    last = built.messages()[len(built.request.messages) - most :]
    changes, more = _changes(old, built, limit) if old is not None else ((), 0)
    return Why(
        session=session.id,
        seq=seq,
        at_us=at.at_us,
        event=str(at.event.__struct_config__.tag),
        phase=state.phase.value,
        standing=standing_text(state),
        request=msgspec.structs.replace(built.request, messages=tuple(message for message, _ in last)),
        request_seq=asked.seq,
        request_sha256=digest,
        recorded_sha256=asked.event.request_sha256 if asked.event is not None else "",
        digest=agreement,
        body=body_agreement(asked.event, built.request, encode),
        parts=(*built.config_parts(), *starmap(built.message_part, last)),
        left_out=tuple(islice(built.left_out(), limit)),
        before_seq=before.seq if before is not None else 0,
        changes=changes,
        earlier=len(built.request.messages) - most,
        more_changes=more,
        adopted=asked.seq > 0 and asked.event is None,
    )


def _fitting(found: Iterable[T], limit: int | None) -> int:
    """Count how many of what is found stand on a page: so many, within its bytes, and one at the least."""
    count = size = 0
    for one in islice(found, limit):
        size += len(msgspec.json.encode(one)) if limit is not None else 0
        if size > PAGE_BYTES and count:
            break
        count += 1
    return count


def _agrees(equal: bool) -> Agreement:  # noqa: FBT001  # an answer, not an option
    return "equal" if equal else "differs"


async def digest_agreement(session: SessionHandle, trace: Trace, asked: SentRequest, digest: str) -> Agreement:
    """Compare a request's digest with the one on record; of content that was erased it cannot be checked."""
    recorded = asked.event.request_sha256 if asked.event is not None else ""
    if not recorded or (digest != recorded and await _was_erased(session, trace, asked)):
        return "unchecked"
    return _agrees(digest == recorded)


def body_agreement(event: ModelRequest | None, built: Request, encode: Encode | None) -> Agreement:
    """Compare a request's wire body with the digest on record, where the codec is the one that made that."""
    body = encode(built) if encode is not None and event is not None and event.body_sha256 else None
    if body is None or event is None or body.codec != event.body_codec:
        return "unchecked"
    return _agrees(hashlib.sha256(body.body).hexdigest() == event.body_sha256)


async def _was_erased(session: SessionHandle, trace: Trace, asked: SentRequest) -> bool:
    erased = await erased_seqs(session.log, session.id)
    selection = asked.event.selection if asked.event is not None else None
    provenance = Provenance()
    for recorded in trace.trail:
        provenance.feed(recorded)
    return provenance.has_erased(erased, asked.view, asked.seq, selection, config=asked.config)


def _changes(old: BuiltRequest, built: BuiltRequest, limit: int | None) -> tuple[tuple[Change, ...], int]:
    """Compare two requests. Returns: what stands on a page, and how many changes more there are."""
    found = find_changes(old, built)
    page = tuple(one.describe() for one in found[:limit])
    page = page[: _fitting(page, limit)]
    return page, len(found) - len(page)
