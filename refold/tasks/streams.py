"""What a task shows while it works: named values, named streams, and models that are asked outside of a turn."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterable, Callable
from typing import TypeVar

from msgspec.structs import replace

from eventsource.codec import from_json
from eventsource.events import MessageUpdate, MetadataSet, StreamUpdate
from eventsource.log.load import read_all
from eventsource.messages import AssistantMessage, Usage
from eventsource.models.protocol import CallOptions, Model, StreamEnd, StreamRetry, StreamUsage
from eventsource.prompts import Prompt, as_messages
from eventsource.request import Request, request_sha256
from eventsource.user_code.contained import UserCall

from ..models import find_model
from ..values import Shape, dump
from .execution import WITHIN, TaskExecution
from .steps import AskedModel, InputDigest, digest, run_step

T = TypeVar("T")


class Metadata:
    """Named values of a task, for everybody who looks at it."""

    def __init__(self, execution: TaskExecution) -> None:
        self._execution = execution
        self._counts: dict[str, int] = {}

    def get(self, name: str) -> object:
        """Return the current value of a name; None when it is not set."""
        return self._execution.journal.metadata.get(name)

    def set(self, name: str, value: object, *, root: bool = False) -> None:
        """Set a value; with `root`, also that of the task at the root of the tree."""
        execution = self._execution
        if not WITHIN.get():
            self._counts[name] = count = self._counts.get(name, 0) + 1
            if count <= execution.journal.metadata_count.get(name, 0):
                return
        event = MetadataSet(name=name, value=dump(value, where=f"metadata {name}"))
        execution.writer.outcome(event)
        if root:
            execution.append_to_root(event)
        execution.notify()


async def stream_items(
    execution: TaskExecution,
    key: str,
    name: str,
    items: AsyncIterable[T] | Callable[[], AsyncIterable[T]],
    *,
    root: bool,
) -> list[T]:
    """Record a stream's items as they come; see `TaskContext.stream`."""

    async def work() -> int:
        count = 0
        async for item in items() if callable(items) else items:
            event = StreamUpdate(name=name, item=dump(item, where=f"stream {name}"))
            execution.writer.outcome(event)
            if root:
                execution.append_to_root(event)
            execution.notify()
            count += 1
        return count

    await run_step(execution, key, InputDigest(), Shape(None), lambda: UserCall(work))
    record = execution.journal.steps[key]
    reading = read_all(execution.runtime.log, execution.session, after=record.start_seq, upto=record.end_seq)
    found = [recorded.event async for recorded in reading]
    shown = [from_json(event.item) for event in found if isinstance(event, StreamUpdate) and event.name == name]
    return shown  # type: ignore[return-value]  # the items as JSON has them


async def ask_model(
    execution: TaskExecution, key: str, model: str | Model, prompt: Prompt, system: str, stream: str, retries: int
) -> AssistantMessage:
    """Ask a model and record its answer as a step's result; see `TaskContext.model`."""
    asked = find_model(model) if isinstance(model, str) else model
    request = Request(model=asked.ref, system_prompt=system, messages=as_messages(prompt, where="TaskContext.model"))

    async def call(attempt: int) -> AssistantMessage | StreamRetry:
        said: AssistantMessage | StreamRetry = AssistantMessage(stop_reason="error", error="the model said nothing")
        asks.usage = None
        async for event in asked.stream(request, CallOptions(attempt=attempt)):
            match event:
                case MessageUpdate(kind="text_delta", delta=delta) if stream:
                    execution.writer.outcome(StreamUpdate(name=stream, item=dump(delta, where=stream)))
                    execution.notify()
                case StreamUsage(usage=usage):
                    asks.usage = usage
                case StreamRetry():
                    said = event
                case StreamEnd(message=message):
                    said = message
                case _:
                    pass
        return said

    async def work() -> AssistantMessage:
        attempt, retried = 1, Usage()
        while isinstance(said := await call(attempt), StreamRetry):
            retried, attempt = retried + (asks.usage or Usage()), attempt + 1
            await asyncio.sleep(max(0, said.not_before_us - execution.now_us()) / 1_000_000)
        if said.usage is not None or retried != Usage():
            asks.usage = retried + (said.usage or Usage())
        if said.stop_reason in ("error", "aborted"):
            raise RuntimeError(said.error)
        return replace(said, usage=None)  # it stands beside the result

    asks = AskedModel(asked.ref)
    input_digest = digest([request_sha256(request), stream], key)
    said = await run_step(
        execution,
        key,
        input_digest,
        Shape(AssistantMessage),
        lambda: UserCall(work),
        retries=retries,
        backoff_us=1_000_000,
        asks=asks,
    )
    usage = execution.journal.steps[key].usage
    return replace(said, usage=usage) if usage is not None else said
