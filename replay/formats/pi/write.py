"""Sessions written as pi session files; what came from such a file is written as it was read."""

from __future__ import annotations

import json
import os
from bisect import bisect_left
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from itertools import chain
from pathlib import Path
from typing import Literal

from eventsource.control_characters import escaped_json
from eventsource.events import Compaction
from eventsource.log.protocol import EventLog

from ..jsonl import Fields
from ..times import write_time
from ..to_agent import Copied, NewSession, ToAgent
from ..walk import Walk, WrittenEntry, placed_records, walk_copy, walk_family
from .dialect import PiDialect

VERSION: Literal[3] = 3
"""The version that pi writes today."""


async def export_pi(log: EventLog, session: str, *, version: Literal[3] | None = None) -> bytes:
    """Write a session, what it was forked from and all forks of that, as one pi session file.

    Messages and compactions are written, and every entry that came from such a file.
    """
    return b"".join([part async for part in pi_parts(log, session, version=version)])


async def pi_parts(log: EventLog, session: str, *, version: Literal[3] | None = None) -> AsyncIterator[bytes]:
    """Write what `export_pi` writes, line by line.

    The facts of all branches are held meanwhile: entries stand where they stood in the file that was imported, and name
    each other. The version is that of the file, if that version can say what was added since; else 3.
    """
    dialect = PiDialect(named=True)
    walks = await walk_family(log, session, dialect)
    given = dialect.version
    added = any(not entry.lines for walk in walks for entry in walk.own())
    wanted = version or (VERSION if given < 2 and (added or len(walks) > 1) else given)
    header = dialect.header
    if not header:
        info = walks[0].info
        header = {"type": "session", "id": info.id, "timestamp": write_time(info.created_at_us), "cwd": info.folder}
    own = next((one for entry in walks[0].own() for one in entry.records if _is_header(one)), None)
    yield _line(own or (header if wanted == given and dialect.header else {**header, "version": wanted}))
    entries = {walk.info.id: _entries(walk) for walk in walks}
    inherited = walks[0].entries[: walks[0].inherited]  # which the file of a fork begins with
    copies = ((walks[0], entry, record) for entry in inherited for record in entry.records)
    for walk, entry, record in chain(copies, placed_records(walks)):
        if not _is_header(record):
            yield _line(_entry(entries[walk.info.id], entry, record, given, wanted))


def _is_header(record: Fields) -> bool:
    return record.get("type") == "session"


def _entries(walk: Walk) -> list[WrittenEntry]:
    """Return the entries of a session: the header of a fork stands among them in the log."""
    return [entry for entry in walk.entries if not (entry.records and _is_header(entry.records[0]))]


def _entry(entries: Sequence[WrittenEntry], one: WrittenEntry, record: Fields, given: int, wanted: int) -> Fields:
    """Write an entry in a version of the format."""
    if wanted < 2:
        return record
    fields = dict(record)
    if not one.lines or given == 1:
        at = bisect_left(entries, one.seq, key=_seq)
        fields |= {"id": one.name, "parentId": entries[at - 1].name if at else None}
    if isinstance(one.event, Compaction) and "firstKeptEntryId" not in fields:
        fields.pop("firstKeptEntryIndex", None)
        if one.event.first_kept_seq:
            fields["firstKeptEntryId"] = entries[bisect_left(entries, one.event.first_kept_seq, key=_seq)].name
    message = fields.get("message")
    if given != wanted and isinstance(message, dict) and message.get("role") == "hookMessage":
        fields["message"] = {**message, "role": "custom"}
    return fields


def _seq(one: WrittenEntry) -> int:
    return one.seq


async def _copy(log: EventLog, session: str, new: NewSession) -> Copied:
    """Write a session with what it inherits as one path."""
    dialect = PiDialect(named=True)
    walk, view = await walk_copy(log, session, dialect)
    header = {**dialect.header, "type": "session", "version": VERSION, "id": new.id, "cwd": new.folder}
    header["timestamp"] = write_time(new.at_us)
    lines = [header, *_path(walk, dialect.version)]
    return Copied(b"".join(map(_line, lines)), view)


def _path(walk: Walk, given: int) -> Iterator[Fields]:
    entries = [entry for entry in _entries(walk) if entry.records]
    last: str | None = None
    names = {entry.name for entry in entries}
    for entry in entries:
        if entry.records[0].get("type") == "label" and entry.records[0].get("targetId") not in names:
            continue
        if entry.records[0].get("type") == "context_edit":  # what it changed is written as the model reads it
            continue
        for place, one in enumerate(entry.records):
            record = dict(_entry(entries, entry, one, given, VERSION))
            if isinstance(entry.event, Compaction) and record.get("firstKeptEntryId") not in names:
                first = entry.event.first_kept_seq
                later = (other.name for other in entries if first and first <= other.seq < entry.seq)
                record["firstKeptEntryId"] = next(later, entry.name)
            name = f"{entry.name}-{place}" if place else entry.name
            yield {**record, "id": name, "parentId": last}
            last = name


def _path_of(new: NewSession, environment: Mapping[str, str]) -> Path:
    name = f"{write_time(new.at_us).replace(':', '-').replace('.', '-')}_{new.id}.jsonl"
    if environment.get("PI_CODING_AGENT_SESSION_DIR"):
        return Path(environment["PI_CODING_AGENT_SESSION_DIR"]).expanduser() / name
    folder = new.folder.removeprefix(os.sep).replace("/", "-").replace("\\", "-").replace(":", "-")
    return agent_folder(environment) / "sessions" / f"--{folder}--" / name


def agent_folder(environment: Mapping[str, str]) -> Path:
    """Return the folder in which pi keeps what is its own."""
    return Path(environment.get("PI_CODING_AGENT_DIR") or "~/.pi/agent").expanduser()


def _resume(new: NewSession, path: Path, prompt: Sequence[str]) -> Sequence[str]:
    return ["pi", "--session", str(path), *prompt]


TO_PI = ToAgent(copy=_copy, path=_path_of, resume=_resume)


def _line(record: Fields) -> bytes:
    return escaped_json(json.dumps(record, ensure_ascii=False)).encode() + b"\n"
