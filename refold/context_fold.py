"""The fold of a context for the loop: the projection of the context, as `eventsource.context_fold` wants it."""

from __future__ import annotations

from collections.abc import Sequence

from eventsource.context_fold import ContextFold
from eventsource.events import Inserted, SeqRange
from eventsource.messages import AssistantMessage, Message
from projections.context import CONTEXT as PROJECTION, ContextView, Requests, convert, is_failed, parts, shown, step
from projections.pairing import ContextMessage, paired
from projections.selection import select


def _messages(view: ContextView) -> tuple[Message, ...]:
    """Return the context as agent messages, without failed ones."""
    return tuple(part.message for part in shown(view) if not is_failed(part.message))


def _answer(view: ContextView) -> AssistantMessage | None:
    """Return the last of `_messages` that is an answer."""
    for place in range(len(view.entries) - 1, view.kept - 1, -1):
        entry = view.entries[place]
        if entry.edits or entry.summary:  # what comes before may stand otherwise in the context
            break
        message = entry.sent if entry.standing is None else entry.standing
        if isinstance(message, AssistantMessage) and not is_failed(message):
            return message
    return next((one for one in reversed(_messages(view)) if isinstance(one, AssistantMessage)), None)


def _settle(chosen: Sequence[Message]) -> tuple[Message, ...]:
    converted = (convert(message) for message in chosen)
    return tuple(part.message for part in paired([ContextMessage(0, m) for m in converted if m is not None]))


def _select(view: ContextView, chosen: Sequence[Message]) -> tuple[SeqRange | Inserted, ...] | None:
    return select(parts(view), chosen)


CONTEXT: ContextFold[ContextView] = ContextFold(
    initial=PROJECTION.initial,
    step=step,
    messages=_messages,
    answer=_answer,
    requests=Requests,
    settle=_settle,
    select=_select,
)
