"""Messages as Google has them, without id and time: Gemini CLI keeps them of a session that is saved (`/chat save`)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from hashlib import blake2b
from itertools import islice
from uuid import uuid5

import msgspec

from ..fields import fields_of, list_of
from ..jsonl import Fields
from ..times import write_time
from .dialect import NAMES
from .messages import as_parts, parts_of, role_of

_ENCODER = msgspec.json.Encoder(order="sorted")
_BEGINS = 2  # messages of a person that tell one session from another: the program's own are the same for a day


def is_content(fields: Fields) -> bool:
    """Return whether an object is such a message."""
    own = isinstance(fields.get("parts"), list) and not {"id", "type", "kind"} & fields.keys()
    return own and fields.get("role") in ("user", "model")


def name_of(messages: Sequence[Fields]) -> str:
    """Name a session by how it begins; empty if its messages are no such."""
    said = (place for place, one in enumerate(messages, 1) if is_content(one) and role_of(one) == "user")
    end = next(islice(said, _BEGINS - 1, None), len(messages))
    if not all(map(is_content, messages[:end])):
        return ""
    return blake2b(_ENCODER.encode(messages[:end]), digest_size=8).hexdigest()


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
