"""Which call of another session a conversation was begun by: it begins with what that call says. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import msgspec

from eventsource.codec import from_json
from eventsource.events import Place
from eventsource.messages import AssistantMessage, Message, TextContent, ToolCall, UserMessage

from ..wires.client_name import ClientName
from .known_sessions import KnownSession, KnownSessions

_SHORTEST = 8  # characters of a prompt that shows by itself which call it comes from
_WITHIN = 20  # and of one that stands among other words


class Beginning(msgspec.Struct, frozen=True):
    """The call that began a conversation: its session, its place there, what it is known by, and whether it is open."""

    session: str
    place: Place
    key: str
    open: bool


def find_beginning(
    known: KnownSessions, messages: Sequence[Message], client: ClientName, taken: set[tuple[str, int, int]]
) -> Beginning | None:
    """Find the call that began a conversation; one in `taken` (session, seq, content index) has begun another.

    A client that names its sessions is believed that both are of one; of another, the call must be open, and its whole
    prompt all that is said. Of several the one that is open counts, then the latest.
    """
    texts = _first_prompts(messages)
    if not texts:
        return None
    found: list[Beginning] = []
    for session in reversed(list(_named(known, client) if client.session else known.asking())):
        if not client.session and (session.client.session or session.client.program != client.program):
            continue
        for asked in reversed(session.calls):
            at = (asked.place.message_seq, asked.place.content_index)
            if (session.session, *at) in taken or (session.parent, *at) in taken:
                continue
            if (asked.open or client.session) and _begins(texts, asked.call, alone=not client.session):
                key = f"{asked.call.name} {client.agent or asked.call.id}".strip()
                found.append(Beginning(session.session, asked.place, key, asked.open))
    return next((one for one in found if one.open), found[0] if found else None)


def _named(known: KnownSessions, client: ClientName) -> Iterator[KnownSession]:
    return (one for one in known.family(client) if one.client.key != client.key)


def _first_prompts(messages: Sequence[Message]) -> list[str]:
    """List the texts that are said before the first answer."""
    texts: list[str] = []
    for message in messages:
        if isinstance(message, AssistantMessage):
            break
        if isinstance(message, UserMessage) and isinstance(message.raw, msgspec.UnsetType):
            content = message.content
            parts = [content] if isinstance(content, str) else [p.text for p in content if isinstance(p, TextContent)]
            texts += [text.strip() for text in parts if text.strip()]
    return texts


def _begins(texts: Sequence[str], call: ToolCall, *, alone: bool) -> bool:
    for value in _texts_of(call):
        if alone:
            if len(value) >= _SHORTEST and list(texts) == [value]:
                return True
        elif any(value == text or (len(value) >= _WITHIN and value in text) for text in texts):
            return True
    return False


def _texts_of(call: ToolCall) -> Iterator[str]:
    """Yield the texts among a call's arguments."""
    try:
        value = from_json(call.arguments or "{}")
    except ValueError:
        return
    fields = value.values() if isinstance(value, dict) else ()
    yield from (field.strip() for field in fields if isinstance(field, str) and field.strip())
