"""Sessions written as session files of Codex; what came from such a file is written as it was read."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

from eventsource.control_characters import escaped_json
from eventsource.log.protocol import EventLog
from eventsource.message_text import text_of as message_text
from eventsource.messages import ToolResultMessage
from projections.context import ContextView, entry_of

from ..fields import fields_of, list_of, text_of
from ..jsonl import Fields
from ..times import write_time
from ..to_agent import Copied, NewSession, ToAgent
from ..walk import Instead, WrittenEntry, in_file_order, read_instead, walk_copy, walk_family
from .dialect import CodexDialect
from .envelope import enveloped, is_state

_VERSION = "0.171.0"  # of Codex, whose records new ones are like
UPTO = "forked_from_ordinal_exclusive"
_FORKED = (UPTO, "forked_from_id", "history_base")
"""What a session says of the one that it goes on from."""
_SHOWN = ("message", "text", "last_agent_message")  # fields in which a record for the screen repeats what was said


async def codex_parts(log: EventLog, session: str) -> AsyncIterator[bytes]:
    """Write a session and what was rolled back in its file, line by line."""
    walks = await walk_family(log, session, CodexDialect({}))
    records = list(in_file_order(walks))
    if walks[0].inherited and UPTO not in fields_of(records[0].get("payload")):  # its file begins with a copy
        before = [record for entry in walks[0].entries[: walks[0].inherited] for record in entry.records]
        records = [*records[:1], *before, *records[1:]]
    for record in records:
        yield _line(record)


async def _copy(log: EventLog, session: str, new: NewSession) -> Copied:
    """Write a session with what it inherits, and nothing of what was rolled back."""
    walk, view = await walk_copy(log, session, CodexDialect({}))
    shown = _Shown(view, read_instead(view))
    return Copied(b"".join(map(_line, _path(walk.entries, new, shown))), view)


def _path(entries: Sequence[WrittenEntry], new: NewSession, shown: _Shown) -> Iterator[Fields]:
    told = [record for entry in entries for record in entry.records if not is_state(record)]
    records = _whole([_timed(dict(enveloped(record)), new) for record in told])
    meta = next((record for record in records if record.get("type") == "session_meta"), None)
    old = text_of(fields_of((meta or {}).get("payload")).get("id"))
    numbered = any("ordinal" in record for record in records)
    if meta is None:
        records = [_meta(new), *records]
    place = 0
    for record in records:
        kept = shown.now(record)
        if kept is None:
            continue
        if record is meta:
            payload = fields_of(record.get("payload"))
            kept = {**record, "payload": {**payload, "id": new.id, "cwd": new.folder}}
        written = fields_of(_renamed(kept, old, new.id) if old else kept)
        yield {**written, "ordinal": place} if numbered else written
        place += 1


def _timed(record: dict[str, object], new: NewSession) -> dict[str, object]:
    """Give a record of the first versions a time, which Codex wants by now."""
    return record if "timestamp" in record else {"timestamp": write_time(new.at_us), **record}


def _whole(records: list[dict[str, object]]) -> list[dict[str, object]]:
    """Let a session that goes on from another one be its own: what came before stands in it now."""
    metas = [record for record in records if record.get("type") == "session_meta"]
    said = fields_of(metas[-1].get("payload")) if metas else {}
    if not any(name in said for name in _FORKED):
        return records
    payload = {name: value for name, value in said.items() if name not in _FORKED}
    return [{**metas[-1], "payload": payload}, *(record for record in records if record not in metas)]


def _meta(new: NewSession) -> dict[str, object]:
    payload = {
        "id": new.id,
        "timestamp": write_time(new.at_us),
        "cwd": new.folder,
        "originator": "codex_cli_rs",
        "cli_version": _VERSION,
        "source": "cli",
    }
    return {"timestamp": write_time(new.at_us), "type": "session_meta", "payload": payload}


def _renamed(value: object, old: str, new: str) -> object:
    """Put the new session's id wherever the old one stands by itself."""
    if isinstance(value, dict):
        return {name: _renamed(one, old, new) for name, one in value.items()}
    if isinstance(value, list):
        return [_renamed(one, old, new) for one in value]
    return new if value == old else value


class _Shown:
    """What records for the screen repeat of messages that read otherwise now."""

    def __init__(self, view: ContextView, instead: Instead) -> None:
        self._texts: dict[str, str] = {}
        self._calls: set[str] = set()
        for seq, messages in instead.items():
            entry = entry_of(view, seq)
            said = entry.message if entry is not None else None
            if isinstance(said, ToolResultMessage):
                self._calls.add(said.tool_call_id)
            elif said is not None and message_text(said):
                self._texts[message_text(said)] = "\n".join(map(message_text, messages))

    def now(self, record: Fields) -> Fields | None:
        """Return a record as it reads now; None: it tells what is told no more."""
        payload = fields_of(record.get("payload"))
        if payload.get("type") == "thread_rolled_back":  # what was rolled back is not in a copy
            return None
        if record.get("type") != "event_msg" or not (self._texts or self._calls):
            return record
        if {text_of(payload.get("call_id")), text_of(fields_of(payload.get("item")).get("id"))} & self._calls:
            return None
        now = fields_of(self._told(payload))
        return None if now.get("message") == "" and payload.get("message") else {**record, "payload": now}

    def _told(self, value: object) -> object:
        if isinstance(value, dict):
            return {
                name: self._texts.get(one, one) if name in _SHOWN and isinstance(one, str) else self._told(one)
                for name, one in value.items()
            }
        return [self._told(one) for one in list_of(value)] if isinstance(value, list) else value


def _path_of(new: NewSession, environment: Mapping[str, str]) -> Path:
    began = datetime.fromtimestamp(new.at_us / 1_000_000, UTC).astimezone()  # Codex names files by local time
    home = Path(environment.get("CODEX_HOME") or "~/.codex").expanduser()
    name = f"rollout-{began:%Y-%m-%dT%H-%M-%S}-{new.id}.jsonl"
    return home / "sessions" / f"{began:%Y/%m/%d}" / name


def _resume(new: NewSession, path: Path, prompt: Sequence[str]) -> Sequence[str]:
    return ["codex", "resume", new.id, *prompt]


TO_CODEX = ToAgent(copy=_copy, path=_path_of, resume=_resume)


def _line(record: Fields) -> bytes:
    return escaped_json(json.dumps(record, ensure_ascii=False)).encode() + b"\n"
