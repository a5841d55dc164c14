"""Which conversations are known: sessions by how they begin, so that a request finds the one it goes on from."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import msgspec

from eventsource.machine.state import Config
from eventsource.messages import AssistantMessage
from projections.pairing import ContextMessage

from .matching import chain


class Known(msgspec.Struct, frozen=True):
    """A session as it was last seen."""

    session: str
    head: int
    links: tuple[bytes, ...]
    spoken: int
    system_prompt: str


class Match(msgspec.Struct, frozen=True):
    """The session that shares the most messages with a request, and how many; `whole`: all that it has."""

    session: str
    shared: int
    whole: bool


class KnownSessions:
    """Sessions by the links of their chains; kept in memory, learned from the log."""

    def __init__(self) -> None:
        self._sessions: dict[str, Known] = {}
        self._by_link: dict[bytes, dict[str, None]] = {}
        self._answers: dict[str, tuple[str, int]] = {}

    def head(self, session: str) -> int | None:
        """Say up to where a session is known."""
        known = self._sessions.get(session)
        return known.head if known is not None else None

    def put(self, session: str, head: int, own: Sequence[ContextMessage], config: Config) -> None:
        """Know a session, or know it anew."""
        self.forget(session)
        links = tuple(chain([part.message for part in own]))
        spoken = next((n for n, part in enumerate(own) if isinstance(part.message, AssistantMessage)), len(own))
        self._sessions[session] = Known(session, head, links, spoken, config.system_prompt)
        for link in links:
            self._by_link.setdefault(link, {})[session] = None
        for place, part in enumerate(own, start=1):
            if isinstance(part.message, AssistantMessage) and part.message.response_id:
                self._answers[part.message.response_id] = (session, place)

    def forget(self, session: str) -> None:
        """Know a session no more."""
        known = self._sessions.pop(session, None)
        for link in known.links if known is not None else ():
            holders = self._by_link[link]
            holders.pop(session, None)
            if not holders:
                del self._by_link[link]

    def find(self, links: Sequence[bytes], system_prompt: str, busy: set[str]) -> Match | None:
        """Find the longest beginning; where nothing but prompts is shared, the system prompt must be the same too."""
        for shared in range(len(links), 0, -1):
            found = [one for one in self._holders(links[shared - 1]) if _related(one, shared, system_prompt)]
            if found:
                free = (one for one in found if len(one.links) == shared and one.session not in busy)
                chosen = next(free, found[0])
                return Match(chosen.session, shared, len(chosen.links) == shared and chosen.session not in busy)
        return None

    def answered(self, response_id: str) -> tuple[str, int] | None:
        """Find the session that holds an answer, and its place (from 1) there."""
        return self._answers.get(response_id)

    def _holders(self, link: bytes) -> Iterator[Known]:
        return (self._sessions[session] for session in self._by_link.get(link, ()))


def _related(known: Known, shared: int, system_prompt: str) -> bool:
    return shared > known.spoken or known.system_prompt == system_prompt
