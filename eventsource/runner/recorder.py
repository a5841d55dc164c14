"""Your own loop, our log: it says what it does, and the log becomes like any other."""

from __future__ import annotations

import hashlib
import json
from collections.abc import AsyncIterator, Callable, Mapping, Set
from contextlib import AsyncExitStack, asynccontextmanager
from types import TracebackType
from typing import Generic, Protocol, TypeVar

from msgspec.structs import replace

from ..background import finish
from ..codec import from_json
from ..context_fold import ContextFold
from ..errors import ArgumentError, FencedError, RecorderError
from ..events import (
    AbortRequest,
    EndReason,
    ModelRef,
    ModelRequest,
    Place,
    Policies,
    QueuePush,
    Resume,
    ToolExecutionEnd,
    ToolExecutionStart,
    ToolExecutionUpdate,
)
from ..log.protocol import EventLog
from ..machine.config_diff import difference
from ..machine.guards import find_call
from ..machine.state import Phase
from ..machine.steps import CallModel, RunTools, Step, Stop, resume_reason
from ..messages import AssistantMessage, Message, TextContent, ToolCall, UserMessage
from ..models.protocol import StreamEvent
from ..request import Request, request_sha256
from ..tools.results import ToolOutcome, failure, to_outcome, to_result
from ..user_code.argument_types import shown
from ..user_code.error_words import words
from .advance import advance
from .flushing import flushing
from .lease import HeldLease, hold
from .reply import FLUSH_UPDATES, ReplyReader
from .writer import Writer

V = TypeVar("V")

POLICIES = Policies(
    tools="parallel",
    steering="after_batch",
    steering_queue="all",
    follow_up_queue="all",
    length_calls="run",
    unknown_tools="run",
)
"""A foreign loop decides by itself what runs, and names no tools; the machine only keeps its record legal."""

NO_ANSWER = "the recorded call ended without an answer"


class ChunkDecoder(Protocol):
    """Reads a provider's chunks."""

    def chunk(self, chunk: object) -> list[StreamEvent]:
        """Read one chunk."""
        ...

    def end(self) -> list[StreamEvent]:
        """Read the end of the stream."""
        ...


class PlacedCall:
    """A tool call the model made: its id, name and place, and its arguments as JSON text."""

    def __init__(self, call: ToolCall, place: Place) -> None:
        self.id, self.name, self.place, self.text = call.id, call.name, place, call.arguments

    @property
    def arguments(self) -> dict[str, object]:
        """The arguments. Raises: RecorderError when the model wrote no JSON object."""
        try:
            value = from_json(self.text or "{}")
        except ValueError as error:
            raise RecorderError(f"the arguments of call {self.id} are no JSON: {error}") from error
        if not isinstance(value, dict):
            raise RecorderError(f"the arguments of call {self.id} are no object: {self.text[:100]}")
        return value


class Reply(Generic[V]):
    """A model's answer while it is recorded: give it whole, as stream events, or as the provider's chunks."""

    def __init__(
        self, writer: Writer[V], reader: ReplyReader[V], feed: ChunkDecoder | None, check: Callable[[], None]
    ) -> None:
        self._writer, self._reader, self._feed, self._check = writer, reader, feed, check
        self.calls: tuple[PlacedCall, ...] = ()

    def message(self, message: AssistantMessage | str) -> None:
        """Record an answer that came whole. Raises: ArgumentError when it is none."""
        self._check()
        whole = AssistantMessage(content=(TextContent(text=message),)) if isinstance(message, str) else message
        if not isinstance(whole, AssistantMessage):
            advice = "what a provider sends goes to reply.feed(...), chunk by chunk"
            raise ArgumentError("reply.message", "message", "an AssistantMessage or a text", shown(whole), advice)
        self._reader.finish(whole)

    async def take(self, event: StreamEvent) -> None:
        """Record one event of a stream. Raises: FencedError when another runner has taken the session over."""
        self._check()
        await self._reader.take(event)

    async def feed(self, chunk: object) -> None:
        """Record one chunk as the provider sent it: a mapping, a client library's object, or JSON text.

        Raises: RecorderError when the recorder was not told which protocol the provider speaks.
        """
        self._check()
        if self._feed is None:
            raise RecorderError("to read a provider's chunks, name its model: log.record(..., model='openai:gpt-5')")
        for event in self._feed.chunk(chunk):
            await self._reader.take(event)

    async def finish(self, error: str) -> None:
        """End the answer; one that was not given is an error, one that broke off is an error with what came of it."""
        if self._feed is not None and not error:
            for event in self._feed.end():
                await self._reader.take(event)
        if not self._reader.ended:
            self._reader.fail(error or NO_ANSWER)
        await self._writer.flush()  # only then the message has the seq that its calls are named by
        self.calls = _calls(self._writer, self._reader.message)


