"""Sessions of opencode where it keeps them: in files of JSON beside each other (until 1.1), or in a database.

Until 0.5 each project has a folder of such files, in which the parts of a message lie below its session.
"""

from __future__ import annotations

import json
import sqlite3
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path

import msgspec

from eventsource.errors import TranscriptError
from eventsource.log.protocol import EventLog

from ..document import Records, document_of
from ..fields import fields_of, is_file_name, list_of, text_of
from ..format import Format, Head, Home, SourceFork, SourceSession, unreadable
from ..jsonl import Fields, Findings, Line, each_record
from ..sqlite_file import MAGIC, columns_of, log_of, opened
from .dialect import FORMAT, OpencodeDialect, lines_of_messages
from .early import is_early, read_early
from .family import Messages, Said, begin_alike, joined, lines_of_forks
from .messages import folder_of, read_ms

_RUNS_S = 600.0  # an answer that has not ended and was changed since may go on
_TABLES = ("session", "message", "part")
_COLUMNS = {"id", "session_id", "time_created", "data"}
_JSON = ("summary_diffs", "revert", "permission", "model", "metadata")  # columns of a session that hold JSON


def _is_session(fields: Fields) -> bool:
    match fields:
        case {"id": str(name), "title": str(), "time": dict(time)} if "created" in time:
            by_project = "projectID" in fields or "directory" in fields
            return by_project or (name.startswith("ses_") and "version" in fields)
        case _:
            return False


def _is_message(fields: Fields) -> bool:
    """Return whether a document is a message, which lies beside its session's file and is imported with that."""
    if fields.get("role") not in ("user", "assistant"):
        return False
    return is_early(fields) or (isinstance(fields.get("sessionID"), str) and "time" in fields)


def _is_export(fields: Fields) -> bool:
    """Return whether a document is what `opencode export` writes."""
    return _is_session(fields_of(fields.get("info")))


def _fits(head: Head) -> bool:
    if not head.data.startswith(MAGIC):
        return _is_session(head.document) or _is_export(head.document) or _is_message(head.document)
    try:
        with opened(head.path) as connection:
            return _is_store(connection)
    except TranscriptError:  # whoever opens it will say why it cannot be read
        return False


def _is_store(connection: sqlite3.Connection) -> bool:
    tables = columns_of(connection)
    return all(name in tables for name in _TABLES) and tables["message"] >= _COLUMNS and "message_id" in tables["part"]


def _sessions(path: Path, *, growing: bool) -> Iterator[SourceSession]:
    try:
        with path.open("rb") as file:
            begins = file.read(len(MAGIC))
    except OSError as error:
        raise unreadable(path, error) from error
    if begins == MAGIC:
        return iter(_of_store(path))
    document = document_of(path)
    fields = fields_of(document.value)
    if _is_export(fields):
        messages = document.records(list_of(fields.get("messages")))
        return iter([_source(fields_of(fields["info"]), partial(_exported, messages))])
    if _is_message(fields):
        raise TranscriptError(str(path), "is one message of opencode; name the file of its session")
    return iter(_of_files(path, fields))


def _source(info: Fields, messages: Messages, name: str = "", path: Path | None = None) -> SourceSession:
    """Make a session; `name`: it is a sub-agent's."""
    title = text_of(info.get("title"))

    def records(findings: Findings) -> Iterator[Line]:
        return lines_of_messages(_ended(messages(findings), findings), title)

    links = (name,) if name else ()
    return SourceSession(
        dialect=partial(OpencodeDialect, info=info), records=records, name=name, links=links, path=path
    )


def _ended(messages: Iterable[Said], findings: Findings) -> Iterator[tuple[Fields, Sequence[object]]]:
    """Leave out an answer at the end that may go on."""
    waiting: Said | None = None
    for one in messages:
        if waiting is not None:
            yield waiting[:2]
        waiting = one
    if waiting is None:
        return
    info, parts, changed_s = waiting
    done = fields_of(info.get("time")).get("completed") is not None or info.get("error") is not None
    if info.get("role") == "assistant" and not done and time.time() - changed_s < _RUNS_S:
        findings.recover(0, "the last answer may go on, and is left for the next time")
        return
    yield info, parts


def _exported(records: Records, findings: Findings) -> Iterator[Said]:
    """Read the messages of what `opencode export` wrote."""
    for line in records(findings):
        yield fields_of(line.fields.get("info")), list_of(line.fields.get("parts")), 0.0


