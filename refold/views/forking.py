"""A fork before it is made: what it keeps, what its next request would be, and which calls it would make again."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Literal

import msgspec

from eventsource.envelope import Recorded
from eventsource.errors import UnknownSeqError
from eventsource.events import (
    ConfigChange,
    EffectKind,
    Event,
    Fork,
    MessageEnd,
    MessageStart,
    Place,
    QueuePush,
    RepeatedTools,
)
from eventsource.machine.repeated_calls import Verdict, judge, may_repeat
from eventsource.messages import Message, TextContent
from projections.context import Requests, messages
from projections.pairing import ContextMessage
from replay.repeated_calls import CallMade
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


class Becomes(msgspec.Struct, frozen=True, kw_only=True):
    """What a run does with a call that it makes again, by what the fork was told.

    `run`: it is made. `adopt`: it gets the result on record. `ask`: a person decides.
    """

    live: Verdict
    recorded: Verdict
    ask: Verdict


class CallAgain(msgspec.Struct, frozen=True, kw_only=True):
    """A call that was made behind the place where the fork begins, so that the fork may make it again.

    `session`: who made it, the original or one that it was forked from; `seq`: of its start there. `effect`: of its
    tool in the fork, empty where nothing says it (then it counts as `once`). `status`: done, failed, or unknown, where
    nobody knows what came of it.
    """

    session: str
    seq: int
    place: Place
    name: str
    arguments: str
    effect: str
    status: Literal["done", "failed", "unknown"]
    result: str
    becomes: Becomes


class ForkPreview(msgspec.Struct, frozen=True, kw_only=True):
    """A fork that was not made.

    `at`: the last seq that it shares; `last_words`: of the last message before. `against_seq`: the request of the
    original that comes behind, with which the fork's first one is compared (0: its next one, which was not sent yet).
    `once`: calls behind that place, of tools that have an effect once; if the fork makes one again (same name, same
    arguments), its run asks, takes what is on record, or makes it, as the fork was told. `others`: those that are made
    again without a question.
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
    others: tuple[CallAgain, ...]
    more_others: int


def fork_preview(place: At, change: ForkChange, behind: At, made: Sequence[CallMade]) -> ForkPreview:
    """Return what a fork would be.

    Args:
        place: the original where the fork begins.
        behind: the original at its first request behind that place, or at its head.
        made: the calls that a fork there may make again.

    Raises: UnknownSeqError when a message is to be replaced or hidden that the context does not hold.
    """
    trace = place.seen.trace
    for seq, event in enumerate(fork_events(place, change), place.seq + 1):
        trace = TRACE.step(trace, Recorded(seq, 0, event))
    new = BuiltRequest(trace, SentRequest(trace.view, trace.config, 0, None), Requests(), SHOWN_CHARACTERS)
    asked, _ = behind.seen.trace.about()
    old = BuiltRequest(behind.seen.trace, asked, WindowRequests(behind), SHOWN_CHARACTERS)
    found = find_changes(old, new, shared_seq=place.seq)
    config = place.state.config if place.state.config.tools else behind.whole.state.config
    tools = {tool.name: tool.effect for tool in config.tools}
    once = [one for one in made if not may_repeat(tools.get(one.name))]
    others = [one for one in made if may_repeat(tools.get(one.name))]
    said = messages(place.view)[-1:]
    return ForkPreview(
        session=place.info.id,
        at=place.seq,
        last_words=shown(said[0].message, SHOWN_CHARACTERS) if said else "",
        messages=len(new.request.messages),
        against_seq=asked.seq,
        changes=tuple(map(described, found[:MOST_CHANGES])),
        more_changes=max(len(found) - MOST_CHANGES, 0),
        once=tuple(_again(one, tools.get(one.name)) for one in once[:MOST_CALLS]),
        more_once=max(len(once) - MOST_CALLS, 0),
        others=tuple(_again(one, tools.get(one.name)) for one in others[:MOST_CALLS]),
        more_others=max(len(others) - MOST_CALLS, 0),
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


def _again(one: CallMade, effect: EffectKind | None) -> CallAgain:
    repeat, free = one.repeat, may_repeat(effect)
    said = repeat.result.content if repeat.result is not None else ()

    def becomes(mode: RepeatedTools) -> Verdict:
        return "run" if free else judge(repeat, mode, None)

    return CallAgain(
        session=one.session,
        seq=one.start_seq,
        place=one.place,
        name=one.name,
        arguments=one.arguments[:SHOWN_CHARACTERS],
        effect=effect or "",
        status="unknown" if repeat.result is None else "failed" if repeat.is_error else "done",
        result="\n".join(block.text for block in said if isinstance(block, TextContent))[:SHOWN_CHARACTERS],
        becomes=Becomes(live=becomes("live"), recorded=becomes("recorded"), ask=becomes("ask")),
    )
