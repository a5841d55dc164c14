"""The context of a session as a request to an API: the body that it takes, as one JSON document."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping

import msgspec

from eventsource.codec import from_json, read_object, to_json
from eventsource.control_characters import escaped_json
from eventsource.events import ModelRef
from eventsource.log.load import load
from eventsource.log.protocol import EventLog
from eventsource.models.anthropic import AnthropicMessages
from eventsource.models.openai.chat import OpenAICompletions
from eventsource.models.wire import Codec
from eventsource.request import Request
from projections import CONTEXT
from projections.context import request, with_model

from .fields import fields_of

_STREAMING = ("stream", "stream_options")  # how an answer is read, and nothing of what is asked


async def openai_chat_parts(log: EventLog, session: str, upto: int | None = None) -> AsyncIterator[bytes]:
    """Write what a model would be sent at the head, or at a seq, as a body for /chat/completions."""
    yield await _body(log, session, upto, OpenAICompletions(), "openai")


async def anthropic_parts(log: EventLog, session: str, upto: int | None = None) -> AsyncIterator[bytes]:
    """Write what a model would be sent at the head, or at a seq, as a body for /v1/messages."""
    yield await _body(log, session, upto, AnthropicMessages(), "anthropic")


async def _body(log: EventLog, session: str, upto: int | None, codec: Codec, provider: str) -> bytes:
    _, _, view = await load(log, session, context=CONTEXT, upto=upto)
    body = fields_of(from_json(codec.encode(_asked(request(view), codec, provider))))
    kept = {name: value for name, value in body.items() if name not in _STREAMING and (name != "model" or value)}
    return escaped_json(bytes(to_json(kept)).decode()).encode() + b"\n"


def _asked(asked: Request, codec: Codec, provider: str) -> Request:
    """Ask in a protocol what was asked in another: what only that one knows is left out."""
    options: Mapping[str, object] = {**read_object(asked.options), "cache": "none"}
    model = asked.model
    messages = asked.messages
    if model.api != codec.name:
        messages = tuple(
            with_model(message, model) for message in messages
        )  # who said it, where that goes without saying
        model = ModelRef(api=codec.name, provider=provider, model=model.model)
        options = {name: value for name, value in options.items() if name != "extra_body"}
    return msgspec.structs.replace(asked, model=model, options=to_json(options), messages=messages)
