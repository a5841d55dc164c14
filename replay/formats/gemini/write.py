"""Sessions written as files of Gemini CLI; what came from such a file is written as it was read."""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from itertools import count, islice
from pathlib import Path
from uuid import uuid5

from eventsource.control_characters import escaped_json
from eventsource.envelope import SessionInfo
from eventsource.log.protocol import EventLog
from eventsource.messages import TextContent, ToolResultMessage
from projections.pairing import NO_RESULT

from ..differences import same
from ..fields import fields_of, list_of, text_of
from ..jsonl import Fields, Line
from ..times import write_time
from ..to_agent import Copied, NewSession, ToAgent
from ..walk import Instead, Walk, WrittenEntry, read_instead, walk_copy, walk_family, walk_lineage
from .contents import as_contents, as_message, is_content
from .dialect import KEPT, LIST, NAMES, RESULT, WHOLE, GeminiDialect
from .messages import answered_in, responses_of, write_response
from .reading import AGAIN, ITEM, LATER, completes, in_force, is_message

ROOT = ".project_root"
"""Beside the folder of the sessions: where the agent worked."""
IDS = 8
"""Characters of a session's id that its file is named by."""
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


async def grown_messages(log: EventLog, session: str, messages: Sequence[object]) -> list[Fields] | None:
    """Lay a document's messages behind those that it had when it was imported.

    Returns: the records of these and of what came since; None: more than its last message, and behind it, changed.
    """
    walk = await walk_lineage(log, session, GeminiDialect({}))
    told: list[Fields] = [record for entry in walk.entries if entry.lines for record in entry.records]
    had: list[Fields] = []
    for record in told:
        if LATER in record:
            had[-1:] = [_message(record)]
        else:
            had.append(record)
    now: list[Fields] = [one for one in messages if isinstance(one, dict)]
    if len(now) < len(had) or not had:
        return None
    *before, (last, later) = zip(had, now, strict=False)
    if not all(same(*pair) for pair in before):
        return None
    if same(last, later):
        return [*told, *now[len(had) :]]
    grew = last.get("id") == later.get("id") and completes(last, later)
    return [*told, {LATER: later}, *now[len(had) :]] if grew else None


async def _copy(log: EventLog, session: str, new: NewSession) -> Copied:
    """Write a session with what it inherits, as messages that stand one behind the other."""
    walk, view = await walk_copy(log, session, GeminiDialect({}))
    time = write_time(new.at_us)
    first: dict[str, object] = {"sessionId": new.id, "projectHash": _project(new.folder)}
    first |= {"startTime": time, "lastUpdated": time, "kind": "main"}
    messages = _in_place(walk.entries, read_instead(view), new.at_us)
    return Copied(b"".join(_line(record) for record in (first, *messages)), view)


def _in_place(entries: Sequence[WrittenEntry], instead: Instead, at_us: int) -> list[dict[str, object]]:
    """Return the messages of a copy, each once: what completes one that reads otherwise now would say what it was."""
    changed = set(_changed(entries, instead))
    said: dict[str, dict[str, object]] = {}
    for entry in entries:
        names: set[str] = set()
        for record in entry.records:
            message = dict(fields_of(record.get(AGAIN)) or _message(record))
            message = as_message(message, entry.name, at_us) if is_content(message) else message
            if fields_of(record.get("$set")).get("messages") == [] or KEPT in record:
                said = {}
            if _answers(list(islice(reversed(said.values()), _NEAR))[::-1], record) or not is_message(message):
                continue
            if text_of(message["id"]) in names:  # of two with one name the first would be forgotten
                message["id"] = str(uuid5(NAMES, f"{message['id']}/{len(names)}"))
            names.add(text_of(message["id"]))
            if entry.event is None and message["id"] in changed:
                continue
            said[text_of(message["id"])] = message
    found = list(_each_result_once(list(said.values())))
    _close_calls(found[:-1])
    return found


