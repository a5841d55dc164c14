"""Calls that a fork makes again: finding the same call in the sessions it was forked from."""

from __future__ import annotations

from collections.abc import AsyncIterator

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


class _Made(msgspec.Struct, frozen=True):
    """A call that was made (or adopted): where it was started, what was asked, what came of it."""

    start_seq: int
    place: tuple[int, int]
    key: _Key
    adopted: bool
    repeat: Repeat


class Repeats:
    """Finds calls that a fork's ancestors made after the fork point; reads their logs when first asked.

    Each of them is found once: for the first call of the fork with the same name and arguments, then the next for the
    next. What the fork's own history has made again already is counted.
    """

    def __init__(self, log: EventLog, session: str) -> None:
        self._log, self._session = log, session
        self._left: list[tuple[int, _Made]] | None = None
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

    async def _read(self) -> list[tuple[int, _Made]]:
        """List the ancestors' calls, nearest ancestor first, without those that were made again."""
        left: list[tuple[int, _Made]] = []
        for ancestor, branch in (await lineage(self._log, self._session))[1:]:
            own = max(branch, (await self._log.info(ancestor)).fork_seq)
            made = [one async for one in _calls(self._log, ancestor)]
            left += [(branch, one) for one in made if one.start_seq > own and not one.adopted]
        if left:
            async for one in _calls(self._log, self._session):
                _take(left, one.key, one.start_seq)
        return left


def _take(left: list[tuple[int, _Made]], key: _Key, seq: int) -> Repeat | None:
    """Take the first call of a key that was made after the branch point that lies before a seq."""
    for number, (branch, made) in enumerate(left):
        if made.key == key and branch < seq:
            del left[number]
            return made.repeat
    return None


async def _calls(log: EventLog, session: str) -> AsyncIterator[_Made]:
    """Yield every call of a history that was begun, in the order of their first starts, each with its last end."""
    written: dict[tuple[int, int], str] = {}
    made: dict[tuple[int, int], _Made] = {}
    async for recorded in read_all(log, session, updates=False):
        event = recorded.event
        if isinstance(event, MessageEnd | MessageAdopt) and isinstance(event.message, AssistantMessage):
            blocks = enumerate(event.message.content)
            written |= {(recorded.seq, index): b.arguments for index, b in blocks if isinstance(b, ToolCall)}
        elif isinstance(event, ToolExecutionStart) and event.refused in (None, "adopted"):
            place = (event.message_seq, event.content_index)
            asked = event.arguments if event.arguments is not None else written.get(place, "")
            begun = Repeat(origin=Origin(source=SOURCE, session=session, entry=str(recorded.seq)))
            key = (event.name, canonical(asked))
            made.setdefault(place, _Made(recorded.seq, place, key, event.refused == "adopted", begun))
        elif isinstance(event, ToolExecutionEnd) and event.decided == "executed":
            place = (event.message_seq, event.content_index)
            origin = Origin(source=SOURCE, session=session, entry=str(recorded.seq))
            ended = Repeat(origin=origin, result=event.result, is_error=event.is_error)
            made[place] = replace(made[place], repeat=ended)
    for one in made.values():
        yield one
