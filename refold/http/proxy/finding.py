"""Finding the session that a request goes on from, among those that this process knows and those in the log."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from eventsource.codec import read_object, to_json
from eventsource.envelope import Recorded, SessionInfo
from eventsource.errors import RefoldError
from eventsource.events import MetadataSet
from eventsource.log.load import load
from eventsource.messages import AssistantMessage
from eventsource.models.wire import text_of
from eventsource.request import Request
from eventsource.runner.writer import Writer
from projections.context import ContextView
from projections.projection import Projection

from ...context_fold import CONTEXT
from ...log import Log
from ..wires.client_name import UNNAMED, ClientName
from ..wires.protocol import Asked
from .alignment import Said
from .known_sessions import KnownSessions, SessionMatch
from .prefix_match import expected_messages, in_call_order, with_tools

CLIENT = "client"
"""The metadata that says what a client calls a session."""


class Seen(msgspec.Struct, frozen=True):
    """A session's context, and what its client calls it."""

    view: ContextView = CONTEXT.initial
    client: ClientName = UNNAMED


def _step(seen: Seen, recorded: Recorded) -> Seen:
    event = recorded.event
    client = read_name(event) if isinstance(event, MetadataSet) and event.name == CLIENT else seen.client
    return Seen(CONTEXT.step(seen.view, recorded), client)


_SEEN = Projection(name="proxied", version=1, initial=Seen(), step=_step)


def write_name(client: ClientName) -> MetadataSet:
    """Record what a client calls a session."""
    told = {"program": client.program, "session": client.session, "agent": client.agent, "parent": client.parent}
    return MetadataSet(name=CLIENT, value=to_json({name: value for name, value in told.items() if value}))


def read_name(event: MetadataSet) -> ClientName:
    """Read what a client calls a session."""
    told = read_object(event.value)
    return ClientName(
        program=text_of(told, "program"),
        session=text_of(told, "session"),
        agent=text_of(told, "agent"),
        parent=text_of(told, "parent"),
    )


class SessionFinder:
    """Knows the sessions that requests may go on from, and which of them are under way (`busy`)."""

    def __init__(self, log: Log) -> None:
        self._log = log
        self.known = KnownSessions()
        self.busy: set[str] = set()
        self._begun = self._learned = False

    def index(self, writer: Writer[ContextView], client: ClientName, parent: str) -> None:
        """Take note of how a session stands."""
        own = expected_messages(writer.view)
        self.known.put(writer.session, writer.head, own, writer.state, client, parent)

    async def whole(self, asked: Asked, client: ClientName) -> tuple[Request, str]:
        """Return the whole conversation, also where the client relies on what its provider keeps.

        Returns: and what of it is not to be had, for people.
        """
        told = with_tools(in_call_order(asked.request.messages))
        request = msgspec.structs.replace(asked.request, messages=tuple(told))
        if not asked.previous and not client.kept:
            return request, ""
        found = self._kept(asked, client)
        if found is None:
            await self.learn()
            found = self._kept(asked, client)
        if found is None and not asked.previous:
            return request, ""  # it begins here
        if found is None:
            return request, f"previous_response_id {asked.previous}: what was said up to that answer is not in this log"
        session, place = found
        _, _, view = await load(self._log.store, session, context=CONTEXT)
        before = [part.message for part in expected_messages(view)[:place]]
        messages = with_tools(in_call_order([*before, *request.messages]))
        return msgspec.structs.replace(request, messages=tuple(messages)), ""

    def _kept(self, asked: Asked, client: ClientName) -> tuple[str, int] | None:
        if asked.previous:
            return self.known.answered(asked.previous)
        latest = max(self.known.of_client(client), key=lambda one: len(one.said), default=None)
        return (latest.session, len(latest.said)) if latest is not None else None

    async def find(self, said: Sequence[Said], request: Request, client: ClientName) -> SessionMatch | None:
        """Find the session that a request goes on from."""
        if not self._begun:  # what an earlier process left unfinished is asked again
            self._begun = True
            for info in await self._log.store.sessions(open=True):
                await self._read(info)
        match = self.known.find(said, request.system_prompt, self.busy, client)
        left = request.messages[match.shared if match is not None else 0 :]
        unknown = client.session and not any(True for _ in self.known.family(client))
        if (unknown or any(isinstance(message, AssistantMessage) for message in left)) and await self.learn():
            match = self.known.find(said, request.system_prompt, self.busy, client)
        return match

    async def learn(self) -> bool:
        """Read the sessions that the index does not hold as they stand now, latest first. Returns: were there any?"""
        after, found = None, False
        while page := await self._log.store.sessions(after=after):
            for info in page:
                if self.known.head(info.id) == info.head:
                    if self._learned:
                        return found
                elif info.id not in self.busy:
                    await self._read(info)
                    found = True
            after = page[-1].id
        self._learned = True
        return found

    async def _read(self, info: SessionInfo) -> None:
        try:
            head, state, seen = await load(self._log.store, info.id, context=_SEEN)
        except RefoldError:  # a session nobody can read is none to go on from
            return
        client = seen.client if seen.client.program else msgspec.structs.replace(seen.client, program=info.agent)
        self.known.put(info.id, head, expected_messages(seen.view), state, client, info.parent or "")