class ToolExecution:
    """A tool call while it is recorded."""

    def __init__(self, place: Place, record: Callable[[ToolExecutionUpdate], object], name: str) -> None:
        self._place, self._record, self._name = place, record, name
        self.outcome: ToolOutcome | None = None

    def update(self, partial: object) -> None:
        """Record a partial result."""
        place = self._place
        self._record(
            ToolExecutionUpdate(
                message_seq=place.message_seq, content_index=place.content_index, partial=to_result(partial)
            )
        )

    def result(self, value: object, *, is_error: bool = False) -> None:
        """Record what the tool returned: whatever a tool of an `Agent` may return."""
        outcome = to_outcome(value, tool=self._name)
        self.outcome = ToolOutcome(outcome.result, is_error or outcome.is_error)


class Recorder(Generic[V]):
    """Records one run of a foreign loop in a session; made by `log.record`.

    Between its calls the machine writes what belongs between them: turns, deliveries, result messages, the end.
    """

    def __init__(
        self,
        log: EventLog,
        session: str,
        *,
        model: ModelRef,
        feed: Callable[[ModelRef, Request], ChunkDecoder | None],
        context: ContextFold[V],
        clock: Callable[[], int],
    ) -> None:
        self.session = session
        self._log, self._model, self._feed = log, model, feed
        self._writer = Writer(log, session, context=context, clock=clock, on_commit=lambda recorded: None)
        self._holding = AsyncExitStack()
        self._held: HeldLease | None = None

    async def __aenter__(self) -> Recorder[V]:
        """Take the session, keep it, and bring it to where a new prompt can be said."""
        held = await self._holding.enter_async_context(hold(self._log, self.session))
        try:
            await self._begin(held)
        except BaseException:
            await self._holding.aclose()
            raise
        return self

    async def _begin(self, held: HeldLease) -> None:
        writer = self._writer
        self._held, writer.lease = held, held.lease
        await writer.load()
        if writer.state.phase is not Phase.IDLE:
            writer.outcome(Resume(why=resume_reason(writer.state), runner=held.lease.owner))
        wanted = replace(writer.state.config, model=self._model, tools=(), policies=POLICIES)
        change = difference(writer.state.config, wanted)
        if change is not None:
            writer.outcome(change)
        await writer.flush()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Bring the run to its end, however often its task is cancelled; after an exception, to one that says so.

        Raises: FencedError when another runner has taken the session over.
        """
        try:
            if not isinstance(error, FencedError):
                self._check()
                await finish(self._end(error))
        finally:
            await self._holding.aclose()

    async def _end(self, error: BaseException | None) -> None:
        writer = self._writer
        if error is not None and writer.state.run is not None and writer.state.aborted is None:
            aborted = not isinstance(error, Exception)
            reason: EndReason = "aborted" if aborted else "error"
            writer.outcome(AbortRequest(reason=reason, cause="callback", error=words(error)))
        elif writer.state.batch is not None and writer.state.aborted is None:
            writer.outcome(AbortRequest(reason="stop", cause="callback"))
        await self._advance(end=True)
        while not await writer.flush():
            await self._advance(end=True)

    def _check(self) -> None:
        """Check that the session is still ours. Raises: FencedError."""
        if self._held is not None:
            self._held.check()

    async def user(self, message: Message | str) -> None:
        """Record what a person says to the model; during a run it is delivered before the next call."""
        self._check()
        whole = UserMessage(content=message) if isinstance(message, str) else message
        idle = self._writer.state.run is None
        self._writer.outcome(QueuePush(queue="prompt" if idle else "steering", message=whole))
        await self._writer.flush()

    @asynccontextmanager
    async def model(self, request: Mapping[str, object] | None = None) -> AsyncIterator[Reply[V]]:
        """Record a model call: the intent is on disk before the block begins, the answer when it ends.

        `request`: the body that is sent, for its digest. What the block raises becomes an error answer, then is raised.

        Raises: RecorderError while a call of the last answer has no result.
        """
        self._check()
        writer = self._writer
        neutral = await self._intend(_body(request))
        reader = ReplyReader(writer, self._model, FLUSH_UPDATES)
        reply = Reply(writer, reader, self._feed(self._model, neutral), self._check)
        try:
            async with flushing(writer):
                yield reply
        except BaseException as error:
            if not isinstance(error, Exception) and writer.state.aborted is None:  # cancelled: not the model's failure
                writer.outcome(AbortRequest(cause="callback", error=type(error).__name__))
            await reply.finish(words(error))
            raise
        await reply.finish("")

    @asynccontextmanager
    async def tool(self, call: PlacedCall) -> AsyncIterator[ToolExecution]:
        """Record a tool call: its start is on disk before the block begins, its end when it ends.

        What the block raises becomes an error result and is not raised on, so that the model can be told.
        """
        self._check()
        writer, place = self._writer, call.place
        begun = False
        while not begun:  # what others append first makes it a new decision
            found = find_call(writer.state, place.message_seq, place.content_index)
            attempt = found.attempt + 1 if found is not None else 1
            begun = await writer.intend(
                ToolExecutionStart(
                    message_seq=place.message_seq, content_index=place.content_index, name=call.name, attempt=attempt
                )
            )
        execution = ToolExecution(place, writer.outcome, call.name)
        try:
            async with flushing(writer):
                yield execution
            outcome = execution.outcome or to_outcome(None, tool=call.name)
        except Exception as error:
            outcome = failure(error)
        writer.outcome(
            ToolExecutionEnd(
                message_seq=place.message_seq,
                content_index=place.content_index,
                result=outcome.result,
                is_error=outcome.is_error,
            )
        )
        await writer.flush()

    async def _intend(self, body: bytes) -> Request:
        """Put a model request on record, decided anew when others append first. Returns: the neutral request."""
        writer = self._writer
        while True:
            step = await self._advance()
            if not isinstance(step, CallModel):
                raise RecorderError(_not_now(step))
            await writer.reload_removed()
            requests, hashes = writer.builders()
            neutral = requests.build(writer.view)
            sent = ModelRequest(
                attempt=step.attempt,
                request_sha256=request_sha256(neutral, hashes, requests.source),
                body_sha256=hashlib.sha256(body).hexdigest() if body else "",
                body_codec="caller/1" if body else "",
            )
            if await writer.intend(sent):
                return neutral

    async def _advance(self, *, end: bool = False) -> Step:
        """Record what the machine says, until it wants a model or a tool; with `end`, until the run is over."""
        writer = self._writer
        while True:
            step = await advance(writer)
            match step:
                case Stop() if not end:
                    writer.outcome(Resume(why="continue"))
                case CallModel() | RunTools() if end and writer.state.aborted is None:
                    writer.outcome(AbortRequest(reason="stop", cause="callback"))
                case _:
                    return step


def _calls(writer: Writer[V], message: AssistantMessage | None) -> tuple[PlacedCall, ...]:
    """List the calls of the answer that was just recorded."""
    batch = writer.state.batch
    if batch is None or message is None:
        return ()
    blocks = ((call, message.content[call.content_index]) for call in batch.calls)
    return tuple(PlacedCall(block, batch.place(call)) for call, block in blocks if isinstance(block, ToolCall))


def _body(request: Mapping[str, object] | None) -> bytes:
    """Write a request's body in one way, for its digest; what is no JSON counts by its text."""
    if request is None:
        return b""
    text = json.dumps(request, sort_keys=True, separators=(",", ":"), default=_no_json)
    return text.encode("utf-8", "backslashreplace")


def _no_json(value: object) -> object:
    return sorted(map(str, value)) if isinstance(value, Set) else str(value)


def _not_now(step: Step) -> str:
    if isinstance(step, RunTools):
        names = ", ".join(call.name for call in step.calls)
        return f"the last answer's calls have no result yet ({names}): record each with `rec.tool(call)`"
    return f"no model can be called now: the session's next step is {type(step).__name__}"
