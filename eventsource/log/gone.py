"""What may be missing from a log on purpose, and how it is told from what somebody changed or took away."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from hashlib import sha256

from ..codec import encode
from ..events import Erase, Event, ToolExecutionEnd, ToolExecutionStart
from ..ports import Recorded
from .lineage import closed_messages
from .mask import is_masked


def named_shapes(own: Iterable[Recorded]) -> dict[int, str]:
    """Map each seq that an `erase` of the session names to the SHA-256 of what it left (empty: not on record)."""
    found: dict[int, str] = {}
    for recorded in own:
        if isinstance(recorded.event, Erase):
            target = recorded.event.target_seq
            found[target] = recorded.event.shape_sha256 or found.get(target, "")
    return found


def shape_problem(event: Event, body: bytes, named: str | None) -> str:
    """Judge an event that stands there as erased.

    Args:
        body: its stored bytes.
        named: what `named_shapes` says of its seq; None when no `erase` names it.

    Returns: what is wrong, or nothing.
    """
    if named is None:
        return "it was changed: it has the form of an erased event, and no `erase` names it"
    if named and sha256(body).hexdigest() != named:
        return "what was left of the erased event was changed"
    if not is_masked(event) or encode(event) != body:
        return "what was left of the erased event was changed: it says more than an erased event does"
    return ""


Spans = Sequence[tuple[int, int]]


def droppable(own: Sequence[Recorded], erased: Callable[[int], bool], fork_seq: int) -> tuple[Spans, Spans]:
    """Find between which own facts updates may be missing: of ended messages, and of calls whose end was erased."""
    calls: list[tuple[int, int]] = []
    starts: dict[tuple[int, int], int] = {}
    for seq, _, event in ((one.seq, one.at_us, one.event) for one in own):
        if isinstance(event, ToolExecutionStart):
            starts[event.message_seq, event.content_index] = seq
        elif isinstance(event, ToolExecutionEnd) and erased(seq):
            calls.append((starts.get((event.message_seq, event.content_index), fork_seq), seq))
    return closed_messages(own), calls


def within(spans: Spans, first: int, last: int) -> bool:
    """Say whether all of some seqs lie in spans, their ends not counted."""
    at = first
    for start, end in sorted(spans):
        if start < at < end:
            at = end
            if last < at:
                return True
    return False
