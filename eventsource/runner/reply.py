"""Reading one answer of a model into the log, delta by delta."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from typing import Generic, TypeVar

import msgspec
from msgspec.structs import replace

from ..admission import repair
from ..assemble import Assembler, content_differs
from ..background import stop
from ..codec import clean_text
from ..errors import IllegalEventError, RefoldError
from ..events import MessageEnd, MessageStart, MessageUpdate, ModelRef, Retry
from ..messages import AssistantMessage, Usage
from ..models.protocol import StreamEnd, StreamEvent, StreamRetry, StreamStart, StreamUsage
from ..user_code.calls import CLEAN_UP_S, attempt, attempt_async, by_signal, enter, guarded_tasks
from ..user_code.error_words import words
from .writer import Writer

V = TypeVar("V")

FLUSH_UPDATES = 32
"""Updates appended at once at the latest."""

NO_END = "The stream ended without a terminal event"


class ReplyReader(Generic[V]):
    """Turns stream events into the events of one assistant message."""

    def __init__(self, writer: Writer[V], ref: ModelRef, flush_updates: int) -> None:
        self._writer, self._ref, self._flush_updates = writer, ref, flush_updates
        self._assembler = Assembler()
        self._halves: dict[int, MessageUpdate] = {}
        self._begun = False
        self._held = 0
        self.ended = False
        self.message: AssistantMessage | None = None
        self.usage: Usage | None = None
        """What the provider said of the call so far."""

    def take_delta(self, item: StreamEvent) -> bool:
        """Record a delta of plain text at once. Returns: False for whatever takes more: `take` does all of it."""
        if type(item) is not MessageUpdate or not self._begun or self.ended or self._halves:
            return False
        if self._held + 1 >= self._flush_updates or not item.delta.isascii() or not self._writer.delta(item):
            return False
        self._held += 1
        self._assembler.add(item)
        return True

    async def take(self, item: StreamEvent) -> None:
        """Record one stream event; what comes after the end, and deltas before the start, are dropped."""
        if self.ended:
            return
        match item:
            case MessageUpdate():  # first: of these there are many
                if not self._begun:
                    return
                self._update(item)
            case StreamStart():
                self._begin(item, streamed=True)
            case StreamUsage(usage=usage):
                self.usage = usage
                return
            case StreamRetry() if self._begun:
                self.fail("The stream is not well formed: it asked for another try after it had begun")
            case StreamRetry():
                used = replace(self.usage, raw=msgspec.UNSET) if self.usage is not None else None
                self._writer.outcome(Retry(cause=item.cause, not_before_us=item.not_before_us, usage=used))
                self.ended = True
            case StreamEnd():
                self.finish(item.message)
        self._held += 1
        if self._held >= self._flush_updates and not self.ended:
            self._held = 0
            await self._writer.flush()

    def _update(self, update: MessageUpdate) -> None:
        """Record an update; half of a character (a surrogate) waits for the delta that brings the other half."""
        held = self._halves.pop(update.content_index, None)
        if not update.kind.endswith("_delta"):
            self._record(held)
        elif held is not None or not update.delta.isascii():
            text = (held.delta if held is not None else "") + update.delta
            if "\ud800" <= text[-1:] <= "\udbff":
                self._halves[update.content_index], text = replace(update, delta=text[-1]), text[:-1]
            update = replace(update, delta=text)
        problem = self._record(update)
        if problem is not None:
            self.fail(f"The stream is not well formed: {problem}")

    def _record(self, update: MessageUpdate | None) -> str | None:
        """Record an update if it is legal. Returns: why it is not."""
        if update is None:
            return None
        try:
            (recorded,) = self._writer.outcome(update)
        except IllegalEventError as error:
            return error.reason
        if isinstance(recorded, MessageUpdate):
            self._assembler.add(recorded)
        return None

    def finish(self, message: AssistantMessage) -> None:
        """End the message; one that contradicts its own stream ends as an error with what was streamed."""
        api, provider, model = self._differing(message.api, message.provider, message.model)
        message = replace(message, api=api, provider=provider, model=model)
        self._give_up_halves()
        streamed = self._assembler.content()
        problem = content_differs(streamed, message.content[: len(streamed)])
        if problem:  # unless its texts are yet to be repaired, as those of the updates were
            message = repair(message)
            problem = content_differs(streamed, message.content[: len(streamed)])
        if problem:
            message = replace(message, content=streamed, stop_reason="error", error=f"the provider's {problem}")
        if not self._begun:
            self._begin(StreamStart(api=message.api, provider=message.provider, model=message.model), streamed=False)
        (end,) = self._writer.outcome(MessageEnd(message=message))
        kept = end.message if isinstance(end, MessageEnd) else None
        self.ended, self.message = True, kept if isinstance(kept, AssistantMessage) else message

    def _give_up_halves(self) -> None:
        """Record what waited for its other half in vain, as the text that stands for what is no character."""
        while self._halves:
            self._record(self._halves.popitem()[1])

    def fail(self, error: str) -> None:
        """End the message as an error, with what was streamed of it."""
        self._give_up_halves()
        content = self._assembler.content()
        self.finish(AssistantMessage(content=content, stop_reason="error", error=clean_text(error), usage=self.usage))

    def _begin(self, start: StreamStart, *, streamed: bool) -> None:
        self._begun = True
        api, provider, model = self._differing(start.api, start.provider, start.model)
        usage = replace(self.usage, raw=msgspec.UNSET) if streamed and self.usage is not None else None
        self._writer.outcome(
            MessageStart(role="assistant", streamed=streamed, api=api, provider=provider, model=model, usage=usage)
        )

    def _differing(self, api: str, provider: str, model: str) -> tuple[str, str, str]:
        """Keep of a model's names what the configuration does not say already."""
        ref = self._ref
        return (
            api if api != ref.api else "",
            provider if provider != ref.provider else "",
            model if model != ref.model else "",
        )


