"""Sending an answer over HTTP: streamed as it comes, or at its end as one object."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence

from msgspec.structs import replace

from eventsource.events import MessageUpdate
from eventsource.log import utc_now_us
from eventsource.messages import AssistantMessage, TextContent, ThinkingContent, ToolCall
from eventsource.models.protocol import StreamEnd, StreamRetry, StreamStart
from eventsource.models.scripted.model import EXHAUSTED_TEXT
from eventsource.models.scripted.script import ScriptStep, StreamedAnswer

from ..script_server.behaviours import Body
from ..server import Exchange
from .protocol import Answerer, Asked, Wire

_BROKEN, _NO_MORE, _TRY_AGAIN = 500, 400, 429


class AnswerSender:
    """Sends one answer in the form that was asked for: streamed as it comes, or at its end as one object."""

    def __init__(self, wire: Wire, asked: Asked, answer: AssistantMessage, body: Body) -> None:
        self._wire, self._asked, self._expected, self._body = wire, asked, answer, body
        self._answerer: Answerer = wire.answerer(asked, answer)
        self._begun = self._said = False

    async def take(self, step: StreamStart | MessageUpdate | StreamRetry | StreamEnd | AssistantMessage) -> None:
        """Send what comes next."""
        match step:
            case StreamStart():
                await self._tell(self._answerer.start())
            case MessageUpdate():
                await self._tell(self._answerer.update(step))
            case StreamRetry():
                wait_us = step.not_before_us - utc_now_us()
                after = f"{wait_us / 1e6:.3f}" if wait_us > 0 else ""
                await self._refuse(_TRY_AGAIN, step.cause, after)
            case StreamEnd():
                await self._end(step.message)
            case AssistantMessage():
                await self._end(step)

    async def stall(self) -> None:
        """Send nothing more until the client leaves."""
        await self._begin()
        await self._body.stall()

    async def _end(self, message: AssistantMessage) -> None:
        failed = message.stop_reason in ("error", "aborted")
        message = replace(self._expected, stop_reason=message.stop_reason, error=message.error)
        if failed and not self._begun:
            await self._refuse(_NO_MORE if message.error.startswith(EXHAUSTED_TEXT) else _BROKEN, message.error)
            return
        if self._asked.form == "whole":
            await self._begin()
            await self._body.send(json.dumps(self._wire.whole(self._asked, message)).encode())
        else:
            if not self._begun:  # it came whole
                await self._tell(self._answerer.start())
                for update in as_updates(message):
                    await self._tell(self._answerer.update(update))
            await self._tell(self._answerer.end(message))
            await self._body.send(self._wire.closing(self._asked.form))
        await self._body.end()

    async def _tell(self, objects: Sequence[dict[str, object]]) -> None:
        if self._asked.form == "whole":
            return
        await self._begin()
        if objects:
            piece = self._wire.frame(objects, self._asked.form, first=not self._said)
            self._said = True
            await self._body.send(piece)

    async def _begin(self) -> None:
        if not self._begun:
            self._begun = True
            kind = b"text/event-stream; charset=utf-8" if self._asked.form == "events" else b"application/json"
            await self._body.begin(200, [(b"content-type", kind)])

    async def _refuse(self, status: int, message: str, retry_after: str = "") -> None:
        await refuse(self._body.exchange, self._wire, status, message, retry_after=retry_after)


def expected(said: Sequence[ScriptStep], response_id: str) -> AssistantMessage:
    """Work out the message that an answer comes to; one that breaks off, as far as it goes."""
    transcript, last = StreamedAnswer(), AssistantMessage()
    for step in said:
        match step:
            case StreamStart() | MessageUpdate():
                transcript.add(step)
            case AssistantMessage():
                last = step
            case StreamEnd(message=message):
                last = message
            case _:
                pass
    content = last.content or transcript.end(last).message.content
    return replace(last, content=content, response_id=last.response_id or response_id)


def as_updates(message: AssistantMessage, deltas: Mapping[int, Sequence[str]] | None = None) -> Iterator[MessageUpdate]:
    """Spell a message out as it may have streamed, with these deltas of its blocks (else each in one)."""
    for index, block in enumerate(message.content):
        given = (deltas or {}).get(index)
        match block:
            case TextContent(text=text):
                yield MessageUpdate(kind="text_start", content_index=index)
                yield from (
                    MessageUpdate(kind="text_delta", content_index=index, delta=d) for d in given or [text] if d
                )
                yield MessageUpdate(kind="text_end", content_index=index)
            case ThinkingContent(thinking=text):
                yield MessageUpdate(kind="thinking_start", content_index=index)
                for delta in given or [text]:
                    if delta:
                        yield MessageUpdate(kind="thinking_delta", content_index=index, delta=delta)
                yield MessageUpdate(kind="thinking_end", content_index=index)
            case ToolCall(arguments=text):
                yield MessageUpdate(kind="tool_call_start", content_index=index, id=block.id, name=block.name)
                for delta in given or [text]:
                    yield MessageUpdate(kind="tool_call_delta", content_index=index, delta=delta)
                yield MessageUpdate(kind="tool_call_end", content_index=index)
            case _:
                yield MessageUpdate(kind="provider_block", content_index=index)


async def refuse(
    exchange: Exchange, wire: Wire | None, status: int, message: str, *, retry_after: str = "", final: bool = False
) -> None:
    """Answer with an error, in the protocol's words. `final`: to ask again, as clients do, is in vain."""
    after = [(b"retry-after", retry_after.encode())] if retry_after else []
    after += [(b"x-should-retry", b"false")] if final else []
    body = wire.error(status, message) if wire is not None else {"error": {"message": message}}
    await answer_json(exchange, status, body, after)


async def answer_json(
    exchange: Exchange, status: int, value: object, headers: Sequence[tuple[bytes, bytes]] = ()
) -> None:
    """Answer with a JSON value."""
    await exchange.answer(status, [(b"content-type", b"application/json"), *headers], json.dumps(value).encode())
