"""Recorded exchanges with providers, played through the transport."""

from __future__ import annotations

import base64
import json
import os
import random
from collections.abc import AsyncIterator, Iterable, Sequence
from pathlib import Path
from typing import Any

import httpx
import msgspec

from eventsource.assemble import Assembler, content_differs
from eventsource.events import MessageUpdate, ModelRef
from eventsource.messages import AssistantMessage, Message, ToolCall, ToolResultMessage
from eventsource.models.protocol import CallOptions, StreamEnd, StreamEvent, StreamRetry, StreamStart, StreamUsage
from eventsource.models.transport.body import BodyParser
from eventsource.models.transport.http import Access, HttpModel
from eventsource.models.wire import Codec
from eventsource.request import Request

STREAMS = Path(os.environ.get("REFOLD_DATA", Path(__file__).parents[2] / "../shared/data")) / "streams"
ABSENT = "no recorded streams: set REFOLD_DATA to the folder that holds them"


# One source's recorder wrote requests (never answers) with plain quotes and dashes.
_TYPOGRAPHY = str.maketrans({"‘": "'", "’": "'", "“": '"', "”": '"', "–": "-", "—": "-"})


def plain(text: str) -> str:
    """Write typographic quotes and dashes as that recorder does."""
    return text.translate(_TYPOGRAPHY)


class Case:
    """One recorded exchange."""

    def __init__(self, path: Path) -> None:
        self.name = path.stem
        self.data: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        self.expected: dict[str, Any] = self.data["expected"]
        self.response: dict[str, Any] = self.data["response"]
        self.request_body: dict[str, Any] | None = self.data["request"].get("body")

    def __repr__(self) -> str:
        return self.name

    @property
    def body(self) -> bytes:
        text = self.response.get("body_text")
        return base64.b64decode(self.response["body_base64"]) if text is None else str(text).encode()

    @property
    def turns(self) -> tuple[str, int, int]:
        """The cassette, which exchange of it this is (from 0), and how many it holds."""
        data = self.data
        source = f"{data['source_repo']}/{data['source_path']}"
        return source, data.get("interaction_index") or 0, data.get("interactions_in_source") or 1


def cases(api: str) -> list[Case]:
    """Read every exchange of one API; none where the data are absent."""
    return [Case(path) for path in sorted((STREAMS / api).glob("*.json"))]


def pieces(case: Case) -> list[bytes]:
    """Cut a body at random places, the same ones each time."""
    body, dice = case.body, random.Random(case.name)
    cuts = sorted(dice.randrange(len(body) + 1) for _ in range(min(400, len(body) // 4)))
    return [body[a:b] for a, b in zip([0, *cuts], [*cuts, len(body)], strict=True)]


class _Pieces(httpx.AsyncByteStream):
    def __init__(self, chunks: Iterable[bytes]) -> None:
        self._chunks = chunks

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for chunk in self._chunks:
            yield chunk


async def play(case: Case, codec: Codec, request: Request, chunks: Sequence[bytes]) -> list[StreamEvent]:
    """Answer a request with a recorded body, through the transport."""

    async def answer(_: httpx.Request) -> httpx.Response:
        headers = {"content-type": case.response.get("content_type") or "text/event-stream"}
        return httpx.Response(case.response["status"], headers=headers, stream=_Pieces(chunks))

    async with httpx.AsyncClient(transport=httpx.MockTransport(answer)) as client:
        access = Access(base_url="http://recorded", keyless=True, max_attempts=1)
        model = HttpModel(codec, request.model, access, client=client)
        return [event async for event in model.stream(request, CallOptions())]


def read_bytes(case: Case, codec: Codec, request: Request) -> list[StreamEvent]:
    """Read a recorded body byte by byte, without the transport."""
    parser, reader = BodyParser(), codec.reader(request)
    events: list[StreamEvent] = []
    for byte in case.body:
        for event in parser.feed(bytes([byte])):
            events += reader.feed(event)
    for event in parser.close():
        events += reader.feed(event)
    return events + reader.finish()


def final(events: Sequence[StreamEvent]) -> AssistantMessage:
    """Check that a stream keeps the contract of `Model.stream`, and give its message."""
    *before, last = [event for event in events if not isinstance(event, StreamUsage)]
    assert isinstance(last, StreamEnd), events
    assert not any(isinstance(event, StreamEnd | StreamRetry) for event in before)
    assert not any(isinstance(event, StreamStart) for event in before[1:])
    assembler = Assembler()
    for event in before:
        if isinstance(event, MessageUpdate):
            assembler.add(event)
    assert content_differs(assembler.content(), last.message.content) == ""
    return last.message


def asked(api: str, provider: str, model: str) -> Request:
    """A request whose answer is recorded without it."""
    return Request(model=ModelRef(api=api, provider=provider, model=model))


def conversations(found: Sequence[Case]) -> list[tuple[Case, Case]]:
    """Pair each recorded exchange with the one that goes on from its answer."""
    by_turn = {case.turns[:2]: case for case in found if case.request_body}
    pairs = ((case, by_turn.get((source, index + 1))) for (source, index), case in by_turn.items())
    return [(case, after) for case, after in pairs if after is not None and _length(after) > _length(case)]


def _length(case: Case) -> int:
    body = case.request_body or {}
    messages = body.get("messages") or body.get("contents") or body.get("input") or []
    return len(messages) if isinstance(messages, list) else 1


def with_answer(request: Request, asked_before: Request, answer: AssistantMessage) -> Request:
    """Put our reading of an answer in place of the one a recorded request repeats, with our ids in its results."""
    begin = end = len(asked_before.messages)
    while end < len(request.messages) and isinstance(request.messages[end], AssistantMessage):
        end += 1
    assert end > begin, "the request does not go on from the answer before it"
    theirs = [call.id for message in request.messages[begin:end] for call in _calls(message)]
    assert len(theirs) == len(answer.tool_calls), "the request repeats other calls than the answer made"
    ours = dict(zip(theirs, (call.id for call in answer.tool_calls), strict=True))
    after = (
        msgspec.structs.replace(message, tool_call_id=ours.get(message.tool_call_id, message.tool_call_id))
        if isinstance(message, ToolResultMessage)
        else message
        for message in request.messages[end:]
    )
    return msgspec.structs.replace(request, messages=(*request.messages[:begin], answer, *after))


def _calls(message: Message) -> tuple[ToolCall, ...]:
    return message.tool_calls if isinstance(message, AssistantMessage) else ()