async def read_reply(
    reader: ReplyReader[V],
    begin: Callable[[], AsyncIterator[StreamEvent]],
    *,
    aborting: asyncio.Event,
    stopped: Callable[[], bool],
    clean_up_s: float = CLEAN_UP_S,
) -> None:
    """Begin a stream and read it to its end, or until the run is aborted; what it raises becomes an error message.

    Leaves the message open after an abort: closing it is the machine's to decide. A stream that ignores its
    cancellation is left alone after `clean_up_s`; nothing of it is recorded any more.
    """
    left = asyncio.Event()
    with guarded_tasks():
        work = asyncio.create_task(_read(begin, reader, stopped, left))
        abort = asyncio.create_task(aborting.wait())
        try:
            await asyncio.wait([work, abort], return_when=asyncio.FIRST_COMPLETED)
        finally:
            if not work.done():
                left.set()
            try:
                await stop(abort, work, timeout_s=clean_up_s)
            finally:
                reader.ended = reader.ended or not work.done()
    if work.done() and not work.cancelled():
        work.result()


async def _read(
    begin: Callable[[], AsyncIterator[StreamEvent]],
    reader: ReplyReader[V],
    stopped: Callable[[], bool],
    left: asyncio.Event,
) -> None:
    stream: AsyncIterator[StreamEvent] | None = None
    enter()
    try:
        begun = attempt(begin)
        if begun.error is not None:
            reader.fail(words(begun.error))
            return
        stream = begun.value  # type: ignore[assignment]  # what `begin` returned; if it is no stream, the next line says so
        ends = stopped()
        while not (ends or left.is_set()):
            try:
                item = await anext(stream)  # type: ignore[arg-type]  # as above
            except StopAsyncIteration:
                reader.fail(NO_END)
                return
            except BaseException as error:
                if by_signal(error) or left.is_set():
                    raise
                _uncancel(error)
                reader.fail(words(error))
                return
            ends = stopped()
            if not (ends or left.is_set() or _is_taken(reader, item)):
                await _take(reader, item, left)
                ends = reader.ended or stopped()
    finally:
        if isinstance(stream, AsyncGenerator):
            await attempt_async(stream.aclose)


def _is_taken(reader: ReplyReader[V], item: StreamEvent) -> bool:
    """Take a delta at once, if it is one. Returns: False also for what is no item at all: `_take` says so."""
    try:
        return reader.take_delta(item)
    except Exception:
        return False


async def _take(reader: ReplyReader[V], item: StreamEvent, left: asyncio.Event) -> None:
    """Record an item; one that is nothing a stream may say ends the message as an error."""
    try:
        await reader.take(item)
    except asyncio.CancelledError as error:
        if left.is_set():
            raise
        _uncancel(error)  # the stream's code cancelled its own task
        reader.fail(words(error))
    except (RefoldError, OSError):
        raise
    except Exception as error:
        reader.fail(f"The stream is not well formed: {words(error)}")


def _uncancel(error: BaseException) -> None:
    task = asyncio.current_task()
    while isinstance(error, asyncio.CancelledError) and task is not None and task.cancelling():
        task.uncancel()
