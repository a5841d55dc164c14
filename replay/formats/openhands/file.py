"""Files of OpenHands: a list of events, lines of them, a folder with a file for each, or an evaluation's output.

A folder is imported by `base_state.json`, or without it by the file of its first event.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from hashlib import blake2b
from pathlib import Path

import msgspec

from eventsource.errors import TranscriptError

from ..document import document_of
from ..fields import fields_of, list_of, text_of
from ..format import Format, Head, Home, SourceSession, lines_of
from ..jsonl import Fields, Findings, Line
from .dialect import FORMAT, OpenHandsDialect
from .events import flat, is_v0, is_v1, kind_of, name_of

STATE = "base_state.json"
METADATA = "metadata.json"
_EVENT_FILE = re.compile(r"event-(\d{5,})-[0-9a-fA-F-]{8,}\.json|(\d+)\.json")
_ENCODER = msgspec.json.Encoder(order="sorted")
Records = Callable[[Findings], Iterator[Line]]


def _is_event(fields: Fields) -> bool:
    return is_v1(fields) or is_v0(fields)


def _is_line(fields: Fields) -> bool:
    """Return whether a record is a line of an evaluation's output."""
    history = fields.get("history")
    return isinstance(history, list) and any(isinstance(one, dict) and is_v0(one) for one in flat(history[:20]))


def _is_state(fields: Fields) -> bool:
    agent = fields_of(fields.get("agent"))
    return isinstance(fields.get("id"), str) and "llm" in agent and ("persistence_dir" in fields or "stats" in fields)


def _fits(head: Head) -> bool:
    first = head.records[:20]
    if any(is_v1(one) or is_v0(one) or _is_line(one) for one in first):
        return True
    return _is_event(head.document) or _is_line(head.document) or _is_state(head.document)


def _sessions(path: Path, *, growing: bool) -> Iterator[SourceSession]:
    if path.name == STATE or _folder_of(path) is not None:
        yield _conversation(path)
        return
    first = next(iter(lines_of(path, _is_event)(Findings())), None)
    if first is not None and first.whole and _is_line(first.fields):
        read = lines_of(path, _is_line, growing=growing)
        for line in read(Findings()):
            yield from _history(line.fields, {name: one for name, one in line.fields.items() if name != "history"})
        return
    if first is not None and first.whole and _is_event(first.fields):
        yield SourceSession(dialect=OpenHandsDialect, records=lines_of(path, _is_event, growing=growing))
        return
    document = document_of(path)
    value = document.value
    if isinstance(value, dict) and isinstance(value.get("history"), list):
        yield from _history(value, {name: one for name, one in value.items() if name != "history"})
        return
    events = flat(value) if isinstance(value, list) else [value]
    yield from _parted(events, {}, "", "", document.records)


def _history(fields: Fields, line: Fields) -> Iterator[SourceSession]:
    """Give the sessions in a line of an evaluation's output, which has no name but what it is about."""
    events = flat(list_of(fields.get("history")))
    issue = fields_of(line.get("issue"))
    label = text_of(line.get("instance_id")) or text_of(issue.get("title"))
    name = f"{label}/{blake2b(_ENCODER.encode(events), digest_size=8).hexdigest()}"
    yield from _parted(events, {"line": line}, name, label, _records)


def _records(events: Sequence[object]) -> Records:
    """Make a reader of events that are held."""

    def read(findings: Findings) -> Iterator[Line]:
        for number, value in enumerate(events, 1):
            if isinstance(value, dict):
                yield Line(number, value)
            else:
                findings.lose(number, "not a JSON object", json.dumps(value, ensure_ascii=False))

    return read


def _parted(
    events: Sequence[object], header: Fields, name: str, label: str, records: Callable[[Sequence[object]], Records]
) -> Iterator[SourceSession]:
    """Give a conversation, and the agents' below it that work was delegated to."""
    main, children = _delegated(events)
    dialect = partial(OpenHandsDialect, header=header, name=name, label=label)
    yield SourceSession(dialect=dialect, records=records(main))
    for action, own in children.items():
        said = fields_of(fields_of(own[0][0]).get("args"))
        child = partial(OpenHandsDialect, header={"within": action}, label=text_of(said.get("agent")))
        yield SourceSession(dialect=child, records=_records(own[1]), name=f"delegate-{action}", links=(action,))


