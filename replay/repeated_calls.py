"""Calls that a fork makes again: finding the same call in the sessions it was forked from."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence

import msgspec
from msgspec.structs import replace

from eventsource.events import MessageAdopt, MessageEnd, Origin, Place, ToolExecutionEnd, ToolExecutionStart
from eventsource.log.lineage import MAX_SEQ
from eventsource.log.load import read_all
from eventsource.log.protocol import EventLog
from eventsource.machine.repeated_calls import Repeat
from eventsource.messages import AssistantMessage, ToolCall

from .adopt import SOURCE
from .diff_text import canonical
from .lineage import lineage

_Key = tuple[str, str]


class CallMade(msgspec.Struct, frozen=True, kw_only=True):
    """A call that was begun (or adopted): where, with what (its arguments as JSON text), and what came of it."""

    session: str
    start_seq: int
    place: Place
    name: str
    arguments: str
    adopted: bool
    repeat: Repeat

    @property
    def key(self) -> _Key:
        """What makes another call the same: the name, and the arguments as values."""
        return self.name, canonical(self.arguments)


_Left = tuple[int, _Key, CallMade]
"""A call that was not made again, behind the seq where a history left it."""


class Repeats:
    """Finds calls that a fork's ancestors made after the fork point; reads their logs when first asked.

    Each of them is found once: for the first call of the fork with the same name and arguments, then the next for the
    next. What the fork's own history has made again already is counted.
    """

    def __init__(self, log: EventLog, session: str) -> None:
        self._log, self._session = log, session
        self._left: list[_Left] | None = None
        self._found: dict[tuple[tuple[int, int], _Key], Repeat] = {}

    async def find(self, place: Place, name: str, arguments: str) -> Repeat | None:
        """Find the recorded call that this one repeats; the same one again when asked again."""
        if self._left is None:
            self._left = await self._read()
        at, key = (place.message_seq, place.content_index), (name, canonical(arguments))
        if (at, key) not in self._found:
            repeat = _take(self._left, key, MAX_SEQ)
            if repeat is None:
                return None
            self._found[at, key] = repeat
        return self._found[at, key]

    async def _read(self) -> list[_Left]:
        """List the ancestors' calls, nearest ancestor first, without those that were made again."""
        return await _left(self._log, (await lineage(self._log, self._session))[1:], self._session)


async def calls_behind(log: EventLog, session: str, at: int) -> list[CallMade]:
    """List the calls that a fork of a session at a seq would find when it makes one again, those of the session first.

    Raises: UnknownSessionError.
    """
    branches = [(name, min(last, at)) for name, last in await lineage(log, session)]
    return [one for *_, one in await _left(log, branches, session, upto=at)]


async def _left(
    log: EventLog, branches: Sequence[tuple[str, int]], session: str, *, upto: int | None = None
) -> list[_Left]:
    """List what sessions made by themselves behind the seqs where a history left them, but what it has made again."""
    left: list[_Left] = []
    for ancestor, branch in branches:
        own = max(branch, (await log.info(ancestor)).fork_seq)
        left += [(branch, one.key, one) async for one in _calls(log, ancestor, after=own) if not one.adopted]
    if left:
        async for one in _calls(log, session, after=min(branch for branch, *_ in left), upto=upto):
            _take(left, one.key, one.start_seq)
    return left


def _take(left: list[_Left], key: _Key, seq: int) -> Repeat | None:
    """Take the first call of a key that was made after the branch point that lies before a seq."""
    for number, (branch, made, one) in enumerate(left):
        if made == key and branch < seq:
            del left[number]
            return one.repeat
    return None


async def _calls(log: EventLog, session: str, *, after: int, upto: int | None = None) -> AsyncIterator[CallMade]:
    """Yield every call that was begun behind a seq, in the order of their first starts, each with its last end."""
    written: dict[int, AssistantMessage] = {}
    made: dict[Place, CallMade] = {}
    async for recorded in read_all(log, session, after=after, upto=upto, updates=False):
        event = recorded.event
        if isinstance(event, MessageEnd | MessageAdopt) and isinstance(event.message, AssistantMessage):
            written[recorded.seq] = event.message
        elif isinstance(event, ToolExecutionStart) and event.refused in (None, "adopted"):
            place = Place(message_seq=event.message_seq, content_index=event.content_index)
            if place in made or event.attempt > 1:  # one that was begun before is another history's, too
                continue
            if (asked := event.arguments) is None:
                if place.message_seq not in written and place.message_seq <= after:
                    written |= await _answer_at(log, session, place.message_seq)
                asked = _arguments(written.get(place.message_seq), place.content_index)
            made[place] = CallMade(
                session=session,
                start_seq=recorded.seq,
                place=place,
                name=event.name,
                arguments=asked,
                adopted=event.refused == "adopted",
                repeat=Repeat(origin=Origin(source=SOURCE, session=session, entry=str(recorded.seq))),
            )
        elif isinstance(event, ToolExecutionEnd) and event.decided == "executed":
            place = Place(message_seq=event.message_seq, content_index=event.content_index)
            origin = Origin(source=SOURCE, session=session, entry=str(recorded.seq))
            ended = Repeat(origin=origin, result=event.result, is_error=event.is_error)
            if place in made:
                made[place] = replace(made[place], repeat=ended)
    for one in made.values():
        yield one


async def _answer_at(log: EventLog, session: str, seq: int) -> dict[int, AssistantMessage]:
    """Read the answer of a name, if one stands there."""
    for recorded in await log.read(session, after=seq - 1, upto=seq, updates=False):
        event = recorded.event
        if isinstance(event, MessageEnd | MessageAdopt) and isinstance(event.message, AssistantMessage):
            return {seq: event.message}
    return {}


def _arguments(answer: AssistantMessage | None, index: int) -> str:
    block = answer.content[index] if answer is not None and index < len(answer.content) else None
    return block.arguments if isinstance(block, ToolCall) else ""
