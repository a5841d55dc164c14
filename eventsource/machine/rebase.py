"""Whether events that were decided on one state may follow others that somebody else appended meanwhile."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from ..envelope import Recorded
from ..errors import IllegalEventError
from ..events import (
    AbortRequest,
    Custom,
    Event,
    Label,
    MetadataSet,
    QueueClear,
    QueuePush,
    Resume,
    StreamUpdate,
)
from .evolve import evolve, fold
from .state import State
from .steps import first_step

_COMPARABLE = (AbortRequest, Custom, Label, MetadataSet, QueueClear, QueuePush, Resume, StreamUpdate)
"""Inputs of which the machine's next step shows all that they change; others change a request or an approval too."""


class Pending(msgspec.Struct, frozen=True):
    """An event that is to be appended: the outcome of an effect, or a decision."""

    event: Event
    outcome: bool


def may_follow(state: State, news: Sequence[Recorded], pending: Sequence[Pending]) -> bool:
    """Return whether pending events, made on a state, are right as they are behind what others appended to it.

    An outcome need only be legal there. A decision must be what the machine says there too, and stand before every
    outcome, since it may name seqs that move with the news.
    """
    decided = [place for place, one in enumerate(pending) if not one.outcome]
    first_outcome = next((place for place, one in enumerate(pending) if one.outcome), len(pending))
    if decided and (decided[-1] > first_outcome or not all(isinstance(one.event, _COMPARABLE) for one in news)):
        return False
    seq = news[0].seq if news else 0
    try:
        behind = fold(news, state)
        for place, one in enumerate(pending):
            if not one.outcome and (first_step(state), state.aborted) != (first_step(behind), behind.aborted):
                return False
            state = evolve(state, Recorded(seq + place, 0, one.event))
            behind = evolve(behind, Recorded(seq + len(news) + place, 0, one.event))
    except IllegalEventError:
        return False
    return True
