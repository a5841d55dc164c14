"""Recording which call began a client's sub-agent, in the session that made it, when that session can be written."""

from __future__ import annotations

import msgspec

from eventsource.errors import UnknownSessionError
from eventsource.events import ChildEnd, ChildStart, Place
from eventsource.log.protocol import EventLog
from eventsource.machine.guards import find_call
from eventsource.machine.state import Phase
from eventsource.runner.writer import Writer
from projections.context import ContextView

from .sub_agents import Beginning


class _Link(msgspec.Struct, frozen=True):
    child: str
    key: str
    place: Place


class ChildLinks:
    """The sub-agents that sessions have begun, until both their start and their end are on record.

    One whose call is open hangs from it. Where the call was answered before the sub-agent said anything, as of agents
    in the background, start and end are recorded when the session is idle, and the key names the call.
    """

    def __init__(self, store: EventLog, busy: set[str]) -> None:
        self._store, self._busy = store, busy
        self._waiting: dict[str, list[_Link]] = {}
        self._running: dict[str, dict[str, str]] = {}
        self.taken: set[tuple[str, int, int]] = set()

    def add(self, beginning: Beginning, child: str) -> None:
        """Note that a call began a session."""
        link = _Link(child, beginning.key, beginning.place)
        self._waiting.setdefault(beginning.session, []).append(link)
        self.taken.add((beginning.session, link.place.message_seq, link.place.content_index))

    def waiting(self) -> list[str]:
        """List the sessions in which something is to be recorded."""
        return [*self._waiting, *(session for session in self._running if session not in self._waiting)]

    async def record(self, writer: Writer[ContextView]) -> None:
        """Record what can be recorded in a session as it stands."""
        state, session = writer.state, writer.session
        left: list[_Link] = []
        for link in self._waiting.pop(session, ()):
            key = link.key if link.key not in writer.state.children else f"{link.key} {link.child}"
            call = find_call(state, link.place.message_seq, link.place.content_index)
            if state.phase is Phase.TOOLS and call is not None and not call.ended and not call.child:
                writer.outcome(ChildStart(key=key, child=link.child, call=link.place))
            elif state.phase is Phase.IDLE and not state.task:
                writer.outcome(ChildStart(key=key, child=link.child))
            else:
                left.append(link)
                continue
            self._running.setdefault(session, {})[key] = link.child
        if left:
            self._waiting[session] = left
        await self._end(writer)

    async def _end(self, writer: Writer[ContextView]) -> None:
        """Record the end of what runs beside no call, once nothing of it is under way."""
        running = self._running.get(writer.session, {})
        held = {call.child for call in writer.state.batch.calls} if writer.state.batch is not None else set()
        for key, child in list(running.items()):
            if key in writer.state.children and (key in held or child in self._busy):
                continue
            if key in writer.state.children:
                writer.outcome(ChildEnd(key=key, tokens=await self._tokens(child)))
            del running[key]
        if not running:
            self._running.pop(writer.session, None)

    async def end_of(self, writer: Writer[ContextView], key: str) -> ChildEnd:
        """Make the end of the sub-agent of a call whose result has come."""
        child = self._running.get(writer.session, {}).get(key)
        return ChildEnd(key=key, tokens=await self._tokens(child) if child is not None else 0)

    async def _tokens(self, child: str) -> int:
        try:
            info = await self._store.info(child)
        except UnknownSessionError:
            return 0
        return info.input_tokens + info.output_tokens + info.cache_read_tokens + info.cache_write_tokens
