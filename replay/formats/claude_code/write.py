"""Sessions written as session files of Claude Code; what came from such a file is written as it was read."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterable
from uuid import uuid4

from eventsource.control_characters import escaped_json
from eventsource.log.protocol import EventLog

from ..walk import in_file_order, walk_family, walk_lineage
from .dialect import WITHIN, ClaudeCodeDialect

_CHILDREN = 100_000


async def claude_code_parts(log: EventLog, session: str) -> AsyncIterator[bytes]:
    """Write a session, what it was forked from and all forks of that: rewinds are branches of one file.

    So are sub-agents that were told in the same file.
    """
    walks = await walk_family(log, session, ClaudeCodeDialect({}))
    for child in await log.sessions(tree=walks[0].info.id, limit=_CHILDREN):
        if child.started_by == walks[0].info.id:
            below = await walk_family(log, child.id, ClaudeCodeDialect({}))
            if below[0].header.get(WITHIN) is True:
                walks += below
    for record in in_file_order(walks):
        yield _line(record)


async def claude_code_copy(log: EventLog, session: str) -> tuple[str, bytes]:
    """Write one session with what it inherits, and nothing of its forks, as a new session of Claude Code.

    Returns: the new session's id, and the file.
    """
    walk = await walk_lineage(log, session, ClaudeCodeDialect({}))
    new = str(uuid4())
    return new, b"".join(_renamed((record for entry in walk.entries for record in entry.records), new))


def _renamed(records: Iterable[dict[str, object]], session: str) -> Iterable[bytes]:
    for record in records:
        yield _line({**record, "sessionId": session} if "sessionId" in record or "uuid" in record else record)


def _line(record: dict[str, object]) -> bytes:
    return escaped_json(json.dumps(record, ensure_ascii=False)).encode() + b"\n"
