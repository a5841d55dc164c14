"""Session files of Gemini CLI: how they are told from others, and which sessions one holds."""

from __future__ import annotations

import hashlib
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import starmap
from pathlib import Path

from eventsource.errors import TranscriptError
from eventsource.log.protocol import EventLog

from ..document import document_of
from ..fields import fields_of, is_file_name, list_of, text_of
from ..format import Format, Head, Home, Records, SourceSession, head_of, lines_of
from ..jsonl import Fields, Findings, Line
from .contents import is_content, name_of
from .dialect import FORMAT, LIST, WHOLE, GeminiDialect
from .messages import role_of
from .reading import is_message, told_lines, told_messages
from .write import IDS, ROOT, TO_GEMINI, grown_messages

_LISTS = ("messages", "history")


def is_record(fields: Fields) -> bool:
    """Return whether an object has the shape of a record."""
    return is_message(fields) or "$set" in fields or "$rewindTo" in fields or "sessionId" in fields


def _is_message(fields: Fields) -> bool:
    """Return whether an object is a message as only Gemini CLI writes them."""
    kind, told = fields.get("type"), ("content" in fields or "parts" in fields) and "timestamp" in fields
    return (
        is_message(fields) and told and kind in ("user", "gemini", "info", "warning", "error") and "role" not in fields
    )


def _is_document(fields: Fields) -> bool:
    match fields:
        case {"sessionId": str(), "projectHash": str()}:
            return True
        case {"messages": list(items)} | {"history": list(items)}:
            said = list(map(fields_of, items))
            return any("gemini" in (one.get("type"), one.get("role")) or is_content(one) for one in said)
        case _:
            return is_content(fields) or (_is_message(fields) and fields.get("type") == "gemini")


def _fits(head: Head) -> bool:
    records = head.records[:20]
    known = any({"sessionId", "projectHash"} <= fields.keys() or "$rewindTo" in fields for fields in records)
    own = [fields for fields in records if _is_message(fields)]
    return known or any(fields.get("type") == "gemini" for fields in own) or _is_document(head.document)


def _is_lines(head: Head) -> bool:
    """Return whether a file is JSON Lines: a document may be written on one line, too."""
    first = head.records[0] if head.records else {}
    return any(is_record(fields) for fields in head.records) and not any(list_of(first.get(name)) for name in _LISTS)


def _sessions(path: Path, *, growing: bool) -> Iterator[SourceSession]:
    folder = _folder_of(path)
    yield _session(path, folder, growing=growing)
    for child in _children(path):
        yield _session(child, folder, growing=growing, name=child.stem)


def _session(path: Path, folder: str, *, growing: bool, name: str = "") -> SourceSession:
    own = path if name else None
    if not _is_lines(head_of(path)):
        return _document(path, folder, name)
    lines = lines_of(path, is_record, growing=growing)

    def dialect(children: Mapping[str, str]) -> GeminiDialect:
        return GeminiDialect(children, folder=folder)

    def records(findings: Findings) -> Iterator[Line]:
        return told_lines(lines(findings))

    return SourceSession(dialect=dialect, records=records, name=name, links=(name,) if name else (), path=own)


def _document(path: Path, folder: str, name: str) -> SourceSession:
    """Read a session that is one document. Raises: TranscriptError when it holds no messages."""
    document = document_of(path)
    fields = fields_of(document.value)
    where = next((one for one in _LISTS if isinstance(fields.get(one), list)), "")
    messages: Sequence[object] = list_of(fields[where]) if where else [fields]
    if isinstance(document.value, list):
        where, messages = WHOLE, document.value
    said = list(map(fields_of, messages))
    if where in ("", WHOLE) and not any(is_message(one) or is_content(one) for one in said):
        raise TranscriptError(str(path), "holds no messages of Gemini CLI")
    around = {name: value for name, value in fields.items() if name != where} if where else {}
    session = text_of(around.get("sessionId")) or name_of(said)
    read = document.records(messages)

    def dialect(children: Mapping[str, str]) -> GeminiDialect:
        return GeminiDialect(children, header={"document": around, LIST: where}, folder=folder, session=session)

    def records(findings: Findings) -> Iterator[Line]:
        return told_messages(read(findings))

    async def grown(log: EventLog, session: str) -> Records | None:
        told = await grown_messages(log, session, messages)

        def laid_behind(findings: Findings) -> Iterator[Line]:
            deque(read(findings), maxlen=0)  # which tells what cannot be read
            return told_messages(starmap(Line, enumerate(told or (), 1)))

        return laid_behind if told is not None else None

    links, own = (name,) if name else (), path if name else None
    return SourceSession(dialect=dialect, records=records, name=name, links=links, path=own, grown=grown)


