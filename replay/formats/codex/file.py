"""Session files of Codex: how they are told from others, and the sessions that one and its neighbours hold."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

from ..document import document_of
from ..fields import fields_of, list_of
from ..format import Format, Head, Home, SourceSession, head_of, lines_of
from ..jsonl import Fields
from .dialect import FORMAT, CodexDialect, is_codex, is_record
from .envelope import is_bare_header
from .family import agents_of, begins_of, files_before, fork_of, owner_of, working_agents_of
from .write import TO_CODEX


def _fits(head: Head) -> bool:
    return any(is_codex(fields) for fields in head.records[:20]) or _is_early(head.document)


def _is_early(beginning: Fields) -> bool:
    """Return whether a file is one of the first versions, by the object that it begins with."""
    return is_bare_header(beginning) or _is_document(beginning)


def _is_document(beginning: Fields) -> bool:
    """Return whether a file is one document, as the very first version wrote it (in TypeScript)."""
    match beginning:
        case {"session": {"id": str(), "timestamp": str()}, "items": list()}:
            return True
        case _:
            return False


def _sessions(path: Path, *, growing: bool) -> Iterator[SourceSession]:
    if _is_document(head_of(path).document):
        yield _document(path)
        return
    own = lines_of(path, is_record, growing=growing)
    yield SourceSession(dialect=CodexDialect, records=own, begun_by=begins_of(path).begun_by, fork=fork_of(path, own))
    for agent in agents_of(path):
        name = begins_of(agent).session
        records = lines_of(agent, is_record, growing=growing)
        yield SourceSession(dialect=CodexDialect, records=records, name=name, links=(name,), path=agent)


def _document(path: Path) -> SourceSession:
    document = document_of(path)
    whole = fields_of(document.value)
    session = {"instructions": None, **fields_of(whole.get("session"))}
    return SourceSession(dialect=CodexDialect, records=document.records([session, *list_of(whole.get("items"))]))


def _folder(head: Head) -> str:
    payloads = (fields_of(fields.get("payload")) for fields in head.records)
    return next((str(payload["cwd"]) for payload in payloads if isinstance(payload.get("cwd"), str)), "")


def _home(environment: Mapping[str, str]) -> Home:
    kept = Path(environment.get("CODEX_HOME") or "~/.codex").expanduser() / "sessions"
    return Home(kept, "**/rollout-*.jsonl", ("**/rollout-*.json",))


CODEX = Format(
    name=FORMAT,
    what="session files of Codex (rollout-*.jsonl)",
    fits=_fits,
    sessions=_sessions,
    owner=owner_of,
    beside=working_agents_of,
    before=files_before,
    folder=_folder,
    home=_home,
    to_agent=TO_CODEX,
)
