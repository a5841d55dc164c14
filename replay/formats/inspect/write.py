"""Sessions written as a log of Inspect that holds one sample; what came from such a log is written as it was read."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator

from eventsource.control_characters import escaped_json
from eventsource.log.protocol import EventLog

from ..fields import fields_of
from ..walk import Walk, walk_lineage
from .dialect import InspectDialect


async def inspect_parts(log: EventLog, session: str) -> AsyncIterator[bytes]:
    """Write a session and what it inherits, as one JSON document."""
    walk = await walk_lineage(log, session, InspectDialect({}))
    head = dict(fields_of(walk.header.get("log"))) or {"version": 2, "status": "success", "eval": {}}
    whole = {**head, "samples": [_sample(walk)]}
    yield escaped_json(json.dumps(whole, ensure_ascii=False)).encode() + b"\n"


def _sample(walk: Walk) -> dict[str, object]:
    """Put together what the sample was, and what was recorded here."""
    messages: list[object] = []
    events: list[object] = []
    attachments: dict[str, object] = {}
    pools: dict[str, list[dict[str, object]]] = {}
    outcome: dict[str, object] = {}
    for record in (record for entry in walk.entries for record in entry.records):
        match record:
            case {"message": message, **others} if not others:
                messages.append(message)
            case {"event": event}:
                events.append(event)
            case {"attachment": str(name), "text": text}:
                attachments[name] = text
            case {"pool": str(kind)}:
                pools.setdefault(kind, []).append(record)
            case {"outcome": dict(ended)}:
                outcome |= ended
            case _:  # what a call that failed or a compaction came to is told by its event
                continue
    sample = {"id": 1, "epoch": 1, **fields_of(walk.header.get("sample")), "messages": messages, **outcome}
    sample |= {"events": events, "attachments": attachments}
    if pools:
        kinds = ("messages", "calls")
        sample["events_data"] = {kind: [_item(one, messages) for one in pools.get(kind, ())] for kind in kinds}
    return sample


def _item(record: dict[str, object], messages: list[object]) -> object:
    """Return an item of a pool; of one that is a message, the message."""
    place = record.get("message")
    return messages[place] if isinstance(place, int) and 0 <= place < len(messages) else record.get("item")
