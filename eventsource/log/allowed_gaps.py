"""What may be missing from a log on purpose, and how it is told from what somebody changed or took away."""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable, Sequence
from hashlib import sha256

from ..codec import encode
from ..envelope import Recorded
from ..events import Erase, Event, Fork, MessageEnd, MessageStart, ToolExecutionEnd, ToolExecutionStart
from .erased import is_tombstone
from .lineage import MAX_SEQ, closed_messages


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
    if not is_tombstone(event) or encode(event) != body:
        return "what was left of the erased event was changed: it says more than an erased event does"
    return ""


Spans = Sequence[tuple[int, int]]


def droppable(
    own: Sequence[Recorded], erased: Callable[[int], bool], named: Container[int], fork_seq: int
) -> tuple[Spans, Spans]:
    """Find between which own facts updates may be missing: of ended messages, and of calls whose end was erased.

    So may those of a message or call that has not ended, if an `erase` names its start (`named`): an import ends where
    a fork begins, and what was erased has ended behind that.
    """
    calls: list[tuple[int, int]] = []
    starts: dict[tuple[int, int], int] = {}
    for seq, _, event in ((one.seq, one.at_us, one.event) for one in own):
        if isinstance(event, ToolExecutionStart):
            starts[event.message_seq, event.content_index] = seq
        elif isinstance(event, ToolExecutionEnd) and erased(seq):
            calls.append((starts.get((event.message_seq, event.content_index), fork_seq), seq))
    message, begun = still_open(own)
    if message in named:
        return [*closed_messages(own), (message, MAX_SEQ)], calls
    return closed_messages(own), [*calls, *((start, MAX_SEQ) for start in begun if start in named)]


def still_open(own: Sequence[Recorded]) -> tuple[int, list[int]]:
    """Find what has not ended: the seq at which an assistant message begins (0: none), and those of calls.

    A fork may go on with what was open where it began; that counts from its first event.
    """
    message, calls = 0, dict[tuple[int, int], int]()
    inherited: list[int] = []
    for one in own:
        match one.event:
            case Fork():
                message, inherited = one.seq, [one.seq]
            case MessageStart(role=role):
                message = (message or one.seq) if role == "assistant" else 0
            case MessageEnd():
                message = 0
            case ToolExecutionStart(message_seq=of, content_index=index):
                calls[of, index] = one.seq
            case ToolExecutionEnd(message_seq=of, content_index=index):
                calls.pop((of, index), None)
            case _:
                pass
    return message, [*inherited, *calls.values()]


def within(spans: Spans, first: int, last: int) -> bool:
    """Return whether all of some seqs lie in spans, their ends not counted."""
    at = first
    for start, end in sorted(spans):
        if start < at < end:
            at = end
            if last < at:
                return True
    return False