def _children(path: Path) -> list[Path]:
    """Find the files of a session's sub-agents: they lie in a folder that is called as the session."""
    session = _session_of(path)
    if not is_file_name(session) or path.parent.name != "chats":
        return []
    return sorted(one for one in (path.parent / session).glob("*.json*") if one.suffix in (".json", ".jsonl"))


def _session_of(path: Path) -> str:
    head = head_of(path)
    told = [*head.records[:1], head.document]
    return next((one for one in (text_of(fields.get("sessionId")) for fields in told) if one), "")


def _beside(path: Path) -> Iterable[Path]:
    """Find the files of its sub-agents by its name alone: it is asked again and again."""
    named = path.parent.name == "chats" and path.stem.startswith("session-")
    return sorted(path.parent.glob(f"{path.stem[-IDS:]}*/*.json*")) if named else ()


def _owner(path: Path) -> Path | None:
    """Find the file that another one is imported with.

    That of a sub-agent is imported with the session's. One that Gemini CLI left behind where it went on with a session
    says nothing; and a document was written anew, as JSON Lines, when it was gone on with.
    """
    if path.parent.parent.name == "chats":
        sessions = path.parent.parent.glob(f"session-*-{path.parent.name[:IDS]}.json*")
        return next(iter(sorted(sessions)), None)
    if path.suffix == ".json" and (again := path.with_suffix(".jsonl")).is_file():
        return again
    others = path.parent.glob(f"session-*{path.stem[-IDS - 1 :]}.json*") if path.stem.startswith("session-") else ()
    rest = [one for one in sorted(others) if one != path]
    return next(iter(rest), None) if rest and not _speaks(path) else None


def _speaks(path: Path) -> bool:
    """Return whether a file holds more than what the program tells its model at the beginning."""
    head = head_of(path)
    return (
        not head.records
        or any(role_of(fields) for fields in head.records if is_message(fields))
        or bool(head.document.get("messages"))
    )


def _folder(head: Head) -> str:
    """Find where the agent worked: as the file says, or the folder that it lies in."""
    dialect = GeminiDialect({}, folder=_folder_of(head.path))
    first = head.records[0] if head.records else {}
    told = told_lines(Line(number, fields) for number, fields in enumerate(head.records[:20], 1))
    if not _is_lines(head):
        first = head.document
        items = [Line(number, fields_of(one)) for number, one in enumerate(list_of(first.get("messages"))[:5], 1)]
        told = told_messages(items)
    for line in told:
        dialect.place(line)
    return dialect.folder or _by_hash(text_of(first.get("projectHash")))


def _folder_of(path: Path) -> str:
    """Return the folder that stands beside those of the sessions."""
    for above in path.parents[1:3]:
        try:
            return (above / ROOT).read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError):
            continue
    return ""


def _by_hash(project: str) -> str:
    """Find a project by the digest of its path: the current folder, or one that it lies in."""
    here = Path.cwd()
    hashes = (
        (one, hashlib.sha256(str(one).encode("utf-8", "surrogateescape")).hexdigest()) for one in (here, *here.parents)
    )
    return next((str(one) for one, digest in hashes if digest == project), "")


def _home(environment: Mapping[str, str]) -> Home:
    home = Path(environment.get("GEMINI_CLI_HOME") or "~").expanduser()
    return Home(home / ".gemini" / "tmp", "*/chats/**/*.json*")


GEMINI = Format(
    name=FORMAT,
    what="session files of Gemini CLI (session-*.json and .jsonl, checkpoint-*.json)",
    fits=_fits,
    sessions=_sessions,
    owner=_owner,
    beside=_beside,
    folder=_folder,
    home=_home,
    to_agent=TO_GEMINI,
)
