"""Advancing a session by hand: what the machine decides is recorded, until it asks for something from outside."""

from __future__ import annotations

from typing import TypeVar

from ..events import Event, MessageEnd, MessageStart
from ..machine.closing_message import closing_message, streamed_content
from ..machine.state import Phase
from ..machine.steps import CloseMessage, Record, Step, expired, next_step
from ..messages import Usage
from .writer import Writer

V = TypeVar("V")


async def advance(writer: Writer[V]) -> Step:
    """Record what the machine decides, one step after another.

    Returns: the step that asks for something from outside (a model, tools, a wait or a prompt).
    """
    while await perform(writer, step := next_step(writer.state)):
        pass
    return step


async def perform(writer: Writer[V], step: Step, usage: Usage | None = None) -> bool:
    """Record what a step decides.

    Args:
        usage: what the provider said last of the answer that a step closes; else what its start has on record counts.

    Returns: False when the step decides nothing itself, and asks for something from outside.
    """
    match step:
        case Record():
            writer.decide(*step.events)
        case CloseMessage():
            await _close_answer(writer, step, usage)
        case _:
            return False
    return True


def expire(writer: Writer[V], now_us: int) -> tuple[Event, ...]:
    """Decide the end of the waits whose deadline has passed. Returns: the ends."""
    ends = expired(writer.state, now_us)
    writer.decide(*ends)
    return ends


async def _close_answer(writer: Writer[V], step: CloseMessage, usage: Usage | None) -> None:
    """Decide the message that ends an answer nobody goes on with, unless outside input comes first."""
    if not await writer.flush():
        return
    recorded = await writer.open_updates()
    if usage is None and recorded and isinstance(recorded[0].event, MessageStart):
        usage = recorded[0].event.usage
    message = closing_message(streamed_content(recorded), step.how, writer.state.aborted, usage)
    if writer.state.phase is not Phase.STREAMING:
        writer.decide(MessageStart(role="assistant", streamed=False))
    interrupted = writer.state.config.policies.partial if step.how == "interrupted" else None
    writer.decide(MessageEnd(message=message, interrupted=interrupted))
