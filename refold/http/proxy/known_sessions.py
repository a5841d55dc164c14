"""An index of sessions by how they begin, in which a request finds the one it goes on from."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import msgspec

from eventsource.machine.state import Config
from eventsource.messages import AssistantMessage
from projections.pairing import ContextMessage

from .prefix_match import prefix_digests


class KnownSession(msgspec.Struct, frozen=True):
    """A session as it was last seen."""

    session: str
    head: int
    digests: tuple[bytes, ...]
    spoken: int
    system_prompt: str


class SessionMatch(msgspec.Struct, frozen=True):
    """The session that shares the most messages with a request, and how many; `whole`: all that it has."""

    session: str
    shared: int
    whole: bool


class KnownSessions:
    """An index of sessions by the digests of how they begin; kept in memory, read from the log."""

    def __init__(self) -> None:
        self._sessions: dict[str, KnownSession] = {}
        self._by_digest: dict[bytes, dict[str, None]] = {}
        self._answers: dict[str, tuple[str, int]] = {}

    def head(self, session: str) -> int | None:
        """Return the head up to which a session was read."""
        known = self._sessions.get(session)
        return known.head if known is not None else None

    def put(self, session: str, head: int, own: Sequence[ContextMessage], config: Config) -> None:
        """Add a session, or replace what was read of it."""
        self.forget(session)
        digests = tuple(prefix_digests([part.message for part in own]))
        spoken = next((n for n, part in enumerate(own) if isinstance(part.message, AssistantMessage)), len(own))
        self._sessions[session] = KnownSession(session, head, digests, spoken, config.system_prompt)
        for digest in digests:
            self._by_digest.setdefault(digest, {})[session] = None
        for place, part in enumerate(own, start=1):
            if isinstance(part.message, AssistantMessage) and part.message.response_id:
                self._answers[part.message.response_id] = (session, place)

    def forget(self, session: str) -> None:
        """Remove a session."""
        known = self._sessions.pop(session, None)
        for digest in known.digests if known is not None else ():
            holders = self._by_digest[digest]
            holders.pop(session, None)
            if not holders:
                del self._by_digest[digest]

    def find(self, digests: Sequence[bytes], system_prompt: str, busy: set[str]) -> SessionMatch | None:
        """Find the longest beginning; where nothing but prompts is shared, the system prompt must be the same too."""
        for shared in range(len(digests), 0, -1):
            found = [one for one in self._holders(digests[shared - 1]) if _related(one, shared, system_prompt)]
            if found:
                free = (one for one in found if len(one.digests) == shared and one.session not in busy)
                chosen = next(free, found[0])
                return SessionMatch(
                    chosen.session, shared, len(chosen.digests) == shared and chosen.session not in busy
                )
        return None

    def answered(self, response_id: str) -> tuple[str, int] | None:
        """Find the session that holds an answer, and its place (from 1) there."""
        return self._answers.get(response_id)

    def _holders(self, digest: bytes) -> Iterator[KnownSession]:
        return (self._sessions[session] for session in self._by_digest.get(digest, ()))


def _related(known: KnownSession, shared: int, system_prompt: str) -> bool:
    return shared > known.spoken or known.system_prompt == system_prompt
