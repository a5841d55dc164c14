"""How a run ended and why, in words: one fold of its events, which everybody reads who says it."""

from __future__ import annotations

import re
from typing import Literal, TypeAlias

import msgspec

from ..events import AbortRequest, AgentEnd, AgentStart, EndReason, EventBase, MessageEnd
from ..messages import AssistantMessage, StopReason, TextContent

EndStatus: TypeAlias = Literal["done", "error", "aborted", "limit", "refused"]

_SHOWN = 300
# Error kinds of HTTP answers that refuse a prompt for what it says, as `Failure.text` begins with them.
_POLICY = re.compile(
    r"\A(\d{3} )?(content_filter|content_policy_violation|invalid_prompt|ResponsibleAIPolicyViolation)\b"
)
_FILTERED = re.compile(
    r"filter|safety|prohibited|recitation|blocklist|spii|sensitive|guardrail|language", re.IGNORECASE
)


class RunOutcome(msgspec.Struct, frozen=True):
    """How a run ended, and why; the words are empty when there is no more to say."""

    status: EndStatus
    reason: str = ""


class Ending(msgspec.Struct, frozen=True, kw_only=True):
    """What a run came to so far: its last answer's stop reason and words, what asked it to end, how it ended.

    `reason` is absent until it has ended.
    """

    stop: StopReason = "stop"
    said: str = ""
    abort: AbortRequest | None = None
    reason: EndReason | None = None
    error: str = ""


ENDING_TYPES: tuple[type[EventBase], ...] = (AgentStart, MessageEnd, AbortRequest, AgentEnd)
"""The events that `ending` folds; all others change nothing."""


def ending(before: Ending, event: EventBase) -> Ending:
    """Fold one event."""
    match event:
        case AgentStart():
            return Ending()
        case MessageEnd(message=AssistantMessage() as message, interrupted=None):
            return msgspec.structs.replace(before, stop=message.stop_reason, said=_said(message))
        case AbortRequest() if before.abort is None and before.reason is None:
            return msgspec.structs.replace(before, abort=event)
        case AgentEnd(reason=reason, error=error):
            return msgspec.structs.replace(before, reason=reason, error=error)
        case _:
            return before


def outcome(ended: Ending) -> RunOutcome:
    """Return how a run ended; nothing that ended is done."""
    match ended.reason:
        case "stop" if ended.stop == "refusal":
            return RunOutcome("refused", ended.said)
        case "stop" if ended.stop == "length":
            return RunOutcome("limit", "the answer was cut at the limit of output tokens (max_tokens)")
        case "stop" if ended.abort is not None:
            return RunOutcome("done", f"{ended.abort.by or f'a {ended.abort.cause}'} asked it to end")
        case None | "stop":
            return RunOutcome("done")
        case "aborted":
            return RunOutcome("aborted", aborted_words(ended.abort) if ended.abort is not None else _reason(ended))
        case "error" if _POLICY.match(_reason(ended)):
            return RunOutcome("refused", _reason(ended))
        case "error" | "limit" as reason:
            return RunOutcome(reason, _reason(ended))


def end_status(stop: StopReason, reason: EndReason) -> EndStatus:
    """Return how a run ended, without words: a provider that refused a prompt for what it says is an error here."""
    return outcome(Ending(stop=stop, reason=reason)).status


def aborted_words(abort: AbortRequest) -> str:
    """Write who asked a run to end, and why."""
    who = {"person": "a person or the program", "cancel": "a cancellation"}.get(abort.cause, f"a {abort.cause}")
    return f"aborted by {abort.by or who}" + (f": {abort.error}" if abort.error else "")


def _reason(ended: Ending) -> str:
    """Find the words: those of the end, or of the failed answer before it."""
    return ended.error or ended.said or f"it ended with {ended.reason} and nobody said why"


def _said(message: AssistantMessage) -> str:
    """Return why a message is no whole answer, in its own words where it has some."""
    if message.stop_reason != "refusal":
        return message.error
    refused = "".join(
        block.text for block in message.content if isinstance(block, TextContent) and "refusal" in block.signature
    )
    word = message.raw_stop_reason
    if refused:
        return f"the model refused: {refused[:_SHOWN]}"
    if message.error.startswith("the prompt was blocked"):
        return message.error
    if _FILTERED.search(word):
        return f"the provider's filter ended the answer: {message.error or word}"
    cause = message.error or word
    return "the provider refused the request, or filtered the answer" + (f": {cause}" if cause else "")