def _families(sessions: Sequence[Fields]) -> Iterator[tuple[Fields, str]]:
    """Give each session before those that it began, and the names of these; of others the name is empty."""
    ids = {text_of(one.get("id")) for one in sessions}
    below: dict[str, list[Fields]] = {}
    roots: list[Fields] = []
    for one in sessions:
        parent = text_of(one.get("parentID"))
        if parent in ids and parent != one.get("id"):
            below.setdefault(parent, []).append(one)
        else:
            roots.append(one)
    told: set[str] = set()
    for root in [*roots, *sessions]:  # those that began each other, in a circle, come last
        waiting = [(root, "")]
        while waiting:
            one, name = waiting.pop(0)
            own = text_of(one.get("id"))
            if own in told:
                continue
            told.add(own)
            yield one, name
            waiting += [(child, text_of(child.get("id"))) for child in below.get(own, ())]


def _of_store(path: Path) -> list[SourceSession]:
    """Find the sessions of a database, those that were begun last first."""
    with opened(path) as connection:
        rows = _rows(connection, "SELECT * FROM session ORDER BY time_created DESC, id DESC")
        infos = [_session_of(row) for row in rows]
        lines = lines_of_forks(connection, infos)
    own = {text_of(info.get("id")): (info, partial(_stored, path, text_of(info.get("id")))) for info in infos}
    found: list[SourceSession] = []
    for info, name in _families(sorted(infos, key=lambda one: len(lines.get(text_of(one.get("id")), ())))):
        messages = own[text_of(info.get("id"))][1]
        line = [own[one] for one in lines.get(text_of(info.get("id")), ())]
        fork = _fork(info, messages, line) if line and begin_alike(messages, line[0][1]) else None
        found.append(msgspec.structs.replace(_source(info, messages, name), fork=fork))
    return found


def _fork(info: Fields, own: Messages, line: Sequence[tuple[Fields, Messages]]) -> SourceFork:
    """Describe a session that goes on from others, the first one first."""
    (first, base), *others = line
    session, titles = text_of(info.get("id")), (text_of(first.get("title")), text_of(info.get("title")))

    def records(findings: Findings) -> Iterator[Line]:
        before = base
        for _, messages in others:
            before, _ = joined(messages, before)
        whole, taken = joined(own, before)
        return lines_of_messages(_ended(whole(findings), findings), titles[0], fork=(taken, titles[1]))

    return SourceFork(
        name=session,
        dialect=partial(OpencodeDialect, info=first, fork=session),
        whole=lambda _: records,
        missing="",
        written=_nowhere,
    )


async def _nowhere(log: EventLog, session: str) -> None:
    """Find what a fork goes on from in a log: nowhere, since it is in the same database."""


def _rows(connection: sqlite3.Connection, query: str, *values: str) -> list[dict[str, object]]:
    cursor = connection.execute(query, values)
    names = [column[0] for column in cursor.description]
    return [dict(zip(names, row, strict=True)) for row in cursor]


def _session_of(row: Mapping[str, object]) -> Fields:
    """Read a row as what opencode says of a session elsewhere."""
    told = {name: _value(value) if name in _JSON else value for name, value in row.items() if value is not None}
    times = {"created": told.get("time_created"), "updated": told.get("time_updated")}
    named = {"projectID": told.get("project_id"), "parentID": told.get("parent_id"), "time": times}
    return {**{name: value for name, value in told.items() if isinstance(value, str | int | dict | list)}, **named}


def _value(text: object) -> object:
    try:
        return json.loads(text) if isinstance(text, str | bytes) else None
    except (ValueError, RecursionError):
        return None


def _stored(path: Path, session: str, findings: Findings) -> Iterator[Said]:
    """Read the messages of a session in a database."""
    with opened(path) as connection:
        query = "SELECT * FROM message WHERE session_id = ? ORDER BY time_created, id"
        for number, row in enumerate(_rows(connection, query, session), 1):
            info = _read(row.get("data"), number, findings)
            if info is None:
                continue
            parts: list[object] = []
            changed = [row.get("time_updated")]
            for part in _rows(
                connection, "SELECT * FROM part WHERE message_id = ? ORDER BY id", text_of(row.get("id"))
            ):
                changed.append(part.get("time_updated"))
                said = _read(part.get("data"), number, findings)
                if said is not None:
                    parts.append({**said, "id": part.get("id"), "sessionID": session, "messageID": row.get("id")})
            times = [read_ms(one) or 0 for one in changed]
            yield {**info, "id": row.get("id"), "sessionID": session}, parts, max(times) / 1e6


def _read(data: object, number: int, findings: Findings) -> Fields | None:
    """Read the object in a row; what is none is named."""
    raw = data.encode("utf-8", "surrogatepass") if isinstance(data, str) else data if isinstance(data, bytes) else b""
    found = [line.fields for line in each_record([raw.replace(b"\n", b" ") + b"\n"], lambda _: False, findings)]
    if len(found) == 1:
        return found[0]
    if not raw:
        findings.lose(number, "not a JSON object", "")
    return None


