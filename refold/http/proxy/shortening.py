"""Whether a request goes on behind a summary of what was said, which its client put in its place. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

import msgspec

from eventsource.message_text import text_of
from eventsource.messages import AssistantMessage, Message, UserMessage

from ..wires.client_name import ClientName
from .alignment import Said
from .known_sessions import KnownSession, KnownSessions

_ASKS = re.compile(r"create a detailed summary of the (?:\w+ )*conversation|CONTEXT CHECKPOINT COMPACTION")
"""What Claude Code and Codex say when they ask for a summary (November 2026)."""
_SUMMARY = re.compile(r"<summary>(.*?)</summary>", re.DOTALL)
_SHORTEST = 12  # characters of a summary that is known by its words


class Shortened(msgspec.Struct, frozen=True):
    """A summary that stands in a request for what was said.

    `session`: what it shortens; `by`: the session in which it was asked for, if that is another one. `place`: of the
    message in the request. `kept`: how many messages at the session's end still follow it.
    """

    session: str
    by: str
    summary: str
    place: int
    kept: int


def asks_for_summary(messages: Sequence[Message], client: ClientName) -> bool:
    """Return whether a request asks for the summary that will stand for a conversation."""
    if client.summarises:
        return True
    last = next((one for one in reversed(messages) if isinstance(one, UserMessage) and not _has_role(one)), None)
    return bool(client.session) and last is not None and _ASKS.search(text_of(last)) is not None


def _has_role(message: UserMessage) -> bool:
    return not isinstance(message.raw, msgspec.UnsetType)


def find_shortened(
    known: KnownSessions, messages: Sequence[Message], asked: Sequence[Said], client: ClientName
) -> Shortened | None:
    """Find the session of a client that goes on behind a summary: the request repeats its last words in a prompt."""
    said = [(place, text_of(one)) for place, one in enumerate(messages) if isinstance(one, UserMessage)]
    answered = next((n for n, one in enumerate(messages) if isinstance(one, AssistantMessage)), len(messages))
    for session in sorted(known.of_client(client), key=lambda one: not one.parent):
        for summary in _summaries(session.last):
            place = next((place for place, text in said if place <= answered and summary in text), None)
            if place is not None:
                above = known.get(session.parent)
                alone = above is not None and above.client.key == client.key
                target = above if above is not None and alone else session
                kept = _kept(target, asked[place + 1 :])
                return Shortened(target.session, session.session if alone else "", summary, place, kept)
    return None


def _summaries(answer: str) -> Iterator[str]:
    found = _SUMMARY.search(answer)
    for text in (found[1] if found is not None else "", answer):
        if len(text.strip()) >= _SHORTEST:
            yield text.strip()


def _kept(known: KnownSession, asked: Sequence[Said]) -> int:
    """Count the messages at the end of a session that a request goes on with."""
    digests = [one.digest for one in asked]
    for kept in range(min(len(known.said), len(digests)), 0, -1):
        tail = known.said[-kept:]
        if not tail[0].result and [one.digest for one in tail] == digests[:kept]:
            return kept
    return 0
