"""Sessions written as session files of Codex; what came from such a file is written as it was read."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator

from eventsource.control_characters import escaped_json
from eventsource.log.protocol import EventLog

from ..walk import in_file_order, walk_family
from .dialect import CodexDialect


async def codex_parts(log: EventLog, session: str) -> AsyncIterator[bytes]:
    """Write a session and what was rolled back in its file, line by line."""
    for record in in_file_order(await walk_family(log, session, CodexDialect({}))):
        yield escaped_json(json.dumps(record, ensure_ascii=False)).encode() + b"\n"
