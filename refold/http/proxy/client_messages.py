"""Recording what a client says: results of the calls it made, prompts, and history that this log has not seen."""

from __future__ import annotations

from collections.abc import Sequence

from eventsource.admission import admit
from eventsource.events import (
    AbortRequest,
    ContextEdit,
    MessageAdopt,
    Origin,
    Place,
    QueuePush,
    ToolExecutionEnd,
    ToolExecutionStart,
    ToolResult,
)
from eventsource.machine.state import CallState, Phase
from eventsource.messages import AssistantMessage, Message, ToolCall, ToolResultMessage, UserMessage
from eventsource.runner.advance import advance
from eventsource.runner.writer import Writer
from projections.context import ContextView, history, parts

from .child_links import ChildLinks
from .prefix_match import is_made

ORIGIN = Origin(source="client")
"""Where history comes from that a client brought along."""


async def record_messages(writer: Writer[ContextView], messages: Sequence[Message], links: ChildLinks) -> None:
    """Record the messages of a request that are not on record yet, in order; the machine says what lies between."""
    left = await record_results(writer, messages, links)
    brought = max((n for n, m in enumerate(left, start=1) if not isinstance(m, UserMessage)), default=0)
    if brought:  # before a turn is due, which would end in an answer that nobody gave
        await end_run(writer)
    await advance(writer)
    if writer.state.phase is Phase.TOOLS:  # calls that the client never answers
        await end_run(writer)
    adopt(writer, left[:brought])
    for message in left[brought:]:
        writer.outcome(QueuePush(queue="prompt" if writer.state.run is None else "steering", message=message))


async def end_run(writer: Writer[ContextView], by: str = "") -> None:
    """End the run that is open, if one is: its client does not go on with it."""
    if writer.state.run is not None:
        writer.outcome(AbortRequest(reason="stop", cause="callback", by=by))
        await advance(writer)


async def record_results(
    writer: Writer[ContextView], messages: Sequence[Message], links: ChildLinks
) -> Sequence[Message]:
    """Record the results at the beginning of some messages as their calls' ends. Returns: the messages left.

    A result that comes when its call was settled, since the proxy had ended before, stands in place of what settled it.
    """
    if writer.state.phase is not Phase.TOOLS:
        return _late_results(writer, messages)
    batch = writer.state.batch
    if batch is None:
        return messages
    calls = dict(_calls(writer, batch.message_seq))
    waiting = {call.content_index: call for call in batch.calls if not call.ended}
    found: list[tuple[CallState, ToolResultMessage]] = []
    for message in messages:
        if not isinstance(message, ToolResultMessage):
            break
        place = next((place for place in waiting if calls[place].id == message.tool_call_id), None)
        if place is None:
            break
        found.append((waiting.pop(place), message))
    await _ran(writer, batch.message_seq, found, links)
    return messages[len(found) :]


async def _ran(
    writer: Writer[ContextView],
    message_seq: int,
    found: Sequence[tuple[CallState, ToolResultMessage]],
    links: ChildLinks,
) -> None:
    """Record that calls of an answer ran, of which only the results are known: from the answer on, at the client."""
    answered_us = await writer.time_of(message_seq) if found else 0
    for call, _ in found:
        start = ToolExecutionStart(
            message_seq=message_seq, content_index=call.content_index, name=call.name, attempt=call.attempt + 1
        )
        writer.outcome(admit(answered_us, start, writer.redact))
    for call, message in found:
        if call.child:
            writer.outcome(await links.end_of(writer, call.child))
        result = ToolResult(content=message.content)
        writer.outcome(
            ToolExecutionEnd(
                message_seq=message_seq,
                content_index=call.content_index,
                result=result,
                is_error=message.is_error,
            )
        )


def _late_results(writer: Writer[ContextView], messages: Sequence[Message]) -> Sequence[Message]:
    made = {
        part.message.tool_call_id: part
        for part in parts(writer.view)
        if part.seq and isinstance(part.message, ToolResultMessage) and is_made(part.message)
    }
    count = 0
    for message in messages:
        part = made.pop(message.tool_call_id, None) if isinstance(message, ToolResultMessage) else None
        if part is None:
            break
        count += 1
        writer.outcome(ContextEdit(message_seq=part.seq, replacement=message))
    return messages[count:]


def _calls(writer: Writer[ContextView], message_seq: int) -> list[tuple[int, ToolCall]]:
    said = next(entry.message for entry in history(writer.view) if entry.seq == message_seq)
    blocks = said.content if isinstance(said, AssistantMessage) else ()
    return [(place, block) for place, block in enumerate(blocks) if isinstance(block, ToolCall)]


def adopt(writer: Writer[ContextView], messages: Sequence[Message]) -> None:
    """Take history over as it is."""
    calls: dict[str, Place] = {}
    for message in messages:
        if isinstance(message, AssistantMessage):
            seq = writer.next_seq
            calls = {
                block.id: Place(message_seq=seq, content_index=place)
                for place, block in enumerate(message.content)
                if isinstance(block, ToolCall)
            }
        call = calls.pop(message.tool_call_id, None) if isinstance(message, ToolResultMessage) else None
        writer.outcome(MessageAdopt(message=message, origin=ORIGIN, call=call))
