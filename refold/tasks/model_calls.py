"""Calls of models by a task's code, outside of a turn: each is a step, and its answer is on record."""

from __future__ import annotations

import asyncio

from msgspec.structs import replace

from eventsource.events import MessageUpdate, StreamUpdate
from eventsource.messages import AssistantMessage, Usage
from eventsource.models.protocol import CallOptions, Model, StreamEnd, StreamRetry, StreamUsage
from eventsource.prompts import Prompt, as_messages
from eventsource.request import Request, request_sha256
from eventsource.user_code.calls import UserCall

from ..models import find_model
from ..typed_json import Shape, dump
from .execution import TaskExecution
from .steps import AskedModel, digest, run_step


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
