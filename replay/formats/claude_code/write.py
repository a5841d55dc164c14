"""Sessions written as session files of Claude Code; what came from such a file is written as it was read."""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from os.path import realpath
from pathlib import Path
from uuid import UUID, uuid5

from eventsource.control_characters import escaped_json
from eventsource.log.protocol import EventLog

from ..fields import fields_of, list_of, text_of
from ..jsonl import Fields
from ..to_agent import Copied, NewSession, ToAgent
from ..walk import Walk, WrittenEntry, in_file_order, walk_copy, walk_family
from .copies import COPIES, copied_as, copies_by_what_they_copy, named_as
from .dialect import WITHIN, ClaudeCodeDialect

_CHILDREN = 100_000
_VERSION = "2.1.0"  # of Claude Code, whose records new ones are like
_NAMES = UUID("0d6a3b5e-6f0a-4f9b-8f7c-1d5d1d3c2b8e")  # records that would have one name are named within this
_FOLDER_CHARS = 200  # of a project's folder; what is longer is cut, and ends with a hash
_FOLLOWED = ("user", "assistant", "system", "attachment")
"""Records through which a conversation is followed back; 2.0 loses what stands before one of `progress` (2.1)."""
_DIGITS = "0123456789abcdefghijklmnopqrstuvwxyz"


async def claude_code_parts(log: EventLog, session: str) -> AsyncIterator[bytes]:
    """Write a session, what it was forked from and all forks of that: rewinds are branches of one file.

    So are sub-agents that were told in the same file.
    """
    walks = await walk_family(log, session, ClaudeCodeDialect({}))
    for child in await log.sessions(tree=walks[0].info.id, limit=_CHILDREN):
        if child.started_by == walks[0].info.id:
            dialect = ClaudeCodeDialect({})
            below = await walk_family(log, child.id, dialect)
            if dialect.header.get(WITHIN) is True:
                walks += below
    for record in _with_copies(walks[0], list(in_file_order(walks))):
        yield _line(record)


def _with_copies(walk: Walk, records: Sequence[Fields]) -> Iterator[Fields]:
    """Put into the file of a fork the records that it copied, where its own leave room for them."""
    session = walk.info.source.partition(":")[2]
    lines = sorted(line for entry in walk.own() for line in entry.lines)
    first = next((place for place, line in enumerate(lines, 1) if line != place), len(lines) + 1) - 1
    kept = fields_of(walk.branch.get(COPIES))
    names = copies_by_what_they_copy(kept)
    yield from records[:first] if walk.inherited else ()
    yield from copied_as(_as_they_stood(walk.entries[: walk.inherited]), session, kept)
    yield from (named_as(one, names) for one in (records[first:] if walk.inherited else records))


def _as_they_stood(entries: Sequence[WrittenEntry]) -> Iterator[Fields]:
    """Give records in the order of their lines: the result of a call may stand between those of its answer."""
    placed: list[tuple[int, int, Fields]] = []
    file = least = 0
    for entry in entries:
        first = min(entry.lines, default=least)
        file, least = file + (first < least), first  # lines begin anew in the file of each fork
        for place, record in enumerate(entry.records):
            placed.append((file, entry.lines[place] if place < len(entry.lines) else least, record))
    yield from (record for _, _, record in sorted(placed, key=lambda one: one[:2]))


async def _copy(log: EventLog, session: str, new: NewSession) -> Copied:
    """Write a session with what it inherits as one path: each record hangs from the one before it that is followed."""
    walk, view = await walk_copy(log, session, ClaudeCodeDialect({}))
    return Copied(b"".join(map(_line, _path(walk.entries, new))), view)


def _path(entries: Sequence[WrittenEntry], new: NewSession) -> Iterator[Fields]:
    own = {
        "isSidechain": False,
        "userType": "external",
        "cwd": new.folder,
        "sessionId": new.id,
        "version": _VERSION,
        "gitBranch": new.branch,
    }
    used: set[str] = set()
    records = [record for entry in entries for record in entry.records if not _is_unheard(entry, record)]
    kept = [text_of(record.get("uuid")) for record in records]
    last: str | None = None
    for record, after in zip(records, [*records[1:], {}], strict=False):
        hidden = record.get("subtype") == "compact_boundary" and after.get("isCompactSummary") is not True
        if hidden or record.get("type") == "last-prompt":  # it says where the session ended that this one comes from
            continue
        uuid = text_of(record.get("uuid"))
        if not uuid:
            yield {**record, "sessionId": new.id} if "sessionId" in record else record
            continue
        while uuid in used:
            uuid = str(uuid5(_NAMES, uuid))
        used.add(uuid)
        fields = {**own, **record, "sessionId": new.id, "isSidechain": False, "uuid": uuid}
        fields.pop("agentId", None)
        if record.get("subtype") == "compact_boundary":
            fields |= {"parentUuid": None, "logicalParentUuid": last}
            if "compactMetadata" in fields:
                fields["compactMetadata"] = _kept_by(fields_of(fields["compactMetadata"]), kept)
        else:
            fields["parentUuid"] = last
        if record.get("type") in _FOLLOWED:
            last = uuid
        yield fields


def _is_unheard(entry: WrittenEntry, record: Fields) -> bool:
    """Return whether a record is of what a command put out that no model was told: with one behind it, it would be."""
    return entry.event is None and record.get("subtype") == "local_command"


def _kept_by(compaction: Fields, names: Sequence[str]) -> Fields:
    """Say what a compaction keeps, without records that are hidden."""
    preserved, segment = fields_of(compaction.get("preservedMessages")), fields_of(compaction.get("preservedSegment"))
    changed = dict(compaction)
    uuids = list_of(preserved.get("uuids"))
    if uuids:
        changed["preservedMessages"] = {**preserved, "uuids": [one for one in uuids if one in names]}
        left = [one for one in uuids if one in names]
        if segment and left:
            changed["preservedSegment"] = {**segment, "headUuid": left[0], "tailUuid": left[-1]}
    return changed


def _path_of(new: NewSession, environment: Mapping[str, str]) -> Path:
    kept = Path(environment.get("CLAUDE_CONFIG_DIR") or "~/.claude").expanduser()
    return kept / "projects" / project_folder(new.folder) / f"{new.id}.jsonl"


def project_folder(folder: str) -> str:
    """Return what Claude Code calls the folder in which it keeps the sessions of a working folder."""
    text = unicodedata.normalize("NFC", realpath(folder))
    units = text.encode("utf-16-le", "surrogatepass")  # it counts these, two for some characters
    codes = [int.from_bytes(units[at : at + 2], "little") for at in range(0, len(units), 2)]
    named = re.sub("[^a-zA-Z0-9]", "-", "".join(map(chr, codes)))
    if len(named) <= _FOLDER_CHARS:
        return named
    number = 0
    for code in codes:
        number = (number * 31 + code) & 0xFFFFFFFF
    number = abs(number - (1 << 32) if number >> 31 else number)
    digits = ""
    while number or not digits:
        number, digit = divmod(number, 36)
        digits = _DIGITS[digit] + digits
    return f"{named[:_FOLDER_CHARS]}-{digits}"


def _resume(new: NewSession, path: Path, prompt: Sequence[str]) -> Sequence[str]:
    return ["claude", "--resume", new.id, *prompt]


TO_CLAUDE_CODE = ToAgent(copy=_copy, path=_path_of, resume=_resume)


def _line(record: Fields) -> bytes:
    return escaped_json(json.dumps(record, ensure_ascii=False)).encode() + b"\n"
