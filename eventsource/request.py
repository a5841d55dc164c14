"""The neutral request: what a model is asked, in no provider's shape, with a digest that holds for ever."""

from __future__ import annotations

import hashlib

import msgspec

from .events import ModelRef, ToolSpec
from .messages import Json, Message

_ENCODER = msgspec.json.Encoder()


class Request(msgspec.Struct, frozen=True, kw_only=True):
    """One model call: model, system prompt, tools in order, options, messages in order."""

    model: ModelRef
    system_prompt: str = ""
    tools: tuple[ToolSpec, ...] = ()
    options: Json = msgspec.UNSET
    messages: tuple[Message, ...] = ()


class PartHashes:
    """Remembers the hash of each message, so that a message is hashed once however often it is sent.

    Messages are kept by identity, which works because the context projection hands out the same objects.
    """

    def __init__(self) -> None:
        self._known: dict[int, tuple[Message, bytes]] = {}

    def of(self, message: Message) -> bytes:
        """SHA-256 of the message's JSON."""
        known = self._known.get(id(message))
        if known is not None and known[0] is message:
            return known[1]
        digest = hashlib.sha256(_ENCODER.encode(message)).digest()
        self._known[id(message)] = (message, digest)
        return digest


def request_sha256(request: Request, hashes: PartHashes | None = None) -> str:
    """Digest a request: SHA-256 over the SHA-256 of each part in order (model, system, tools, options, messages).

    Returns: 64 hex digits. Tools count by what the model is told of them: name, description and schema.
    """
    hashes = hashes or PartHashes()
    told = [(tool.name, tool.description, tool.schema) for tool in request.tools]
    whole = hashlib.sha256()
    for part in (
        request.model,
        request.system_prompt,
        told,
        {} if isinstance(request.options, msgspec.UnsetType) else request.options,
    ):
        whole.update(hashlib.sha256(_ENCODER.encode(part)).digest())
    for message in request.messages:
        whole.update(hashes.of(message))
    return whole.hexdigest()
