"""Sessions written as files of Gemini CLI; what came from such a file is written as it was read."""

from __future__ import annotations

import hashlib
import json
from collections.abc import AsyncIterator, Sequence
from uuid import uuid5

from eventsource.control_characters import escaped_json
from eventsource.envelope import SessionInfo
from eventsource.log.protocol import EventLog
from eventsource.messages import TextContent, ToolResultMessage
from projections.pairing import NO_RESULT

from ..fields import fields_of, list_of, text_of
from ..jsonl import Fields, Line
from ..times import write_time
from ..walk import Walk, walk_family, walk_lineage
from .dialect import KEPT, LIST, NAMES, RESULT, GeminiDialect
from .messages import write_response
from .reading import AGAIN, ITEM, in_force, is_message

_NEAR = 50  # messages before a result among which its call is looked for


async def gemini_parts(log: EventLog, session: str) -> AsyncIterator[bytes]:
    """Write a session: what it came from, with all that was taken back there, and what was said here.

    Where the lines that it came from end in another branch, they are taken back to where the session parted from it.
    """
    lineage = await walk_lineage(log, session, GeminiDialect({}))
    if "document" in lineage.header:
        yield _document(lineage)
        return
    walks = await walk_family(log, session, GeminiDialect({}))
    lines = _lines(walks) or [_metadata(await log.info(session))]
    as_read = lineage.info.parent is None and all(entry.lines for entry in lineage.entries)
    for record in lines if as_read else [*lines, *_went_on(lines, lineage)]:
        yield _line(record)


def _metadata(info: SessionInfo) -> dict[str, object]:
    """Return the first line of a session that was recorded here."""
    project = hashlib.sha256(info.folder.encode("utf-8", "surrogatepass")).hexdigest()
    times = {"startTime": write_time(info.created_at_us), "lastUpdated": write_time(info.updated_at_us)}
    return {"sessionId": str(uuid5(NAMES, info.id)), "projectHash": project, **times, "kind": "main"}


def _document(walk: Walk) -> bytes:
    """Write a session as the document that it came from."""
    messages: list[dict[str, object]] = []
    for entry in walk.entries:
        for record in entry.records:
            if not _answers(messages, record):
                messages.append(_message(record))
    where = text_of(walk.header.get(LIST))
    around = fields_of(walk.header.get("document"))
    value: object = {**around, where: messages} if where else messages[0] if len(messages) == 1 else messages
    return escaped_json(json.dumps(value, ensure_ascii=False, indent=2)).encode() + b"\n"


def _lines(walks: Sequence[Walk]) -> list[dict[str, object]]:
    """Put together the lines of the file that sessions came from; messages of a list stand behind it, by its line."""
    placed = [
        (line, number, entry.seq, place, record)
        for number, walk in enumerate(walks)
        for entry in walk.own()
        for place, (line, record) in enumerate(zip(entry.lines, entry.records, strict=False))
    ]
    placed.sort(key=lambda one: one[:4])
    written: list[dict[str, object]] = []
    last, items = 0, None
    for line, *_, record in placed:
        inner = fields_of(record.get("$set")) if "$set" in record else record
        if line == last and AGAIN in record:
            continue
        if line == last and items is not None:
            items.append(record[ITEM] if list(record) == [ITEM] else record)
            continue
        last, items = line, None
        if isinstance(inner.get("messages"), list):
            items = list(list_of(inner["messages"]))
            record = (
                {**record, "$set": {**inner, "messages": items}} if "$set" in record else {**record, "messages": items}
            )
        written.append(record)
    return written


def _went_on(lines: Sequence[Fields], walk: Walk) -> list[dict[str, object]]:
    """Return what must follow the lines, so that the messages of a session are in force at their end."""
    seqs: list[int] = []
    said: list[dict[str, object]] = []
    for entry in walk.entries:
        for record in map(fields_of, entry.records if entry.lines else ()):
            message = dict(fields_of(record.get(AGAIN)) or record)
            if fields_of(record.get("$set")).get("messages") == []:
                seqs, said = [], []
            elif is_message(message) and message["id"] not in [one["id"] for one in said[-1:]]:
                seqs, said = [*seqs, entry.seq], [*said, message]
            elif is_message(message):
                said[-1] = message
    found = _taken_back(lines, said)
    for entry in walk.entries:
        for record in entry.records if not entry.lines else ():
            kept, message = record.get(KEPT), _message(record)
            if isinstance(kept, int):
                said = [message, *(one for seq, one in zip(seqs, said, strict=True) if 0 < kept <= seq)]
                seqs = [entry.seq, *(seq for seq in seqs if 0 < kept <= seq)]
                found.append({"$set": {"messages": [dict(one) for one in said]}})
            elif not _answers(said, record):
                seqs, said = [*seqs, entry.seq], [*said, message]
                found.append(message)
    _close_calls(found[:-1])
    return found


def _close_calls(messages: Sequence[Fields]) -> None:
    """Let calls that were recorded here and never answered say so: no model is asked with one that is open."""
    for message in messages:
        for call in map(fields_of, list_of(message.get("toolCalls"))):
            if call.get("result") is None and isinstance(call, dict):
                text = (TextContent(text=NO_RESULT),)
                names = text_of(call.get("id")), text_of(call.get("name"))
                none = ToolResultMessage(tool_call_id=names[0], tool_name=names[1], content=text, is_error=True)
                call.update({"result": [write_response(none)], "status": "error"})


def _taken_back(lines: Sequence[Fields], said: Sequence[Fields]) -> list[dict[str, object]]:
    """Return what takes lines back to where a session parted from them, and what it says behind that place."""
    now = in_force(Line(number, fields) for number, fields in enumerate(lines, 1))
    want = in_force(Line(number, fields) for number, fields in enumerate(said, 1))
    pairs = enumerate(zip(now, want, strict=False))
    same = next((place for place, (one, other) in pairs if one.digest != other.digest), min(len(now), len(want)))
    back: list[dict[str, object]] = [{"$rewindTo": now[same].id}] if same < len(now) else []
    return [*back, *(dict(one.message) for one in want[same:])]


def _message(record: Fields) -> dict[str, object]:
    """Return the message that a record stands for by itself."""
    return dict(fields_of(record["message"])) if RESULT in record or KEPT in record else dict(record)


def _answers(said: Sequence[Fields], record: Fields) -> bool:
    """Put a result that was recorded here beside its call, in the last message that has it."""
    result = fields_of(record.get(RESULT))
    for message in said[: -_NEAR - 1 : -1] if result else ():
        for call in list_of(message.get("toolCalls")):
            if isinstance(call, dict) and call.get("id") == result.get("id") and not call.get("result"):
                call.update({**result, "args": call.get("args")})
                return True
    return False


def _line(record: Fields) -> bytes:
    return escaped_json(json.dumps(record, ensure_ascii=False)).encode() + b"\n"
