"""How a client names the conversation that a request belongs to, in its headers or in the body. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping

import msgspec

from eventsource.codec import from_json
from eventsource.models.wire import inner, text_of

_HEADERS = (
    "x-claude-code-session-id",  # Claude Code
    "session-id",  # Codex
    "session_id",  # Codex until 0.80, and pi with OpenAI's protocols
    "conversation_id",  # Codex until 0.60
    "x-session-affinity",  # pi, opencode
    "x-opencode-session",
    "x-session-id",
    "x-conversation-id",
    "helicone-session-id",
)
"""Headers that name a session of the client, as its programs send them (November 2026)."""
_TURN = "x-codex-turn-metadata"  # what Codex says of a request, in a header and in the body
_FIELDS = ("session_id", "conversation_id", "thread_id", "sessionId")
"""Fields of `metadata`, and of a body itself, that do."""
_PROGRAMS: Mapping[str, str] = {
    "claude-cli/": "claude-code",
    "codex": "codex",
    "geminicli": "gemini",
    "opencode/": "opencode",
    "pi/": "pi",
}
"""How the `user-agent` of a program begins, and what `refold import --from` calls it."""
_OLD_USER = re.compile(r"_session_([0-9a-fA-F-]{36})$")  # Claude Code until 2.1, in `metadata.user_id`
_UNIQUE = re.compile(r"(?=.*\d)[\w-]{16,}")  # a cache's key that names one conversation, and not an application
_LONGEST = 200


class ClientName(msgspec.Struct, frozen=True, kw_only=True):
    """The conversation that a request belongs to, in its client's own words; empty where it does not say.

    `program`: which client it is. `session`: its session. `agent`: the sub-agent within that session, of which `parent`
    is the one that began it (empty: the session's main agent). `summarises`: the request says that it asks for the
    summary of a compaction. `kept`: the provider keeps the conversation, and the request brings only what is new.
    """

    program: str = ""
    session: str = ""
    agent: str = ""
    parent: str = ""
    summarises: bool = False
    kept: bool = False

    @property
    def key(self) -> tuple[str, str]:
        """What tells the conversation apart from others; of a client that names nothing, two empty texts."""
        return self.session, self.agent if self.session else ""


UNNAMED = ClientName()
"""Of a client that says nothing."""


def read_client_name(headers: Mapping[str, str], body: Mapping[str, object]) -> ClientName:
    """Read how a request's client names its conversation. `headers`: by their names in lower case."""
    program = next((name for begin, name in _PROGRAMS.items() if _agent(headers).startswith(begin)), "")
    turn = _object(headers.get(_TURN) or text_of(inner(body, "client_metadata"), _TURN))
    user = text_of(inner(body, "metadata"), "user_id")
    named = _object(user)
    old = _OLD_USER.search(user)
    conversation = body.get("conversation")
    kept = conversation if isinstance(conversation, str) else text_of(inner(body, "conversation"), "id")
    cached = text_of(body, "prompt_cache_key")
    found = (
        text_of(turn, "session_id"),
        text_of(named, "session_id"),
        old[1] if old is not None else "",
        *(headers.get(name, "") for name in _HEADERS),
        kept,
        *(text_of(inner(body, "metadata"), name) for name in _FIELDS),
        *(text_of(body, name) for name in _FIELDS),
        cached if _UNIQUE.fullmatch(cached) else "",
    )
    session = next((one.strip()[:_LONGEST] for one in found if one.strip()), "")
    thread = text_of(turn, "thread_id")
    parent = headers.get("x-claude-code-parent-agent-id", "") or text_of(turn, "parent_thread_id")
    return ClientName(
        program=program,
        session=session,
        agent=(headers.get("x-claude-code-agent-id", "") or (thread if thread != session else ""))[:_LONGEST],
        parent=("" if parent == session else parent)[:_LONGEST],
        summarises=text_of(turn, "request_kind") == "compaction",
        kept=bool(kept),
    )


def _agent(headers: Mapping[str, str]) -> str:
    return headers.get("user-agent", "").lower()


def _object(text: str) -> dict[str, object]:
    """Read a text that may be a JSON object."""
    if not text.startswith("{"):
        return {}
    try:
        value = from_json(text)
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}