def _changed(entries: Sequence[WrittenEntry], instead: Instead) -> Iterator[str]:
    """Give the names of entries of which something reads otherwise now; each ends with its seq."""
    last = 0
    for entry in sorted(entries, key=lambda one: one.seq):
        if any(seq in instead for seq in range(last + 1, entry.seq + 1)):
            yield entry.name
        last = entry.seq


def _each_result_once(said: Sequence[dict[str, object]]) -> Iterator[dict[str, object]]:
    """Leave out messages that say again what stands beside its call: there it may read otherwise now."""
    answered: set[str] = set()
    for message in said:
        answered |= answered_in(message)
        given = responses_of(message)
        if given is None or not {text_of(one.get("id")) for one in given} <= answered:
            yield message


def _path_of(new: NewSession, environment: Mapping[str, str]) -> Path:
    began = datetime.fromtimestamp(new.at_us / 1_000_000, UTC)
    home = Path(environment.get("GEMINI_CLI_HOME") or "~").expanduser() / ".gemini" / "tmp"
    return _own_folder(home, new.folder) / "chats" / f"session-{began:%Y-%m-%dT%H-%M}-{new.id[:IDS]}.jsonl"


def _own_folder(home: Path, folder: str) -> Path:
    """Find the folder that Gemini CLI has for a working folder, as it finds it; or one that it can take for that."""
    for one in sorted(home.glob(f"*/{ROOT}")):
        if _is_of(one, folder):
            return one.parent
    name = re.sub(r"[^a-z0-9]+", "-", Path(folder).name.lower()).strip("-") or "project"
    names = (name if number == 0 else f"{name}-{number}" for number in count())
    return next(home / one for one in names if not (home / one).exists() or _is_of(home / one / ROOT, folder))


def _is_of(marker: Path, folder: str) -> bool:
    try:
        return os.path.abspath(marker.read_text(encoding="utf-8").strip()) == os.path.abspath(folder)
    except (OSError, UnicodeDecodeError):
        return False


def _marker(new: NewSession, path: Path) -> Mapping[Path, str]:
    return {path.parent.parent / ROOT: os.path.abspath(new.folder)}


def _resume(new: NewSession, path: Path, prompt: Sequence[str]) -> Sequence[str]:
    return ["gemini", "--resume", new.id, *prompt]


TO_GEMINI = ToAgent(copy=_copy, path=_path_of, around=_marker, resume=_resume)


def _project(folder: str) -> str:
    """Return what Gemini CLI calls a working folder in its files."""
    return hashlib.sha256(folder.encode("utf-8", "surrogatepass")).hexdigest()


def _metadata(info: SessionInfo) -> dict[str, object]:
    """Return the first line of a session that was recorded here."""
    times = {"startTime": write_time(info.created_at_us), "lastUpdated": write_time(info.updated_at_us)}
    return {"sessionId": str(uuid5(NAMES, info.id)), "projectHash": _project(info.folder), **times, "kind": "main"}


def _document(walk: Walk) -> bytes:
    """Write a session as the document that it came from."""
    messages: list[dict[str, object]] = []
    made = set[int]()  # places of messages that the document did not hold
    for entry in walk.entries:
        for record in entry.records:
            if LATER in record and messages:
                messages[-1] = _message(record)
            elif not _answers(messages, record):
                made |= set() if entry.lines else {len(messages)}
                messages.append(_message(record))
    where = text_of(walk.header.get(LIST))
    around = fields_of(walk.header.get("document"))
    if any(map(is_content, messages)):
        told = (as_contents(one) if place in made else [one] for place, one in enumerate(messages))
        messages = [one for each in told for one in each]
    value: object = {**around, where: messages} if where not in ("", WHOLE) else messages
    value = messages[0] if not where and len(messages) == 1 else value
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
    if LATER in record:
        return dict(fields_of(record[LATER]))
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
