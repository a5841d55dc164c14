"""The neutral request: what a model is asked, in no provider's shape, with a digest that holds for ever."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from operator import is_

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
    """Remembers what was hashed, so that a message is hashed once as long as it is sent again and again.

    Messages are kept by identity, which works because the context projection hands out the same objects. A request that
    goes on where the last one ended costs what came since; of one that does not, only its own messages are kept.
    """

    def __init__(self) -> None:
        self._known: dict[int, tuple[Message, bytes]] = {}
        self._last = Request(model=ModelRef(api="", provider="", model=""))
        self._whole = _begin(self._last)
        self._source: Sequence[Message] | None = None

    def of(self, message: Message) -> bytes:
        """SHA-256 of the message's JSON."""
        known = self._known.get(id(message))
        if known is not None and known[0] is message:
            return known[1]
        digest = hashlib.sha256(_ENCODER.encode(message)).digest()
        self._known[id(message)] = (message, digest)
        return digest

    def whole(self, request: Request, source: Sequence[Message] | None = None) -> str:
        """Digest a request; see `RequestBuilder.source`."""
        last = self._last
        shared = len(last.messages)
        same = _head(request) == _head(last) and shared <= len(request.messages)
        grown = source is not None and source is self._source
        if not same or not (grown or all(map(is_, last.messages, request.messages))):
            self._whole, shared = _begin(request), 0
            known = self._known
            self._known = {id(message): known[id(message)] for message in request.messages if id(message) in known}
        for message in request.messages[shared:]:
            self._whole.update(self.of(message))
        self._last, self._source = request, source
        return self._whole.hexdigest()


def request_sha256(request: Request, hashes: PartHashes | None = None, source: Sequence[Message] | None = None) -> str:
    """Digest a request: SHA-256 over the SHA-256 of each part in order (model, system, tools, options, messages).

    `hashes`, `source`: what is known of the requests before, see `RequestBuilder.source`.

    Returns: 64 hex digits. Tools count by what the model is told of them: name, description and schema.
    """
    return (hashes or PartHashes()).whole(request, source)


def _head(request: Request) -> tuple[object, ...]:
    return request.model, request.system_prompt, request.tools, request.options


def _begin(request: Request) -> hashlib._Hash:
    """Hash what comes before the messages."""
    tools = [(tool.name, tool.description, tool.schema) for tool in request.tools]
    options = {} if isinstance(request.options, msgspec.UnsetType) else request.options
    whole = hashlib.sha256()
    for part in (request.model, request.system_prompt, tools, options):
        whole.update(hashlib.sha256(_ENCODER.encode(part)).digest())
    return whole
