"""Session files of Codex: how they are told from others, and the sessions that one and its neighbours hold."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

from ..fields import fields_of
from ..format import Format, Head, Home, SourceSession, lines_of
from .dialect import FORMAT, CodexDialect, is_codex, is_record
from .family import agents_of, begins_of, files_before, fork_of, owner_of
from .write import TO_CODEX


def _fits(head: Head) -> bool:
    return any(is_codex(fields) for fields in head.records[:20])


def _sessions(path: Path, *, growing: bool) -> Iterator[SourceSession]:
    own = lines_of(path, is_record, growing=growing)
    yield SourceSession(dialect=CodexDialect, records=own, begun_by=begins_of(path).begun_by, fork=fork_of(path, own))
    for agent in agents_of(path):
        name = begins_of(agent).session
        records = lines_of(agent, is_record, growing=growing)
        yield SourceSession(dialect=CodexDialect, records=records, name=name, links=(name,), path=agent)


def _folder(head: Head) -> str:
    payloads = (fields_of(fields.get("payload")) for fields in head.records)
    return next((str(payload["cwd"]) for payload in payloads if isinstance(payload.get("cwd"), str)), "")


def _home(environment: Mapping[str, str]) -> Home:
    return Home(Path(environment.get("CODEX_HOME") or "~/.codex").expanduser() / "sessions", "**/rollout-*.jsonl")


CODEX = Format(
    name=FORMAT,
    what="session files of Codex (rollout-*.jsonl)",
    fits=_fits,
    sessions=_sessions,
    owner=owner_of,
    beside=agents_of,
    before=files_before,
    folder=_folder,
    home=_home,
    to_agent=TO_CODEX,
)
