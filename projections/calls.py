"""Every tool call of a session: its place, its arguments, how often it was tried, and what came of it."""

from __future__ import annotations

from typing import Literal, TypeAlias

import msgspec
from msgspec.structs import replace

from eventsource.events import MessageAdopt, MessageEnd, Place, ToolExecutionEnd, ToolExecutionStart, ToolResult
from eventsource.messages import AssistantMessage, ToolCall, ToolResultMessage
from eventsource.ports import Recorded
from eventsource.refusals import refusal_result

from .fold import Projection, Trail

CallStatus: TypeAlias = Literal["open", "running", "done", "failed", "refused", "dropped"]


class CallView(msgspec.Struct, frozen=True, kw_only=True):
    """One tool call.

    `status`: open (not begun, or adopted without a result), running, done, failed, refused (see `refused`), or dropped
    (its message failed, it will never run). `arguments`: as the tool got them. Times are UTC microseconds.
    """

    place: Place
    id: str
    name: str
    arguments: str
    status: CallStatus = "open"
    attempts: int = 0
    refused: str = ""
    result: ToolResult | None = None
    is_error: bool = False
    adopted: bool = False
    started_at_us: int | None = None
    ended_at_us: int | None = None

    @property
    def duration_us(self) -> int | None:
        """Time from the last start to the end; None when it did not run here, or runs still."""
        if self.started_at_us is None or self.ended_at_us is None:
            return None
        return self.ended_at_us - self.started_at_us


def tool_calls(trail: Trail[Recorded]) -> tuple[CallView, ...]:
    """List the calls in the order in which they were made."""
    calls: dict[tuple[int, int], CallView] = {}
    for recorded in trail:
        event = recorded.event
        if isinstance(event, ToolExecutionStart | ToolExecutionEnd):
            key = (event.message_seq, event.content_index)
            if key in calls:
                calls[key] = _moved(calls[key], event, recorded.at_us)
        elif isinstance(event, MessageAdopt) and isinstance(event.message, ToolResultMessage):
            if event.call is not None and (key := (event.call.message_seq, event.call.content_index)) in calls:
                calls[key] = _answered(calls[key], event.message)
        elif isinstance(event, MessageAdopt | MessageEnd) and isinstance(event.message, AssistantMessage):
            dropped = event.message.stop_reason in ("error", "aborted")
            dropped |= isinstance(event, MessageEnd) and event.interrupted is not None
            for index, block in enumerate(event.message.content):
                if isinstance(block, ToolCall):
                    calls[recorded.seq, index] = CallView(
                        place=Place(message_seq=recorded.seq, content_index=index),
                        id=block.id,
                        name=block.name,
                        arguments=block.arguments,
                        status="dropped" if dropped else "open",
                        adopted=isinstance(event, MessageAdopt),
                    )
    return tuple(calls.values())


def _moved(call: CallView, event: ToolExecutionStart | ToolExecutionEnd, at_us: int) -> CallView:
    if isinstance(event, ToolExecutionEnd):
        refused = call.refused and call.refused != "adopted"
        status: CallStatus = "refused" if refused else "failed" if event.is_error else "done"
        result = event.result if event.result is not None else call.result
        adopted = event.decided == "adopted"
        return replace(call, status=status, result=result, is_error=event.is_error, ended_at_us=at_us, adopted=adopted)
    if event.refused is not None:
        return replace(call, status="refused", refused=event.refused, result=refusal_result(event))
    arguments = call.arguments if event.arguments is None else event.arguments
    return replace(call, status="running", attempts=event.attempt, arguments=arguments, started_at_us=at_us)


def _answered(call: CallView, result: ToolResultMessage) -> CallView:
    came = ToolResult(content=result.content, details=result.details)
    return replace(call, status="failed" if result.is_error else "done", result=came, is_error=result.is_error)


def _step(trail: Trail[Recorded], recorded: Recorded) -> Trail[Recorded]:
    event = recorded.event
    if isinstance(event, ToolExecutionStart | ToolExecutionEnd):
        return trail.append(recorded)
    if isinstance(event, MessageAdopt | MessageEnd) and isinstance(event.message, AssistantMessage | ToolResultMessage):
        return trail.append(recorded)
    return trail


CALLS = Projection(name="calls", version=1, initial=Trail[Recorded](), step=_step)