def _of_files(path: Path, session: Fields) -> list[SourceSession]:
    """Find the session of a file, and those of its sub-agents beside it."""
    files = {path: session, **{one: _document(one) for one in _siblings(path)}}
    found: list[SourceSession] = []
    below = [session]
    for info in below:  # grows while it is read
        for file, other in files.items():
            if other.get("parentID") == info.get("id") and not any(other is one for one in below):
                below.append(other)
                found.append(_of_file(file, other, text_of(other.get("id"))))
    return [_of_file(path, session), *found]


def _of_file(path: Path, info: Fields, name: str = "") -> SourceSession:
    return _source(info, partial(_kept, _storage(path), text_of(info.get("id"))), name, path if name else None)


def _storage(path: Path) -> Path:
    """Return the folder of a session's file below which messages and parts lie."""
    return path.parents[1] if path.parent.name == "info" else path.parents[2]


def _document(path: Path) -> Fields:
    try:
        return fields_of(document_of(path).value)
    except TranscriptError:
        return {}


def _siblings(path: Path) -> list[Path]:
    return [one for one in sorted(path.parent.glob("*.json")) if one != path]


def _kept(storage: Path, session: str, findings: Findings) -> Iterator[Said]:
    """Read the messages of a session that lie in files, with their parts, which lie in others."""
    found: list[tuple[int, Path, Fields, float]] = []
    for path in _files(storage / "message", session):
        info = _read_file(path, findings)
        if info is not None:
            times = fields_of(info.get("time") or fields_of(info.get("metadata")).get("time"))
            found.append((read_ms(times.get("created")) or 0, path, info, _changed(path)))
    for _, _, info, changed_s in sorted(found, key=lambda one: one[:2]):
        if is_early(info):
            yield *read_early(info), changed_s
            continue
        parts: list[object] = []
        for path in _parts(storage, session, text_of(info.get("id"))):
            part = _read_file(path, findings)
            changed_s = max(changed_s, _changed(path))
            if part is not None:
                parts.append(part)
        yield info, parts, changed_s


def _parts(storage: Path, session: str, message: str) -> list[Path]:
    return _files(storage / "part", message) or _files(storage / "part", session, message)


def _files(folder: Path, *names: str) -> list[Path]:
    if not all(map(is_file_name, names)):
        return []
    return sorted(folder.joinpath(*names).glob("*.json"))


def _changed(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except OSError:
        return 0.0


def _read_file(path: Path, findings: Findings) -> Fields | None:
    """Read a document that is an object; what is none is named."""
    try:
        document = document_of(path)
    except TranscriptError as error:
        findings.lose(0, f"{path.name}: {error.problem}", "")
        return None
    for line in document.records([document.value])(findings):
        return line.fields
    return None


def _owner(path: Path) -> Path | None:
    """Find the session that one was begun by, or that a message is of: it is imported with that."""
    info = _document(path)
    if _is_message(info):
        return path.parent
    parent = info.get("parentID")
    if not isinstance(parent, str) or not _is_session(info):
        return None
    return next((one for one in _siblings(path) if _document(one).get("id") == parent), None)


def _beside(path: Path) -> Iterable[Path]:
    """Find what is written when a session goes on: the log of a database, or the files of messages and parts."""
    if path.suffix != ".json":
        return [log_of(path)] if log_of(path).exists() else []
    storage = _storage(path)
    messages = _files(storage / "message", path.stem)
    return [*messages, *(part for one in messages[-2:] for part in _parts(storage, path.stem, one.stem))]


def _folder(head: Head) -> str:
    fields = head.document
    told = text_of(fields.get("directory")) or text_of(fields_of(fields.get("info")).get("directory"))
    if told or head.path.parent.name != "info":
        return told
    messages = map(_document, _files(_storage(head.path) / "message", text_of(fields.get("id"))))
    infos = (read_early(one)[0] if is_early(one) else one for one in messages)
    return next(filter(None, map(folder_of, infos)), "")


def _folders(path: Path) -> Mapping[str, str]:
    """Return where opencode worked in each session of a database, by what the session is found by."""
    if path.suffix == ".json":
        return {}
    with opened(path) as connection:
        rows = connection.execute("SELECT id, directory FROM session WHERE parent_id IS NULL").fetchall()
    return {f"{FORMAT}:{own}": str(folder) for own, folder in rows}


def _home(environment: Mapping[str, str]) -> Home:
    data = Path(environment.get("XDG_DATA_HOME") or "~/.local/share").expanduser()
    files = ("storage/session/*/*.json", "project/*/storage/session/info/*.json")
    return Home(data / "opencode", "opencode*.db", files)


OPENCODE = Format(
    name=FORMAT,
    what="sessions of opencode (its database, its session files, what `opencode export` writes)",
    fits=_fits,
    sessions=_sessions,
    owner=_owner,
    beside=_beside,
    folder=_folder,
    folders=_folders,
    home=_home,
)
