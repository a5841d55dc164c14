"""Sessions written as histories of Pydantic AI."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Mapping

from eventsource.control_characters import escaped_json
from eventsource.log.load import load
from eventsource.log.protocol import EventLog
from eventsource.messages import AssistantMessage, ToolResultMessage, UserMessage
from projections import CONTEXT
from projections.context import ContextView, parts, request, with_model

from ..times import write_exact_time
from .messages import write_answer, write_part


async def pydantic_ai_parts(log: EventLog, session: str, upto: int | None = None) -> AsyncIterator[bytes]:
    """Write what a model would be sent at the head, or at a seq, as `ModelMessagesTypeAdapter` reads it."""
    _, _, view = await load(log, session, context=CONTEXT, upto=upto)
    separator = b"[\n "
    for message in _messages(view):
        yield separator + escaped_json(json.dumps(message, ensure_ascii=False)).encode()
        separator = b",\n "
    yield b"\n]\n" if separator.startswith(b",") else b"[]\n"


def _messages(view: ContextView) -> list[dict[str, object]]:
    """Write the messages; what stands between two answers is one request."""
    times = {entry.seq: entry.at_us for entry in view.entries}
    written: list[dict[str, object]] = []
    asked: list[object] = []
    if prompt := request(view).system_prompt:
        asked.append({"content": prompt, "part_kind": "system-prompt"})
        written.append({"kind": "request", "parts": asked})
    for part in parts(view):
        at_us = times.get(part.seq, 0)
        time: Mapping[str, object] = {"timestamp": write_exact_time(at_us)} if at_us else {}
        message = part.message
        if isinstance(message, AssistantMessage):
            written.append({**time, **write_answer(with_model(message, view.config.model))})
            asked = []
        elif isinstance(message, UserMessage | ToolResultMessage):
            if not asked:
                written.append({"kind": "request", "parts": asked, **time})
            asked.append({**write_part(message), **time})
    return written
