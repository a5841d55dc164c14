"""What a hook chose to send, said by names: ranges of the context's messages, and literals only for the rest."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence

import msgspec

from eventsource.events import Inserted, SeqRange
from eventsource.messages import Message

from .pairing import ContextMessage

_ENCODER = msgspec.json.Encoder()


def select(parts: Sequence[ContextMessage], messages: Sequence[Message]) -> tuple[SeqRange | Inserted, ...] | None:
    """Describe the messages that a hook gave, by the parts of the request that would have been sent without it.

    A message is recognised by identity, else by equality. Returns: None when they are the parts as they are.
    """
    picks = _picks(parts, messages)
    if picks == list(range(len(parts))):
        return None
    order, rank = _orders(parts)
    selection: list[SeqRange | Inserted] = []
    before: int | None = None
    for pick, message in zip(picks, messages, strict=True):
        name = parts[pick].seq if pick is not None else 0
        if pick is None or not name:
            selection.append(Inserted(message=message))
            before = None
            continue
        ahead = selection[-1] if selection else None
        follows = before is not None and (order[pick], rank[pick]) == (order[before] + 1, rank[before] + 1)
        if follows and isinstance(ahead, SeqRange):
            selection[-1] = SeqRange(first=ahead.first, last=name)
        else:
            selection.append(SeqRange(first=name, last=name))
        before = pick
    return tuple(selection)


def apply_selection(parts: Sequence[ContextMessage], selection: Sequence[SeqRange | Inserted]) -> tuple[Message, ...]:
    """Rebuild the messages that a selection of these parts describes."""
    named = sorted((part.seq, place) for place, part in enumerate(parts) if part.seq)
    seqs = [seq for seq, _ in named]

    def build() -> Iterator[Message]:
        for one in selection:
            if isinstance(one, Inserted):
                yield one.message
                continue
            chosen = named[bisect_left(seqs, one.first) : bisect_right(seqs, one.last)]
            for place in sorted(place for _, place in chosen):
                yield parts[place].message

    return tuple(build())


def _orders(parts: Sequence[ContextMessage]) -> tuple[dict[int, int], dict[int, int]]:
    """Number the named parts twice: as they stand in the context, and by their names (a summary's name is late)."""
    named = [place for place, part in enumerate(parts) if part.seq]
    by_name = sorted(named, key=lambda place: parts[place].seq)
    return {place: n for n, place in enumerate(named)}, {place: n for n, place in enumerate(by_name)}


def _picks(parts: Sequence[ContextMessage], messages: Sequence[Message]) -> list[int | None]:
    """Find for each message the part that it is."""
    by_identity = {id(part.message): place for place, part in reversed(list(enumerate(parts)))}
    by_bytes: dict[bytes, int] = {}
    picks: list[int | None] = []
    following = 0
    for message in messages:
        if following < len(parts) and parts[following].message is message:
            pick: int | None = following
        else:
            pick = by_identity.get(id(message))
        if pick is None and following < len(parts) and parts[following].message == message:
            pick = following
        if pick is None:
            by_bytes = by_bytes or {_ENCODER.encode(part.message): at for at, part in reversed(list(enumerate(parts)))}
            pick = by_bytes.get(_ENCODER.encode(message))
        picks.append(pick)
        following = len(parts) if pick is None else pick + 1
    return picks