def _delegated(events: Sequence[object]) -> tuple[list[object], dict[str, tuple[list[object], list[object]]]]:
    """Part the events of agents that work was delegated to: what stands between that and what they answered."""
    main: list[object] = []
    children: dict[str, tuple[list[object], list[object]]] = {}
    within: list[str] = []
    ends = {str(one.get("cause")) for one in map(fields_of, events) if one.get("observation") == "delegate"}
    for event in events:
        fields = fields_of(event)
        if fields.get("observation") == "delegate" and within and str(fields.get("cause")) == within[-1]:
            within.pop()
        (children[within[-1]][1] if within else main).append(event)
        if fields.get("action") == "delegate" and type(fields.get("id")) is int and name_of(fields) in ends:
            action = name_of(fields)
            if action not in children:
                children[action] = ([event], [])
                within.append(action)
    return main, {
        action: own for action, own in children.items() if any(kind_of(fields_of(e)) != "other" for e in own[1])
    }


def _folder_of(path: Path) -> Path | None:
    """Return the folder of a conversation that an event's file is part of."""
    return path.parent if _EVENT_FILE.fullmatch(path.name) and path.parent.name == "events" else None


def _event_files(folder: Path) -> list[Path]:
    found = [(match, one) for one in folder.glob("*.json") if (match := _EVENT_FILE.fullmatch(one.name))]
    return [one for _, one in sorted(found, key=lambda pair: int(pair[0][1] or pair[0][2]))]


def _conversation(path: Path) -> SourceSession:
    """Read a conversation that is kept in a folder."""
    folder = path.parent if path.name == STATE else path.parent.parent
    state = folder / STATE
    value = fields_of(document_of(state).value) if state.is_file() else {}
    told = {} if value else _metadata(folder)
    files = _event_files(folder / "events")
    name = text_of(value.get("id")) or folder.name

    def read(findings: Findings) -> Iterator[Line]:
        for number, file in enumerate(files, 1):
            try:
                event = document_of(file).value
            except TranscriptError as error:
                findings.lose(number, f"{file.name} {error.problem}", "")
                continue
            if isinstance(event, dict):
                yield Line(number, event)
            else:
                findings.lose(number, f"{file.name} holds no event", "")

    header = {"state": value} if value else {"metadata": told} if told else {}
    title = text_of(told.get("title"))
    return SourceSession(dialect=partial(OpenHandsDialect, header=header, name=name, title=title), records=read)


def _metadata(folder: Path) -> Fields:
    """Read what version 0 keeps beside the events of a conversation; empty when there is none, or it cannot be read."""
    try:
        return fields_of(document_of(folder / METADATA).value)
    except TranscriptError:
        return {}


def _owner(path: Path) -> Path | None:
    """Return the file with which an event's own file is imported."""
    folder = _folder_of(path)
    if folder is None:
        return None
    state = folder.parent / STATE
    if state.is_file():
        return state
    first = next(iter(_event_files(folder)), path)
    return first if first != path else None


def _beside(path: Path) -> list[Path]:
    return _event_files(path.parent / "events") if path.name == STATE else []


def _folder(head: Head) -> str:
    return text_of(fields_of(head.document.get("workspace")).get("working_dir"))


def _home(environment: Mapping[str, str]) -> Home:
    kept = environment.get("OPENHANDS_CONVERSATIONS_DIR")
    if kept:
        return Home(Path(kept).expanduser(), f"*/{STATE}")
    return Home(Path("~/.openhands").expanduser(), f"conversations/*/{STATE}", ("sessions/*/events/0.json",))


OPENHANDS = Format(
    name=FORMAT,
    what="conversations of OpenHands (events.jsonl, base_state.json with events, output.jsonl)",
    fits=_fits,
    sessions=_sessions,
    owner=_owner,
    beside=_beside,
    folder=_folder,
    home=_home,
)
