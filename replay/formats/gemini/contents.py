"""Messages as Google has them, without id and time: Gemini CLI keeps them of a session that is saved (`/chat save`)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from hashlib import blake2b
from uuid import uuid5

import msgspec

from ..fields import fields_of, list_of, text_of
from ..jsonl import Fields
from ..times import write_time
from .dialect import NAMES, SETS_UP
from .messages import as_parts, parts_of, role_of

_ENCODER = msgspec.json.Encoder(order="sorted")
_OTHERS = {"type", "kind"}  # what parts of other programs have that are called so


def is_content(fields: Fields) -> bool:
    """Return whether an object is such a message."""
    parts = fields.get("parts")
    if fields.get("role") not in ("user", "model") or not isinstance(parts, list) or {"id", *_OTHERS} & fields.keys():
        return False
    return all(isinstance(one, dict) and not _OTHERS & one.keys() for one in parts)


def name_of(messages: Sequence[Fields]) -> str:
    """Name a session by how it begins, up to what a person said first; empty if its messages are no such."""
    end = next((place for place, one in enumerate(messages, 1) if _is_asked(one)), len(messages))
    if not messages or not all(map(is_content, messages[:end])):
        return ""
    return blake2b(_ENCODER.encode(messages[:end]), digest_size=8).hexdigest()


def _is_asked(message: Fields) -> bool:
    texts = [text_of(part.get("text")) for part in parts_of(message)] if role_of(message) == "user" else []
    return any(text and not text.startswith(SETS_UP) for text in texts)


def as_message(content: Fields, name: str, at_us: int) -> dict[str, object]:
    """Write such a message as one of a session."""
    kind = "gemini" if role_of(content) == "gemini" else "user"
    whole: dict[str, object] = {"id": str(uuid5(NAMES, name)), "timestamp": write_time(at_us), "type": kind}
    return {**whole, "content": list(parts_of(content)), **({"thoughts": []} if kind == "gemini" else {})}


def as_contents(message: Fields) -> Iterator[dict[str, object]]:
    """Write a message of a session as such: the results of its calls follow it."""
    role = "model" if role_of(message) == "gemini" else "user"
    calls = list(map(fields_of, list_of(message.get("toolCalls"))))
    made = [{"functionCall": {name: one.get(name) for name in ("id", "name", "args")}} for one in calls]
    yield {"role": role, "parts": [*parts_of(message), *made]}
    results = [part for one in calls for part in as_parts(one.get("result"))]
    if results:
        yield {"role": "user", "parts": results}
