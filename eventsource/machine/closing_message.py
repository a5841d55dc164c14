"""The message that ends an answer nobody will go on with: what was streamed of it, and why it stops there."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

from ..assemble import Assembler
from ..envelope import Recorded
from ..events import AbortRequest, MessageUpdate
from ..messages import AssistantContent, AssistantMessage, Usage
from .refusals import ABORT_TEXT, INTERRUPT_TEXT


def streamed_content(recorded: Iterable[Recorded]) -> tuple[AssistantContent, ...]:
    """Put together what the updates among some events say; the events of one open message, in order."""
    assembler = Assembler()
    for item in recorded:
        if isinstance(item.event, MessageUpdate):
            assembler.add(item.event)
    return assembler.content()


def closing_message(
    content: tuple[AssistantContent, ...],
    how: Literal["interrupted", "aborted"],
    abort: AbortRequest | None,
    usage: Usage | None = None,
) -> AssistantMessage:
    """Build the message that closes an open or due answer; `usage` is what the provider said of it until then."""
    if how == "interrupted" or abort is None:
        return AssistantMessage(content=content, stop_reason="aborted", error=INTERRUPT_TEXT, usage=usage)
    if abort.reason == "error":
        return AssistantMessage(content=content, stop_reason="error", error=abort.error, usage=usage)
    return AssistantMessage(content=content, stop_reason="aborted", error=abort.error or ABORT_TEXT, usage=usage)
