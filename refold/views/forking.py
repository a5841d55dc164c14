"""A fork before it is made: what it keeps, what its next request would be, and which calls it would make again."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import msgspec

from eventsource.envelope import Recorded
from eventsource.errors import UnknownSeqError
from eventsource.events import ConfigChange, Event, Fork, MessageEnd, MessageStart, Place, QueuePush
from eventsource.messages import Message
from projections.calls import tool_calls, trail_of
from projections.context import Requests, messages
from projections.pairing import ContextMessage
from replay.request_changes import BuiltRequest, find_changes
from replay.request_parts import TRACE, SentRequest, shown

from ..context_edits import hiding, replacing
from .changes import PartChange, described
from .index import At
from .requests import SHOWN_CHARACTERS, WindowRequests

MOST_CHANGES = 200
MOST_CALLS = 50
"""Of changes and of calls that are listed; how many there are is told."""


class ForkChange(msgspec.Struct, frozen=True, kw_only=True):
    """What is otherwise in a fork: what is said in it, what is replaced or hidden, by names, and what is configured."""

    said: tuple[Message, ...] = ()
    replaced: Mapping[int, str | Message] = {}
    hidden: tuple[int, ...] = ()
    config: ConfigChange | None = None


class CallAgain(msgspec.Struct, frozen=True, kw_only=True):
    """A call that the original made behind the place where the fork begins, and that must not be made twice."""

    place: Place
    name: str
    arguments: str
    status: str


class ForkPreview(msgspec.Struct, frozen=True, kw_only=True):
    """A fork that was not made.

    `at`: the last seq that it shares; `last_words`: of the last message before. `against_seq`: the request of the
    original that comes behind, with which the fork's first one is compared (0: its next one, which was not sent yet).
    `once`: calls of tools that have an effect once, made by the original behind that place; if the fork makes one
    again, a run asks, takes what is on record, or makes it, as it was told.
    """

    session: str
    at: int
    last_words: str
    messages: int
    against_seq: int
    changes: tuple[PartChange, ...]
    more_changes: int
    once: tuple[CallAgain, ...]
    more_once: int


def fork_preview(place: At, change: ForkChange, behind: At) -> ForkPreview:
    """Return what a fork would be.

    Args:
        place: the original where the fork begins.
        behind: the original at its first request behind that place, or at its head.

    Raises: UnknownSeqError when a message is to be replaced or hidden that the context does not hold.
    """
    trace = place.seen.trace
    for seq, event in enumerate(fork_events(place, change), place.seq + 1):
        trace = TRACE.step(trace, Recorded(seq, 0, event))
    new = BuiltRequest(trace, SentRequest(trace.view, trace.config, 0, None), Requests(), SHOWN_CHARACTERS)
    asked, _ = behind.seen.trace.about()
    old = BuiltRequest(behind.seen.trace, asked, WindowRequests(behind), SHOWN_CHARACTERS)
    found = find_changes(old, new, shared_seq=place.seq)
    once = _once(place, behind)
    said = messages(place.view)[-1:]
    return ForkPreview(
        session=place.info.id,
        at=place.seq,
        last_words=shown(said[0].message, SHOWN_CHARACTERS) if said else "",
        messages=len(new.request.messages),
        against_seq=asked.seq,
        changes=tuple(map(described, found[:MOST_CHANGES])),
        more_changes=max(len(found) - MOST_CHANGES, 0),
        once=tuple(once[:MOST_CALLS]),
        more_once=max(len(once) - MOST_CALLS, 0),
    )


def fork_events(place: At, change: ForkChange) -> Iterator[Event]:
    """Yield what a fork would record, as if what is said in it were delivered at once."""
    begun = [Fork(), *edits(place, change)]
    yield from begun
    push_seq = place.seq + len(begun) + 1
    for message in change.said:
        yield QueuePush(queue="prompt", message=message)
        yield MessageStart(role="input", push_seq=push_seq)
        yield MessageEnd()
        push_seq += 3


def edits(place: At, change: ForkChange) -> Iterator[Event]:
    """Yield the edits of a fork, and what is configured in it. Raises: UnknownSeqError."""
    standing = {one.seq: one for one in messages(place.view) if one.seq}

    def named(seq: int) -> ContextMessage:
        if seq not in standing:
            raise UnknownSeqError(place.info.id, seq, place.seq, "no message of this name in the context there")
        return standing[seq]

    for seq, new in change.replaced.items():
        yield replacing(named(seq), new)
    for seq in change.hidden:
        yield hiding(named(seq))
    if change.config is not None:
        yield change.config


def _once(place: At, behind: At) -> list[CallAgain]:
    """List the calls behind a place whose tools say that they have an effect once, or say nothing."""
    whole = behind.whole.seen
    entries = whole.trace.view.entries
    if not len(entries) or entries[len(entries) - 1].seq <= place.seq:
        return []
    trail = trail_of(whole.calls, entries, place.seq + 1, entries[len(entries) - 1].seq)
    tools = {tool.name: tool.effect for tool in behind.whole.state.config.tools}
    return [
        CallAgain(place=call.place, name=call.name, arguments=call.arguments[:SHOWN_CHARACTERS], status=call.status)
        for call in tool_calls(trail)
        if call.attempts and not call.adopted and tools.get(call.name, "once") == "once"
    ]
