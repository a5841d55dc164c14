"""The fold of a context for the loop: the projection of the context, as `eventsource.context_fold` wants it."""

from __future__ import annotations

from collections.abc import Sequence

from eventsource.context_fold import ContextFold
from eventsource.events import Inserted, SeqRange
from eventsource.messages import Message
from projections.context import CONTEXT as PROJECTION, ContextView, Requests, convert, is_failed, parts, shown, step
from projections.pairing import ContextMessage, paired
from projections.selection import select


def _messages(view: ContextView) -> tuple[Message, ...]:
    """Return the context as agent messages, without failed ones."""
    return tuple(part.message for part in shown(view) if not is_failed(part.message))


def _settle(chosen: Sequence[Message]) -> tuple[Message, ...]:
    converted = (convert(message) for message in chosen)
    return tuple(part.message for part in paired([ContextMessage(0, m) for m in converted if m is not None]))


def _select(view: ContextView, chosen: Sequence[Message]) -> tuple[SeqRange | Inserted, ...] | None:
    return select(parts(view), chosen)


CONTEXT: ContextFold[ContextView] = ContextFold(
    initial=PROJECTION.initial, step=step, messages=_messages, requests=Requests, settle=_settle, select=_select
)
