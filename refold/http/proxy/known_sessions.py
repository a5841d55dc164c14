"""An index of sessions by how they begin and what their clients call them: a request finds the one it goes on from."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TypeVar

import msgspec

from eventsource.events import Place
from eventsource.machine.state import State
from eventsource.messages import AssistantMessage, ToolCall
from projections.pairing import ContextMessage

from ..wires.client_name import UNNAMED, ClientName
from .alignment import Alignment, Said, align, said
from .prefix_match import digest_chain

K = TypeVar("K")
_BATCHES = 3  # answers with calls, the last ones, that a sub-agent may have been begun by


class AskedCall(msgspec.Struct, frozen=True):
    """A call that a session's model made, by its place, and whether the client is still to answer it."""

    place: Place
    call: ToolCall
    open: bool


class KnownSession(msgspec.Struct, frozen=True):
    """A session as it was last seen.

    `spoken`: how many messages stand before its first answer. `calls`: those of its last answers. `last`: the text of
    its last message, if a model said it. `parent`: the session that it is a fork of. `running`: a run of it is open, in
    which its client is to answer a call, or to ask once more for an answer that paused.
    """

    session: str
    head: int
    said: tuple[Said, ...]
    digests: tuple[bytes, ...]
    spoken: int
    system_prompt: str
    client: ClientName
    parent: str
    calls: tuple[AskedCall, ...]
    last: str
    has_tools: bool
    running: bool


class SessionMatch(msgspec.Struct, frozen=True):
    """The session that shares the most messages with a request, and how many; `whole`: all that it has.

    `answered`: an answer is among them. `begins_anew`: the request has another beginning.
    """

    session: str
    shared: int
    whole: bool
    answered: bool = False
    begins_anew: bool = False


class KnownSessions:
    """An index of sessions by the digests of how they begin; kept in memory, read from the log."""

    def __init__(self) -> None:
        self._sessions: dict[str, KnownSession] = {}
        self._by_digest: dict[bytes, dict[str, None]] = {}
        self._by_client: dict[str, dict[str, None]] = {}
        self._answers: dict[str, tuple[str, int]] = {}

    def head(self, session: str) -> int | None:
        """Return the head up to which a session was read."""
        known = self._sessions.get(session)
        return known.head if known is not None else None

    def get(self, session: str) -> KnownSession | None:
        """Find a session."""
        return self._sessions.get(session)

    def put(
        self,
        session: str,
        head: int,
        own: Sequence[ContextMessage],
        state: State,
        client: ClientName = UNNAMED,
        parent: str = "",
    ) -> None:
        """Add a session, or replace what was read of it."""
        self.forget(session)
        messages = [part.message for part in own]
        reduced = tuple(map(said, messages))
        digests = tuple(digest_chain([one.lasting for one in reduced]))
        spoken = next((n for n, one in enumerate(reduced) if one.answer), len(own))
        last = messages[-1] if messages else None
        self._sessions[session] = KnownSession(
            session,
            head,
            reduced,
            digests,
            spoken,
            state.config.system_prompt,
            client,
            parent,
            tuple(_calls(own, state)),
            last.text if isinstance(last, AssistantMessage) else "",
            bool(state.config.tools),
            state.run is not None,
        )
        for digest in digests:
            self._by_digest.setdefault(digest, {})[session] = None
        if client.session:
            self._by_client.setdefault(client.session, {})[session] = None
        for place, message in enumerate(messages, start=1):
            if isinstance(message, AssistantMessage) and message.response_id:
                self._answers[message.response_id] = (session, place)

    def forget(self, session: str) -> None:
        """Remove a session."""
        known = self._sessions.pop(session, None)
        if known is None:
            return
        for digest in known.digests:
            _drop(self._by_digest, digest, session)
        if known.client.session:
            _drop(self._by_client, known.client.session, session)

    def find(
        self,
        asked: Sequence[Said],
        system_prompt: str,
        busy: set[str],
        client: ClientName = UNNAMED,
    ) -> SessionMatch | None:
        """Find the session that a request goes on from: the client's own if it names one, else what begins the same.

        Where nothing but prompts is shared, the system prompt must be the same too.
        """
        if not client.session:
            return self._find_alike(asked, system_prompt, busy, client)
        own = self._find_named(asked, system_prompt, busy, client)
        if own is not None and own.answered:
            return own
        other = self._find_alike(asked, system_prompt, busy, client)
        return other if other is not None and other.answered else own

    def _find_named(
        self, asked: Sequence[Said], system_prompt: str, busy: set[str], client: ClientName
    ) -> SessionMatch | None:
        """Find the best of the sessions that the client calls by this name.

        Where no answer is shared, the system prompt must be the same, or the request brings answers of its own: then it
        is a conversation that begins so, of which the client has left out what was not finished.
        """
        brings = any(one.answer for one in asked)
        best: tuple[tuple[bool, ...] | tuple[object, ...], SessionMatch] | None = None
        for known in self.of_client(client):
            found = align(known.said, asked, named=True)
            if not found.own or not (found.answers or brings or known.system_prompt == system_prompt):
                continue
            match = _match(known, found, busy)
            rank = (match.whole and match.answered, match.answered, found.own, match.whole, -len(found.rewritten))
            if best is None or rank > best[0]:
                best = rank, match
        return best[1] if best is not None else None

    def _find_alike(
        self, asked: Sequence[Said], system_prompt: str, busy: set[str], client: ClientName
    ) -> SessionMatch | None:
        """Find the longest beginning; before a longer one, all of a session of the same system prompt."""
        digests = digest_chain([one.lasting for one in asked])
        longest: SessionMatch | None = None
        for shared in range(len(digests), 0, -1):
            held = self._by_digest.get(digests[shared - 1], ())
            related = [
                one for name in held if _related(one := self._sessions[name], asked[:shared], system_prompt, client)
            ]
            found = [one for one in related if _says(one, asked[:shared])] or related
            if not found:
                continue
            free = [one for one in found if _goes_on(one, shared, busy)] or found
            chosen = next((one for one in free if one.system_prompt == system_prompt), free[0])
            match = SessionMatch(
                chosen.session,
                shared,
                _goes_on(chosen, shared, busy) and _may_go_on(chosen, client),
                shared > chosen.spoken,
            )
            if chosen.system_prompt == system_prompt and (longest is None or (match.whole and match.answered)):
                longest = match
                break
            longest = longest or match
        if longest is None or longest.whole:
            return longest
        return self._find_rewritten(asked, digests[0], system_prompt, busy, client) or longest

    def _find_rewritten(
        self, asked: Sequence[Said], first: bytes, system_prompt: str, busy: set[str], client: ClientName
    ) -> SessionMatch | None:
        """Find a session of which all is in a request, though not in the same words."""
        calls = next((one.calls for one in reversed(asked) if one.calls), ())
        for name in self._by_digest.get(first, ()) if calls else ():
            known = self._sessions[name]
            last = next((one.calls for one in reversed(known.said) if one.calls), ())
            if not last or known.system_prompt != system_prompt or not _may_go_on(known, client):
                continue
            found = align(known.said, asked, named=False)
            if found.own == len(known.said) and name not in busy:
                return _match(known, found, busy)
        return None

    def of_client(self, client: ClientName) -> Iterator[KnownSession]:
        """List the sessions that a client calls by one name, its agent's too."""
        return (one for one in self.family(client) if one.client.key == client.key)

    def family(self, client: ClientName) -> Iterator[KnownSession]:
        """List the sessions of all agents of a client's session."""
        held: Mapping[str, None] = self._by_client.get(client.session, {}) if client.session else {}
        return (self._sessions[session] for session in list(held))

    def asking(self) -> Iterator[KnownSession]:
        """List the sessions whose client is still to answer a call."""
        return (one for one in list(self._sessions.values()) if any(call.open for call in one.calls))

    def running(self) -> Iterator[KnownSession]:
        """List the sessions that wait for their client."""
        return (one for one in list(self._sessions.values()) if one.running)

    def answered(self, response_id: str) -> tuple[str, int] | None:
        """Find the session that holds an answer, and its place (from 1) there."""
        return self._answers.get(response_id)


