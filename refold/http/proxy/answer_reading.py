"""Reading the answer that passes by into the log, with what it cost."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import httpx

from eventsource.errors import RefoldError
from eventsource.events import ModelRef
from eventsource.models.prices import priced
from eventsource.models.protocol import StreamEnd, StreamEvent, StreamUsage
from eventsource.models.transport.body import BodyParser
from eventsource.models.transport.failures import body_failure
from eventsource.models.transport.http import with_cost
from eventsource.models.transport.sse import ServerEvent
from eventsource.models.wire import Reader
from eventsource.runner.reply import ReplyReader
from projections.context import ContextView

from .answer_buffer import AnswerBuffer

CUT = "the stream ended before the answer was complete"
ANSWER_BYTES = 1 << 28
"""256 MiB of an answer, unpacked; of an error 1 MiB."""
ERROR_BYTES = 1 << 20


async def read_answer(
    buffer: AnswerBuffer, reader: Reader, reply: ReplyReader[ContextView], model: ModelRef, clock: Callable[[], int]
) -> None:
    """Read the answer into the log; what it ends in, well or badly, is the message that the log gets."""
    asked_us = clock()

    async def record(said: StreamEvent) -> None:
        told = isinstance(said, StreamUsage | StreamEnd)
        await reply.take(with_cost(said, model, priced, at_us=asked_us) if told else said)

    response = await buffer.response()
    status, problem, parser = response.status_code, "", BodyParser()
    try:
        if status >= 400:
            reply.fail(body_failure(status, await _beginning(response)).text)
            return
        size = 0
        async for piece in response.aiter_bytes():
            size += len(piece)
            if size > ANSWER_BYTES:
                raise RefoldError(f"the answer has more than {ANSWER_BYTES:,} bytes")
            for event in parser.feed(piece):
                await _take(event, reader, record, reply)
            buffer.complete = reader.done
    except httpx.DecodingError as error:
        problem = f"the answer (status {status}) cannot be decoded: {error}"
    for event in parser.close():
        await _take(event, reader, record, reply)
    for said in reader.finish(buffer.problem or problem or CUT, aborted=buffer.aborted):
        await record(said)


async def _beginning(response: httpx.Response) -> bytes:
    """Read what of an error's body can matter."""
    read = bytearray()
    async for piece in response.aiter_bytes():
        read += piece
        if len(read) > ERROR_BYTES:
            break
    return bytes(read[:ERROR_BYTES])


async def _take(
    event: ServerEvent,
    reader: Reader,
    record: Callable[[StreamEvent], Awaitable[None]],
    reply: ReplyReader[ContextView],
) -> None:
    if reader.done or reader.failure is not None or reply.ended:
        return
    try:
        events = reader.feed(event)
    except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
        reply.fail(f"the stream holds an event of an unknown shape ({error!r}): {event.data[:500]}")
        return
    for said in events:
        await record(said)
