"""Conversations written as OpenHands keeps them: lines of events, or a line of an evaluation's output."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator

from eventsource.control_characters import escaped_json
from eventsource.log.protocol import EventLog

from ..fields import fields_of
from ..walk import in_file_order, walk_family
from .dialect import OpenHandsDialect


async def openhands_parts(log: EventLog, session: str) -> AsyncIterator[bytes]:
    """Write a conversation with its branches: what came from such a file as it was read, the rest as new events."""
    walks = await walk_family(log, session, OpenHandsDialect({}))
    events = in_file_order(walks)
    line = walks[0].header.get("line")
    if isinstance(line, dict):
        yield _line({**fields_of(line), "history": list(events)})
        return
    for event in events:
        yield _line(event)


def _line(record: dict[str, object]) -> bytes:
    return escaped_json(json.dumps(record, ensure_ascii=False)).encode() + b"\n"