def _drop(holders: dict[K, dict[str, None]], key: K, session: str) -> None:
    held = holders[key]
    held.pop(session, None)
    if not held:
        del holders[key]


def _calls(own: Sequence[ContextMessage], state: State) -> Iterator[AskedCall]:
    """List the calls of the last answers."""
    waiting = {} if state.batch is None else {call.content_index: call for call in state.batch.calls}
    batches = [part for part in own if isinstance(part.message, AssistantMessage) and part.message.tool_calls]
    for part in batches[-_BATCHES:]:
        content = part.message.content if isinstance(part.message, AssistantMessage) else ()
        for index, block in enumerate(content):
            if isinstance(block, ToolCall):
                here = state.batch is not None and part.seq == state.batch.message_seq
                held = waiting.get(index) if here else None
                is_open = held is not None and not held.ended and not held.child
                yield AskedCall(Place(message_seq=part.seq, content_index=index), block, is_open)


def _match(known: KnownSession, found: Alignment, busy: set[str]) -> SessionMatch:
    whole = found.own == len(known.said) and known.session not in busy
    return SessionMatch(known.session, found.own, whole, found.answers > 0, found.begins_anew)


def _goes_on(known: KnownSession, shared: int, busy: set[str]) -> bool:
    return len(known.said) == shared and known.session not in busy


def _may_go_on(known: KnownSession, client: ClientName) -> bool:
    """Return whether a session may be the one that a client means: not if either calls it by another name."""
    return not known.client.session or not client.session or known.client.key == client.key


def _says(known: KnownSession, asked: Sequence[Said]) -> bool:
    """Return whether a session begins with the very words of a request, what its program tells of the folder too."""
    return all(one.digest == other.digest for one, other in zip(known.said, asked, strict=False))


def _related(known: KnownSession, asked: Sequence[Said], system_prompt: str, client: ClientName) -> bool:
    if len(asked) > known.spoken:
        return True
    return known.system_prompt == system_prompt and _may_go_on(known, client) and _says(known, asked)
